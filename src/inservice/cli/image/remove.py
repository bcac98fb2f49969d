"""`inservice image remove IMAGE`."""

from __future__ import annotations

import argparse

from inservice.cli.connection import own_client, parser_of
from inservice.cli.image.prune import tell_removed


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `image remove`."""
    options = parser_of(
        prog,
        "Forget an image that was added, which leaves what is built of it to image prune; of one "
        "of the catalogue, remove what is built. Not while an endpoint runs it.",
    )
    options.add_argument("image", help="its name, or any URI that means it")
    return options


def run(options: argparse.Namespace) -> int:
    """Remove it."""
    removed = own_client(options).remove_image(Image=options.image)
    if "Environments" in removed:
        tell_removed(removed["Environments"])
    return 0
