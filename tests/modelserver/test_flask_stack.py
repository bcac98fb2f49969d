"""AWS's scikit-learn container: what its image's URI makes of requests, handlers and errors."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sagemaker_inference.errors import UnsupportedFormatError
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression

from tests.modelserver.asking import Ask, Said, serving

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"


def model_fn(model_dir: str) -> Any:
    return LinearRegression().fit([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0.0, 1.0, 2.0])


@pytest.fixture(scope="module")
def adding() -> Ask:
    """A model of two numbers, behind the container's defaults."""
    return serving("sklearn", model_fn=model_fn)


def npy(value: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, value)
    return out.getvalue()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"[[1, 0], [1, 1]]", JSON),
        (b"[[1, 0], [1, 1]]", None),
        (b"1,0\n1,1\n", CSV),
        (npy([[1, 0], [1, 1]]), NPY),
        (b'[["1", "0"], ["1", "1"]]', JSON),
        (b"1,0\n1,1", "text/csv; charset=utf-8"),
    ],
)
def test_what_the_defaults_read(adding: Ask, body: bytes, content_type: str | None) -> None:
    said = adding(body, content_type)
    assert (said.status, said.content_type) == (200, JSON)
    assert json.loads(said.body) == pytest.approx([1, 3])


@pytest.mark.parametrize(
    ("accept", "kind", "read"),
    [
        (JSON, JSON, json.loads),
        (None, JSON, json.loads),
        ("*/*", JSON, json.loads),
        (CSV, CSV, lambda body: [float(line) for line in body.decode().splitlines()]),
        (NPY, NPY, lambda body: np.load(io.BytesIO(body)).tolist()),
    ],
)
def test_what_the_defaults_write(
    adding: Ask, accept: str | None, kind: str, read: Callable[[bytes], Any]
) -> None:
    said = adding(b"[[1, 0], [1, 1]]", JSON, accept)
    assert (said.status, said.content_type) == (200, kind)
    assert read(said.body) == pytest.approx([1, 3])


def test_the_default_accept_is_the_variable_s() -> None:
    ask = serving(
        "sklearn", environment={"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": CSV}, model_fn=model_fn
    )
    assert ask(b"[[1, 0]]", JSON).content_type == CSV
    assert ask(b"[[1, 0]]", JSON, JSON).content_type == JSON


def error_of(said: Said) -> str:
    assert said.content_type == JSON
    error = json.loads(said.body)
    assert set(error) == {"error", "error-message", "stack-trace"}
    assert error["error"] == "UnsupportedFormatError"
    assert error["stack-trace"].endswith(error["error-message"])
    return str(error["error-message"])


@pytest.mark.parametrize("kind", ["image/png", "application/jsonlines", "", "nonsense"])
def test_a_type_that_is_not_read_is_415_in_json(adding: Ask, kind: str) -> None:
    said = adding(b"[[1, 0]]", kind)
    assert said.status == 415
    assert error_of(said).startswith(f"Content type {kind} is not supported by this framework.")


@pytest.mark.parametrize("kind", ["image/png", "application/jsonlines", "text/html"])
def test_a_type_that_is_not_written_is_406_in_json(adding: Ask, kind: str) -> None:
    said = adding(b"[[1, 0]]", JSON, kind)
    assert said.status == 406
    assert error_of(said).startswith(f"Content type {kind} is not supported by this framework.")


def raising(error: Exception) -> Callable[..., Any]:
    def fn(first: Any, second: Any) -> Any:
        raise error

    return fn


def transforming(error: Exception) -> Callable[..., Any]:
    def transform_fn(model: Any, body: Any, content_type: str, accept: str) -> Any:
        raise error

    return transform_fn


class Deep(UnsupportedFormatError):  # type: ignore[misc]
    """A user's own subclass of the toolkit's."""


@pytest.mark.parametrize("error", [UnsupportedFormatError("a/b"), Deep("a/b")])
@pytest.mark.parametrize(
    ("handler", "status"), [("input_fn", 415), ("output_fn", 406), ("predict_fn", 500)]
)
def test_the_toolkit_s_error_means_what_its_place_does(
    handler: str, status: int, error: Exception
) -> None:
    functions: dict[str, Any] = {handler: raising(error)}
    ask = serving("sklearn", model_fn=model_fn, **functions)
    said = ask(b"[[1, 0]]", JSON)
    assert said.status == status
    if status != 500:
        assert "a/b" in error_of(said)


def test_in_transform_fn_it_is_an_error_like_any() -> None:
    ask = serving(
        "sklearn", model_fn=model_fn, transform_fn=transforming(UnsupportedFormatError("a/b"))
    )
    assert ask(b"x", JSON).status == 500


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"[[1, 0", JSON), (b"\xff", CSV), (b"[[1, 2, 3]]", JSON), (b"bad", NPY), (b"a,b", CSV)],
)
def test_what_cannot_be_read_or_predicted_is_flask_s_page(
    adding: Ask, body: bytes, kind: str
) -> None:
    said = adding(body, kind)
    assert (said.status, said.content_type) == (500, "text/html; charset=utf-8")
    assert b"<title>500 Internal Server Error</title>" in said.body


