"""How an update goes: `--strategy canary --size 25% --bake 5m`, or AWS's DeploymentConfig itself.

Whatever is given becomes members of UpdateEndpoint, which PlanDeployment takes too, so what was
planned can be done with the same words.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from botocore.model import StructureShape

from inservice.cli.aws.failures import Refused
from inservice.cli.aws.values import load_option, parse_value
from inservice.cli.durations import whole_seconds_of

STRATEGIES: Final = ("all-at-once", "canary", "linear", "rolling")

_SIZES: Final = {"canary": "CanarySize", "linear": "LinearStepSize"}
_PROPERTIES: Final = ("DesiredInstanceCount", "DesiredWeight", "DataCaptureConfig")


def add_strategy_options(parser: argparse.ArgumentParser) -> None:
    """Add everything that says how an update goes."""
    how = parser.add_argument_group("how traffic moves (default: all at once)")
    how.add_argument("--strategy", choices=STRATEGIES)
    how.add_argument(
        "--size",
        type=capacity_size,
        metavar="25%|1",
        help="the canary, each linear step, or each rolling batch: percent or instances",
    )
    how.add_argument(
        "--bake",
        type=whole_seconds_of,
        metavar="TIME",
        help="watch the alarms this long after each step (0)",
    )
    how.add_argument(
        "--termination-wait",
        type=whole_seconds_of,
        metavar="TIME",
        help="and this long after the last one, before the old fleet goes (0)",
    )
    how.add_argument(
        "--rollback-size",
        type=capacity_size,
        metavar="50%|2",
        help="of each batch on the way back of a rolling update (all at once)",
    )
    how.add_argument(
        "--execution-timeout",
        type=whole_seconds_of,
        metavar="TIME",
        help="turn back when it takes longer (8h)",
    )
    how.add_argument(
        "--alarm",
        action="append",
        metavar="NAME",
        help="roll back when this CloudWatch alarm trips; may be repeated",
    )
    how.add_argument(
        "--deployment-config",
        metavar="TEXT",
        help="all of that as AWS has it: shorthand, JSON or file://",
    )
    how.add_argument(
        "--retain-deployment-config", action="store_true", help="as the last update went"
    )
    keep = parser.add_argument_group("what stays as it is now, not as the config says")
    keep.add_argument(
        "--retain-all-variant-properties",
        action="store_true",
        help="instance counts and weights of the variants",
    )
    keep.add_argument(
        "--exclude-retained-variant-property",
        action="append",
        choices=_PROPERTIES,
        help="but not these; may be repeated",
    )


def capacity_size(written: str) -> dict[str, Any]:
    """`25%` or `1` as a CapacitySize. Raises argparse's ArgumentTypeError."""
    number = written.removesuffix("%")
    if not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{written!r} is neither 25% nor a number of instances")
    kind = "CAPACITY_PERCENT" if written.endswith("%") else "INSTANCE_COUNT"
    return {"Type": kind, "Value": int(number)}


def update_members(options: argparse.Namespace, shape: StructureShape) -> dict[str, Any]:
    """The members of UpdateEndpoint or PlanDeployment (`shape` is the input of either) beside the
    names. Raises Refused for options that do not go together, BadParameter for bad JSON."""
    members: dict[str, Any] = {}
    if config := _deployment_config(options, shape):
        members["DeploymentConfig"] = config
    if options.retain_deployment_config:
        members["RetainDeploymentConfig"] = True
    if options.retain_all_variant_properties:
        members["RetainAllVariantProperties"] = True
    if options.exclude_retained_variant_property:
        members["ExcludeRetainedVariantProperties"] = [
            {"VariantPropertyType": name} for name in options.exclude_retained_variant_property
        ]
    return members


def _deployment_config(options: argparse.Namespace, shape: StructureShape) -> dict[str, Any]:
    details = ("size", "bake", "termination_wait", "rollback_size", "execution_timeout")
    given = [name for name in details if getattr(options, name) is not None]
    if options.deployment_config is not None:
        if options.strategy or options.alarm or given:
            raise Refused("--deployment-config says all there is to say: give it alone.")
        option = "--deployment-config"
        written = load_option(options.deployment_config, option)
        parsed: dict[str, Any] = parse_value(written, shape.members["DeploymentConfig"], option)
        return parsed
    if given and options.strategy is None:
        raise Refused(f"--{given[0].replace('_', '-')} needs a --strategy.")
    config = _policy(options)
    if options.alarm:
        names = [{"AlarmName": name} for name in options.alarm]
        config["AutoRollbackConfiguration"] = {"Alarms": names}
    return config


def _policy(options: argparse.Namespace) -> dict[str, Any]:
    strategy = options.strategy
    if strategy is None:
        return {}
    sized = strategy != "all-at-once"
    if sized != (options.size is not None):
        raise Refused(f"--strategy {strategy} {'needs' if sized else 'has no'} --size.")
    if options.rollback_size is not None and strategy != "rolling":
        raise Refused("--rollback-size goes with --strategy rolling.")
    limit = options.execution_timeout
    timeout = {} if limit is None else {"MaximumExecutionTimeoutInSeconds": limit}
    bake = {"WaitIntervalInSeconds": options.bake or 0}
    if strategy == "rolling":
        if options.termination_wait is not None:
            raise Refused("--termination-wait: a rolling update has no old fleet to keep waiting.")
        back = options.rollback_size
        batches = {} if back is None else {"RollbackMaximumBatchSize": back}
        policy = {"MaximumBatchSize": options.size, **bake, **batches, **timeout}
        return {"RollingUpdatePolicy": policy}
    if strategy == "all-at-once" and options.bake is not None:
        raise Refused("--strategy all-at-once has one step: its bake is --termination-wait.")
    routing = {"Type": strategy.upper().replace("-", "_"), **bake}
    if sized:
        routing[_SIZES[strategy]] = options.size
    policy = {"TrafficRoutingConfiguration": routing, **timeout}
    if options.termination_wait is not None:
        policy["TerminationWaitInSeconds"] = options.termination_wait
    return {"BlueGreenUpdatePolicy": policy}
