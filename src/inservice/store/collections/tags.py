"""Tags: labels of a resource, by its ARN. They go with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sqlalchemy import Column, Text, delete

from inservice.hosting.arn import ResourceArn
from inservice.seals import seal_column
from inservice.store.feed import Topic
from inservice.store.kit.access import Access, WritableAccess
from inservice.store.kit.sealed import sealed_rows
from inservice.store.kit.tables import NameText, table

TAGS: Topic[str] = Topic("tags")
"""Named by the ARN of what is tagged."""

tags = table(
    "tags",
    Column("arn", NameText, primary_key=True),
    Column("key", NameText, primary_key=True),
    Column("value", Text, nullable=False),
    seal_column("seal", "value"),
)


class TagsReading(Protocol):
    """What can be asked."""

    def of(self, arn: ResourceArn) -> Mapping[str, str]:
        """The tags of a resource, sorted by key; none if it has none or does not exist."""
        ...

    def every(self) -> Mapping[str, Mapping[str, str]]:
        """All there are, by ARN."""
        ...


class TagsWriting(TagsReading, Protocol):
    """What can be written."""

    def set(self, arn: ResourceArn, labels: Mapping[str, str]) -> None:
        """These are the tags of the resource from now on."""
        ...


class TagRows:
    """`TagsReading`, with SQL."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def of(self, arn: ResourceArn) -> Mapping[str, str]:
        """See `TagsReading`."""
        of_it = tags.c.arn == str(arn)
        rows = sealed_rows(self._access.sql(), tags, ("seal",), of_it, order_by=(tags.c.key,))
        return {row["key"]: row["value"] for row in rows}

    def every(self) -> Mapping[str, Mapping[str, str]]:
        """See `TagsReading`."""
        found: dict[str, dict[str, str]] = {}
        order = tags.c.arn, tags.c.key
        for row in sealed_rows(self._access.sql(), tags, ("seal",), order_by=order):
            found.setdefault(row["arn"], {})[row["key"]] = row["value"]
        return found


class WritableTagRows(TagRows):
    """`TagsWriting`, with SQL."""

    def __init__(self, access: WritableAccess) -> None:
        super().__init__(access)
        self._writing = access

    def set(self, arn: ResourceArn, labels: Mapping[str, str]) -> None:
        """See `TagsWriting`."""
        forget_tags(self._writing, str(arn))
        rows = ({"arn": str(arn), "key": key, "value": value} for key, value in labels.items())
        self._writing.insert(tags, rows)


def forget_tags(access: WritableAccess, arn: str) -> None:
    """What is deleted takes its tags along."""
    access.sql().execute(delete(tags).where(tags.c.arn == arn))
    access.changed(TAGS, arn)
