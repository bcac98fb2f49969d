"""Looking into artifacts on the way: who creates a model or an endpoint is told what would fail.

Only what is on this machine can be looked into, and only what is told of it is known: a server on
another machine reads its own files. So what is not here is passed over in silence.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from inservice.cli.aws.failures import CommandLineError
from inservice.cli.model.lint import judged_as, write_findings
from inservice.cli.model.show import artifact_of, containers_of
from inservice.cli.printing import console

ARTIFACT_BYTES_MAX: Final = 1_000_000_000
"""A larger archive takes longer to read than anybody wants to wait unasked."""


class WouldFail(CommandLineError):
    """An artifact was found to be one that no instance could load."""

    exit_code = 1


def add_lint_option(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add --no-lint."""
    parser.add_argument(
        "--no-lint",
        action="store_true",
        help="do not look into an artifact on this machine first; `model lint` is what does",
    )


Artifact = tuple[str, Mapping[str, str], str]
"""The URI of one, the variables of the container that loads it, and its image."""


def check(artifacts: Iterable[Artifact]) -> None:
    """Say on stderr what was found in artifacts. Raises WouldFail."""
    from inservice.artifacts.lint import lint

    done: list[Artifact] = []
    for uri, environment, image in artifacts:
        path = _here(uri) if (uri, environment, image) not in done else None
        done.append((uri, environment, image))
        if path is None:
            continue
        if path.is_file() and path.stat().st_size > ARTIFACT_BYTES_MAX:
            sys.stderr.write(f"{path} is large and was not looked into: inservice model lint\n")
            continue
        try:
            report = lint(path, environment=environment, **judged_as(image))
        except OSError as error:
            sys.stderr.write(f"{path} was not looked into: {error.strerror or error}\n")
            continue
        write_findings(report, console(stderr=True))
        if not report.deployable:
            raise WouldFail(f"{path} would fail; nothing was begun. --no-lint goes on anyway.")
        sys.stderr.write(f"{path} would work: {report.loader}\n")


def reads_the_same_files(client: Any) -> bool:
    """Whether the server is surely on this machine, so that a file URI means the same to both."""
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d+){3}", host) is not None


def artifacts_of_config(sagemaker: Any, config: str) -> list[Artifact]:
    """The artifacts that an endpoint config loads; none of what cannot be described."""
    try:
        described = sagemaker.describe_endpoint_config(EndpointConfigName=config)
    except (ClientError, BotoCoreError):
        return []  # whoever creates the endpoint is told so in AWS's words
    models = [variant.get("ModelName") for variant in described.get("ProductionVariants", ())]
    return [one for model in models if model for one in artifacts_of_model(sagemaker, model)]


def artifacts_of_model(sagemaker: Any, model: str) -> list[Artifact]:
    """The artifacts that a model loads; none of one that cannot be described."""
    try:
        described: Mapping[str, Any] = sagemaker.describe_model(ModelName=model)
    except (ClientError, BotoCoreError):
        return []
    if "ModelName" not in described:
        return []
    return [
        (uri, container.get("Environment", {}), container.get("Image", ""))
        for container in containers_of(described)
        if (uri := artifact_of(container))
    ]


def _here(uri: str) -> Path | None:
    """The path of a file URI, if there is something."""
    scheme, _, rest = uri.partition("://")
    path = Path("/" + unquote(rest).partition("/")[2])
    return path if scheme == "file" and path.exists() else None
