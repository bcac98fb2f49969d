"""`inservice key rotate`: a new root access key, without a restart."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

from inservice.cli import ours
from inservice.cli.account.naming import account_of
from inservice.cli.aws.failures import CommandLineError, NotConfigured
from inservice.cli.connection import client, parser_of
from inservice.cli.target import data_directory, find_target, read_target

WRITTEN_SECONDS: Final = 10.0
"""A server writes its credentials file at once; a busy host may take longer."""

POLL_SECONDS: Final = 0.02


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `key rotate`."""
    options = parser_of(
        prog,
        "Replace the root access key by a new one. The old one is refused from then on. Nothing "
        "is restarted, and no request that is under way fails.",
    )
    options.add_argument(
        "--account",
        metavar="ACCOUNT",
        help="of another account, by its id or name: for root of the server's own",
    )
    return options


def run(options: argparse.Namespace) -> int:
    """Rotate, and say where the new key is."""
    # One try: a second would be signed with a key that the first may have taken away.
    server = client(options, ours.SERVICE, tries_max=1)
    if options.account is not None:
        return _rotate_of_another(server, options.account)
    old = _present_key(options)
    answer = server.rotate_root_access_key(AccessKeyId=old)
    new = answer["AccessKeyId"]
    sys.stdout.write(f"{old} is no key any more; {new} is.\n")
    directory = data_directory(options.data_dir, os.environ)
    if _is_at(directory, server.meta.endpoint_url) and _has(directory, new):
        sys.stdout.write(f"Its secret is in {directory / 'credentials.json'}.\n")
    else:
        sys.stdout.write(f"Its secret, which is told this once: {answer['SecretAccessKey']}\n")
    sys.stdout.write(
        'Shells with the old one: eval "$(inservice env)"; profiles: inservice env --profile NAME\n'
    )
    return 0


def _rotate_of_another(server: Any, named: str) -> int:
    """Replace the key of another account's root. Raises CommandLineError where there is none."""
    account = account_of(server, named)
    if (old := account.get("RootAccessKeyId")) is None:
        raise CommandLineError(
            f"Root of account {account['AccountId']} has no key: the record of it was damaged.  "
            "See:  inservice recover"
        )
    answer = server.rotate_root_access_key(AccessKeyId=old, AccountId=account["AccountId"])
    sys.stdout.write(
        f"{old} is no key any more; {answer['AccessKeyId']} is.\n"
        f"Its secret, which is told this once: {answer['SecretAccessKey']}\n"
    )
    return 0


def _present_key(options: argparse.Namespace) -> str:
    """The id of the key that these options sign with. Raises NotConfigured without one."""
    target = find_target(
        data_dir=options.data_dir, endpoint_url=options.endpoint_url, profile=options.profile
    )
    if target is not None:
        return target.access_key_id
    import botocore.session

    credentials = botocore.session.Session(profile=options.profile).get_credentials()
    if credentials is None:
        raise NotConfigured("There is no access key to sign with.")
    return str(credentials.access_key)


def _is_at(directory: Path, url: str) -> bool:
    """Whether the server that was asked is the one of this data directory."""
    try:
        return read_target(directory).url == url
    except NotConfigured:
        return False


def _has(directory: Path, key_id: str) -> bool:
    """Wait until the file has the new key: what is typed next must find it."""
    deadline = time.monotonic() + WRITTEN_SECONDS
    while time.monotonic() < deadline:
        if read_target(directory).access_key_id == key_id:
            return True
        time.sleep(POLL_SECONDS)
    return False
