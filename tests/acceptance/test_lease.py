"""A control that lost the lease ends, keeps nothing, and the next one begins from the records."""

from __future__ import annotations

from collections.abc import Callable

from inservice.hosting.arn import ResourceArn, ResourceKind
from inservice.store.collections.models import ModelName
from inservice.store.drivers.database import open_store
from tests.acceptance.clients import Crowd
from tests.acceptance.server import Server, variant
from tests.waiting import wait_until


def test_whoever_lost_the_lease_ends_and_no_invocation_notices(
    start_server: Callable[..., Server], echo: Callable[[str], str]
) -> None:
    server = start_server()
    server.create_model("m", echo("kept"))
    server.create_config("c", variant("m"))
    server.client("sagemaker").create_endpoint(EndpointName="ep", EndpointConfigName="c")
    assert server.settled("ep")["EndpointStatus"] == "InService"
    running = server.ready_pids()
    with Crowd(server, "ep") as crowd:
        # A careless hand sweeps lock files away, and somebody else comes to the same records.
        (server.data_dir / "inservice.db.lock").unlink()
        other = open_store(
            f"sqlite:///{server.data_dir / 'inservice.db'}",
            key_file=server.data_dir / "secrets.key",
        )
        wait_until(lambda: "ended with 69; starting it again" in server.log())
        key: ModelName = ("000000000000", server.region, "m")
        with other.transaction() as tx:
            tx.tags.set(ResourceArn(ResourceKind.MODEL, *key), {"by": "another"})
        other.close()
        described = wait_until(lambda: _answer(server))
    assert described["EndpointStatus"] == "InService"
    tags = server.client("sagemaker").list_tags(
        ResourceArn=server.client("sagemaker").describe_model(ModelName="m")["ModelArn"]
    )
    assert tags["Tags"] == [{"Key": "by", "Value": "another"}]
    assert crowd.failures == []
    assert len(crowd.answers) > 10
    assert server.ready_pids() == running


def _answer(server: Server) -> dict[str, str] | None:
    try:
        return server.describe("ep")
    except Exception:
        return None
