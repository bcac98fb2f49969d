"""The Flask stack reads and writes as `sagemaker-containers`, which AWS's scikit-learn and XGBoost
images run, does: its own decoders and encoders are asked the same.

It runs where that package is installed. Its server wants a Flask of 2019, so it is not asked; the
message that it brings was generated for a protobuf of 2018, so protobuf makes the same one here.
"""

from __future__ import annotations

import io
import json
import sys
import types
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from inservice.modelserver import recordio
from tests.modelserver.asking import Ask, serving

_MESSAGE = "sagemaker_containers.record_pb2"
sys.modules.setdefault(_MESSAGE, types.ModuleType(_MESSAGE)).__dict__["Record"] = None
encoders = pytest.importorskip(
    "sagemaker_containers._encoders", reason="sagemaker-containers is not installed here"
)
pytestmark = [pytest.mark.images, pytest.mark.filterwarnings("ignore")]

recordio_there = pytest.importorskip("sagemaker_containers._recordio")


def record() -> Any:
    """AWS's message `aialgs.data.Record`."""
    protobuf = pytest.importorskip("google.protobuf")
    kinds = protobuf.descriptor_pb2.FieldDescriptorProto
    file = protobuf.descriptor_pb2.FileDescriptorProto(name="aws.proto", package="aws")
    file.syntax = "proto2"

    def message(where: Any, name: str, *fields: tuple[Any, ...]) -> Any:
        made = where.add(name=name)
        for field, number, kind, repeated, *more in fields:
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            added = made.field.add(name=field, number=number, type=kind, label=label)
            if more:
                added.type_name = more[0]
            if repeated and kind != kinds.TYPE_MESSAGE:
                added.options.packed = True
        return made

    for name, kind in (("Float32", kinds.TYPE_FLOAT), ("Float64", kinds.TYPE_DOUBLE)):
        places = [(n, i, kinds.TYPE_UINT64, True) for n, i in (("keys", 2), ("shape", 3))]
        message(file.message_type, f"{name}Tensor", ("values", 1, kind, True), *places)
    places = [(n, i, kinds.TYPE_UINT64, True) for n, i in (("keys", 2), ("shape", 3))]
    message(file.message_type, "Int32Tensor", ("values", 1, kinds.TYPE_INT32, True), *places)
    tensors = [
        (f"{name.lower()}_tensor", number, kinds.TYPE_MESSAGE, False, f".aws.{name}Tensor")
        for name, number in (("Float32", 2), ("Float64", 3), ("Int32", 7))
    ]
    message(file.message_type, "Value", *tensors)
    maps = [
        (n, i, kinds.TYPE_MESSAGE, True, f".aws.Record.{n.title()}Entry")
        for n, i in (("features", 1), ("label", 2))
    ]
    whole = message(file.message_type, "Record", *maps)
    for name in ("Features", "Label"):
        entry = message(
            whole.nested_type,
            f"{name}Entry",
            ("key", 1, kinds.TYPE_STRING, False),
            ("value", 2, kinds.TYPE_MESSAGE, False, ".aws.Value"),
        )
        entry.options.map_entry = True
    pool = protobuf.descriptor_pool.DescriptorPool()
    pool.Add(file)
    return protobuf.message_factory.GetMessageClass(pool.FindMessageTypeByName("aws.Record"))


@pytest.fixture
def record_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    for module in ("descriptor_pb2", "descriptor_pool", "message_factory"):
        pytest.importorskip(f"google.protobuf.{module}")
    made = record()
    monkeypatch.setattr(recordio_there, "Record", made)
    return made


JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


BODIES = [
    *((JSON, body) for body in (b"[[1, 2], [3, 4]]", b"[1.5, 2]", b"3", b"[true, false]")),
    *(
        (JSON, body)
        for body in (b'[["1", "2.5"]]', b"[NaN, 1]", b"[[1e300]]", b"[16777217]", b"[]")
    ),
    *((CSV, body) for body in (b"1,2\n3,4", b"1,2\n3,4\n", b"1,2", b"1\n2\n3", b"7", b"1e3,nan")),
    *((CSV, body) for body in (b'"1","2"', b"1,2\r\n3,4\r\n", b" 1, 2")),
    *((NPY, npy(np.array(value))) for value in ([[1, 2]], [0.5], 3)),
    (NPY, npy(np.array([[0.5]], dtype=np.float32))),
]


