"""How a new access key is told, this once: as variables or as a profile, like `inservice env`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from inservice.cli import exports
from inservice.cli.addresses import url_from_elsewhere
from inservice.cli.connection import client
from inservice.cli.target import Target


def add_telling_options(parser: argparse.ArgumentParser) -> None:
    """The options that say in which form a key is told."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--output",
        choices=[*exports.FORMS],
        default="shell",
        help="form of the key and the address, as `inservice env` has them (default: shell)",
    )
    how.add_argument(
        "--save-profile",
        metavar="NAME",
        help="write them to a profile of the AWS configuration here, and print no secret",
    )
    parser.add_argument(
        "--host",
        metavar="NAME",
        help="the name or address by which whoever gets the key reaches this host",
    )


def refuse_elsewhere(client: Any) -> None:
    """Raises ValueError where the client leads to AWS: an address of ours would go with the key."""
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    if host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        raise ValueError("This leads to AWS; `aws iam create-user` makes users there.")


def tell(options: argparse.Namespace, server: Any, key: Mapping[str, Any]) -> None:
    """Print a key, or write it to the profile. Raises ProfileRefused and OSError, and then nobody
    has been told."""
    url = server.meta.endpoint_url
    target = Target(
        url=url_from_elsewhere(url, urlsplit(url).hostname or "", options.host),
        region=client(options, "sts").meta.region_name,  # IAM's own is that of the whole world
        access_key_id=key["AccessKeyId"],
        secret_access_key=key["SecretAccessKey"],
    )
    if options.save_profile is None:
        sys.stdout.write(exports.FORMS[options.output](exports.variables(target, os.environ)))
        sys.stdout.flush()
        if sys.stderr.isatty():
            sys.stderr.write("This is the one time that the secret is told.\n")
        return
    from inservice.cli import profiles

    files = profiles.Files.of(os.environ)
    profiles.write(options.save_profile, target, files)
    sys.stdout.write(
        f"Profile {options.save_profile} leads to {target.url} with the key {key['AccessKeyId']}: "
        f"{files.config}, {files.credentials}\n"
    )
