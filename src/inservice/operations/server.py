"""DescribeServer, of InService's own API."""

from __future__ import annotations

import inservice
from inservice.operations.registry import Call, Document, operation


@operation("inservice", "DescribeServer")
def describe_server(call: Call) -> Document:
    """What runs on this server, process by process."""
    with call.store.reading() as records:
        found = [records.find_endpoint(key) for key in records.endpoint_keys()]
    names = {record.endpoint.generation: record.endpoint.name for record in found if record}
    return {
        "Version": inservice.__version__,
        "AccountId": call.account,
        "StartedAt": call.live.started_at,
        "Processes": [
            {"Name": process.name, "Pid": process.pid, "StartedAt": process.started_at}
            for process in call.live.processes()
        ],
        "Instances": [
            {
                "InstanceId": instance.id,
                "EndpointName": names.get(instance.fleet.split("-")[0], ""),
                "VariantName": instance.fleet.split("-", 2)[-1],
                "Pid": instance.pid,
                "State": instance.state,
                "StartedAt": instance.started_at,
            }
            for instance in call.live.instances_seen()
        ],
    }
