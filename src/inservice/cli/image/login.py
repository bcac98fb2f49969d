"""`inservice image login REGISTRY`."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

from inservice.cli import server
from inservice.cli.spelling import OwnParser
from inservice.runtimes.logins import Login, Logins, LoginsUnreadable, normal


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `image login`."""
    options = OwnParser(
        prog=prog,
        description="Keep a name and a password with which images are pulled from a registry, in "
        "the data directory, for whoever runs the server. For AWS's registry there is no need to: "
        "it is asked with the AWS credentials of the server, where it has any.",
    )
    options.add_argument("registry", help="its host, and port if it has one: docker.io for Docker")
    options.add_argument("--username", "-u", required=True)
    options.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password, or token, from standard input instead of from the terminal",
    )
    add_data_dir(options)
    return options


def add_data_dir(options: argparse.ArgumentParser) -> None:
    """Which server is meant. It need not run."""
    options.add_argument("--data-dir", type=Path, metavar="DIR", help="of this data directory")


def run(options: argparse.Namespace) -> int:
    """Keep it."""
    registry = normal(options.registry)
    if not registry:
        return _refuse(f'"{options.registry}" is no host of a registry')
    if options.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = getpass.getpass(f"Password of {options.username} at {registry}: ")
    else:
        return _refuse("nobody can be asked here; --password-stdin reads it from standard input")
    if not password:
        return _refuse("the password is empty")
    logins = Logins(server.settings_of(options).containers_dir)
    try:
        logins.add(registry, Login(options.username, password))
    except (LoginsUnreadable, OSError) as error:
        return _refuse(str(error))
    sys.stdout.write(f"Kept: {options.username} at {registry}, in {logins.path}.\n")
    return 0


def _refuse(words: str) -> int:
    sys.stderr.write(f"inservice image login: {words}\n")
    return 1
