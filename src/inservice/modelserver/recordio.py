"""AWS's RecordIO-protobuf: records of features and labels, `application/x-recordio-protobuf`.

A file is a row of *frames*: a magic number, a length (both little-endian, 32 bits), so many bytes,
and zeros up to a multiple of four. In each frame is one protobuf message, `aialgs.data.Record`:

    Record    1 features  map<string, Value>       Value     2 float32_tensor
              2 label     map<string, Value>                 3 float64_tensor
    tensor    1 values  packed floats or varints             7 int32_tensor
              2 keys    packed varints, if sparse            9 bytes
              3 shape   packed varints

Of protobuf that takes a page, so nothing is needed for it. Both packed and unpacked numbers are
read, as protobuf's parsers have to; fields that are not known are passed over.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

CONTENT_TYPE = "application/x-recordio-protobuf"

_MAGIC = 0xCED7230A
_LENGTH_MAX = (1 << 29) - 1
"""The three bits above tell that a frame is a part of a record, which AWS's writers never make."""

_FEATURES, _LABEL = 1, 2
_VALUES, _KEYS, _SHAPE = 1, 2, 3
_FLOAT32, _FLOAT64, _INT32 = 2, 3, 7
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

COLUMNS_MAX = 1 << 31
"""A sparse record of a few bytes can announce any number of columns."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """The numbers of one name in a record."""

    values: np.ndarray[Any, Any]
    keys: np.ndarray[Any, Any] | None  # the places of a sparse one's values; None: it is dense
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One record."""

    features: Mapping[str, Tensor]
    label: Mapping[str, Tensor]


def read(data: bytes) -> list[Record]:
    """All records of a file. Raises ValueError for what is none."""
    return [_record(message) for message in _frames(data)]


def rows(records: Sequence[Record], name: str = "values") -> Any:
    """The features of that name as a matrix, a row for each record: an array, or where any record
    is sparse a `scipy.sparse.csr_matrix`. Raises ValueError where they make none."""
    import numpy as np

    tensors = [record.features[name] for record in records if name in record.features]
    if not tensors:
        raise ValueError("there is no record with features")
    if all(tensor.keys is None for tensor in tensors):
        if len({tensor.values.size for tensor in tensors}) != 1:
            raise ValueError("the records differ in their number of features")
        return np.stack([tensor.values for tensor in tensors])
    return _sparse(tensors)


def write(labels: Sequence[Mapping[str, Sequence[float]]]) -> bytes:
    """A record for each, whose label has these names with these values, in single precision."""
    return b"".join(_frame(_labelled(names)) for names in labels)


# ── frames ───────────────────────────────────────────────────────────────────────────────────────


def _frames(data: bytes) -> Iterator[memoryview]:
    view, place = memoryview(data), 0
    while place < len(view):
        if len(view) - place < 8:
            raise ValueError("the last record is cut off in its head")
        magic, length = struct.unpack_from("<II", view, place)
        if magic != _MAGIC:
            raise ValueError(f"there is no record at byte {place}")
        if length > _LENGTH_MAX:
            raise ValueError(f"the record at byte {place} is in parts")
        place += 8
        if len(view) - place < length:
            raise ValueError("the last record is cut off")
        yield view[place : place + length]
        place += (length + 3) & ~3


def _frame(message: bytes) -> bytes:
    padding = -len(message) % 4
    return struct.pack("<II", _MAGIC, len(message)) + message + bytes(padding)


# ── protobuf, read ───────────────────────────────────────────────────────────────────────────────


def _record(message: memoryview) -> Record:
    maps: dict[int, dict[str, Tensor]] = {_FEATURES: {}, _LABEL: {}}
    for number, value in _fields(message):
        if number in maps and isinstance(value, memoryview):
            name, tensor = _entry(value)
            if tensor is not None:
                maps[number][name] = tensor
    return Record(maps[_FEATURES], maps[_LABEL])


