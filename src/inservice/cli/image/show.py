"""`inservice image show IMAGE`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from rich.markup import escape

from inservice.cli.connection import own_client, parser_of
from inservice.cli.hints import next_steps
from inservice.cli.image.words import detail_of, name_of, size, state_of
from inservice.cli.printing import console
from inservice.cli.times import shown


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `image show`."""
    options = parser_of(
        prog,
        "What an image is found to be, and why: an environment with its packages, what a container "
        "engine runs, or nothing that can run here.",
    )
    options.add_argument("image", help="any that a model may name: a URI of AWS's, or a name")
    options.add_argument("--output", choices=("text", "json"), default="text")
    return options


def run(options: argparse.Namespace) -> int:
    """Print the image."""
    image = own_client(options).describe_image(Image=options.image)
    image.pop("ResponseMetadata", None)
    if options.output == "json":
        sys.stdout.write(json.dumps(image, indent=4, ensure_ascii=False, default=str) + "\n")
        return 0
    out = console()
    words, style = state_of(image)
    out.print(name_of(image), style="bold", markup=False)
    for label, text in _lines(image):
        out.print(f"  {label:<10} {text}", markup=False)
    detail = "" if image["State"] == "ToBuild" else detail_of(image)  # it has been told above
    told = f"[{style}]{escape(words)}[/]" if style else escape(words)
    out.print(f"  state      {told}" + (f": {escape(detail)}" if detail else ""))
    if "Help" in image:
        out.print(f"  help       {image['Help']}", markup=False)
    if image["State"] in ("ToBuild", "BuildFailed"):
        next_steps(options, f"image build {options.image}")
    return 0


def _lines(image: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "image", image["Image"]
    if "About" in image:
        yield "is", image["About"]
    elif image["State"] == "NeedsEngine":
        yield "is", "an OCI image, of which nothing is known here"
    if image["State"] == "NeedsEngine" and "Reason" in image:
        yield "why", image["Reason"]
    if "AddedAt" in image:
        yield "added", shown(image["AddedAt"])
    if image["Repositories"]:
        yield "at AWS", ", ".join(image["Repositories"])
    for each in image["Requirements"]:
        yield "needs", each
    texts = (("python", "PythonVersion"), ("framework", "Framework"))
    yield from ((label, image[member]) for label, member in texts if member in image)
    if image["Preimports"]:
        yield "imports", ", ".join(image["Preimports"])
    for name, value in image.get("Variables", {}).items():
        yield "env", f"{name}={value}"
    if built := image.get("Environment"):
        yield (
            "built",
            f"{shown(built['BuiltAt'])}, {size(built['Bytes'])}, {built['PythonVersion']}",
        )
        for package in built["Packages"]:
            yield "has", package
    for line in image.get("Build", {}).get("FailureReason", "").splitlines():
        yield "failure", line
