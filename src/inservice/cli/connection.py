"""What all verbs share: the options that say where to go, the clients, how failures are told."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
)

from inservice.cli import ours
from inservice.cli.aws.failures import (
    INTERRUPTED_RC,
    NOBODY_ANSWERS,
    PARAMETERS_RC,
    CommandLineError,
)
from inservice.cli.aws.globals import parse_globals
from inservice.cli.aws.session import Session
from inservice.cli.spelling import USAGE_RC, OwnParser

REFUSED: Final = 1

FOLLOWING_SECONDS: Final = 5
"""An answer that takes longer is no picture of the present any more."""

_NOBODY: Final = (EndpointConnectionError, ConnectTimeoutError)


def parser_of(prog: str, summary: str) -> argparse.ArgumentParser:
    """A parser with the options that every verb takes."""
    parser = OwnParser(prog=prog, description=summary)
    where = parser.add_argument_group("where")
    where.add_argument("--data-dir", metavar="DIR", help="the InService of this data directory")
    where.add_argument("--endpoint-url", metavar="URL", help="another server, or AWS")
    where.add_argument("--profile", help="a profile of the AWS configuration")
    where.add_argument("--region", help="the region")
    return parser


def client(
    options: argparse.Namespace,
    service: str = "sagemaker",
    *,
    read_timeout_seconds: int | None = None,
    tries_max: int | None = None,
) -> Any:
    """A client for the place that the options name; without a number, botocore's own.

    Raises NotConfigured when there is no such place.
    """
    words: list[str] = []
    for name in ("endpoint-url", "profile", "region"):
        value = getattr(options, name.replace("-", "_"))
        words += [] if value is None else [f"--{name}", value]
    chosen, _, _ = parse_globals(words, None, options.data_dir)
    if read_timeout_seconds is not None:
        chosen = replace(chosen, read_timeout_seconds=read_timeout_seconds)
    return Session(chosen).client(service, "endpoint", tries_max=tries_max)


def own_client(options: argparse.Namespace) -> Any:
    """A client of InService's own API at that place."""
    return client(options, ours.SERVICE)


def following_client(options: argparse.Namespace) -> Any:
    """The same for whoever asks again and again, and must know at once that nobody answers."""
    return client(options, ours.SERVICE, read_timeout_seconds=FOLLOWING_SECONDS, tries_max=1)


def explained(run: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Run a verb; turn what goes wrong into one line and an exit code."""
    try:
        return run(options)
    except BrokenPipeError:
        raise  # whoever read our output has seen enough; `main` ends quietly
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted. What was begun on the server goes on.\n")
        return INTERRUPTED_RC
    except ClientError as error:
        answer = error.response
        request = answer.get("ResponseMetadata", {}).get("RequestId", "")
        sys.stderr.write(f"{answer['Error'].get('Code')}: {answer['Error'].get('Message')}\n")
        if request:
            sys.stderr.write(f"  request {request}\n")
        if answer["Error"].get("Code") == "ModelError":
            sys.stderr.write(f"  its log: inservice endpoint logs {options.name}\n")
    except _NOBODY as error:
        sys.stderr.write(f"{error}\n{NOBODY_ANSWERS}\n")
    except (CommandLineError, BotoCoreError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        if getattr(error, "exit_code", None) == PARAMETERS_RC:
            return USAGE_RC
    return REFUSED
