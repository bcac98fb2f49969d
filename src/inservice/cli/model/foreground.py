"""`inservice model run DIR`: serve a model folder in the foreground, without a server."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Final

from inservice.cli.model.lint import local, variable
from inservice.cli.spelling import OwnParser
from inservice.config import default_data_dir

PORT: Final = 8080
"""Where a container of AWS's listens."""

_IMAGE: Final = "python"
"""Runs what is installed here: the files of the model say what it is."""

_FOREGROUND: Final = "inservice.app.foreground"
"""Named and not imported: it becomes this process."""


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `model run`."""
    options = OwnParser(
        prog=prog,
        description="Serve a model on this machine until Ctrl-C: no server, no AWS call. It is "
        "started anew whenever a file changes; what fails is shown with what to do about it. "
        "Exit codes: 0 it was ended, 1 it could not begin, 2 wrong usage or an image that cannot "
        "run here.",
    )
    options.add_argument(
        "artifact", type=local, metavar="DIR", help="a folder as in model.tar.gz, or the archive"
    )
    options.add_argument(
        "--port", type=int, default=PORT, help=f"on loopback ({PORT}); 0: a free one"
    )
    options.add_argument(
        "--image",
        default=_IMAGE,
        help=f"what runs it, by any name or URI that a model may have ({_IMAGE})",
    )
    options.add_argument(
        "--env",
        action="append",
        type=variable,
        default=[],
        metavar="NAME=VALUE",
        help="a variable of its environment; may be repeated",
    )
    return options


def run(options: argparse.Namespace) -> int:
    """Become what serves it. Returns only if that cannot be."""
    if not options.artifact.exists():
        sys.stderr.write(f"inservice model run: {options.artifact} is not there\n")
        return 1
    if not 0 <= options.port <= 65535:
        sys.stderr.write(f"inservice model run: --port {options.port} is no port\n")
        return 2
    order = {
        "place": str(options.artifact.absolute()),
        "image": options.image,
        "port": options.port,
        "environment": dict(options.env),
        "environments_dir": str(default_data_dir() / "environments"),
    }
    command = [sys.executable, "-P", "-m", _FOREGROUND, json.dumps(order)]
    return os.execv(sys.executable, command)  # noqa: S606 - our own interpreter and module
