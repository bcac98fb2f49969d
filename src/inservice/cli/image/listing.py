"""`inservice image list`."""

from __future__ import annotations

import argparse
from typing import Final

from rich.markup import escape

from inservice.cli import listing, ours
from inservice.cli.connection import own_client
from inservice.cli.image.words import detail_of, name_of, order_of, size, state_of
from inservice.cli.listing import Item, Listing
from inservice.cli.times import shown


def _state(image: Item) -> str:
    words, style = state_of(image)
    return f"[{style}]{escape(words)}[/]" if style else escape(words)


_IMAGES: Final = Listing(
    operation="list_images",
    key="Images",
    name="Image",
    columns=(
        ("NAME", lambda image: escape(name_of(image))),
        ("STATE", _state),
        ("WHAT", lambda image: escape(image.get("About", "")) or "-"),
        ("DETAIL", lambda image: escape(detail_of(image)) or "-"),
    ),
    none="No images.",
    first="image add NAME --requirements FILE",
    service=ours.SERVICE,
)

_ENVIRONMENTS: Final = Listing(
    operation="list_environments",
    key="Environments",
    name="EnvironmentName",
    columns=(
        ("ENVIRONMENT", lambda built: escape(built["EnvironmentName"][:12])),
        ("OF", lambda built: escape(next(reversed(built["Images"]), "-"))),
        ("ON TOP OF", lambda built: escape(built.get("BaseEnvironmentName", "")[:12]) or "-"),
        ("PYTHON", lambda built: escape(built["PythonVersion"])),
        ("PACKAGES", lambda built: str(len(built["Packages"]))),
        ("SIZE", lambda built: size(built["Bytes"])),
        ("BUILT", lambda built: shown(built["BuiltAt"])),
        ("USED", lambda built: "now" if built["InUse"] else shown(built["UsedAt"])),
    ),
    none="Nothing is built.",
    first="image build IMAGE",
    service=ours.SERVICE,
)


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `image list`."""
    options = listing.listing_parser(
        prog,
        "What this host can run, before anything is created: what stands in for AWS's images, what "
        "was added here, and of each whether it is ready, built, to be built, or needs an engine.",
    )
    options.add_argument(
        "--environments",
        action="store_true",
        help="what is built instead, also for the requirements.txt of models, last used first",
    )
    return options


def run(options: argparse.Namespace) -> int:
    """Print them."""
    wanted = _ENVIRONMENTS if options.environments else _IMAGES
    answer = getattr(own_client(options), wanted.operation)()
    items = answer[wanted.key]
    if not options.environments:
        items.sort(key=order_of)
    return listing.show_items(wanted, items, options)
