"""A real scikit-learn artifact without any code, through every content type."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from inservice.runtimes.base import Handle
from tests.contracts.runtime_stages import ProcessStage, files_of
from tests.modelserver.conftest import Serve, settle
from tests.modelserver.unix_http import call

ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [5.0, 2.0, 3.5, 1.0], [6.9, 3.2, 5.7, 2.3]])
"""One flower of each kind, from the data set that the model is fitted to."""

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"


def flowers() -> tuple[Any, Any]:
    """What scikit-learn knows of them. It is imported here and below, and not with this module:
    whoever only collects the tests would wait for it."""
    from sklearn.datasets import load_iris

    found: tuple[Any, Any] = load_iris(return_X_y=True)
    return found


def fitted() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=500).fit(*flowers())


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import joblib

    path = tmp_path_factory.mktemp("artifact") / "model.joblib"
    joblib.dump(fitted(), path)
    return path


@pytest.fixture(scope="module")
def expected(artifact: Path) -> list[int]:
    import joblib

    answer: list[int] = joblib.load(artifact).predict(ROWS).tolist()
    assert len(set(answer)) == 3, "the three rows are told apart"
    return answer


@pytest.fixture(scope="module")
def iris(stage: ProcessStage, artifact: Path) -> Iterator[Handle]:
    import asyncio

    spec = stage.spec(code="", image=IMAGE)
    (files_of(spec) / "code" / "inference.py").unlink()
    shutil.copyfile(artifact, files_of(spec) / "model.joblib")
    stage.again()
    handle = asyncio.run(stage.runtime.launch(spec))
    sight = settle(stage, handle)
    assert sight.state == "Ready", sight
    assert set(sight.phases) == {"fork", "import", "load", "ping"}
    yield handle
    stage.again()
    asyncio.run(stage.runtime.retire(handle, 2))


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


CSV = "\n".join(",".join(map(str, row)) for row in ROWS)
BODIES: dict[str, bytes | str] = {
    "application/json": json.dumps(ROWS.tolist()),
    "application/json; charset=utf-8": json.dumps(ROWS.tolist()),
    "text/csv": CSV,
    "application/x-npy": npy(ROWS),
}


@pytest.mark.parametrize("content_type", BODIES)
def test_every_way_in(iris: Handle, expected: list[int], content_type: str) -> None:
    answer = call(iris.address, BODIES[content_type], content_type=content_type)
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body) == expected


def test_csv_out(iris: Handle, expected: list[int]) -> None:
    answer = call(iris.address, CSV, content_type="text/csv", accept="text/csv")
    assert answer.headers["content-type"] == "text/csv"
    assert answer.body.decode() == "".join(f"{n}\n" for n in expected)


def test_npy_out(iris: Handle, expected: list[int]) -> None:
    answer = call(iris.address, CSV, content_type="text/csv", accept="application/x-npy")
    assert answer.headers["content-type"] == "application/x-npy"
    assert np.load(io.BytesIO(answer.body)).tolist() == expected


def test_instances_are_answered_with_predictions(iris: Handle, expected: list[int]) -> None:
    body = json.dumps({"instances": ROWS.tolist()})
    answer = call(iris.address, body, content_type="application/json")
    assert json.loads(answer.body) == {"predictions": expected}


COLUMNS = ["a", "b", "c", "d"]
SHUFFLED = [2, 0, 3, 1]


def forms(order: list[int]) -> dict[str, Any]:
    """MLflow's two forms of ROWS, with the columns in this order."""
    columns = [COLUMNS[n] for n in order]
    rows = [[row[n] for n in order] for row in ROWS.tolist()]
    return {
        "dataframe_split": {"columns": columns, "data": rows, "index": [7, 8, 9]},
        "dataframe_records": [dict(zip(columns, row, strict=True)) for row in rows],
    }


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records"])
def test_tables_of_mlflow_are_answered_with_predictions(
    iris: Handle, expected: list[int], form: str
) -> None:
    body = json.dumps({form: forms([0, 1, 2, 3])[form]})
    answer = call(iris.address, body, content_type="application/json")
    assert (answer.status, json.loads(answer.body)) == (200, {"predictions": expected})


