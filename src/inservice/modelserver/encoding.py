"""The default input_fn and output_fn: JSON, CSV and NPY to arrays and back.

Where SageMaker's scikit-learn container does something, this does the same, so that a user's
`predict_fn` sees the same arrays: JSON becomes an array, one line of CSV one dimension, several
lines two. Three differences, all deliberate: NPY never unpickles (an invocation is not trusted
code), `{"instances": […]}` is understood and answered with `{"predictions": […]}`, and numbers stay
what they were instead of becoming float32.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
FORMATS = (JSON, CSV, NPY)

_UNREADABLE = (
    *(ValueError, TypeError, EOFError, csv.Error, msgspec.MsgspecError),
    *(MemoryError, RecursionError),  # a few bytes that announce a vast array, or nest without end
)

_ARRAY_LIKE = (list, int, float, str)

TEXT_TYPES = frozenset({JSON, CSV, "text/plain"})
"""What a user's input_fn is given as str, like in SageMaker's toolkits; all else comes as bytes."""


_decode_json = msgspec.json.Decoder().decode


class Unacceptable(Exception):
    """A request that the model server itself answers: nothing of the user's went wrong."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@lru_cache(maxsize=128)
def media_type(header: str) -> str:
    """`text/csv; charset=utf-8` → `text/csv`. Clients repeat theirs."""
    return header.partition(";")[0].strip().lower()


def decode(body: bytes, content_type: str) -> np.ndarray[Any, Any]:
    """An array from a body. Raises Unacceptable: 415 for a type, 400 for a body it cannot read."""
    kind = media_type(content_type)
    if kind not in FORMATS:
        raise Unacceptable(
            415, f"Content type {content_type} is not supported; send {', '.join(FORMATS)}"
        )
    try:
        if kind == JSON:
            return _array(_decode_json(body))
        return _from_csv(body) if kind == CSV else _from_npy(body)
    except _UNREADABLE as error:
        raise Unacceptable(400, f"The body is not readable as {kind}: {error}") from error


def encode(value: Any, accept: str, *, named: bool = False) -> tuple[bytes, str]:
    """A body and its content type from a prediction. Raises Unacceptable 406 for a type."""
    kind = _chosen(accept)
    if kind is None:
        raise Unacceptable(406, f"Accept {accept} is not supported; ask for {', '.join(FORMATS)}")
    if kind == JSON:
        plain = _plain(value)
        return _encode_json({"predictions": plain} if named else plain), kind
    return (_to_csv(value) if kind == CSV else _to_npy(value)), kind


@lru_cache(maxsize=128)
def _chosen(accept: str) -> str | None:
    """The first type of an Accept header that we speak."""
    for choice in accept.split(","):
        kind = media_type(choice)
        if kind in FORMATS:
            return kind
        if kind in ("*/*", "application/*", ""):
            return JSON
    return None


def _array(value: Any) -> np.ndarray[Any, Any]:
    import numpy as np

    if isinstance(value, dict):
        if len(value) != 1 or "instances" not in value:
            raise ValueError('an object has to have the one member "instances"')
        value = value["instances"]
    if not isinstance(value, _ARRAY_LIKE):
        raise TypeError("an array is needed")
    return np.array(value)


def has_instances(body: bytes) -> bool:
    """Whether a JSON body is the object form. `decode` has read it, so a look at it is enough."""
    return body.lstrip()[:1] == b"{"


def _from_csv(body: bytes) -> np.ndarray[Any, Any]:
    import numpy as np

    rows = [row for row in csv.reader(io.StringIO(body.decode())) if row]
    if not rows:
        raise ValueError("there is no line")
    if any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("the lines differ in their number of fields")
    try:
        array = np.array(rows, dtype=np.float64)
    except ValueError:  # words in it: the model may want them
        array = np.array(rows, dtype=object)
    return array[0] if len(rows) == 1 else array


def _from_npy(body: bytes) -> np.ndarray[Any, Any]:
    import numpy as np

    loaded = np.load(io.BytesIO(body), allow_pickle=False)
    if not isinstance(loaded, np.ndarray):
        raise TypeError("it is an archive of arrays")
    return loaded


def _plain(value: Any) -> Any:
    """Arrays, scalars and frames of any library as what JSON has."""
    for name in ("tolist", "to_list"):
        if (convert := getattr(value, name, None)) is not None:
            return convert()
    if (to_dict := getattr(value, "to_dict", None)) is not None:
        return to_dict(orient="list")
    return value


_encode_json = msgspec.json.Encoder(enc_hook=_plain).encode


def _to_csv(value: Any) -> bytes:
    plain = _plain(value)
    rows: Sequence[Any] = plain if isinstance(plain, list | tuple) else [plain]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows(row if isinstance(row, list | tuple) else [row] for row in rows)
    return out.getvalue().encode()


def _to_npy(value: Any) -> bytes:
    import numpy as np

    out = io.BytesIO()
    np.save(out, np.asarray(value), allow_pickle=False)
    return out.getvalue()
