"""DescribeServer, of InService's own API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import inservice
from inservice.hosting.endpoint import Endpoint, EndpointStatus
from inservice.ids import generation_of, variant_of
from inservice.operations.live import CapacitySeen, EngineSeen, StorageSeen
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything
from inservice.placement.host import Claim, Device, used
from inservice.store.base import Reading
from inservice.store.collections.endpoints import EndpointRecord
from inservice.store.collections.set_aside import SetAside


@operation("inservice", "DescribeServer", on=(anything,))
def describe_server(call: Call) -> Document:
    """What runs on this server. The server's own account sees all of it, as whoever runs a host
    does; any other account sees the endpoints and instances that are its own."""
    is_own = call.account == call.live.own_account
    capacity = call.live.capacity()
    with call.store.reading() as records:
        endpoints = [each.endpoint for each in _records(call, records, every=is_own)]
        aside = records.set_aside.all() if is_own else ()
    served = Counter(generation_of(one) for one in call.live.served())
    return {
        "Version": inservice.__version__,
        "AccountId": call.account,
        "StartedAt": call.live.started_at,
        "Endpoints": [
            {
                "EndpointName": endpoint.name,
                "AccountId": endpoint.account,
                "DesiredInstanceCount": sum(fleet.size for fleet in endpoint.fleets),
                "ServingInstanceCount": served[endpoint.generation],
            }
            for endpoint in endpoints
            if endpoint.fleets and endpoint.status is not EndpointStatus.DELETING
        ],
        "Instances": _instances(call, endpoints, capacity, strays=is_own),
        **(_of_the_server(call, aside, capacity) if is_own else {"Processes": [], "SetAside": []}),
    }


def _records(call: Call, records: Reading, *, every: bool) -> Iterable[EndpointRecord]:
    """Of an account that is not the server's own no other's are read: how long that takes would
    tell how many there are."""
    if every:
        return records.endpoints.all()
    own = (key for key in records.endpoints.names() if key[0] == call.account)
    return [record for key in own if (record := records.endpoints.find(key)) is not None]


def _instances(
    call: Call, endpoints: Iterable[Endpoint], capacity: CapacitySeen, *, strays: bool
) -> Iterable[Mapping[str, object]]:
    """The instances of these endpoints; with `strays`, those that are of none as well."""
    owners = {endpoint.generation: endpoint for endpoint in endpoints}
    claims = {claim.instance_id: claim for claim in capacity.claims}
    shown = []
    for instance in call.live.instances_seen():
        owner = owners.get(generation_of(instance.fleet))
        if owner is None and not strays:
            continue
        shown.append(
            {
                "InstanceId": instance.id,
                "EndpointName": "" if owner is None else owner.name,
                **({} if owner is None else {"AccountId": owner.account}),
                "VariantName": variant_of(instance.fleet),
                "Pid": instance.pid,
                "State": instance.state,
                "Runtime": instance.runtime,
                "StartedAt": instance.started_at,
                **_has(claims.get(instance.id)),
            }
        )
    return shown


def _has(claim: Claim | None) -> Document:
    if claim is None or not claim.resources.instance_type:
        return {}
    return {"InstanceType": claim.resources.instance_type, "GpuUuids": list(claim.devices)}


def _of_the_server(call: Call, aside: Iterable[SetAside], capacity: CapacitySeen) -> Document:
    """What is of nobody's endpoints: for whoever runs the server."""
    level, why, unplaced = call.live.isolation()
    isolation = {"Level": level, "Reason": why, "Unplaced": unplaced}
    storage = call.live.storage()
    return {
        "Processes": [
            {"Name": process.name, "Pid": process.pid, "StartedAt": process.started_at}
            for process in call.live.processes()
        ],
        **({"ModelIsolation": isolation} if level else {}),
        **({"Storage": _storage(storage)} if storage else {}),
        "ContainerEngine": _engine(call.live.engine()),
        "Capacity": _capacity(capacity),
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


def _capacity(seen: CapacitySeen) -> Document:
    """What there is, and who has which GPU: of all accounts, for whoever runs the host."""
    holding = used(seen.claims)
    holders = {uuid: claim for claim in seen.claims for uuid in claim.devices}
    return {
        "Limits": seen.rules.limits,
        "Sharing": seen.rules.sharing,
        "VcpuCount": seen.host.vcpus,
        "VcpusHeld": holding.vcpus,
        "MemoryBytes": seen.host.memory_bytes,
        "MemoryBytesHeld": holding.memory_bytes,
        "Gpus": [_gpu(device, holders.get(device.uuid)) for device in seen.host.devices],
        **({"Blind": seen.host.blind} if seen.host.blind else {}),
    }


def _gpu(device: Device, holder: Claim | None) -> Document:
    picture: dict[str, object] = {"Uuid": device.uuid, "Name": device.name}
    if device.memory_bytes:
        picture["MemoryBytes"] = device.memory_bytes
    if holder is not None:
        picture |= {
            "InstanceId": holder.instance_id,
            "EndpointName": holder.endpoint,
            "VariantName": holder.variant,
            "AccountId": holder.account,
        }
    return picture


def _engine(seen: EngineSeen) -> Document:
    if not seen.name:
        return {"Note": seen.note}
    return {
        "Name": seen.name,
        "Version": seen.version,
        "Socket": seen.socket,
        "Rootless": seen.is_rootless,
    }


def _storage(seen: StorageSeen) -> Document:
    return {
        "BucketCount": seen.buckets,
        "ObjectCount": seen.objects,
        "Bytes": seen.bytes,
        "UploadCount": seen.uploads,
        **({"QuotaBytes": seen.quota_bytes} if seen.quota_bytes else {}),
    }


def _changed_at(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0
