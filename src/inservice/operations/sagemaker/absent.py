"""What SDKs ask about an endpoint that has none of it: monitoring schedules, and contexts of its
lineage.

None can be made, which NotImplemented says; so there are none, and that is what lists say.
"""

from __future__ import annotations

from inservice.errors import ValidationException
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything


@operation("sagemaker", "ListMonitoringSchedules", on=(anything,))
def list_monitoring_schedules(
    call: Call,
    *,
    endpoint_name: str | None = None,
    sort_by: str | None = None,
    sort_order: str | None = None,
    next_token: str | None = None,
    max_results: int | None = None,
    name_contains: str | None = None,
    creation_time_before: float | None = None,
    creation_time_after: float | None = None,
    last_modified_time_before: float | None = None,
    last_modified_time_after: float | None = None,
    status_equals: str | None = None,
    monitoring_job_definition_name: str | None = None,
    monitoring_type_equals: str | None = None,
) -> Document:
    """None, whichever are asked for."""
    del call, endpoint_name, sort_by, sort_order, max_results, name_contains, creation_time_before
    del creation_time_after, last_modified_time_before, last_modified_time_after, status_equals
    del monitoring_job_definition_name, monitoring_type_equals
    _check_token(next_token)
    return {"MonitoringScheduleSummaries": []}


@operation("sagemaker", "ListContexts", on=(anything,))
def list_contexts(
    call: Call,
    *,
    source_uri: str | None = None,
    context_type: str | None = None,
    created_after: float | None = None,
    created_before: float | None = None,
    sort_by: str | None = None,
    sort_order: str | None = None,
    next_token: str | None = None,
    max_results: int | None = None,
) -> Document:
    """None, whichever are asked for."""
    del call, source_uri, context_type, created_after, created_before, sort_by, sort_order
    del max_results
    _check_token(next_token)
    return {"ContextSummaries": []}


def _check_token(next_token: str | None) -> None:
    """No page leads to another. Raises ValidationException."""
    if next_token is not None:
        raise ValidationException("NextToken is not valid for this request.")
