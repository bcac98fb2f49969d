"""`inservice doctor`: what a client that is started here would reach, and as whom."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from inservice.cli import server

if TYPE_CHECKING:
    from inservice.cli.doctor.finding import Finding


def run(argv: list[str]) -> int:
    """0 where nothing has to be mended; 1 where something has."""
    from inservice.cli.doctor.finding import Level

    options = _parse(argv)
    findings = list(_looked_at(options))
    mended = all(each.level is not Level.PROBLEM for each in findings)
    if options.output == "json":
        told = {"Findings": [each.plain() for each in findings], "Ok": mended}
        sys.stdout.write(json.dumps(told, indent=4) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for each in findings for line in _lines(each))
    return 0 if mended else 1


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = server.arguments(
        "doctor",
        "Look at this shell as a client of AWS's would: which address counts for each service, "
        "whose key, which proxy, which versions; and say what to do.",
    )
    parser.add_argument(
        "--python",
        metavar="PATH",
        help="the Python of the program that is meant (default: the one on the PATH)",
    )
    parser.add_argument("--output", choices=("text", "json"), default="text")
    return parser.parse_args(argv)


def _looked_at(options: argparse.Namespace) -> Iterator[Finding]:
    # Imported here: botocore is not for who asks for --help.
    from inservice.cli.doctor import keys, places, versions
    from inservice.cli.doctor.scene import Scene

    settings = server.settings_of(options)
    scene = Scene(os.environ, server.find(settings), settings.data_dir)
    yield from places.server(scene)
    yield from places.configuration(scene)
    yield from places.addresses(scene)
    yield from places.certificates(scene)
    yield from places.ways(scene)
    yield from keys.keys(scene)
    yield from versions.packages(scene, options.python)
    yield from versions.aws_cli()


def _lines(finding: Finding) -> Iterator[str]:
    yield f"{finding.level.value:<8} {finding.about}: {finding.told}"
    if finding.advice:
        yield f"         → {finding.advice}"
