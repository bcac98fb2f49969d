"""An endpoint config for `endpoint create` and `endpoint update`: named, or made for a model."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import ClientError

_NAME_MAX: Final = 63
"""AWS's limit for the name of an endpoint config."""


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add --config and --model, of which one is needed, and what a config made for a model says."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", metavar="NAME", help="an endpoint config that exists")
    source.add_argument("--model", metavar="NAME", help="a model; makes a config of one variant")
    made = parser.add_argument_group("with --model")
    made.add_argument("--instances", type=int, default=1, metavar="N", help="how many (1)")
    made.add_argument("--instance-type", default="ml.m5.large", help="ml.m5.large")
    made.add_argument("--variant", default="AllTraffic", metavar="NAME", help="AllTraffic")


@contextmanager
def config_for(client: Any, options: argparse.Namespace) -> Iterator[str]:
    """The name of the config that the options mean, made if they name a model.

    A config made here goes again when the block is refused: nobody else knows of it.
    """
    if options.config:
        yield options.config
        return
    name = _fresh_name(options.name)
    client.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {
                "VariantName": options.variant,
                "ModelName": options.model,
                "InitialInstanceCount": options.instances,
                "InstanceType": options.instance_type,
                "InitialVariantWeight": 1.0,
            }
        ],
    )
    try:
        yield name
    except ClientError:
        client.delete_endpoint_config(EndpointConfigName=name)
        raise


def _fresh_name(endpoint: str) -> str:
    """The endpoint's name and the time, to the millisecond: two updates in a second are common."""
    now = time.time()
    stamp = time.strftime("-%Y%m%d-%H%M%S", time.gmtime(now)) + f"-{int(now * 1000) % 1000:03d}"
    return endpoint[: _NAME_MAX - len(stamp)].rstrip("-") + stamp
