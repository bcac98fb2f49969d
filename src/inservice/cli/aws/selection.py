"""The part of an answer that is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inservice.cli.aws.globals import Query


def select(answer: dict[str, Any], query: Query | None) -> Any:
    """The part of an answer that is shown: without botocore's metadata, and what --query takes."""
    if "Errors" not in answer:
        answer.pop("ResponseMetadata", None)
    return answer if query is None else query.search(answer)
