"""TensorFlow's container without TensorFlow: its front, its JSON, its address for user code."""

from __future__ import annotations

import http.client
import json
import math
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inservice.modelserver.calls import Call
from inservice.modelserver.frameworks.base import NoModel, Start
from inservice.modelserver.frameworks.tensorflow import Serving, listener, rest, tensors
from inservice.modelserver.frameworks.tensorflow.bundles import Bundles, found_in
from inservice.modelserver.frameworks.tensorflow.requests_in import (
    Aim,
    Unsupported,
    aim_of,
    answer_type,
    as_serving_json,
    attributes_of,
)
from inservice.modelserver.frameworks.tensorflow.tensors import Invalid
from inservice.modelserver.program import BadProgram, Program
from inservice.modelserver.settings import settings_from

JSON, LINES, CSV = "application/json", "application/jsonlines", "text/csv"

# ── the front ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "content_type", "instances"),
    [
        ("[1, 2]", JSON, [[1, 2]]),
        ("[[1, 2], [3, 4]]", JSON, [[1, 2], [3, 4]]),
        ('{"x": 1}', JSON, [{"x": 1}]),
        ("7", JSON, [7]),
        ('"a"', JSON, ["a"]),
        ("[1, 2]\n[3, 4]\n", LINES, [[1, 2], [3, 4]]),
        ('{"x": 1}\r\n{"x": 2}', LINES, [{"x": 1}, {"x": 2}]),
        ('{"x": 1} {"x": 2}', "application/jsons", [{"x": 1}, {"x": 2}]),
        ('{"x": [1, 2]}\n{"x": [3]}', JSON, [{"x": [1, 2]}, {"x": [3]}]),
        ("1,2\n3,4", CSV, [[1, 2], [3, 4]]),
        ("1\n2\n", CSV, [1, 2]),
        ("-1.5e3,.5\n", CSV, None),
        ("a,b,c\nd,e,f", CSV, [["a", "b", "c"], ["d", "e", "f"]]),
        ('a\nsay "x"', CSV, ["a", 'say "x"']),
        ('"a","b"\n\n"c","d"', CSV, [["a", "b"], ["c", "d"]]),
    ],
)
def test_a_body_becomes_instances(body: str, content_type: str, instances: Any) -> None:
    written = as_serving_json(body, content_type)
    if instances is None:  # passed on as it is, for TensorFlow Serving to refuse
        assert written == '{"instances":[[-1.5e3,.5]]}'
    else:
        assert json.loads(written) == {"instances": instances}


@pytest.mark.parametrize(
    "body", ['{"instances": [1]}', '{"inputs": {"a": 1}}', '{ "examples" : [{}]}', '{"instances":']
)
def test_what_is_tensorflow_serving_s_passes_as_it_is(body: str) -> None:
    assert as_serving_json(body, JSON) == body


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/json; charset=utf-8"])
def test_a_type_is_known_as_it_is_written(content_type: str | None) -> None:
    with pytest.raises(Unsupported, match=f"Unsupported Media Type: {content_type or 'Unknown'}"):
        as_serving_json("[1]", content_type)


def test_a_header_chooses_the_model() -> None:
    attributes = attributes_of("a=b, tfs-model-name=half,tfs-model-version=2 ,tfs-method=classify")
    assert aim_of(attributes, "first") == Aim("half", "2", "classify")
    assert aim_of(attributes, "first").path == "/v1/models/half/versions/2:classify"
    assert aim_of(attributes_of(""), "first").path == "/v1/models/first:predict"
    assert aim_of(attributes_of("tfs-model-name=,x"), "first").model == "first"


@pytest.mark.parametrize(
    ("accept", "kind", "in_one_line"),
    [
        ("", JSON, False),
        ("*/*", JSON, False),
        (JSON, JSON, True),
        ("application/jsonlines, text/csv", LINES, True),
        ("text/csv, application/json", "text/csv", True),
        ("text/csv", JSON, False),
    ],
)
def test_the_type_of_an_answer(accept: str, kind: str, *, in_one_line: bool) -> None:
    assert answer_type(accept) == (kind, in_one_line)


# ── tensors ──────────────────────────────────────────────────────────────────────────────────────


