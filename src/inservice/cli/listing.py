"""What `endpoint list`, `model list`, `user list` and their like have in common."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from inservice.cli.connection import client, parser_of
from inservice.cli.hints import next_steps
from inservice.cli.printing import console

Item = Mapping[str, Any]
"""One element of a list's answer."""

_WIDTH = 200
"""More than a row can have. What is narrower, a terminal or the 80 columns that a pipe is said to
have, wraps the line or takes it as it is; a name that was cut short is no name."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One kind of thing that is listed."""

    operation: str  # of the service's client; a paginated one, where `show` asks
    key: str  # the list in its answer
    name: str  # the member that names an item
    columns: tuple[tuple[str, Callable[[Item], str]], ...]  # heading, cell in rich's markup
    none: str  # "No models."
    first: str  # the command that makes one, after `inservice`
    service: str = "sagemaker"


def listing_parser(prog: str, summary: str) -> argparse.ArgumentParser:
    """The options of a list."""
    options = parser_of(prog, summary)
    options.add_argument("--output", choices=("table", "json", "name"), default="table")
    options.add_argument("--no-headers", action="store_true", help="leave out the table's head")
    return options


def show(listing: Listing, options: argparse.Namespace, **filters: str | bool) -> int:
    """Print all that the filters leave."""
    pages = client(options, listing.service).get_paginator(listing.operation).paginate(**filters)
    return show_items(listing, pages.build_full_result()[listing.key], options)


def show_items(listing: Listing, items: Sequence[Item], options: argparse.Namespace) -> int:
    """Print these."""
    if options.output == "json":
        sys.stdout.write(json.dumps({listing.key: items}, indent=4, default=str) + "\n")
    elif options.output == "name":
        sys.stdout.writelines(f"{item[listing.name]}\n" for item in items)
    elif items:
        _write_table(listing, items, headers=not options.no_headers)
    else:
        sys.stderr.write(f"{listing.none}\n")
        next_steps(options, listing.first)
    return 0


def _write_table(listing: Listing, items: Sequence[Item], *, headers: bool) -> None:
    table = Table(
        *(heading for heading, _ in listing.columns),
        box=None,
        pad_edge=False,
        show_header=headers,
        header_style="bold",
    )
    for item in items:
        table.add_row(*(cell(item) for _, cell in listing.columns))
    console(width=_WIDTH).print(table)
