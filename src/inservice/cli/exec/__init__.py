"""`inservice exec -- COMMAND…`: a program for which this server is AWS, and which reaches no other.

`inservice env` is enough for whoever asks where `AWS_ENDPOINT_URL` says. Some clients name AWS's
hosts themselves; here these lead to this server too, so a stray call to AWS fails, or is answered
from here, and costs nothing. The program runs as a session of the account's default execution role
unless it is said otherwise: as it would in a notebook.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import Final

from inservice.cli import server
from inservice.cli.connection import REFUSED, explained
from inservice.cli.credentials import add_identity_options
from inservice.cli.spelling import USAGE_RC

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes of a command that cannot be run, as shells have them."""

_UNHEARD: Final = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python lets these pass, and what it becomes would too."""


def run(argv: list[str]) -> int:
    """Become the command. Returns only where that is not possible."""
    options, command = _parse(argv)
    if not command:
        sys.stderr.write("inservice exec: which command?  inservice exec -- COMMAND…\n")
        return USAGE_RC
    options.command = command
    return explained(_become, options)


def _parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = server.arguments(
        "exec",
        "Run a command for which this server is AWS: clients that name AWS's hosts themselves "
        "reach it too, and nothing reaches AWS or anybody else.",
    )
    parser.usage = "inservice exec [options] -- COMMAND…"
    who = add_identity_options(parser)
    who.add_argument(
        "--user",
        metavar="NAME",
        help="as this user, with an access key that is made for the command and deleted after it",
    )
    parser.add_argument(
        "--allow-internet",
        action="store_true",
        help="let the command reach hosts that are not AWS's",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    # Not argparse's own way with `--`, which takes away the first one wherever it is.
    if "--" in argv:
        at = argv.index("--")
        options = parser.parse_args(argv[:at])
        after = argv[at:] if options.command else argv[at + 1 :]
        return options, [*options.command, *after]
    options = parser.parse_args(argv)
    return options, options.command


def _become(options: argparse.Namespace) -> int:
    from inservice.cli.exec.companion import NotStarted, Task, begin
    from inservice.cli.exec.environment import environment_of
    from inservice.cli.exec.user_keys import UserKey
    from inservice.cli.role_keys import role_keys

    settings = server.settings_of(options)
    running = server.find(settings)
    if running is None:
        return _refuse(f"no server runs on {settings.data_dir}; start one with `inservice up`")
    user = None if options.user is None else UserKey.make(settings.data_dir, options.user)
    signing = running if options.root else user.target if user is not None else None
    keys = role_keys(settings.data_dir, running, options.role) if signing is None else None
    task = Task(settings.data_dir, options.role, options.allow_internet, user)
    try:
        place = begin(task, keys)
    except (NotStarted, OSError) as failed:
        if user is not None:
            user.forget()
        return _refuse(f"the command was not started: {failed}")
    return _execute(options.command, environment_of(os.environ, running, signing, place))


def _execute(command: list[str], environment: dict[str, str]) -> int:
    """Become the command; the exit code of one that cannot be run."""
    sys.stdout.flush()
    for number in _UNHEARD:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - what this command is for
    except (FileNotFoundError, NotADirectoryError):
        _refuse(f"there is no command {command[0]!r}")
        return NOT_FOUND
    except (OSError, ValueError) as error:
        _refuse(f"{command[0]!r} cannot be run: {error}")
        return NOT_EXECUTABLE


def _refuse(why: str) -> int:
    sys.stderr.write(f"inservice exec: {why}\n")
    return REFUSED