def inputs(said: Any, **types: str) -> tuple[dict[str, Any], bool]:
    read, rows = tensors.inputs_of(tensors.document(json.dumps(said)), types)
    return {name: (array.tolist(), str(array.dtype)) for name, array in read.items()}, rows


@pytest.mark.parametrize(
    ("value", "kind", "dtype"),
    [
        ([[1, 2.5], [3, 4]], "float", "float32"),
        ([1e300], "double", "float64"),
        ([float("nan"), float("inf")], "float", "float32"),
        ([-1, 2], "int8", "int8"),
        ([2**63], "uint64", "uint64"),
        ([True, False], "bool", "bool"),
        ([], "float", "float32"),
    ],
)
def test_values_become_tensors_of_the_input_s_type(value: Any, kind: str, dtype: str) -> None:
    array = tensors.tensor(value, kind)
    assert array.dtype == dtype
    assert np.array_equal(array, np.array(value, dtype=dtype), equal_nan=dtype.startswith("float"))


def test_strings_are_bytes_and_so_is_base64() -> None:
    array = tensors.tensor([["é", {"b64": "/w=="}], ["a\0", {"b64": "YQ"}]], "string")
    assert array.tolist() == [["é".encode(), b"\xff"], [b"a\0", b"a"]]


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (["a"], "float", 'JSON Value: "a" Type: String is not of expected type: float'),
        ([None], "float", "Type: Null is not of expected type: float"),
        ([True], "float", "Type: True is not of expected type: float"),
        ([1.5], "int32", "JSON Value: 1.5 Type: Number is not of expected type: int32"),
        ([300], "uint8", "Type: Number is not of expected type: uint8"),
        ([2**31], "int32", "is not of expected type: int32"),
        ([1], "string", "is not of expected type: string"),
        ([1], "bool", "is not of expected type: bool"),
        ([1e39], "float", "Cannot convert JSON value: 1e+39 to float without loss"),
        ([2**24], "float", "Cannot convert JSON value: 16777216 to float without loss"),
        ([10**400], "double", "to double without loss of precision"),
        ([1, [2]], "float", "Encountered list at unexpected level: 1 expected < 1"),
        ([[1], 2], "float", "found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ([[1, 2], [3]], "float", "unexpected size: 1 at level: 1 expected size: 2"),
        ([{"a": 1}], "float", "Type: Object is not of expected type: float"),
        ([{"b64": 1}], "string", "not formatted correctly for base64 data"),
        ([{"b64": "§"}], "string", "Unable to base64 decode"),
        ([1], "complex64", "to type: complex64"),
    ],
)
def test_what_is_no_tensor_is_told_in_tensorflow_serving_s_words(
    value: Any, kind: str, words: str
) -> None:
    with pytest.raises(Invalid) as refused:
        tensors.tensor(value, kind)
    assert words in str(refused.value)


def test_rows_of_one_input_are_one_tensor() -> None:
    assert inputs({"instances": [[1, 2], [3, 4]]}, x="float") == (
        {"x": ([[1.0, 2.0], [3.0, 4.0]], "float32")},
        True,
    )
    assert inputs({"instances": [5]}, x="int32") == ({"x": ([5], "int32")}, True)
    assert inputs({"instances": [{"b64": "YQ=="}]}, x="string") == ({"x": ([b"a"], "object")}, True)
    assert inputs({"instances": [{"x": 1}, {"x": 2}]}, x="float")[0]["x"][0] == [1.0, 2.0]


