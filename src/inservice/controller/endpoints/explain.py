"""Why an instance did not come up or is no more, in words that a person can act on.

AWS's sentence first, since tools match it; then what AWS does not say, from what matters most: the
error and where in the code it was, how the process ended, what to try, what the pings got, and the
last lines that the model printed, as many as there is room for. Whatever cuts such a text later
cuts it at its end. Pure: a sight and a few numbers in, text out.
"""

from __future__ import annotations

import re

from inservice.controller.endpoints import said
from inservice.controller.endpoints.hints import hint
from inservice.controller.endpoints.said import Said
from inservice.placement.host import gib
from inservice.runtimes.base import InstanceState, Probe, Sight

REASON_CHARACTERS_MAX = 1024
"""FailureReason's limit in AWS's model."""

BRIEF_CHARACTERS_MAX = 200
"""A line of a history."""

_SILENT = "not listening yet"
"""The outcome of a ping that tells nothing of a process that has ended."""

_PLACE = re.compile(r" \([^()]*, line \d+\)$")
"""What Python itself adds to a SyntaxError."""


def did_not_become_ready(
    sight: Sight, *, variant: str, container: str, waited_seconds: float, timeout_seconds: float
) -> str:
    """The FailureReason for an instance that ended, or never answered /ping in its time."""
    sentence = (
        f"The {container} container for production variant {variant} did not pass the ping health "
        "check. Please check CloudWatch logs for this endpoint."
    )
    heard = said.read(sight.last_lines)
    if sight.state is InstanceState.GONE:
        parts = [sentence, *_error(sight, heard), _how_it_ended(sight)]
    else:
        parts = [sentence, _how_long(waited_seconds, timeout_seconds)]
    return _with_the_rest(parts, sight, heard)


def died(sight: Sight, *, variant: str, instance_id: str) -> str:
    """The reason for the loss of an instance that had been ready."""
    words = f"Instance {instance_id} of production variant {variant} was lost while it served."
    heard = said.read(sight.last_lines)
    return _with_the_rest([words, *_error(sight, heard), _how_it_ended(sight)], sight, heard)


def ill(sight: Sight) -> str:
    """What is known of an instance that had been ready and fails its health checks."""
    return _with_the_rest([], sight, said.read(sight.last_lines))


def waiting(sight: Sight) -> str | None:
    """What an instance that starts said last, while there is still hope."""
    line = said.last_line(sight.last_lines)
    return line and f'waiting: last line "{_shortened(line, BRIEF_CHARACTERS_MAX)}"'


def in_a_line(sight: Sight) -> str:
    """The most telling line of what an instance printed last: its error, or else the last one."""
    told = _error_of(sight) or [said.last_line(sight.last_lines) or ""]
    return _shortened(told[0], BRIEF_CHARACTERS_MAX)


def briefly(sight: Sight) -> str:
    """How an instance ended, in a clause for a history."""
    ended = _how_it_ended(sight).rstrip(".")
    words = " ".join([ended[0].lower() + ended[1:], *(f"({e[:-1]})" for e in _error_of(sight))])
    return _shortened(words, BRIEF_CHARACTERS_MAX)


def _with_the_rest(parts: list[str], sight: Sight, heard: Said) -> str:
    """The hint, the pings and the last lines, as far as there is room."""
    parts = [*parts, f"Hint: {hint(sight, heard)}", *_pings(sight)]
    room = REASON_CHARACTERS_MAX - sum(len(part) + 1 for part in parts) - len('Last output: "".')
    if lines := _last_lines(heard.lines, room):
        parts.append(f'Last output: "{lines}".')
    return _shortened(" ".join(parts), REASON_CHARACTERS_MAX)


def _error_of(sight: Sight) -> list[str]:
    return _error(sight, said.read(sight.last_lines))


def _error(sight: Sight, heard: Said) -> list[str]:
    """What the process itself says was wrong. One that a signal ended says so only when it could:
    an exception that it had printed before need not be why."""
    fatal = (heard.error or "").startswith("Fatal Python error")
    if heard.error is None or (sight.signal is not None and not fatal):
        return []
    if heard.place is None:
        return [f"{heard.error.rstrip('.')}."]
    return [f"{_PLACE.sub('', heard.error).rstrip('.')} ({heard.place})."]


def _how_it_ended(sight: Sight) -> str:
    if sight.out_of_memory and sight.exit_code is not None:
        return f"It exited with code {sight.exit_code} because memory ran out{_starting(sight)}."
    if sight.out_of_memory:
        return f"It was killed because memory ran out{_starting(sight)}{_limit(sight)}."
    if sight.signal:
        return f"It was ended by {sight.signal}{_starting(sight)}."
    if sight.exit_code is not None:
        return f"It exited with code {sight.exit_code}{_starting(sight)}."
    return f"Its process was found gone{_starting(sight)}."


def _limit(sight: Sight) -> str:
    """What it had, where the host had more."""
    if not sight.memory_bytes_max:
        return ""
    return f": its instance type has {gib(sight.memory_bytes_max)} (INSERVICE_LIMITS=enforced)"


def _starting(sight: Sight) -> str:
    return " while it was starting" if sight.ready_at is None else ""


def _how_long(waited_seconds: float, timeout_seconds: float) -> str:
    return (
        f"It ran for {waited_seconds:.0f} s of the {timeout_seconds:.0f} s that "
        "ContainerStartupHealthCheckTimeoutInSeconds allows and was not ready."
    )


def _pings(sight: Sight) -> list[str]:
    if sight.state is InstanceState.GONE and all(p.outcome == _SILENT for p in sight.probes):
        return []
    told = [_ping(probe) for probe in sight.probes[-3:] if probe.outcome != "200"]
    return [f"Pings: {'; '.join(told)}."] if told else []


def _ping(probe: Probe) -> str:
    if probe.tries == 1:
        return (
            probe.outcome if probe.outcome == _SILENT else f"{probe.outcome} in {probe.ms:.0f} ms"
        )
    many = f"{probe.tries} pings in {probe.seconds:.1f} s"
    if probe.outcome.isdecimal():
        return f"{probe.outcome} to {many}"
    return f"no answer to {many}: {probe.outcome}"


def _last_lines(lines: tuple[str, ...], room: int) -> str:
    """As many of the newest lines as there is room for, oldest first."""
    kept: list[str] = []
    for line in reversed(lines):
        room -= len(line) + 3
        if room < 0:
            break
        kept.insert(0, line)
    return " | ".join(kept)


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
