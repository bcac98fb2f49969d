"""RecordIO-protobuf is read as protobuf's parsers read it, and damage is told."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.modelserver import recordio

MAGIC = struct.pack("<I", 0xCED7230A)


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def packed(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def framed(message: bytes) -> bytes:
    return MAGIC + struct.pack("<I", len(message)) + message + bytes(-len(message) % 4)


def features(kind: int, tensor: bytes, name: bytes = b"values") -> bytes:
    """A record as AWS's writers make it."""
    return packed(1, packed(1, name) + packed(2, packed(kind, tensor)))


def floats(*values: float) -> bytes:
    return packed(1, struct.pack(f"<{len(values)}f", *values))


DENSE = framed(features(2, floats(1.5, -2.0)))


@pytest.mark.parametrize(
    ("message", "row"),
    [
        (features(2, floats(1.5, -2.0)), [1.5, -2.0]),
        (features(3, packed(1, struct.pack("<2d", 1.5, -2.0))), [1.5, -2.0]),
        (features(7, packed(1, varint(7) + varint(2**64 - 3))), [7, -3]),
        # not packed: each number a field by itself
        (features(2, b"\x0d" + struct.pack("<f", 1.5) + b"\x0d" + struct.pack("<f", 4)), [1.5, 4]),
        (features(3, b"\x09" + struct.pack("<d", 0.25)), [0.25]),
        (features(7, b"\x08" + varint(5)), [5]),
        # beside a label, an id, a field that nobody knows, and features of another name
        (
            packed(2, packed(1, b"values") + packed(2, packed(2, floats(9))))
            + packed(3, b"uid")
            + varint(99 << 3)
            + b"\x01"
            + features(2, floats(3.0), b"other")
            + features(2, floats(1.5)),
            [1.5],
        ),
    ],
)
def test_dense_records(message: bytes, row: list[float]) -> None:
    assert recordio.rows(recordio.read(framed(message))).tolist() == [row]


def test_the_label_is_read_too() -> None:
    message = packed(2, packed(1, b"values") + packed(2, packed(2, floats(9))))
    (record,) = recordio.read(framed(message))
    assert record.label["values"].values.tolist() == [9]


def test_sparse_records_are_a_matrix_as_wide_as_is_said() -> None:
    keys = packed(2, varint(0) + varint(300))
    one = features(2, floats(1.0, 2.0) + keys + packed(3, varint(500)))
    empty = features(2, packed(3, varint(500)))
    matrix = recordio.rows(recordio.read(framed(one) + framed(empty) + framed(one)))
    assert matrix.shape == (3, 500)
    assert matrix.nnz == 4
    assert (matrix[0, 0], matrix[0, 300], matrix[2, 300]) == (1.0, 2.0, 2.0)


def test_sparse_and_dense_records_together() -> None:
    sparse = features(2, floats(7.0) + packed(2, varint(2)))
    matrix = recordio.rows(recordio.read(DENSE + framed(sparse)))
    assert matrix.toarray().tolist() == [[1.5, -2.0, 0.0], [0.0, 0.0, 7.0]]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"nonsense", "no record at byte 0"),
        (b"123", "cut off in its head"),
        (DENSE[:-9], "cut off"),
        (DENSE + b"\0\0\0\0", "cut off in its head"),
        (MAGIC + struct.pack("<I", 1 << 29 | 4) + b"1234", "in parts"),
        (framed(b"\x0b"), "no protobuf message"),
        (framed(b"\xff" * 12), "cut off"),
        (framed(features(2, packed(1, b"123"))), "cut off"),
        (framed(features(2, floats(1.0) + packed(2, varint(1) + varint(2)))), "1 values at 2"),
        (framed(features(2, floats(1.0) + packed(2, varint(2**63 - 1)))), "columns"),
        (framed(features(2, packed(3, varint(2**40)))), "columns"),
        (DENSE + framed(features(2, floats(1.0))), "differ in their number"),
        (framed(b""), "no record with features"),
        (b"", "no record with features"),
    ],
)
def test_what_is_none_is_told(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        recordio.rows(recordio.read(data))


@given(st.binary(max_size=80))
def test_whatever_is_sent_is_read_or_refused(message: bytes) -> None:
    for data in (message, framed(message), framed(packed(1, message))):
        try:
            recordio.rows(recordio.read(data))
        except (ValueError, UnicodeDecodeError):
            continue


@given(
    st.lists(
        st.dictionaries(
            st.text(max_size=4), st.lists(st.floats(width=32, allow_nan=False), max_size=200)
        ),
        max_size=5,
    )
)
def test_what_is_written_is_read(labels: list[dict[str, list[float]]]) -> None:
    records = recordio.read(recordio.write(labels))
    assert len(records) == len(labels)
    for record, names in zip(records, labels, strict=True):
        said = {name: tensor.values.tolist() for name, tensor in record.label.items()}
        assert said == names
        assert all(tensor.values.dtype == np.float32 for tensor in record.label.values())