def _entry(message: memoryview) -> tuple[str, Tensor | None]:
    name, tensor = "", None
    for number, value in _fields(message):
        if number == 1 and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif number == 2 and isinstance(value, memoryview):
            for kind, inside in _fields(value):
                if kind in (_FLOAT32, _FLOAT64, _INT32) and isinstance(inside, memoryview):
                    tensor = _tensor(inside, kind)
    return name, tensor


def _tensor(message: memoryview, kind: int) -> Tensor:
    import numpy as np

    values: list[Any] = []
    keys: list[int] = []
    shape: list[int] = []
    for number, value in _fields(message):
        if number == _VALUES:
            values.append(_numbers(value, kind))
        elif number in (_KEYS, _SHAPE):
            into = keys if number == _KEYS else shape
            into.extend(_varints(value) if isinstance(value, memoryview) else [value])
    dtype = {_FLOAT32: np.float32, _FLOAT64: np.float64, _INT32: np.int32}[kind]
    whole = np.concatenate(values).astype(dtype) if values else np.zeros(0, dtype)
    sparse = bool(keys) or (not values and bool(shape))
    places = np.array(keys, dtype=np.int64) if sparse else None
    if places is not None and len(places) != len(whole):
        raise ValueError(f"a sparse record has {len(whole)} values at {len(places)} places")
    return Tensor(whole, places, tuple(shape))


def _numbers(value: memoryview | int, kind: int) -> np.ndarray[Any, Any]:
    """Packed, or one by itself, which came as the bits that it is."""
    import numpy as np

    if kind == _INT32:
        whole = _varints(value) if isinstance(value, memoryview) else [value]
        return np.array(whole, dtype=np.uint64).astype(np.int32)
    dtype = "<f4" if kind == _FLOAT32 else "<f8"
    size = 4 if kind == _FLOAT32 else 8
    if isinstance(value, int):
        value = memoryview(value.to_bytes(size, "little"))
    if len(value) % size:
        raise ValueError("a tensor's values are cut off")
    return np.frombuffer(value, dtype=dtype)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Each field's number with its bytes, or with the bits of its number."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == _VARINT:
            number, place = _varint(message, place)
            yield tag >> 3, number
            continue
        if kind == _BYTES:
            size, place = _varint(message, place)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError("a record is no protobuf message")
        if len(message) - place < size:
            raise ValueError("a record's message is cut off")
        value = message[place : place + size]
        place += size
        yield tag >> 3, value if kind == _BYTES else int.from_bytes(value, "little")


def _varints(packed: memoryview) -> list[int]:
    numbers, place = [], 0
    while place < len(packed):
        number, place = _varint(packed, place)
        numbers.append(number)
    return numbers


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if place >= len(message) or shift > 63:
            raise ValueError("a record's message is cut off")
        byte = message[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return number & 0xFFFFFFFFFFFFFFFF, place


def _sparse(tensors: Sequence[Tensor]) -> Any:
    import numpy as np
    import scipy.sparse

    places = [t.keys if t.keys is not None else np.arange(t.values.size) for t in tensors]
    announced = max((t.shape[0] for t in tensors if t.shape), default=0)
    columns = max(announced, *(int(p.max()) + 1 for p in places if p.size), 0)
    if columns > COLUMNS_MAX or any((p < 0).any() for p in places):
        raise ValueError(f"a sparse record has {columns:,} columns")
    ends = np.cumsum([0, *(p.size for p in places)])
    values = np.concatenate([t.values for t in tensors])
    shape = (len(tensors), columns)
    return scipy.sparse.csr_matrix((values, np.concatenate(places), ends), shape=shape)


# ── protobuf, written ────────────────────────────────────────────────────────────────────────────


def _labelled(names: Mapping[str, Sequence[float]]) -> bytes:
    return b"".join(
        _field(
            _LABEL,
            _field(1, name.encode())
            + _field(2, _field(_FLOAT32, _field(_VALUES, struct.pack(f"<{len(v)}f", *v)))),
        )
        for name, v in names.items()
    )


def _field(number: int, content: bytes) -> bytes:
    return _as_varint(number << 3 | _BYTES) + _as_varint(len(content)) + content


def _as_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
