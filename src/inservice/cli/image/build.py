"""`inservice image build IMAGE`: with progress, until it is done."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from inservice.cli.connection import own_client, parser_of
from inservice.cli.durations import elapsed
from inservice.cli.hints import next_steps
from inservice.cli.image import EXIT_CODES_TOLD
from inservice.cli.image.words import detail_of

FAILED: Final = 5
_LEFT: Final = 1

_FIRST_POLL_SECONDS: Final = 0.1
_POLL_SECONDS_MAX: Final = 2.0


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `image build`."""
    options = parser_of(
        prog,
        "Build the environment of an image now, so that its first endpoint does not wait for it. "
        "Interrupted, this stops telling how far it is; the build goes on, and the same command "
        "follows it again.",
    )
    options.epilog = EXIT_CODES_TOLD
    options.add_argument("image", help="any that a model may name: a URI of AWS's, or a name")
    return options


def run(options: argparse.Namespace) -> int:
    """Begin, or join, and follow."""
    client = own_client(options)
    image = client.build_image(Image=options.image)
    told = _Telling()
    pause_seconds = _FIRST_POLL_SECONDS
    while True:
        told.tell(image.get("Build", {}))
        if image["State"] != "Building":
            return _ended(options, image)
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 1.25, _POLL_SECONDS_MAX)
        image = client.describe_image(Image=options.image)


class _Telling:
    """One line for each thing that the build has come to, with the time since it was followed."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._told = 0

    def tell(self, build: Mapping[str, Any]) -> None:
        """What is new of it."""
        lines, count = build.get("Progress", []), build.get("ProgressCount", 0)
        for line in lines[max(0, len(lines) - (count - self._told)) :] if count else ():
            waited = elapsed(time.monotonic() - self._began)
            sys.stdout.write(f"{waited:>8}  {line}\n")
        sys.stdout.flush()
        self._told = count


def _ended(options: argparse.Namespace, image: Mapping[str, Any]) -> int:
    if image["State"] in ("Ready", "Built"):
        words = "Ready" if image["State"] == "Ready" else "Built"
        sys.stdout.write(f"{words}: {detail_of(image)}.\n")
        return 0
    failure = image.get("Build", {}).get("FailureReason")
    if failure:
        sys.stderr.write(f"{failure}\n")
        return FAILED
    sys.stderr.write("The server was started anew meanwhile, and builds it no more.\n")
    next_steps(options, f"image build {options.image}")
    return _LEFT
