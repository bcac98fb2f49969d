"""Runs a command of `inservice` over and over, and kills it: `python -m tests.cli.killed <word>…`.

A line in says when, as a part of the time that the last whole run took; `whole` runs it to its end.
A line out says what became of it: `killed`, or its exit code.

Each run that is killed is a fork of this process, which has imported all that the command needs: so
it is killed in what it does, which takes some milliseconds, and not while Python starts.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from inservice.cli.main import main as run


def main(words: list[str]) -> None:
    """Do as the lines say, until there are no more."""
    told = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    seconds = 0.0
    for line in sys.stdin:
        if line.strip() == "whole":
            began = time.monotonic()
            end = str(run(words))
            seconds = time.monotonic() - began
        else:
            end = _killed(words, float(line) * seconds)
        told.write(f"{end}\n")
        told.flush()


def _killed(words: list[str], seconds: float) -> str:
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(run(words))
        finally:
            os._exit(99)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return "killed" if os.WIFSIGNALED(status) else str(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main(sys.argv[1:])
