"""The default input_fn and output_fn: JSON, CSV, NPY and sparse NPZ to arrays and back.

Where SageMaker's toolkits do something, this does the same, so that a user's `predict_fn` sees the
same arrays and clients read the same answers. The differences are deliberate, each has a row in
docs/concepts/limits-and-differences.md, and the suite holds that table against the toolkit itself.

The toolkits write JSON with the standard library. Arrays of numbers go through msgspec here, which
takes a tenth of the time; everything else goes through the standard library, so that what it
refuses (bytes, own classes, complex numbers) is refused and named, and not guessed at.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np

JSON, CSV, NPY, NPZ = "application/json", "text/csv", "application/x-npy", "application/x-npz"
READ = (JSON, CSV, NPY, NPZ)
WRITTEN = (JSON, CSV, NPY)

TEXT_TYPES = frozenset({JSON, CSV})
"""What a user's functions are given as str, like in SageMaker's toolkits: these, exactly. With a
parameter behind it, or in capitals, it is bytes there and so it is here."""

NPZ_BYTES_MAX = 1024 * 1024 * 1024
"""What a sparse matrix may take unpacked: a zip of a few bytes can announce any size."""

_UNREADABLE = (
    *(ValueError, TypeError, EOFError, KeyError, csv.Error, msgspec.MsgspecError),
    *(MemoryError, RecursionError),  # a few bytes that announce a vast array, or nest without end
)

_PLAIN_KINDS = frozenset("biufU")
"""Kinds of arrays that are lists of JSON's own values."""

_decode_json = msgspec.json.Decoder().decode
_encode_json = msgspec.json.Encoder().encode


class Unacceptable(Exception):
    """A request that the model server itself answers: nothing of the user's went wrong."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with named columns: MLflow's `dataframe_split` and `dataframe_records`."""

    columns: list[Any]
    rows: list[list[Any]]


@lru_cache(maxsize=128)
def media_type(header: str) -> str:
    """`text/csv; charset=utf-8` → `text/csv`. Clients repeat theirs."""
    return header.partition(";")[0].strip().lower()


def decode(body: bytes, content_type: str, *, named: bool) -> Any:
    """An array (or Table) from a body. `named` is whether the object forms of JSON are understood,
    `{"instances": …}` and MLflow's two: they are where the default predict_fn follows, and a
    predict_fn of the user's gets what the toolkits give it.

    Raises Unacceptable: 415 for a type, 400 for a body that it cannot read.
    """
    kind = media_type(content_type)
    if kind not in READ:
        raise Unacceptable(
            415, f"Content type {content_type} is not supported; send {', '.join(READ)}"
        )
    try:
        match kind:
            case "application/json":
                value = from_json(body)
                return _named(value) if named else _array(value)
            case "text/csv":
                return _from_csv(body)
            case "application/x-npy":
                return _from_npy(body)
            case _:
                return _from_npz(body)
    except _UNREADABLE as error:
        raise Unacceptable(400, f"The body is not readable as {kind}: {error}") from error


def encode(value: Any, accept: str, *, named: bool = False) -> tuple[bytes, str]:
    """A body and its content type from a prediction. Raises Unacceptable 406 for a type, TypeError
    and ValueError for what has no form in it."""
    kind = chosen(accept)
    if kind is None:
        raise Unacceptable(406, f"Accept {accept} is not supported; ask for {', '.join(WRITTEN)}")
    if kind == JSON:
        body = to_json(value)
        return (b'{"predictions":%b}' % body if named else body), kind
    return (_to_csv(value) if kind == CSV else _to_npy(value)), kind


@lru_cache(maxsize=128)
def chosen(accept: str) -> str | None:
    """The first type of an Accept header that we write. Types without parameters come first, since
    the toolkits know no others."""
    choices = accept.replace(" ", "").split(",")
    for choice in choices:
        if choice in WRITTEN:
            return choice
    for kind in map(media_type, choices):
        if kind in WRITTEN:
            return kind
        if kind in ("*/*", "application/*", ""):
            return JSON
    return None


# ── in ────────────────────────────────────────────────────────────────────────────────────────────


def from_json(body: bytes) -> Any:
    """As Python reads it, NaN and Infinity included. Raises ValueError, RecursionError."""
    try:
        return _decode_json(body)
    except msgspec.MsgspecError:
        return json.loads(body.decode())


def _array(value: Any) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.array(value)


def _named(value: Any) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and "instances" in value:
            value = value["instances"]
        elif len(value) == 1 and "dataframe_split" in value:
            return _split(value["dataframe_split"])
        elif len(value) == 1 and "dataframe_records" in value:
            return _records(value["dataframe_records"])
        else:
            raise ValueError(
                'an object has to have the one member "instances" (or "dataframe_split" or '
                '"dataframe_records")'
            )
    if not isinstance(value, list | int | float | str):
        raise TypeError("an array is needed")
    return _array(value)


def _split(value: Any) -> Table:
    """`{"columns": […], "data": [[…], …]}`, with an `index` that no model reads."""
    if not isinstance(value, dict) or not {"columns", "data"} <= set(value):
        raise ValueError('dataframe_split has to have the members "columns" and "data"')
    columns, rows = value["columns"], value["data"]
    if not isinstance(columns, list) or not isinstance(rows, list):
        raise TypeError("columns and data of dataframe_split are arrays")
    if not all(isinstance(row, list) and len(row) == len(columns) for row in rows):
        raise ValueError(f"each row of dataframe_split has to have {len(columns)} fields")
    return Table(columns, rows)


