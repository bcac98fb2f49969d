"""The installed AWS CLI, asked again and again: imported once, and then forked for each command.

Two thirds of what a command of it costs is to import it, a second of a core. What the tests want to
know is what it sends and how it reads what it is answered, and that is the same in a fork.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from tests.waiting import PATIENCE_SECONDS

AWS = Path("/usr/bin/aws")
"""As Debian's package `awscli` installs it: a Python program."""

_HOST = """
import json, os, signal, sys, time
import awscli.clidriver

data = os.environ["AWS_DATA_PATH"]  # set by the import
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.alarm(int(asked["seconds"]))
        os.chdir(asked["directory"])
        for number, name in ((0, os.devnull), (1, asked["out"]), (2, asked["err"])):
            os.dup2(os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY), number)
        os.environ.clear()
        os.environ.update({"AWS_DATA_PATH": data, **asked["environment"]})
        time.tzset()
        sys.argv = asked["words"]
        try:
            code = awscli.clidriver.main()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def run(
    words: Sequence[str], environment: Mapping[str, str], directory: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """`aws …`, with this environment and no other, where nobody can be asked."""
    host = _host()
    assert host.stdin is not None
    assert host.stdout is not None
    with tempfile.TemporaryDirectory() as name:
        out, err = Path(name) / "out", Path(name) / "err"
        out.touch()
        err.touch()
        asked = {
            "words": [str(AWS), *words],
            "environment": dict(environment),
            "directory": str(directory or name),
            "out": str(out),
            "err": str(err),
            "seconds": PATIENCE_SECONDS,
        }
        host.stdin.write(json.dumps(asked).encode() + b"\n")
        host.stdin.flush()
        code = int(host.stdout.readline())
        return subprocess.CompletedProcess(list(words), code, out.read_bytes(), err.read_bytes())


@cache
def _host() -> subprocess.Popen[bytes]:
    """What is forked, one for each process of the suite. It ends with its stdin."""
    python = AWS.read_text(encoding="utf-8").splitlines()[0].removeprefix("#!").strip()
    host = subprocess.Popen(
        [python, "-c", _HOST],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        env={"LC_ALL": "C.UTF-8"},
    )
    atexit.register(host.communicate)
    return host
