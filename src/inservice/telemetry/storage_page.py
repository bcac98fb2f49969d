"""What Prometheus is told of storage: what was asked, what went in and out, what is held.

No label holds anything that a request says: operations are those of AWS's model.
"""

from __future__ import annotations

from inservice.channel.storage_counts import StorageCounts
from inservice.telemetry.page import Page


def write_storage(page: Page, counts: StorageCounts) -> None:
    """Everything counted since the storage process began, and how things stand."""
    page.counter(
        "inservice_storage_requests",
        "Requests to S3, by the operation of AWS's model; none: no operation has such a request.",
        ("operation", "code_class"),
        (((each.operation or "none", each.code_class), each.count) for each in counts.operations),
    )
    for name, says, count in (
        ("received", "Bytes of objects and parts that came and were kept.", counts.bytes_received),
        ("sent", "Bytes of objects that were sent.", counts.bytes_sent),
    ):
        page.counter(f"inservice_storage_{name}_bytes", says, (), [((), count)])
    for name, says, held in (
        ("buckets", "Buckets of all accounts.", counts.buckets),
        ("objects", "Objects in them.", counts.objects),
        ("uploads", "Uploads in parts that are under way.", counts.uploads),
        ("bytes", "Bytes of objects and of parts.", counts.bytes),
        ("quota_bytes", "Bytes that may be held; 0: what the volume has.", counts.quota_bytes),
    ):
        page.gauge(f"inservice_storage_{name}", says, (), [((), held)])
