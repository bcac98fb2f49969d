"""DescribeServer, of InService's own API."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import inservice
from inservice.hosting.endpoint import EndpointStatus
from inservice.ids import generation_of, variant_of
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything


@operation("inservice", "DescribeServer", on=(anything,))
def describe_server(call: Call) -> Document:
    """What runs on this server, process by process."""
    with call.store.reading() as records:
        endpoints = records.endpoints.all()
        aside = records.set_aside.all()
    level, why = call.live.isolation()
    served = Counter(generation_of(one) for one in call.live.served())
    names = {record.endpoint.generation: record.endpoint.name for record in endpoints}
    return {
        "Version": inservice.__version__,
        "AccountId": call.account,
        "StartedAt": call.live.started_at,
        "Processes": [
            {"Name": process.name, "Pid": process.pid, "StartedAt": process.started_at}
            for process in call.live.processes()
        ],
        "Endpoints": [
            {
                "EndpointName": endpoint.name,
                "DesiredInstanceCount": sum(fleet.size for fleet in endpoint.fleets),
                "ServingInstanceCount": served[endpoint.generation],
            }
            for endpoint in (record.endpoint for record in endpoints)
            if endpoint.fleets and endpoint.status is not EndpointStatus.DELETING
        ],
        "Instances": [
            {
                "InstanceId": instance.id,
                "EndpointName": names.get(generation_of(instance.fleet), ""),
                "VariantName": variant_of(instance.fleet),
                "Pid": instance.pid,
                "State": instance.state,
                "StartedAt": instance.started_at,
            }
            for instance in call.live.instances_seen()
        ],
        **({"ModelIsolation": {"Level": level, "Reason": why}} if level else {}),
        "SetAside": [
            *(
                {"Record": f"{each.table} {each.name}", "Why": each.why, "SetAsideAt": each.at}
                for each in aside
            ),
            *(
                {
                    "Record": "metrics",
                    "Why": f"The damaged ones are kept as {path}.",
                    "SetAsideAt": _changed_at(path),
                }
                for path in call.live.metrics_set_aside()
            ),
        ],
    }


def _changed_at(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0