def test_the_page_says_what_was_raised_and_nothing_of_it_is_markup() -> None:
    ask = serving("sklearn", model_fn=model_fn, transform_fn=transforming(KeyError("<b>'x'")))
    said = ask(b"x", JSON)
    assert b"KeyError: \"&lt;b&gt;'x'\"" in said.body
    assert b"Traceback" not in said.body


class Abort(Exception):
    """As werkzeug's, which `flask.abort` raises."""

    code = 422

    def get_body(self) -> str:
        return "<p>not like that</p>"


def test_an_abort_of_flask_s_is_its_own_answer() -> None:
    ask = serving("sklearn", model_fn=model_fn, input_fn=raising(Abort()))
    assert ask(b"x", JSON) == Said(
        422,
        "text/html; charset=utf-8",
        b"<p>not like that</p>",
        {"content-type": "text/html; charset=utf-8"},
    )


def seeing(**how: Any) -> Ask:
    """A program whose predict_fn tells what it was given."""

    def predict_fn(value: Any, model: Any) -> list[Any]:
        return [type(value).__name__, str(value.dtype), list(value.shape)]

    return serving("sklearn", model_fn=lambda d: None, predict_fn=predict_fn, **how)


@pytest.mark.parametrize(
    ("body", "kind", "shape"),
    [
        (b"[[1, 2], [3, 4]]", JSON, [2, 2]),
        (b"[1, 2]", JSON, [2]),
        (b"1,2\n3,4", CSV, [2, 2]),
        (b"1,2", CSV, [2]),
        (b"1\n2\n3", CSV, [3]),
        (b"1", CSV, []),
    ],
)
def test_a_predict_fn_gets_the_array_that_it_gets_there(
    body: bytes, kind: str, shape: list[int]
) -> None:
    assert json.loads(seeing()(body, kind).body) == ["ndarray", "float32", shape]


def test_npy_stays_what_it_is() -> None:
    assert json.loads(seeing()(npy(np.array([[1, 2]])), NPY).body) == ["ndarray", "int64", [1, 2]]


@pytest.mark.parametrize(
    ("body", "kind", "answer"),
    [
        (b'{"instances": [[1, 0], [1, 1]]}', JSON, {"predictions": [1, 3]}),
        (b"[1, 1]", JSON, [3]),
        (b"1,1", CSV, [3]),
    ],
)
def test_where_aws_fails_these_go_on(adding: Ask, body: bytes, kind: str, answer: Any) -> None:
    said = json.loads(adding(body, kind).body)
    if isinstance(answer, dict):
        said, answer = said["predictions"], answer["predictions"]
    assert said == pytest.approx(answer)


def test_without_a_program_the_pickle_is_the_model(tmp_path: Path) -> None:
    joblib.dump(DummyClassifier().fit([["a"], ["b"]], ["x", "x"]), tmp_path / "model.joblib")
    ask = serving("sklearn", tmp_path)
    assert json.loads(ask(b'[["c"]]', JSON).body) == ["x"]
    assert error_of(ask(b"x", "image/png")).startswith("Content type image/png")
    assert ask(b"[[1]]", JSON, "image/png").status == 406


def test_without_a_program_numbers_stay_what_they_are_and_bad_ones_are_400(tmp_path: Path) -> None:
    joblib.dump(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), tmp_path / "model.joblib")
    ask = serving("sklearn", tmp_path)
    assert json.loads(ask(b"[[16777217]]", JSON).body) == pytest.approx([16777217], abs=0.01)
    for body in (b"[[1, 2]]", b"[[1", b'{"foo": 1}', b'[["a"]]'):
        said = ask(body, JSON)
        assert (said.status, said.content_type) == (400, "text/plain; charset=utf-8"), body


def test_execution_parameters_are_the_function_s() -> None:
    said = {"MaxConcurrentTransforms": 2, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}
    ask = serving("sklearn", model_fn=model_fn, execution_parameters_fn=lambda: said)
    answer = ask(b"", path="/execution-parameters", method="GET")
    assert (answer.status, answer.content_type) == (200, JSON)
    assert json.loads(answer.body) == said


@pytest.mark.parametrize(
    ("functions", "method"),
    [({}, "GET"), ({"execution_parameters_fn": lambda: {"MaxPayloadInMB": 6}}, "POST")],
)
def test_without_the_function_there_are_none(functions: dict[str, Any], method: str) -> None:
    ask = serving("sklearn", model_fn=model_fn, **functions)
    with pytest.raises(AssertionError):
        ask(b"", path="/execution-parameters", method=method)
