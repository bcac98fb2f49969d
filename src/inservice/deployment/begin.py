"""What each call makes of an endpoint: new values, or AWS's error. Nothing is done here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inservice.deployment.state import Decision, Deployment
from inservice.hosting.endpoint import Endpoint
from inservice.hosting.endpoint_config import EndpointConfig
from inservice.hosting.model import Document, Model


def begin_create(
    config: EndpointConfig,
    models: Mapping[str, Model],  # by name: every model that the config names
    *,
    name: str,
    arn: str,
    generation: str,
    deployment_config: Document | None = None,  # validated and kept; does not stage the creation
    alarms: Mapping[str, str],  # name → StateValue of those of `alarm_names` that exist
    now: float,
) -> Decision:
    """CreateEndpoint. That the name is free is the store's to say."""
    raise AssertionError("pending")


def begin_update(
    endpoint: Endpoint,
    deployment: Deployment,  # the endpoint's current one, over
    config: EndpointConfig,
    models: Mapping[str, Model],
    *,
    deployment_config: Document | None = None,
    retain_all_variant_properties: bool = False,
    exclude_retained_variant_properties: Sequence[Mapping[str, str]] = (),
    retain_deployment_config: bool = False,
    alarms: Mapping[str, str],  # of alarm_names(effective_deployment_config(…))
    now: float,
) -> Decision:
    """UpdateEndpoint."""
    raise AssertionError("pending")


def begin_update_weights_and_capacities(
    endpoint: Endpoint,
    deployment: Deployment,
    desired: Sequence[Document],  # DesiredWeightsAndCapacities
    *,
    now: float,
) -> Decision:
    """UpdateEndpointWeightsAndCapacities: in place, no new fleet."""
    raise AssertionError("pending")


def begin_delete(endpoint: Endpoint, deployment: Deployment, *, now: float) -> Decision:
    """DeleteEndpoint."""
    raise AssertionError("pending")


def effective_deployment_config(
    endpoint: Endpoint, deployment_config: Document | None, retain_deployment_config: bool
) -> Document | None:
    """The DeploymentConfig that an update will go by; ask `alarm_names` of it."""
    raise AssertionError("pending")
