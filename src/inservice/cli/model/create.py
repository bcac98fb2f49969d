"""`inservice model create NAME`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from inservice.cli.connection import client, parser_of
from inservice.cli.hints import next_steps
from inservice.cli.model.lint import variable
from inservice.cli.model.linting import add_lint_option, check, reads_the_same_files

_IMAGE: Final = "sklearn"
"""Runs what is scikit-learn's and what is plain Python."""


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `model create`."""
    options = parser_of(prog, "Create a model from an artifact; what is on this machine is linted.")
    options.add_argument("name")
    options.add_argument(
        "--artifact",
        metavar="PATH|URI",
        help="a model.tar.gz or a directory on the server's machine, or s3://bucket/key",
    )
    options.add_argument("--image", default=_IMAGE, help=f"what runs it ({_IMAGE})")
    options.add_argument(
        "--env",
        action="append",
        type=variable,
        default=[],
        metavar="NAME=VALUE",
        help="a variable of its environment; may be repeated",
    )
    options.add_argument("--role", metavar="ARN", help="its execution role")
    add_lint_option(options)
    return options


def run(options: argparse.Namespace) -> int:
    """Create it."""
    container = {"Image": options.image, **artifact_members(options.artifact)}
    if options.env:
        container["Environment"] = dict(options.env)
    sagemaker = client(options)
    if options.artifact:
        _look_into(options, reads_the_same_files(sagemaker))
    role = {"ExecutionRoleArn": options.role} if options.role else {}
    answer = sagemaker.create_model(ModelName=options.name, PrimaryContainer=container, **role)
    sys.stdout.write(answer["ModelArn"] + "\n")
    next_steps(options, f"endpoint create {options.name} --model {options.name}")
    return 0


def _look_into(options: argparse.Namespace, same_files: bool) -> None:
    """Lint what is on this machine: a path is, a file URI is where the server is here too."""
    is_path = "://" not in options.artifact
    if is_path and not same_files:
        sys.stderr.write(
            f"{options.artifact} is on this machine; the server reads its own files.\n"
        )
    if (is_path or same_files) and not options.no_lint:
        check([(_uri(options.artifact), dict(options.env), options.image)])


def artifact_members(artifact: str | None) -> dict[str, Any]:
    """The members of a container that say where its artifact is."""
    if artifact is None:
        return {}
    uri = _uri(artifact)
    if not uri.endswith("/"):
        return {"ModelDataUrl": uri}
    source = {"S3Uri": uri, "S3DataType": "S3Prefix", "CompressionType": "None"}
    return {"ModelDataSource": {"S3DataSource": source}}


def _uri(artifact: str) -> str:
    """The URI of a path on this machine; a URI as it is. Raises FileNotFoundError."""
    if "://" in artifact:
        return artifact
    path = Path(artifact).expanduser().resolve(strict=True)
    return path.as_uri() + ("/" if path.is_dir() else "")
