"""The parts of XGBoost's container that need no XGBoost: bodies, selections, statuses and answers.

With real models the same is asked in tests/images.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.modelserver import recordio
from inservice.modelserver.frameworks.base import NoModel
from inservice.modelserver.frameworks.xgboost import boosters, selectable
from inservice.modelserver.frameworks.xgboost.decoding import Rows, Unreadable, kind_of, read
from inservice.modelserver.settings import BadSetting
from tests.modelserver.asking import Ask, Said, serving
from tests.modelserver.test_recordio import DENSE

CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"
NAN = float("nan")


# ── bodies ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        *((name, "csv") for name in ("text/csv", "csv", "TEXT/CSV", "text/csv; label_size=1")),
        *((name, "csv") for name in ("text/csv;label_size = 1", "text/csv; charset=utf-8")),
        ("text/csv; label_size=1; charset=utf-8", "csv"),
        *((name, "libsvm") for name in ("text/libsvm", "text/x-libsvm", "libsvm", "")),
        ("text/libsvm ;charset=utf8", "libsvm"),
        ("application/x-recordio-protobuf", "recordio-protobuf"),
        ("recordio-protobuf", "recordio-protobuf"),
        ("application/x-parquet", "parquet"),
    ],
)
def test_what_a_type_means(said: str, kind: str) -> None:
    assert kind_of(said) == kind


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("application/json", "is not an accepted ContentType: csv, libsvm, parquet, "),
        ("incorrect_format", "incorrect_format is not an accepted ContentType"),
        ("label_size=1; text/csv", "is not an accepted ContentType"),
        ("text/csv; label_size=5", "Optional parameter label_size must be equal to 1"),
        ("text/csv; label_size=1=1", "Optional parameter label_size must be equal to 1"),
        ("text/csv; label_size=1; label_size=2", "label_size must be equal to 1"),
    ],
)
def test_a_type_that_is_none_is_told_in_aws_s_words(said: str, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        kind_of(said)


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b"1,2\n3,4", [[1, 2], [3, 4]]),
        (b"1,2\r\n3,4\r\n", [[1, 2], [3, 4]]),
        (b"\n1,2\n\n", [[1, 2]]),
        (b"1;2;3", [[1, 2, 3]]),
        (b"1\t2", [[1, 2]]),
        (b"1 2\n3 4", [[1, 2], [3, 4]]),
        (b"1|2", [[1, 2]]),
        (b"7", [[7]]),
        (b"0.5\n0.25", [[0.5], [0.25]]),
        (b"-1.5", [[-1.5]]),
        (b"1e-5,nan,2", [[1e-5, NAN, 2]]),
        (b",1,\n2,,3", [[NAN, 1, NAN], [2, NAN, 3]]),
        (b'"1","2"', [[1, 2]]),
        (b" 1 , 2 ", [[1, 2]]),
    ],
)
def test_csv(body: bytes, rows: list[list[float]]) -> None:
    assert np.array_equal(read(body, CSV).values, np.array(rows), equal_nan=True)


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b"0:1 2:3", [[1, 0, 3]]),
        (b"1:1 3:3", [[1, 0, 3]]),
        (b"1 1:1 3:3\n0 2:5", [[1, 0, 3], [0, 5, 0]]),
        (b"1 0:1\n0\n1 1:2\n0", [[1, 0], [0, 0], [0, 2], [0, 0]]),
        (b"0:1.5\t1:2 # no", [[1.5, 2]]),
        (b"0:1 0:2", [[3]]),
    ],
)
def test_libsvm(body: bytes, rows: list[list[float]]) -> None:
    assert read(body, "text/libsvm").values.toarray().tolist() == rows


def test_a_script_s_libsvm_counts_from_nought() -> None:
    assert read(b"1:1", "libsvm", shifted=False).values.toarray().tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"1,2\n3", CSV, "Loading csv data failed with Exception"),
        (b"a,b", CSV, "please ensure data is in csv format"),
        (b"\xff\xfe", CSV, "Loading csv data failed"),
        (b"1,inf", CSV, "contains `inf`"),
        (b"0:inf", "libsvm", "contains `inf`"),
        (b"a b c", "libsvm", "Loading libsvm data failed with Exception"),
        (b"qid:1 0:2", "libsvm", "please ensure data is in libsvm format"),
        (b"0:", "libsvm", "Loading libsvm data failed"),
        (b"-1:2", "libsvm", "less than 0"),
        (b"99999999999:2", "libsvm", "columns"),
        (b"9" * 30 + b":2", "libsvm", "Loading libsvm data failed"),
        (b"nonsense", recordio.CONTENT_TYPE, "please ensure data is in recordio-protobuf format"),
        (b"PAR1", "application/x-parquet", "Content-type application/x-parquet is not supported."),
    ],
)
def test_a_body_that_is_not_of_its_type(body: bytes, kind: str, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        read(body, kind)


@given(st.binary(max_size=60), st.sampled_from([CSV, "libsvm", recordio.CONTENT_TYPE]))
def test_whatever_is_sent_is_rows_or_unreadable(body: bytes, kind: str) -> None:
    try:
        rows = read(body, kind)
    except Unreadable:
        return
    assert rows.values.ndim == 2


# ── selections ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("objective", "prediction", "said"),
    [
        (
            "binary:logistic",
            0.75,
            {
                "predicted_label": 1,
                "labels": [0, 1],
                "probability": 0.75,
                "probabilities": [0.25, 0.75],
                "raw_score": 0.75,
                "raw_scores": [0.25, 0.75],
            },
        ),
        ("binary:logistic", 0.5, {"predicted_label": 0}),
        ("binary:logitraw", -7.5, {"predicted_label": 0, "raw_score": -7.5, "probability": NAN}),
        ("binary:logitraw", 0.5, {"predicted_label": 1, "raw_scores": [0.5, 0.5]}),
        ("binary:hinge", 1.0, {"predicted_label": 1.0, "raw_scores": [0.0, 1.0]}),
        ("multi:softmax", 2.0, {"predicted_label": 2.0, "labels": [0, 1, 2], "raw_score": 2.0}),
        (
            "multi:softprob",
            [0.25, 0.5, 0.25],
            {
                "predicted_label": 1,
                "labels": [0, 1, 2],
                "probability": 0.5,
                "probabilities": [0.25, 0.5, 0.25],
                "raw_score": 0.5,
                "raw_scores": [0.25, 0.5, 0.25],
            },
        ),
        ("reg:squarederror", -7.0, {"predicted_score": -7.0, "predicted_label": NAN, "foo": NAN}),
        *((f"reg:{o}", 0.5, {"predicted_score": 0.5}) for o in ("logistic", "gamma", "tweedie")),
        ("reg:absoluteerror", 0.5, {"predicted_score": 0.5, "labels": NAN}),
    ],
)
def test_what_each_objective_has(objective: str, prediction: Any, said: dict[str, Any]) -> None:
    rows = selectable.selected(np.array([prediction]), list(said), objective, 3)
    assert len(rows) == 1
    assert set(rows[0]) == set(said)
    for name, value in said.items():
        got = rows[0][name]
        assert got == value or (math.isnan(got) and math.isnan(value)), name


def test_an_objective_without_selections_is_told() -> None:
    with pytest.raises(ValueError, match="Objective `rank:pairwise` unsupported for selectable"):
        selectable.selected(np.array([1.0]), ["labels"], "rank:pairwise", 0)


ROWS = [
    {"predicted_label": 1, "probabilities": [0.4, 0.6]},
    {"predicted_label": 0, "probabilities": [0.9, 0.1]},
]
NAMES = ["predicted_label", "probabilities"]


@pytest.mark.parametrize(
    ("accept", "body"),
    [
        (JSON, json.dumps({"predictions": ROWS}).encode()),
        (
            LINES,
            (
                b'{"predicted_label": 1, "probabilities": [0.4, 0.6]}\n'
                b'{"predicted_label": 0, "probabilities": [0.9, 0.1]}\n'
            ),
        ),
        (CSV, b'1,"[0.4, 0.6]"\n0,"[0.9, 0.1]"'),
    ],
)
def test_selections_are_written(accept: str, body: bytes) -> None:
    assert selectable.encode(ROWS, NAMES, accept) == body


def test_selections_are_labels_of_records() -> None:
    first, second = recordio.read(selectable.encode(ROWS, NAMES, recordio.CONTENT_TYPE))
    assert first.label["predicted_label"].values.tolist() == [1]
    assert second.label["probabilities"].values.tolist() == pytest.approx([0.9, 0.1])


# ── answers, of a model that adds up ─────────────────────────────────────────────────────────────


class Adding:
    """As Boosters: a prediction is the row's sum, as XGBoost's float32."""

    objective, classes = "binary:logistic", 0

    def predict(self, rows: Rows) -> Any:
        if rows.values.shape[1] > 3:
            raise ValueError("too wide")
        values = rows.values.toarray() if hasattr(rows.values, "toarray") else rows.values
        return np.nansum(values, axis=1).astype(np.float32)


@pytest.fixture
def adding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Ask]:
    monkeypatch.setattr(boosters, "load", lambda files: Adding())

    def adding(**environment: str) -> Ask:
        return serving("xgboost", tmp_path, environment)

    return adding


@pytest.mark.parametrize(
    ("body", "kind", "accept", "content_type", "answer"),
    [
        (b"0.5,0.25\n1,2", CSV, None, CSV, b"0.75\n3.0\n"),
        (b"0.5,0.25", CSV, "*/*", CSV, b"0.75\n"),
        (b"0.5,0.25", CSV, "TEXT/CSV; q=1", CSV, b"0.75\n"),
        (b"0.1,0.1", CSV, CSV, CSV, b"0.20000000298023224\n"),
        (b"0:0.5 1:0.25", None, None, CSV, b"0.75\n"),
        (DENSE, recordio.CONTENT_TYPE, None, CSV, b"-0.5\n"),
        (b"0.5,0.25", CSV, JSON, JSON, b'{"predictions": [{"score": 0.75}]}'),
    ],
)
def test_answers(
    adding: Callable[..., Ask],
    body: bytes,
    kind: str | None,
    accept: str | None,
    content_type: str,
    answer: bytes,
) -> None:
    said = adding()(body, kind, accept)
    assert (said.status, said.content_type, said.body) == (200, content_type, answer)


def test_an_empty_body_is_no_content(adding: Callable[..., Ask]) -> None:
    said = adding()(b"", "application/json", "image/png")
    assert (said.status, said.body) == (204, b"")


@pytest.mark.parametrize(
    ("body", "kind", "accept", "status", "words"),
    [
        (b"[1]", JSON, None, 415, b"application/json is not an accepted ContentType"),
        (b"a,b", CSV, None, 415, b"Loading csv data failed"),
        (b"1,2,3,4", CSV, "image/png", 400, b"Unable to evaluate payload provided: too wide"),
        (
            b"1,2",
            CSV,
            "image/png",
            406,
            (
                b"Accept type image/png is not supported. Please use supported accept types: "
                b"['application/json', 'application/jsonlines', 'application/x-recordio-protobuf', "
                b"'text/csv']."
            ),
        ),
        (b"1,2", CSV, LINES, 500, b"<title>500 Internal Server Error</title>"),
        (b"1,2", CSV, recordio.CONTENT_TYPE, 500, b"<title>500 Internal Server Error</title>"),
    ],
)
def test_statuses(
    adding: Callable[..., Ask],
    body: bytes,
    kind: str,
    accept: str | None,
    status: int,
    words: bytes,
) -> None:
    said = adding()(body, kind, accept)
    assert (said.status, said.content_type) == (status, "text/html; charset=utf-8")
    assert words in said.body


def test_a_body_is_as_long_as_max_content_length(adding: Callable[..., Ask]) -> None:
    ask = adding(MAX_CONTENT_LENGTH="5")
    assert ask(b"1,2,3", CSV).status == 200
    assert ask(b"1,2,30", CSV).status == 413
    with pytest.raises(BadSetting, match="MAX_CONTENT_LENGTH"):
        adding(MAX_CONTENT_LENGTH="many")


def test_in_a_batch_transform_lines_are_all_there_is(adding: Callable[..., Ask]) -> None:
    said = adding(SAGEMAKER_BATCH="true")(b"1,2\n3,4", CSV, JSON)
    assert said == Said(200, JSON, b"3.0\n7.0\n", {"content-type": JSON})


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        (JSON, b'{"predictions": [{"predicted_label": 1, "probability": 0.75}]}'),
        (LINES, b'{"predicted_label": 1, "probability": 0.75}\n'),
        (None, b"1,0.75"),
    ],
)
def test_selected_answers(adding: Callable[..., Ask], accept: str | None, answer: bytes) -> None:
    ask = adding(SAGEMAKER_INFERENCE_OUTPUT="predicted_label, Probability")
    said = ask(b"0.5,0.25", CSV, accept)
    assert (said.status, said.content_type, said.body) == (200, accept or CSV, answer)


def test_an_objective_that_cannot_be_selected_of_is_500(
    adding: Callable[..., Ask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Adding, "objective", "rank:pairwise")
    said = adding(SAGEMAKER_INFERENCE_OUTPUT="labels")(b"1,2", CSV, JSON)
    assert said.status == 500
    words = b"Objective `rank:pairwise` unsupported for selectable inference predictions."
    assert said.body == words


def test_the_default_accept_is_the_variable_s(adding: Callable[..., Ask]) -> None:
    assert adding(SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT=JSON)(b"1,2", CSV).content_type == JSON


def test_execution_parameters(adding: Callable[..., Ask]) -> None:
    said = adding(MAX_CONTENT_LENGTH=str(99 << 20))(b"", path="/execution-parameters", method="GET")
    parameters = json.loads(said.body)
    assert parameters.pop("MaxConcurrentTransforms") >= 1
    assert parameters == {"BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 20}


# ── which files are the models ───────────────────────────────────────────────────────────────────


def test_every_file_at_the_top_is_a_model_but_hidden_ones(tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden", "code/inference.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    all_of_it = boosters.files_of(tmp_path, ensemble=True)
    assert [file.name for file in all_of_it] == ["a", "b"]
    assert boosters.files_of(tmp_path, ensemble=False) == all_of_it[:1]
    with pytest.raises(NoModel, match="holds no file"):
        boosters.load([])


def test_the_algorithm_runs_no_code_of_the_artifact(
    adding: Callable[..., Ask], tmp_path: Path
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text("raise SystemExit('never')")
    assert adding()(b"1,2", CSV).status == 200


def test_a_script_has_to_load_its_model(tmp_path: Path) -> None:
    with pytest.raises(NoModel, match="Please provide a model_fn implementation"):
        serving("xgboost", tmp_path, {"SAGEMAKER_PROGRAM": "inference.py"}, predict=None)


@pytest.mark.parametrize("kind", [JSON, "image/png", "application/x-parquet", "csv"])
def test_a_script_s_default_input_reads_rows_only(kind: str, tmp_path: Path) -> None:
    environment = {"SAGEMAKER_PROGRAM": "inference.py"}
    said = serving("xgboost", tmp_path, environment, model_fn=lambda d: None)(b"1,2", kind)
    assert said.status == 415
    assert json.loads(said.body)["error"] == "UnsupportedFormatError"


def test_single_precision_is_written_as_python_writes_it(adding: Callable[..., Ask]) -> None:
    number = struct.unpack("<f", struct.pack("<f", 0.4386190772))[0]
    said = adding()(b"0.4386190772", CSV, JSON)
    assert json.loads(said.body) == {"predictions": [{"score": number}]}