def test_rows_of_several_inputs_and_columns() -> None:
    read, rows = inputs(
        {"instances": [{"a": 1, "b": ["x"]}, {"b": ["y"], "a": 2}]}, a="int64", b="string"
    )
    assert (read, rows) == (
        {"a": ([1, 2], "int64"), "b": ([[b"x"], [b"y"]], "object")},
        True,
    )
    assert inputs({"inputs": {"a": [1], "b": "s", "c": 0}}, a="int64", b="string") == (
        {"a": ([1], "int64"), "b": (b"s", "object")},
        False,
    )
    assert inputs({"inputs": [[1]]}, a="float") == ({"a": ([[1.0]], "float32")}, False)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"instances": 1}, "Excepting 'instances' to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"instances": [1], "inputs": [1]}, "expecting only one of 'inputs' or 'instances'"),
        ({"instances": [1, 2]}, "instances is a plain list, but expecting list of objects"),
        ({"inputs": [1]}, "inputs is a plain value/list, but expecting an object"),
        ({"inputs": {"a": 1}}, "Missing named input: b in 'inputs' object."),
        ({"instances": [{"a": 1, "b": 2}, 3]}, "Expecting object but got list at item 1"),
        ({"instances": [{"a": 1}]}, "keys must be equal to: a,b"),
        ({"instances": [{"a": 1, "z": 2}]}, "does not have named input: z"),
        (
            {"instances": [{"a": 1, "b": 1}, {"a": [1], "b": 1}]},
            "element: 1 key: a of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape []",
        ),
        (
            {"instances": [{"a": [1], "b": 1}, {"a": [1, 2], "b": 1}]},
            "Expecting tensor size: 1 but got: 2",
        ),
    ],
)
def test_a_request_of_another_form_is_told_so(said: Any, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        inputs(said, a="float", b="float")
    assert words in str(refused.value)
    with pytest.raises(Invalid, match="Expecting value/list but got object at item 1"):
        inputs({"instances": [1, {"x": 1}]}, x="float")


@pytest.mark.parametrize("body", ["", "{", "[1]", "7", "[" * 100_000])
def test_what_is_no_object_is_no_request(body: str) -> None:
    with pytest.raises(Invalid, match="JSON"):
        tensors.document(body)


def test_a_signature_is_named_by_a_string() -> None:
    assert tensors.signature_name({"signature_name": "a"}) == "a"
    assert tensors.signature_name({"signature_name": ""}) is None
    with pytest.raises(Invalid, match="'signature_name' key must be a string value"):
        tensors.signature_name({"signature_name": 1})


def test_answers_in_rows_and_in_columns() -> None:
    one = {"y": np.array([[0.2], [3]], dtype=np.float32)}
    two = {**one, "n_bytes": np.array([b"a", b"\xff"], dtype=object)}
    assert tensors.answer(one, rows=True) == '{"predictions": [[0.2], [3.0]]}'
    assert tensors.answer(one, rows=False) == '{"outputs": [[0.2], [3.0]]}'
    assert json.loads(tensors.answer(two, rows=True))["predictions"] == [
        {"n_bytes": {"b64": "YQ=="}, "y": [0.2]},
        {"n_bytes": {"b64": "/w=="}, "y": [3.0]},
    ]
    assert json.loads(tensors.answer(two, rows=False))["outputs"].keys() == {"n_bytes", "y"}
    assert tensors.plain(np.array([b"\xc3\xa9"], dtype=object), "text") == ["é"]
    assert tensors.plain(np.array([True]), "b") == [True]
    assert math.isnan(tensors.plain(np.array([np.nan], dtype=np.float16), "n")[0])


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({}, "empty tensor map"),
        ({"y": np.array(1.0)}, "Tensor name: y has no shape information"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "b has inconsistent batch size: 3 expecting: 2"),
        ({"c": np.zeros(1, dtype=complex)}, "Failed to write JSON value"),
    ],
)
def test_an_answer_that_has_no_rows(outputs: Any, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        tensors.answer(outputs, rows=True)


# ── models in an artifact ────────────────────────────────────────────────────────────────────────


def saved(model_dir: Path, *directories: str) -> Path:
    for directory in directories:
        (model_dir / directory).mkdir(parents=True, exist_ok=True)
        (model_dir / directory / "saved_model.pb").touch()
    return model_dir


def test_models_and_their_versions_are_found_at_any_depth(tmp_path: Path) -> None:
    saved(tmp_path, "half/1", "half/0003", "export/Servo/10", "5", "__MACOSX/half/9", "odd/v1")
    found = found_in(tmp_path)
    assert {name: sorted(versions) for name, versions in found.items()} == {
        "half": [1, 3],
        "Servo": [10],
        "model": [5],
    }
    assert found["half"][3] == tmp_path / "half" / "0003"


def test_a_bare_saved_model_is_one_too(tmp_path: Path) -> None:
    assert found_in(saved(tmp_path, ".")) == {"model": {1: tmp_path}}


def test_none_is_told_in_aws_s_words(tmp_path: Path) -> None:
    saved(tmp_path, "named/v1")
    with pytest.raises(NoModel, match=r"no SavedModel bundles found!.*holds named"):
        found_in(tmp_path)


# ── the REST API ─────────────────────────────────────────────────────────────────────────────────


class NoBundles(Bundles):
    """Versions without models."""

    def __init__(self) -> None:
        self._models = {"half": {1: None, 2: None}}  # type: ignore[dict-item]
        self.default = "half"


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("POST", "/v1/models/x:predict", 404, "Servable not found for request: Latest(x)"),
        ("POST", "/v1/models/half/versions/9:predict", 404, "request: Specific(half, 9)"),
        ("POST", "/v1/models/half:explain", 400, "Malformed request: POST /v1/models/half:explain"),
        ("DELETE", "/v1/models/half", 400, "Malformed request: DELETE /v1/models/half"),
        ("GET", "/v1/models/x", 404, "Could not find any versions of model x"),
        ("GET", "/v1/models/half/versions/9", 404, "Could not find version 9 of model half"),
        ("POST", "/v1/models/half:predict", 400, "JSON Parse error"),
    ],
)
def test_what_is_not_there_is_told_in_tensorflow_serving_s_words(
    method: str, path: str, status: int, words: str
) -> None:
    answered, body = rest.answer(NoBundles(), method, path, b"{")
    assert answered == status
    assert words in json.loads(body)["error"]


