"""`inservice image add NAME --requirements FILE`."""

from __future__ import annotations

import argparse
from pathlib import Path

from inservice.cli.connection import own_client, parser_of
from inservice.cli.hints import next_steps


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `image add`."""
    options = parser_of(
        prog,
        "Add an image of your own: an environment of these packages, which models then name as "
        "their image. It is built when it is first needed, once for all that ask for the same, or "
        "by image build.",
    )
    options.add_argument("name", help="what models will name: small letters, digits, . _ -")
    options.add_argument(
        "--requirements",
        required=True,
        type=Path,
        metavar="FILE",
        help="a requirements.txt: packages and versions, and -r for more files; - reads stdin",
    )
    options.add_argument(
        "--python", metavar="VERSION", help="as in 3.12; the host must have it (default: its own)"
    )
    options.add_argument(
        "--framework",
        metavar="NAME",
        help="what serves its models, by its name (default: the artifact's files decide)",
    )
    options.add_argument(
        "--preimport",
        nargs="+",
        action="extend",
        default=[],
        metavar="MODULE",
        help="modules imported once, before instances are forked: each starts that much faster",
    )
    return options


def run(options: argparse.Namespace) -> int:
    """Add it."""
    # Imported here: completion looks at the options of a verb, and needs no parser of packages.
    from inservice.cli.image.requirements import read

    asked = {"PythonVersion": options.python, "Framework": options.framework}
    own_client(options).add_image(
        Image=options.name,
        Requirements=read(options.requirements),
        Preimports=options.preimport,
        **{member: value for member, value in asked.items() if value},
    )
    next_steps(options, f"image build {options.name}", f"image show {options.name}")
    return 0