@pytest.mark.parametrize("batches", ["1", "8"])
def test_their_columns_are_the_models_by_name(
    serve: Serve, tmp_path: Path, expected: list[int], batches: str
) -> None:
    import joblib

    model = fitted()
    model.feature_names_in_ = np.array(COLUMNS, dtype=object)  # as fitted on a DataFrame
    joblib.dump(model, tmp_path / "model.joblib")
    files = {"model.joblib": tmp_path / "model.joblib"}
    handle = serve(image="sklearn", files=files, INSERVICE_MAX_BATCH_SIZE=batches)
    for form, table in forms(SHUFFLED).items():
        answer = call(handle.address, json.dumps({form: table}), content_type="application/json")
        assert (answer.status, json.loads(answer.body)) == (200, {"predictions": expected})
    for form, table in forms(SHUFFLED[:3]).items():
        answer = call(handle.address, json.dumps({form: table}), content_type="application/json")
        assert (answer.status, b"the columns b are missing" in answer.body) == (400, True), answer


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"dataframe_split": [[1]]}, 'the members "columns" and "data"'),
        ({"dataframe_split": {"columns": ["a"]}}, 'the members "columns" and "data"'),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, "has to have 1 fields"),
        ({"dataframe_split": {"columns": 1, "data": []}}, "are arrays"),
        ({"dataframe_records": {"a": 1}}, "is an array of objects"),
        ({"dataframe_records": [[1]]}, "is an array of objects"),
        ({"dataframe_records": [{"a": 1}], "instances": []}, "the one member"),
        ({"dataframe_records": []}, "cannot predict this"),
        ({"dataframe_records": [{"a": 1, "b": 2, "c": 3}, {"d": 1}]}, "contains NaN"),
    ],
)
def test_a_table_that_is_none_says_why(iris: Handle, value: Any, words: str) -> None:
    answer = call(iris.address, json.dumps(value), content_type="application/json")
    assert (answer.status, words in answer.body.decode()) == (400, True), answer


def test_a_predict_fn_of_the_users_gets_what_the_toolkits_give(serve: Serve) -> None:
    code = """
        def predict_fn(value, model):
            return value.item()["instances"]
    """
    answer = call(serve(code).address, '{"instances": [1]}', content_type="application/json")
    assert answer.body == b"[1]"


def test_sparse_matrices_come_in(iris: Handle, expected: list[int]) -> None:
    out = io.BytesIO()
    scipy.sparse.save_npz(out, scipy.sparse.csr_matrix(ROWS))
    answer = call(iris.address, out.getvalue(), content_type="application/x-npz")
    assert (answer.status, json.loads(answer.body)) == (200, expected)


def test_a_zip_of_a_few_bytes_cannot_ask_for_all_memory(iris: Handle) -> None:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("data.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(1025):
            member.write(bytes(1024 * 1024))
    answer = call(iris.address, out.getvalue(), content_type="application/x-npz")
    assert (answer.status, b"unpacked, more than" in answer.body) == (400, True), answer


def test_not_a_number_is_read_as_python_reads_it(iris: Handle) -> None:
    answer = call(iris.address, "[[1, 2, NaN, 4]]", content_type="application/json")
    assert (answer.status, b"contains NaN" in answer.body) == (400, True), answer
    answer = call(iris.address, "1,2,,4", content_type="text/csv")
    assert (answer.status, b"contains NaN" in answer.body) == (400, True), answer


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", json.dumps(ROWS[0].tolist())),
        ("text/csv", CSV.splitlines()[0]),
        ("text/csv", CSV.splitlines()[0] + "\r\n"),
        ("application/x-npy", npy(ROWS[0])),
    ],
)
def test_one_row_is_enough(
    iris: Handle, expected: list[int], content_type: str, body: str | bytes
) -> None:
    answer = call(iris.address, body, content_type=content_type)
    assert json.loads(answer.body) == expected[:1]


def test_json_is_meant_when_nothing_is_said(iris: Handle, expected: list[int]) -> None:
    answer = call(iris.address, BODIES["application/json"])
    assert json.loads(answer.body) == expected


