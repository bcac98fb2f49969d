"""The ids of what runs, and the one place that knows how they are written.

    <generation>-<deployment number>-<variant>              a fleet
    <generation>-<deployment number>-<variant>/<ordinal>    an instance of it

A generation is one incarnation of an endpoint's name and has no dash, a variant's name may have
some. Ids are text, since they are keys of tables, names of files and words of a protocol; whoever
wants a part of one asks here.
"""

from __future__ import annotations

EndpointKey = tuple[str, str, str]
"""(account, region, endpoint name). The name is matched exactly: the runtime is case-sensitive."""


def fleet_id(generation: str, deployment_number: int, variant_name: str) -> str:
    """The id of the fleet that a deployment makes for a variant."""
    return f"{generation}-{deployment_number}-{variant_name}"


def instance_id(fleet: str, ordinal: int) -> str:
    """The id by which runtimes, logs and gateways know one instance."""
    return f"{fleet}/{ordinal}"


def generation_of(fleet: str) -> str:
    """Whose fleet it is: the incarnation of the endpoint."""
    return fleet.partition("-")[0]


def number_of(fleet: str) -> int:
    """The number of the deployment that made it."""
    return int(fleet.split("-", 2)[1])


def variant_of(fleet: str) -> str:
    """The name of its production variant."""
    return fleet.split("-", 2)[-1]


def fleet_of(instance: str) -> str:
    """The fleet that an instance belongs to."""
    return instance.rpartition("/")[0]


def ordinal_of(instance: str) -> int:
    """Which of its fleet's instances it is."""
    return int(instance.rpartition("/")[2])


def pins_of(fleet: str) -> tuple[str, str]:
    """Under which names the artifact store keeps the model and the code of a fleet."""
    return fleet, f"{fleet}+code"