def _records(value: Any) -> Table:
    """`[{"column": value, …}, …]`; a column that a record has not is a missing value."""
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise TypeError("dataframe_records is an array of objects")
    columns = list(dict.fromkeys(name for record in value for name in record))
    return Table(columns, [[record.get(name) for name in columns] for record in value])


def has_names(body: bytes) -> bool:
    """Whether a JSON body is an object form. `decode` has read it, so a look at it is enough."""
    return body.lstrip()[:1] == b"{"


def _from_csv(body: bytes) -> np.ndarray[Any, Any]:
    import numpy as np

    rows = [row for row in csv.reader(io.StringIO(body.decode(), newline="")) if row]
    if not rows:
        raise ValueError("there is no line")
    if any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("the lines differ in their number of fields")
    try:
        # A field with nothing in it is a value that is missing.
        array = np.array([[float(field or "nan") for field in row] for row in rows])
    except ValueError:  # words in it: the model may want them
        array = np.array(rows, dtype=object)
    return array[0] if len(rows) == 1 else array


def _from_npy(body: bytes) -> np.ndarray[Any, Any]:
    import numpy as np

    loaded = np.load(io.BytesIO(body), allow_pickle=False)
    if not isinstance(loaded, np.ndarray):
        raise TypeError("it is an archive of arrays")
    return loaded


def _from_npz(body: bytes) -> Any:
    """A sparse matrix as `scipy.sparse.save_npz` writes it."""
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            size_bytes = sum(member.file_size for member in archive.infolist())
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error
    if size_bytes > NPZ_BYTES_MAX:
        raise ValueError(f"it has {size_bytes:,} bytes unpacked, more than {NPZ_BYTES_MAX:,}")
    import scipy.sparse

    return scipy.sparse.load_npz(io.BytesIO(body))  # it never unpickles


# ── out ───────────────────────────────────────────────────────────────────────────────────────────


def to_json(value: Any) -> bytes:
    """JSON as the standard library writes it, NaN and Infinity included, without blanks.

    Raises TypeError that names the type of what JSON has nothing for, ValueError for what holds
    itself.
    """
    if getattr(getattr(value, "dtype", None), "kind", None) in _PLAIN_KINDS:
        try:
            body = _encode_json(value.tolist())
        except (AttributeError, TypeError, ValueError, msgspec.MsgspecError):
            pass  # an array of another library, with values of its own
        else:
            if b"null" not in body:  # which is what msgspec makes of NaN
                return body
    try:
        return json.dumps(value, default=_plain, separators=(",", ":")).encode()
    except RecursionError:
        raise TypeError(
            f"Object of type {type(value).__name__} nests too deeply for JSON"
        ) from None


_PYTHONS = (dict, list, tuple, str, int, float, type(None))


def _plain(value: Any) -> Any:
    """Arrays, scalars and frames of any library as what JSON has."""
    for name in ("tolist", "to_list"):
        if callable(convert := getattr(value, name, None)) and not isinstance(value, type):
            return _of_python(convert(), value)
    if callable(to_dict := getattr(value, "to_dict", None)) and hasattr(value, "columns"):
        return to_dict(orient="list") if hasattr(value, "index") else to_dict(as_series=False)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _of_python(made: Any, value: Any) -> Any:
    """What `tolist` made. A Mock, or whatever else has every method, would make others for ever."""
    if isinstance(made, _PYTHONS):
        return made
    odd = value if type(made) is type(value) else made
    raise TypeError(f"Object of type {type(odd).__name__} is not JSON serializable")


def _to_csv(value: Any) -> bytes:
    """Each row a line, each number as Python's `str` has it."""
    import numpy as np

    array = np.asarray(value)
    if array.dtype.kind in "cSV":
        raise TypeError(f"Object of type {array.dtype.type.__name__} is not writable as {CSV}")
    if array.ndim > 2 or (array.ndim == 0 and array.dtype.kind == "O"):
        raise ValueError(
            f"Expected 1D or 2D array, got {array.ndim}D array instead, {type(value).__name__}"
        )
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows(_rows(array.reshape(1) if array.ndim == 0 else array))
    return out.getvalue().encode()


def _rows(array: np.ndarray[Any, Any]) -> Iterator[Sequence[Any]]:
    """As Python's values where they are written the same, which is quicker."""
    exact = array.dtype.kind in "biuU" or array.dtype == "float64"
    for row in array.tolist() if exact else array:
        fields = row if array.ndim == 2 else (row,)
        yield fields if exact else [str(field) for field in fields]


def _to_npy(value: Any) -> bytes:
    import numpy as np

    array = np.asarray(value)
    if array.dtype.hasobject:
        raise TypeError(f"Object of type {_odd(value)} is not writable as {NPY}")
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def _odd(value: Any) -> str:
    """The type of what numpy could only take as an object."""
    while isinstance(value, list | tuple) and value:
        value = next((v for v in value if not isinstance(v, int | float)), value[0])
    return type(value).__name__