def test_the_state_of_a_model() -> None:
    status, body = rest.answer(NoBundles(), "GET", "/v1/models/half", b"")
    assert (status, '"AVAILABLE"' in body) == (200, True)
    versions = json.loads(body)["model_version_status"]
    assert [version["version"] for version in versions] == ["2", "1"]
    assert versions[0]["status"]["error_code"] == "OK"


# ── user code ────────────────────────────────────────────────────────────────────────────────────


def serving(tmp_path: Path, *functions: str, code: bool = True) -> Serving:
    (tmp_path / "code").mkdir(exist_ok=True)
    if code:
        (tmp_path / "code" / "inference.py").touch()
    plug = Serving(Start(settings_from({}, str(tmp_path))))
    plug.use(Program({name: lambda *_: None for name in functions}))
    return plug


def test_which_functions_make_a_program(tmp_path: Path) -> None:
    for fitting in (("handler",), ("input_handler", "output_handler"), ("handler", "model_fn")):
        serving(tmp_path, *fitting)
    assert serving(tmp_path, "handler").whole
    assert not serving(tmp_path, "model_fn", "predict_fn").whole
    for lacking in ((), ("input_handler",), ("output_handler",)):
        with pytest.raises(BadProgram, match="Handlers are not implemented correctly in user scri"):
            serving(tmp_path, *lacking)


def test_without_a_program_none_is_missed(tmp_path: Path) -> None:
    assert serving(tmp_path, code=False).whole


def test_what_user_code_is_told_of_a_request(tmp_path: Path) -> None:
    plug = serving(tmp_path, "handler")
    header = "tfs-model-name=half,tfs-method=classify"
    fields = {b"content-type": b"a/b", b"content-length": b"3"}
    attributes = attributes_of(header)
    context = plug._context(
        Call(b"abc", "a/b", "", fields), header, attributes, aim_of(attributes, "first")
    )
    assert context[:3] == ("half", None, "classify")
    assert context.rest_uri.endswith("/v1/models/half:classify")
    assert context.custom_attributes == header
    assert context[-3:] == ("a/b", JSON, 3)


@pytest.fixture
def port() -> int:
    return listener.listen(lambda method, path, body: (201, f"{method} {path} {body.decode()}"))


def test_user_code_can_ask_by_any_client(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/v1/models/a:predict?x=1", b"body")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (201, b"POST /v1/models/a:predict body")
    connection.request(
        "POST",
        "/v1/x",
        iter([b"bo", b"dy"]),
        encode_chunked=True,
        headers={"Transfer-Encoding": "chunked"},
    )
    assert connection.getresponse().read() == b"POST /v1/x body"
    connection.request("GET", "/v1/models/a")
    assert connection.getresponse().read() == b"GET /v1/models/a "
    connection.close()


def test_nobody_else_s_process_is_answered(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/v1/models/a:predict", b"body")
    assert connection.getresponse().status == 403
    connection.close()


def test_a_connection_is_found_in_the_kernel_s_table() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            assert listener.is_ours(client.getsockname())
        assert not listener.is_ours(("127.0.0.1", 1))
