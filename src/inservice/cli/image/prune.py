"""`inservice image prune`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from inservice.cli.connection import own_client, parser_of
from inservice.cli.durations import whole_seconds_of
from inservice.cli.image.words import size


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `image prune`."""
    options = parser_of(
        prog,
        "Remove what is built for images and for requirements of models, unless a process runs on "
        "it. What is needed later is built again.",
    )
    options.add_argument(
        "--unused-for",
        type=whole_seconds_of,
        default=0,
        metavar="TIME",
        help="only what nobody has asked for since so long, as in 720h (default: all)",
    )
    options.add_argument("--output", choices=("text", "json"), default="text")
    return options


def run(options: argparse.Namespace) -> int:
    """Remove them."""
    removed = own_client(options).prune_images(UnusedForSeconds=options.unused_for)["Environments"]
    if options.output == "json":
        document = {"Environments": removed}
        sys.stdout.write(json.dumps(document, indent=4, ensure_ascii=False, default=str) + "\n")
    else:
        tell_removed(removed)
    return 0


def tell_removed(environments: Sequence[Mapping[str, Any]]) -> None:
    """One line for each, and the sum."""
    for each in environments:
        of = next(reversed(each["Images"]), "")
        name = each["EnvironmentName"][:12]
        sys.stdout.write(f"{name}  {size(each['Bytes'])}  {of}".rstrip() + "\n")
    count = len(environments)
    word = "environment" if count == 1 else "environments"
    total = size(sum(each["Bytes"] for each in environments))
    sys.stdout.write(f"Removed {count} {word}, {total}.\n")