def theirs(content_type: str, body: bytes) -> Any:
    """The default input_fn of the scikit-learn container, which is these two lines of its page."""
    array = encoders.decode(body.decode() if content_type != NPY else body, content_type)
    return array if content_type == NPY else array.astype(np.float32)


def told(array: Any) -> list[Any]:
    return [type(array).__name__, str(array.dtype), list(array.shape), repr(array.tolist())]


@pytest.fixture(scope="module")
def seeing() -> Ask:
    return serving("sklearn", model_fn=lambda d: None, predict_fn=lambda value, m: told(value))


@pytest.mark.parametrize(("content_type", "body"), BODIES)
def test_a_predict_fn_gets_what_it_gets_there(seeing: Ask, content_type: str, body: bytes) -> None:
    assert json.loads(seeing(body, content_type).body) == told(theirs(content_type, body))


@pytest.mark.parametrize(
    "value",
    [
        np.array([1.5, 2.0]),
        np.array([0, 1]),
        np.array([0.1], dtype=np.float32),
        np.array([[1, 2], [3, 4]]),
        np.array([["a", "b"]]),
        np.array(["x", "y"]),
        [1, 2.5, None],
        [[1, 2], [3, 4]],
    ],
    ids=repr,
)
@pytest.mark.parametrize("accept", [JSON, CSV, NPY])
def test_a_prediction_is_written_as_there(value: Any, accept: str) -> None:
    if accept != JSON and isinstance(value, list) and None in value:
        pytest.skip("numpy pickles it there, which is refused here: the limits page says so")
    ask = serving("sklearn", model_fn=lambda d: None, predict_fn=lambda rows, model: value)
    said = ask(b"[1]", JSON, accept)
    assert (said.status, said.content_type) == (200, accept)
    wanted = encoders.encode(value, accept)
    if accept == JSON:
        assert json.loads(said.body) == json.loads(wanted)
    elif accept == CSV:
        assert said.body.decode() == wanted
    else:
        assert told(np.load(io.BytesIO(said.body))) == told(np.load(io.BytesIO(wanted)))


@pytest.mark.parametrize("kind", ["image/png", "application/x-npz", "nonsense"])
def test_what_is_not_supported_is_the_same_but_for_sparse_matrices(seeing: Ask, kind: str) -> None:
    with pytest.raises(Exception, match="is not supported by this framework"):
        encoders.decode(b"x", kind)
    assert seeing(b"x", kind).status == (500 if kind == "application/x-npz" else 415)


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1.5, -2.0], [0.0, 4.0]]),
        np.array([[1.5, -2.0]], dtype=np.float32),
        np.array([[1, -7], [2**31 - 1, 0]]),
        scipy.sparse.csr_matrix(np.array([[0, 1.5, 0], [0, 0, 0], [2.5, 0, 7]])),
        scipy.sparse.csr_matrix(np.array([[0, 3]], dtype=np.float32)),
    ],
    ids=lambda array: f"{type(array).__name__} {array.dtype}",
)
@pytest.mark.usefixtures("record_of")
def test_what_aws_s_writer_writes_is_read(array: Any) -> None:
    labels = np.arange(array.shape[0], dtype=np.float64)
    for with_labels in (None, labels):
        data = encoders.array_to_recordio_protobuf(array, with_labels)
        read = recordio.rows(recordio.read(data))
        as_array = read.toarray() if scipy.sparse.issparse(read) else read
        wanted = array.toarray() if scipy.sparse.issparse(array) else array
        assert np.array_equal(as_array, wanted)
        assert as_array.shape == wanted.shape
    assert [float(r.label["values"].values[0]) for r in recordio.read(data)] == labels.tolist()


def test_what_is_written_here_is_read_by_aws_s_reader(record_of: Any) -> None:
    rows = [{"predicted_label": [1.0], "probabilities": [0.25, 0.75]}, {"a" * 300: [0.5] * 500}]
    frames = list(recordio_there._read_recordio(io.BytesIO(recordio.write(rows))))
    assert len(frames) == len(rows)
    for frame, row in zip(frames, rows, strict=True):
        record = record_of()
        record.ParseFromString(frame)
        assert {n: list(v.float32_tensor.values) for n, v in record.label.items()} == row
