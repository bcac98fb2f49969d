"""What XGBoost's container reads: CSV, libsvm and RecordIO-protobuf, as rows of numbers.

No header, no label. A field of CSV with nothing in it is missing, and so is what a line of libsvm
does not name. The texts of errors are AWS's.
"""

from __future__ import annotations

import csv
from email.message import Message
from functools import lru_cache
from typing import Any, NamedTuple

from inservice.modelserver import recordio

CSV, LIBSVM, PARQUET, RECORDIO = "csv", "libsvm", "parquet", "recordio-protobuf"

_NAMES = {
    CSV: CSV,
    LIBSVM: LIBSVM,
    PARQUET: PARQUET,
    RECORDIO: RECORDIO,
    "text/csv": CSV,
    "text/libsvm": LIBSVM,
    "text/x-libsvm": LIBSVM,
    "application/x-parquet": PARQUET,
    recordio.CONTENT_TYPE: RECORDIO,
}
"""What a type may be called, in the order in which AWS's error lists them."""

_READERS = {
    CSV: "csv data failed with Exception, please ensure data is in csv format:\n {}\n {}",
    LIBSVM: "libsvm data failed with Exception, please ensure data is in libsvm format:\n {}\n {}",
    RECORDIO: (
        "recordio-protobuf data failed with Exception, please ensure data is in "
        "recordio-protobuf format: {} {}"
    ),
}

_SNIFFED = 512
_OF_NUMBERS = frozenset(".+-\"'\r")
"""What stands in numbers and around them, and so parts none."""


class Rows(NamedTuple):
    """What was read, and of what."""

    values: Any  # a two-dimensional array, or a scipy.sparse matrix
    kind: str


class Unreadable(Exception):
    """A type that is not read, or a body that is not of its type; AWS's words."""


@lru_cache(maxsize=128)
def kind_of(content_type: str) -> str:
    """Which of the formats is meant; libsvm where nothing is said. Raises Unreadable."""
    if not content_type:
        return LIBSVM
    header = Message()
    header["content-type"] = content_type.lower()
    (name, _), *parameters = header.get_params([("", "")])
    kind = _NAMES.get(name)
    if kind is None:
        raise Unreadable(f"{content_type} is not an accepted ContentType: {', '.join(_NAMES)}.")
    label_sizes = {value.strip() for key, value in parameters if key.strip() == "label_size"}
    if kind == CSV and label_sizes - {"1"}:
        raise Unreadable(
            f"{content_type} is not an accepted csv ContentType. "
            "Optional parameter label_size must be equal to 1"
        )
    return kind


def read(body: bytes, content_type: str, *, shifted: bool = True) -> Rows:
    """Rows from a body. `shifted` is whether libsvm that begins to count at 1 means the first
    column by that, as the algorithm's reader has it. Raises Unreadable."""
    kind = kind_of(content_type)
    if kind == PARQUET:
        raise Unreadable(f"Content-type {content_type} is not supported.")
    try:
        if kind == CSV:
            values = from_csv(body.decode())
        elif kind == LIBSVM:
            values = from_libsvm(body.decode(), shifted=shifted)
        else:
            values = recordio.rows(recordio.read(body))
    except (ValueError, OverflowError, MemoryError, csv.Error, IndexError) as error:
        raise Unreadable("Loading " + _READERS[kind].format(type(error), error)) from error
    _refuse_infinity(values)
    return Rows(values, kind)


def from_csv(text: str) -> Any:
    """An array of float64. The first line says what parts fields. Raises ValueError, csv.Error."""
    import numpy as np

    lines = [line.rstrip("\r") for line in text.strip().split("\n")]
    parted_by = _delimiter(lines[0][:_SNIFFED])
    fields = [[field.strip() or "nan" for field in line.split(parted_by)] for line in lines]
    if any(len(row) != len(fields[0]) for row in fields):
        raise ValueError("the lines differ in their number of fields")
    return np.array([[float(field.strip('"')) for field in row] for row in fields])


@lru_cache(maxsize=64)
def _delimiter(line: str) -> str:
    if "," in line:  # which is what nearly all have, and what is asked for takes a millisecond
        return ","
    found = csv.Sniffer().sniff(line).delimiter
    return "," if found.isalnum() or found in _OF_NUMBERS else found


def from_libsvm(text: str, *, shifted: bool) -> Any:
    """A csr_matrix of float64 with a row for each line; words without a colon are labels. Raises
    ValueError."""
    import numpy as np
    import scipy.sparse

    lines = text.strip().split("\n")
    places: list[int] = []
    values: list[float] = []
    ends = [0]
    for line in lines:
        for word in line.split():
            if ":" in word:
                place, value = word.split(":")[:2]
                places.append(int(place))
                values.append(float(value))
        ends.append(len(places))
    if not places:
        raise ValueError("there is no pair of an index and a value")
    least = min(places)
    if least < 0:
        raise ValueError(f"the index {least} is less than 0")
    columns = np.array(places, dtype=np.int64)
    if shifted and least >= 1:
        columns -= 1
    width = int(columns.max()) + 1
    if width > recordio.COLUMNS_MAX:
        raise ValueError(f"there are {width:,} columns")
    matrix = scipy.sparse.csr_matrix((np.array(values), columns, ends), shape=(len(lines), width))
    matrix.sum_duplicates()
    return matrix


def _refuse_infinity(values: Any) -> None:
    """As XGBoost's DMatrix does, which is not made of what is only predicted on."""
    import numpy as np

    if np.isinf(getattr(values, "data", values) if hasattr(values, "tocsr") else values).any():
        raise Unreadable("Input data contains `inf` or a value too large, while `missing` is nan")
