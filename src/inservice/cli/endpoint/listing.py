"""`inservice endpoint list`."""

from __future__ import annotations

import argparse
from typing import Final

from inservice.cli import listing
from inservice.cli.endpoint.progress import style_of
from inservice.cli.listing import Item, Listing
from inservice.cli.times import shown


def _status(endpoint: Item) -> str:
    status = endpoint["EndpointStatus"]
    return f"[{style_of(status)}]{status}[/]"


_ENDPOINTS: Final = Listing(
    operation="list_endpoints",
    key="Endpoints",
    name="EndpointName",
    columns=(
        ("NAME", lambda endpoint: endpoint["EndpointName"]),
        ("STATUS", _status),
        ("CREATED", lambda endpoint: shown(endpoint["CreationTime"])),
        ("CHANGED", lambda endpoint: shown(endpoint["LastModifiedTime"])),
    ),
    none="No endpoints.",
    first="endpoint create NAME --model MODEL",
)


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint list`."""
    options = listing.listing_parser(prog, "What endpoints there are, newest first.")
    options.add_argument("--status", help="only those of this status, as AWS spells it: InService")
    return options


def run(options: argparse.Namespace) -> int:
    """Print the endpoints."""
    filters = {} if options.status is None else {"StatusEquals": options.status}
    return listing.show(_ENDPOINTS, options, **filters)