@pytest.mark.parametrize(
    ("status", "content_type", "accept", "body", "words"),
    [
        (415, "image/png", "*/*", "x", "Content type image/png is not supported"),
        (406, "text/csv", "image/png", CSV, "Content type image/png is not supported"),
        (400, "application/json", "*/*", "{", "not readable as application/json"),
        (400, "application/json", "*/*", "", "not readable as application/json"),
        (400, "application/json", "*/*", '{"rows": [[1]]}', 'the one member "instances"'),
        (400, "application/json", "*/*", "[[1, 2], [3]]", "not readable as application/json"),
        (400, "application/json", "*/*", "[" * 100_000, "not readable as application/json"),
        (400, "application/json", "*/*", "[[1, 2, 3]]", "3 features"),
        (400, "application/json", "*/*", '[["a", "b", "c", "d"]]', "cannot predict this"),
        (400, "text/csv", "*/*", "1,2,3,4\n1,2", "differ in their number of fields"),
        (400, "text/csv", "*/*", "\n", "there is no line"),
        (400, "application/x-npy", "*/*", "garbage", "not readable as application/x-npy"),
    ],
)
def test_what_cannot_be_answered_says_why(
    iris: Handle, status: int, content_type: str, accept: str, body: str, words: str
) -> None:
    answer = call(iris.address, body, content_type=content_type, accept=accept)
    assert (answer.status, words in answer.body.decode()) == (status, True), answer


def test_npy_never_unpickles(iris: Handle, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "it went off",))

    body = npy(np.array([Bomb()], dtype=object))
    assert (tmp_path / "it went off").exists() is False
    assert call(iris.address, body, content_type="application/x-npy").status == 400
    assert call(iris.address, pickle.dumps(Bomb()), content_type="application/x-npy").status == 400
    assert not (tmp_path / "it went off").exists()


def test_an_npy_of_a_few_bytes_cannot_ask_for_all_memory(iris: Handle) -> None:
    head = npy(np.zeros((1, 4))).replace(b"(1, 4), }   ", b"(1 << 60,)")
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846976, 4), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    body = head[:8] + len(header).to_bytes(2, "little") + header
    assert call(iris.address, body, content_type="application/x-npy").status == 400
    assert call(iris.address, path="/ping", method="GET").status == 200


def test_words_reach_a_pipeline_as_documents(serve: Serve, tmp_path: Path) -> None:
    import joblib
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(CountVectorizer(), MultinomialNB())
    model.fit(["good fine", "bad poor", "fine good good"], ["yes", "no", "yes"])
    joblib.dump(model, tmp_path / "a.pkl")
    handle = serve(image="sklearn", files={"anything.pkl": tmp_path / "a.pkl"})
    answer = call(handle.address, '["poor", "good"]', content_type="application/json")
    assert json.loads(answer.body) == ["no", "yes"]


def test_the_default_accept_is_a_setting(serve: Serve, artifact: Path, expected: list[int]) -> None:
    handle = serve(
        image="sklearn",
        files={"model.joblib": artifact},
        SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/csv",
    )
    for accept in ({}, {"accept": "*/*"}):
        answer = call(handle.address, CSV, content_type="text/csv", **accept)
        assert answer.body.decode() == "".join(f"{n}\n" for n in expected)


def test_batches_give_what_single_predictions_give(serve: Serve, artifact: Path) -> None:
    import joblib

    handle = serve(
        image="sklearn",
        files={"model.joblib": artifact},
        INSERVICE_MAX_BATCH_SIZE="16",
        INSERVICE_MAX_BATCH_DELAY_MS="20",
    )
    model, (x, _) = joblib.load(artifact), flowers()

    def ask(n: int) -> tuple[int, bytes]:
        rows = x[n : n + 1 + n % 3].tolist() if n % 10 else [[1, 2, 3]]
        answer = call(handle.address, json.dumps(rows), content_type="application/json")
        return answer.status, answer.body

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(100)))
    for n, (status, body) in enumerate(answers):
        if n % 10:
            assert (status, json.loads(body)) == (200, model.predict(x[n : n + 1 + n % 3]).tolist())
        else:
            assert (status, b"3 features" in body) == (400, True)
