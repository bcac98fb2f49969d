"""`inservice model list`."""

from __future__ import annotations

import argparse
from typing import Final

from inservice.cli import listing
from inservice.cli.listing import Listing
from inservice.cli.times import shown

_MODELS: Final = Listing(
    operation="list_models",
    key="Models",
    name="ModelName",
    columns=(
        ("NAME", lambda model: model["ModelName"]),
        ("CREATED", lambda model: shown(model["CreationTime"])),
    ),
    none="No models.",
    first="model create NAME --artifact model.tar.gz",
)


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `model list`."""
    return listing.listing_parser(prog, "What models there are, newest first.")


def run(options: argparse.Namespace) -> int:
    """Print the models."""
    return listing.show(_MODELS, options)
