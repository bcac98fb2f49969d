"""`inservice credentials`: keys of this server as AWS's SDKs ask a program for them."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from inservice.cli import server
from inservice.cli.connection import explained
from inservice.cli.role_keys import role_keys
from inservice.cli.target import read_target

VERSION = 1
"""Of the form in which SDKs read keys; there is no other."""


def run(argv: list[str]) -> int:
    """0 with the keys on stdout; 1 when there are none to be had."""
    parser = server.arguments(
        "credentials",
        "Print keys as the credential_process of a profile gives them to AWS's SDKs, which ask "
        "again before they end. `inservice env --profile` writes such a profile.",
    )
    add_identity_options(parser)
    return explained(_print, parser.parse_args(argv))


def add_identity_options(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """The options that say as whom."""
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--role",
        metavar="NAME",
        help="as a session of this role (default: of the account's default execution role)",
    )
    who.add_argument("--root", action="store_true", help="as root, who may do everything")
    return who


def command(data_dir: Path, role: str | None, *, root: bool) -> str:
    """The command line that prints these keys, as a profile has it: this very InService, whatever
    the PATH of the program that asks."""
    who = ["--root"] if root else [] if role is None else ["--role", role]
    words = [sys.executable, "-m", "inservice.cli.main", "credentials"]
    return shlex.join([*words, "--data-dir", str(data_dir), *who])


def _print(options: argparse.Namespace) -> int:
    directory = server.settings_of(options).data_dir
    target = read_target(directory)
    if options.root:
        told = {
            "Version": VERSION,
            "AccessKeyId": target.access_key_id,
            "SecretAccessKey": target.secret_access_key,
        }
    else:
        keys = role_keys(directory, target, options.role)
        told = {
            "Version": VERSION,
            "AccessKeyId": keys.access_key_id,
            "SecretAccessKey": keys.secret_access_key,
            "SessionToken": keys.session_token,
            "Expiration": keys.expires_at,
        }
    sys.stdout.write(json.dumps(told) + "\n")
    return 0
