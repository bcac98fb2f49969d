"""CloudWatch's dashboards: documents that are checked, kept and given back. Nothing draws them.

They are the same in every region of a partition, as on AWS.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from inservice.cloudwatch.alarms.errors import (
    BadToken,
    BadValue,
    DashboardNotFound,
    DashboardRefused,
)
from inservice.errors import NotImplementedYet
from inservice.operations.cloudwatch import strict_json, touches
from inservice.operations.cloudwatch.pages import next_token as token_for
from inservice.operations.cloudwatch.pages import position_of
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything
from inservice.partitions import partition_of
from inservice.store.collections.dashboards import Dashboard

if TYPE_CHECKING:
    from types_boto3_cloudwatch.type_defs import TagTypeDef

PAGE_SIZE = 100
DASHBOARDS_MAX = 5_000
"""Of an account. AWS names no limit; each may have a megabyte."""

WIDGETS_MAX = 500
WIDGET_TYPES = ("alarm", "custom", "explorer", "log", "metric", "text")
GRID_COLUMNS = 24

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")


@operation("cloudwatch", "PutDashboard", on=(touches.dashboard,))
def put_dashboard(
    call: Call, *, dashboard_name: str, dashboard_body: str, tags: Sequence[TagTypeDef] = ()
) -> Document:
    """Keep a dashboard, in place of any of that name."""
    if tags:
        raise NotImplementedYet("'Tags'", "dashboards have no tags")
    if not _NAME.fullmatch(dashboard_name):
        raise BadValue(
            f"The value {dashboard_name} for field DashboardName contains invalid characters. It "
            "can only contain alphanumerics, dash (-) and underscore (_).\n"
        )
    if wrong := list(_wrong(dashboard_body)):
        shown = [{"dataPath": path, "message": says} for path, says in wrong]
        raise DashboardRefused(
            f"The field DashboardBody is invalid, there are {len(wrong)} validation errors: "
            f"{json.dumps(shown)}",
            members={
                "dashboardValidationMessages": [
                    {"DataPath": path, "Message": says} for path, says in wrong
                ]
            },
        )
    where = call.account, partition_of(call.region)
    with call.store.transaction() as tx:
        before = tx.dashboards.find(*where, dashboard_name)
        if before is None and len(tx.dashboards.all(*where)) >= DASHBOARDS_MAX:
            raise BadValue(f"An account may have {DASHBOARDS_MAX} dashboards.")
        tx.dashboards.save(*where, Dashboard(dashboard_name, call.now, dashboard_body))
    return {"DashboardValidationMessages": []}


@operation("cloudwatch", "GetDashboard", on=(touches.dashboard,))
def get_dashboard(call: Call, *, dashboard_name: str) -> Document:
    """A dashboard as it was put."""
    where = call.account, partition_of(call.region)
    with call.store.reading() as records:
        found = records.dashboards.find(*where, dashboard_name)
    if found is None:
        raise DashboardNotFound(f"Dashboard {dashboard_name} does not exist")
    return {
        "DashboardArn": touches.dashboard_arn(call, found.name),
        "DashboardBody": found.body,
        "DashboardName": found.name,
    }


@operation("cloudwatch", "ListDashboards", on=(anything,))
def list_dashboards(
    call: Call, *, dashboard_name_prefix: str = "", next_token: str | None = None
) -> Document:
    """The dashboards of the account, by name."""
    asked = ("ListDashboards", dashboard_name_prefix)
    try:
        after = position_of(next_token, call, asked)
    except BadToken as error:  # this operation has no code of its own for it
        raise BadValue("Request parameter NextToken is invalid") from error
    with call.store.reading() as records:
        every = records.dashboards.all(call.account, partition_of(call.region))
    found = [
        one
        for one in every
        if one.name.startswith(dashboard_name_prefix) and (after is None or one.name > after)
    ]
    page = found[:PAGE_SIZE]
    shown: dict[str, Any] = {
        "DashboardEntries": [
            {
                "DashboardName": one.name,
                "DashboardArn": touches.dashboard_arn(call, one.name),
                "LastModified": one.modified_at,
                "Size": len(one.body.encode()),
            }
            for one in page
        ]
    }
    if len(found) > PAGE_SIZE:
        shown["NextToken"] = token_for(call, asked, page[-1].name)
    return shown


@operation("cloudwatch", "DeleteDashboards", on=(touches.dashboards,))
def delete_dashboards(call: Call, *, dashboard_names: Sequence[str]) -> None:
    """Delete dashboards, all of them or, if one is not there, none."""
    if not dashboard_names:
        raise BadValue("The parameter DashboardNames must name a dashboard.")
    where = call.account, partition_of(call.region)
    with call.store.transaction() as tx:
        names = dict.fromkeys(dashboard_names)
        missing = [name for name in names if tx.dashboards.find(*where, name) is None]
        if missing:
            raise DashboardNotFound(
                f"The specified dashboard does not exist. [{', '.join(missing)}]"
            )
        for name in names:
            tx.dashboards.delete(*where, name)


# ── the body ────────────────────────────────────────────────────────────────────────────────────


def _wrong(body: str) -> Iterator[tuple[str, str]]:
    """(path, sentence) of what is wrong with a body: the structure that AWS documents, no more."""
    try:
        document = strict_json.read(body)
    except (ValueError, RecursionError) as error:
        yield "/", f"The dashboard body is not JSON: {error}"
        return
    if not isinstance(document, dict) or not isinstance(document.get("widgets"), list):
        yield "/", "The dashboard body must be an object with an array 'widgets'"
        return
    if len(document["widgets"]) > WIDGETS_MAX:
        yield "/widgets", f"Should NOT have more than {WIDGETS_MAX} items"
        return
    for number, widget in enumerate(document["widgets"]):
        path = f"/widgets/{number}"
        if isinstance(widget, dict):
            yield from _wrong_widget(widget, path)
        else:
            yield path, "Should be object"


def _wrong_widget(widget: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    if widget.get("type") not in WIDGET_TYPES:
        yield f"{path}/type", f"Should be equal to one of the allowed values {list(WIDGET_TYPES)}"
    if not isinstance(widget.get("properties"), dict):
        yield f"{path}/properties", "Should have required property 'properties', an object"
    elif widget.get("type") == "text" and not isinstance(widget["properties"].get("markdown"), str):
        yield f"{path}/properties", "Should have required property 'markdown'"
    for name, least, most in (
        ("x", 0, GRID_COLUMNS - 1),
        ("y", 0, None),
        ("width", 1, GRID_COLUMNS),
        ("height", 1, 1_000),
    ):
        value = widget.get(name, least)
        if type(value) is not int or value < least or (most is not None and value > most):
            bound = f"from {least} to {most}" if most is not None else f">= {least}"
            yield f"{path}/{name}", f"Should be an integer {bound}"
