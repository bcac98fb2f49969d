"""An endpoint config for `endpoint create` and `endpoint update`: named, or made for a model."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import ClientError

from inservice.cli.aws.failures import Refused
from inservice.cli.model.linting import (
    artifacts_of_config,
    artifacts_of_model,
    check,
    reads_the_same_files,
)

_NAME_MAX: Final = 63
"""AWS's limit for the name of an endpoint config."""


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add --config and --model, of which one is needed, and what a config made for a model says."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--config", "--endpoint-config-name", metavar="NAME", help="an endpoint config that exists"
    )
    source.add_argument("--model", metavar="NAME", help="a model; makes a config of one variant")
    add_variant_options(parser.add_argument_group("with --model"))


def add_variant_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add what the one variant of a config for a model says."""
    parser.add_argument("--instances", type=int, metavar="N", help="how many (1)")
    parser.add_argument("--instance-type", metavar="TYPE", help="(ml.m5.large)")
    parser.add_argument("--variant", metavar="NAME", help="(AllTraffic)")


def variant_of(options: argparse.Namespace) -> dict[str, Any]:
    """The one variant of a config for a model."""
    return {
        "VariantName": options.variant or "AllTraffic",
        "ModelName": options.model,
        "InitialInstanceCount": 1 if options.instances is None else options.instances,
        "InstanceType": options.instance_type or "ml.m5.large",
        "InitialVariantWeight": 1.0,
    }


def where_to(options: argparse.Namespace) -> dict[str, Any]:
    """The members of PlanDeployment that say which config is meant, without making one."""
    if options.config:
        _refuse_details(options)
        return {"EndpointConfigName": options.config}
    return {"ProductionVariants": [variant_of(options)]}


def lint_what_it_loads(client: Any, options: argparse.Namespace) -> None:
    """Look into the artifacts that are on this machine. Raises WouldFail."""
    if options.no_lint or not reads_the_same_files(client):
        return
    wanted = where_to(options)
    if name := wanted.get("EndpointConfigName"):
        check(artifacts_of_config(client, name))
    else:
        check(artifacts_of_model(client, options.model))


@contextmanager
def config_for(client: Any, options: argparse.Namespace) -> Iterator[str]:
    """The name of the config that the options mean, made if they name a model.

    A config made here goes again when the block is refused: nobody else knows of it.
    """
    if options.config:
        _refuse_details(options)
        yield options.config
        return
    name = _fresh_name(options.name)
    client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant_of(options)])
    try:
        yield name
    except ClientError:
        client.delete_endpoint_config(EndpointConfigName=name)
        raise


def _refuse_details(options: argparse.Namespace) -> None:
    """A config that exists is what it is."""
    for name in ("instances", "instance_type", "variant"):
        if getattr(options, name) is not None:
            raise Refused(f"--{name.replace('_', '-')} goes with --model, not with --config.")


def _fresh_name(endpoint: str) -> str:
    """The endpoint's name and the time, to the millisecond: two updates in a second are common."""
    now = time.time()
    stamp = time.strftime("-%Y%m%d-%H%M%S", time.gmtime(now)) + f"-{int(now * 1000) % 1000:03d}"
    return endpoint[: _NAME_MAX - len(stamp)].rstrip("-") + stamp
