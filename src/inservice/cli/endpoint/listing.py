"""`inservice endpoint list`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.table import Table

from inservice.cli.endpoint.connection import client, parser_of
from inservice.cli.endpoint.progress import console, style_of

_COLUMNS = ("NAME", "STATUS", "CREATED", "CHANGED")

_WIDTH = 200
"""More than a row can have. What is narrower, a terminal or the 80 columns that a pipe is said to
have, wraps the line or takes it as it is; a name that was cut short is no name."""


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint list`."""
    options = parser_of(prog, "What endpoints there are, newest first.")
    options.add_argument("--output", choices=("table", "json", "name"), default="table")
    options.add_argument("--status", help="only those of this status, as AWS spells it: InService")
    options.add_argument("--no-headers", action="store_true", help="leave out the table's head")
    return options


def run(options: argparse.Namespace) -> int:
    """Print the endpoints."""
    filters = {} if options.status is None else {"StatusEquals": options.status}
    pages = client(options).get_paginator("list_endpoints").paginate(**filters)
    endpoints = pages.build_full_result()["Endpoints"]
    if options.output == "json":
        sys.stdout.write(json.dumps({"Endpoints": endpoints}, indent=4) + "\n")
    elif options.output == "name":
        sys.stdout.writelines(f"{endpoint['EndpointName']}\n" for endpoint in endpoints)
    else:
        _write_table(endpoints, headers=not options.no_headers)
    return 0


def _write_table(endpoints: list[dict[str, Any]], *, headers: bool) -> None:
    out = console(width=_WIDTH)
    table = Table(*_COLUMNS, box=None, pad_edge=False, show_header=headers, header_style="bold")
    for endpoint in endpoints:
        status = endpoint["EndpointStatus"]
        table.add_row(
            endpoint["EndpointName"],
            f"[{style_of(status)}]{status}[/]",
            _shown(endpoint["CreationTime"]),
            _shown(endpoint["LastModifiedTime"]),
        )
    if endpoints:
        out.print(table)
    else:
        console(stderr=True).print("No endpoints.")


def _shown(timestamp: str) -> str:
    return timestamp[:19].replace("T", " ")
