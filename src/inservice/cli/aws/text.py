r"""`--output text`: one line of tab-separated values per structure, for cut and awk.

Scalars of a structure come in the alphabetical order of their names, without the names. Nested
structures and lists follow, each on lines of its own that begin with the member's name in capitals.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from botocore.paginate import PageIterator
from botocore.utils import set_value_from_jmespath

from inservice.cli.aws.selection import select

if TYPE_CHECKING:
    from inservice.cli.aws.globals import Query


def write_text(
    answer: dict[str, Any] | PageIterator[Any], stream: IO[str], query: Query | None
) -> None:
    """Write an answer, or each page of one, as text."""
    if not isinstance(answer, PageIterator):
        _write(select(answer, query), stream)
        return
    for number, page in enumerate(answer):
        # What does not repeat from page to page is shown with the first.
        shown: dict[str, Any] = {} if number else answer.non_aggregate_part
        for key in answer.result_keys or ():
            set_value_from_jmespath(shown, key.expression, key.search(page))
        _write(shown if query is None else query.search(shown), stream)
    if answer.resume_token:
        token = {"NextToken": {"NextToken": answer.resume_token}}
        _write(token if query is None else query.search(token), stream)


def _write(
    value: Any, stream: IO[str], name: str | None = None, columns: list[str] | None = None
) -> None:
    if isinstance(value, dict):
        _write_structure(value, stream, name, columns)
    elif isinstance(value, list):
        _write_list(value, stream, name)
    else:
        stream.write(f"{value}\n")


def _write_structure(
    value: dict[str, Any], stream: IO[str], name: str | None, columns: list[str] | None
) -> None:
    if columns is None:
        columns = sorted(key for key, item in value.items() if not _is_nested(item))
    cells = [str(value.get(key, "")) for key in columns]
    if cells:
        stream.write("\t".join(cells if name is None else [name.upper(), *cells]) + "\n")
    for key in sorted(set(value) - set(columns)):
        _write(value[key], stream, key)


def _write_list(value: list[Any], stream: IO[str], name: str | None) -> None:
    if any(isinstance(item, dict) for item in value):
        # All rows have the columns of all, so that a column of a line always means the same.
        columns = sorted(
            {
                key
                for item in value
                if isinstance(item, dict)
                for key, cell in item.items()
                if not _is_nested(cell)
            }
        )
        for item in value:
            _write(item, stream, name, columns)
        return
    scalars = [item for item in value if not _is_nested(item)]
    if scalars and name is None:
        stream.write("\t".join(map(str, scalars)) + "\n")
    elif scalars:
        stream.writelines(f"{name.upper() if name else ''}\t{item}\n" for item in scalars)
    for item in value:
        if _is_nested(item):
            _write(item, stream, name)


def _is_nested(value: Any) -> bool:
    return isinstance(value, (list, dict))
