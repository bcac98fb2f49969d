"""How an answer is written: json, yaml and yaml-stream here; text and table in their own files.

A paginated answer is merged before json, yaml and table show it; text and yaml-stream show each
page as it comes, and apply --query to each page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

from botocore.paginate import PageIterator

from inservice.cli.aws.pager import output_stream
from inservice.cli.aws.selection import select

if TYPE_CHECKING:
    from inservice.cli.aws.globals import Query
    from inservice.cli.aws.session import Session


def show_answer(
    session: Session,
    operation: str,
    answer: dict[str, Any] | PageIterator[Any],
    *,
    query: Query | None,
    color: str,
) -> None:
    """Write the answer of an operation to where somebody reads it. Raises NoPager."""
    with output_stream(session.pager) as stream:
        write_answer(session.output, operation, answer, stream, query=query, color=color)


def write_answer(
    output: str,
    operation: str,
    answer: dict[str, Any] | PageIterator[Any],
    stream: IO[str],
    *,
    query: Query | None,
    color: str,
) -> None:
    """Write the answer of an operation in one of the five formats."""
    if output == "text":
        from inservice.cli.aws.text import write_text

        write_text(answer, stream, query)
    elif output == "yaml-stream":
        _write_yaml_stream(answer, stream, query)
    else:
        whole = answer.build_full_result() if isinstance(answer, PageIterator) else answer
        shown = select(whole, query)
        if output == "json":
            write_json(shown, stream)
        elif output == "yaml":
            if shown != {}:
                write_yaml(shown, stream)
        elif output == "table":
            from inservice.cli.aws.table import write_table

            write_table(operation, shown, stream, color)
        else:
            raise ValueError(f"Unknown output type: {output}")
    stream.flush()


def write_json(value: Any, stream: IO[str]) -> None:
    """Write JSON as AWS does: four spaces, members in the model's order. Nothing for `{}`."""
    if value != {}:
        json.dump(value, stream, indent=4, default=plain, ensure_ascii=False)
        stream.write("\n")


def plain(value: Any) -> Any:
    """What JSON has no notation for, as text."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def write_yaml(value: Any, stream: IO[str]) -> None:
    """Write YAML as AWS does: block style, keys sorted. A lone scalar is written as JSON."""
    if value is None or isinstance(value, (str, int, float, datetime)):
        json.dump(value, stream, default=plain, ensure_ascii=False)
        stream.write("\n")
        return
    from inservice.cli.aws.yaml import block_yaml

    block_yaml().dump(value, stream)


def _write_yaml_stream(
    answer: dict[str, Any] | PageIterator[Any], stream: IO[str], query: Query | None
) -> None:
    for page in _pages(answer):
        shown = select(page, query)
        if shown != {} or isinstance(answer, PageIterator):
            write_yaml([shown], stream)
            stream.flush()


def _pages(answer: dict[str, Any] | PageIterator[Any]) -> Iterator[dict[str, Any]]:
    if isinstance(answer, PageIterator):
        yield from answer
    else:
        yield answer
