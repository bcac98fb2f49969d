"""An endpoint whose record cannot be read: what stands in for it.

Nobody knows any more what such an endpoint wished, so nothing is decided for it: its instances
serve on as they are, and the routing table keeps saying what it last said. It is Failed, says why,
and can be deleted, which stops whatever is left of it.
"""

from __future__ import annotations

from inservice.deployment.plan import deletion
from inservice.deployment.state import Decision, Deployment, Kind, Phase
from inservice.hosting.arn import ResourceArn, ResourceKind
from inservice.hosting.endpoint import FAILURE_REASON_LENGTH_MAX, Endpoint
from inservice.hosting.endpoint_config import EndpointConfig

UNREADABLE = "unreadable"
"""The name of the endpoint config of an endpoint whose record cannot be read: DescribeEndpoint has
to give one."""


def stand_in(
    *,
    account: str,
    region: str,
    name: str,
    generation: str,
    created_at: float,
    why: str,
    now: float,
) -> Decision:
    """What is kept in the place of a record that was set aside, and the event that says so.

    `generation` is the incarnation that its instances belong to, as far as that could be read.
    """
    config = EndpointConfig(
        account=account,
        region=region,
        name=UNREADABLE,
        arn=str(ResourceArn(ResourceKind.ENDPOINT_CONFIG, account, region, UNREADABLE)),
        created_at=created_at,
        variants=(),
        document={},
    )
    reason = (
        f"The record of this endpoint cannot be read and was set aside: {why} What runs of it "
        "serves on. Restore the record from a backup, or delete the endpoint and create it again."
    )
    endpoint = Endpoint(
        account=account,
        region=region,
        name=name,
        arn=str(ResourceArn(ResourceKind.ENDPOINT, account, region, name)),
        generation=generation,
        status=Phase.FAILED.status,
        config=config,
        created_at=created_at,
        modified_at=now,
        failure_reason=reason[:FAILURE_REASON_LENGTH_MAX],
    )
    deployment = Deployment(
        id=f"{generation}-0",
        number=0,
        kind=Kind.SET_ASIDE,
        strategy="",
        phase=Phase.FAILED,
        plan=deletion(),
        started_at=now,
        row_since=now,
        looked_at=now,
        reason=endpoint.failure_reason,
        ended_at=now,
    )
    told = deployment.status_event(now, "The record of the endpoint was set aside.", why)
    return Decision(endpoint, deployment, events=(told,))


def is_set_aside(deployment: Deployment) -> bool:
    """Whether this stands in for a record that cannot be read."""
    return deployment.kind is Kind.SET_ASIDE
