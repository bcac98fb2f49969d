"""Why an environment could not be built, for people: in a FailureReason and in the history.

The last lines of an installer say what is wrong in its own words, which people search for; what is
to be done on this host it does not know, so a sentence of ours follows.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Mapping, Sequence

LINES_MAX = 12
_TEXT_MAX = 600

_NOISE = re.compile(
    r"^(Using (CPython|Python)|Resolved |Prepared |Audited |Installed |Looking in|Processing "
    r"|Collecting |\s*(Downloading|Downloaded|Building|Built|Using cached) |\s+[+~-] \S+==|"
    r"Creating virtual|Activate with|\[notice\])"
)

_UNREACHED = (
    r"dns error|failed to lookup|connection refused|connect error|error sending request|"
    r"network is unreachable|timed out|temporary failure in name|could not fetch|"
    r"failed to fetch|failed to establish"
)

_ADVICE: Mapping[str, str] = {
    r"hash mismatch|hashes? (does|do) not match|--hash|require-hashes": """
        What is installed has to be, to the last package, what a hash in requirements.txt vouches
        for.""",
    r"\b40[13]\b|unauthorized|forbidden|authentication": """
        The index refuses: see the user and password in pip's settings (`pip config list`).""",
    r"matching (Python|platform)|no usable wheels|not a supported wheel|incompatible with|"
    r"not compatible with|requires[- ]python": """
        It has to be a wheel for this Python and this platform, or the source of one.""",
    _UNREACHED: """
        An index was not reached. Where there is no network, tell pip of a directory of wheels
        (`pip config set global.find-links /wheels`, `pip config set global.no-index true`).""",
    r"failed to build|build backend|failed building|subprocess-exited|setup\.py|metadata-gen": """
        It has no wheel, and its own code that builds one failed: what that needs (a compiler,
        headers) has to be on this host, or a wheel in the code directory.""",
    r"no solution found|unsatisfiable|no matching distribution|resolutionimpossible|conflict": """
        No index that this host is told of (`pip config list`) has versions that satisfy all of
        these requirements.""",
}
"""What an installer says → what to do. The first that fits is taken."""


def last_lines(lines: Iterable[str]) -> str:
    """What an installer said in the end, in one line."""
    told = [line for line in lines if line.strip() and not _NOISE.match(line)]
    text = " ".join(" ".join(told[-LINES_MAX:]).split())
    return f"…{text[-_TEXT_MAX:]}" if len(text) > _TEXT_MAX else text


def is_final(lines: Sequence[str]) -> bool:
    """Whether it would come to the same if packages could be built from source."""
    text = "\n".join(lines)
    return bool(shortage(lines) or re.search(_UNREACHED, text, re.IGNORECASE))


def is_unreadable(lines: Sequence[str]) -> bool:
    """Whether it failed since its user may not read something."""
    return bool(re.search(r"permission denied", "\n".join(lines), re.IGNORECASE))


_ANSWERED = r"HTTP status|HTTP error|\b[45]\d\d (client|server) error|\b40[134]\b"
"""Whoever is told a status has reached somebody."""


def is_unreached(lines: Sequence[str]) -> bool:
    """Whether an index was not reached: that may be otherwise in a while."""
    text = "\n".join(lines)
    said = next((said for said in _ADVICE if re.search(said, text, re.IGNORECASE)), "")
    return said == _UNREACHED and not re.search(_ANSWERED, text, re.IGNORECASE)


def advice(lines: Sequence[str]) -> str:
    """What to do, in a sentence; "" where nothing of it is known."""
    text = "\n".join(lines)
    fits = (words for said, words in _ADVICE.items() if re.search(said, text, re.IGNORECASE))
    return " ".join(next(fits, "").split())


_NO_ROOM: Mapping[str, int] = {
    r"os error 28\b|errno 28\b|no space left on device": errno.ENOSPC,
    r"os error 122\b|errno 122\b|disk quota exceeded": errno.EDQUOT,
    r"os error 12\b|errno 12\b|cannot allocate memory|^memoryerror": errno.ENOMEM,
    r"os error 24\b|errno 24\b|too many open files": errno.EMFILE,
}


def shortage(lines: Iterable[str]) -> int:
    """The errno of what the host was short of; 0 if that was not it."""
    text = "\n".join(lines)
    for pattern, number in _NO_ROOM.items():
        if re.search(pattern, text, re.IGNORECASE | re.MULTILINE):
            return number
    return 0


def named(packages: Mapping[str, str], first: Iterable[str]) -> str:
    """How many packages, and one that people know: "23 packages, torch 2.13.0 among them"."""
    count = f"{len(packages)} package{'s' if len(packages) != 1 else ''}"
    known = next((name for name in first if name in packages), "")
    if not known:
        return count
    return f"{count}, {known} {packages[known]} among them"
