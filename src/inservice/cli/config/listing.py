"""`inservice config list`."""

from __future__ import annotations

import argparse
from typing import Final

from inservice.cli import listing
from inservice.cli.listing import Listing
from inservice.cli.times import shown

_CONFIGS: Final = Listing(
    operation="list_endpoint_configs",
    key="EndpointConfigs",
    name="EndpointConfigName",
    columns=(
        ("NAME", lambda config: config["EndpointConfigName"]),
        ("CREATED", lambda config: shown(config["CreationTime"])),
    ),
    none="No endpoint configs.",
    first="config create NAME --model MODEL",
)


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `config list`."""
    return listing.listing_parser(prog, "What endpoint configs there are, newest first.")


def run(options: argparse.Namespace) -> int:
    """Print the endpoint configs."""
    return listing.show(_CONFIGS, options)
