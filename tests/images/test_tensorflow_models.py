"""TensorFlow's container with real SavedModels. It runs where TensorFlow is installed."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from inservice.modelserver.frameworks.base import NoModel
from inservice.modelserver.settings import BadSetting
from tests.modelserver.asking import Said, serving

tf: Any = pytest.importorskip("tensorflow", reason="TensorFlow is not installed here")
pytestmark = [pytest.mark.images, pytest.mark.filterwarnings("ignore")]

CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"


def example_parser(serialized: Any) -> Any:
    parsed = tf.io.parse_example(serialized, {"x": tf.io.FixedLenFeature([2], tf.float32)})
    return parsed["x"]


class Half(tf.Module):  # type: ignore[misc]
    """Halves, and two more signatures."""

    def __init__(self, divisor: float) -> None:
        super().__init__()
        self.divisor = tf.Variable(divisor)

    def halved(self, x: Any) -> Any:
        return {"y": x / self.divisor}

    def words(self, n: Any, s: Any) -> Any:
        return {"upper": tf.strings.upper(s), "more": n + 1, "raw_bytes": s}


def save(directory: Path, divisor: float = 2.0) -> None:
    module = Half(divisor)
    spec = tf.TensorSpec
    halved = tf.function(
        module.halved, input_signature=[spec([None, 2], tf.float32)], autograph=False
    )
    words = tf.function(
        module.words,
        input_signature=[spec([None, 1], tf.int64), spec([None], tf.string)],
        autograph=False,
    )
    signatures = {"serving_default": halved, "words": words}
    tf.saved_model.save(module, str(directory), signatures=signatures)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a model, and another one deeper down."""
    root = tmp_path_factory.mktemp("artifact")
    save(root / "half" / "1", 2.0)
    save(root / "half" / "2", 4.0)
    save(root / "export" / "other" / "7", 8.0)
    return root


def said_by(said: Said, status: int = 200) -> Any:
    assert said.status == status, said
    return json.loads(said.body)


def test_the_shapes_of_requests_and_answers(artifact: Path) -> None:
    ask = serving("tensorflow", artifact, {"SAGEMAKER_TFS_DEFAULT_MODEL_NAME": "half"})
    rows = {"predictions": [[0.25, 0.5], [0.75, 1.0]]}
    for body, content_type in (
        (b'{"instances": [[1, 2], [3, 4]]}', JSON),
        (b'{"instances": [{"x": [1, 2]}, {"x": [3, 4]}]}', JSON),
        (b"[[1, 2], [3, 4]]", JSON),
        (b"[1, 2]\n[3, 4]", LINES),
        (b"1,2\n3,4\n", CSV),
    ):
        assert said_by(ask(body, content_type)) == rows
    assert said_by(ask(b'{"inputs": {"x": [[1, 2]]}}', JSON)) == {"outputs": [[0.25, 0.5]]}
    said = ask(b"[[1, 2]]", JSON, "application/jsonlines")
    assert (said.content_type, said.body.count(b"\n")) == (LINES, 0)


def test_models_and_versions_are_chosen_by_the_header(artifact: Path) -> None:
    ask = serving("tensorflow", artifact, {"SAGEMAKER_TFS_DEFAULT_MODEL_NAME": "half"})

    def chosen(attributes: str) -> Said:
        return ask(b"[[8, 8]]", JSON, **{"x-amzn-sagemaker-custom-attributes": attributes})

    classified = chosen("tfs-method=classify")
    assert said_by(chosen("tfs-model-version=1"))["predictions"] == [[4.0, 4.0]]
    assert said_by(chosen("tfs-model-name=other"))["predictions"] == [[1.0, 1.0]]
    assert "Specific(half, 9)" in said_by(chosen("tfs-model-version=9"), 404)["error"]
    assert "Latest(zork)" in said_by(chosen("tfs-model-name=zork"), 404)["error"]
    assert "Was: tensorflow/serving/predict" in said_by(classified, 400)["error"]


def test_signatures_with_several_inputs_and_strings(artifact: Path) -> None:
    ask = serving("tensorflow", artifact, {"SAGEMAKER_TFS_DEFAULT_MODEL_NAME": "half"})
    body = {
        "signature_name": "words",
        "instances": [{"n": [1], "s": "é"}, {"n": [2], "s": {"b64": "YWI="}}],
    }
    assert said_by(ask(json.dumps(body).encode(), JSON))["predictions"] == [
        {"more": [2], "raw_bytes": {"b64": "w6k="}, "upper": "é"},
        {"more": [3], "raw_bytes": {"b64": "YWI="}, "upper": "AB"},
    ]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "words"),
    [
        (b"x", "text/plain", 415, "Unsupported Media Type: text/plain"),
        (b"x", None, 415, "Unsupported Media Type: Unknown"),
        (b"{", JSON, 400, "JSON Parse error"),
        (b'{"instances": [["a", "b"]]}', JSON, 400, "is not of expected type: float"),
        (b'{"signature_name": "z", "instances": [1]}', JSON, 400, "not found in signature def"),
        (b'{"examples": [{"x": [1.5, 2.5]}]}', JSON, 400, "Missing 'inputs' or 'instances' key"),
    ],
)
def test_errors_are_tensorflow_serving_s(
    artifact: Path, body: bytes, content_type: str | None, status: int, words: str
) -> None:
    ask = serving("tensorflow", artifact, {"SAGEMAKER_TFS_DEFAULT_MODEL_NAME": "half"})
    assert words in said_by(ask(body, content_type), status)["error"]


def test_user_code_around_the_rest_api(artifact: Path) -> None:
    pytest.importorskip("requests")
    seen: list[Any] = []

    def input_handler(data: Any, context: Any) -> str:
        seen.append(context)
        return json.dumps({"instances": [[float(v) for v in data.read().decode().split()]]})

    def output_handler(response: Any, context: Any) -> tuple[bytes, str]:
        if response.status_code != 200:
            raise ValueError(response.content.decode())
        return response.content, "application/x-mine"

    ask = serving(
        "tensorflow",
        artifact,
        {"SAGEMAKER_TFS_DEFAULT_MODEL_NAME": "half"},
        input_handler=input_handler,
        output_handler=output_handler,
    )
    said = ask(b"4 8", "text/x-numbers")
    assert said_by(said) == {"predictions": [[1.0, 2.0]]}
    assert said.content_type == "application/x-mine"
    assert seen[0].request_content_type == "text/x-numbers"
    assert seen[0].rest_uri.endswith("/v1/models/half:predict")
    assert "could not convert" in said_by(ask(b"four", "text/x-numbers"), 500)["error"]


def test_one_handler_does_all_and_is_asked_from_many_threads(artifact: Path) -> None:
    requests = pytest.importorskip("requests")

    def handler(data: Any, context: Any) -> tuple[bytes, str]:
        answers: list[Any] = []
        body = data.read()

        def post() -> None:
            answers.append(requests.post(context.rest_uri, data=body).json())

        threads = [threading.Thread(target=post) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        status = requests.get(context.rest_uri.rpartition(":")[0]).json()
        return json.dumps([answers, status]).encode(), JSON

    ask = serving(
        "tensorflow", artifact, {"SAGEMAKER_TFS_DEFAULT_MODEL_NAME": "half"}, handler=handler
    )
    answers, status = said_by(ask(b'{"instances": [[4, 8]]}', JSON))
    assert answers == [{"predictions": [[1.0, 2.0]]}] * 3
    assert [v["version"] for v in status["model_version_status"]] == ["2", "1"]


def test_classification_by_examples(tmp_path: Path) -> None:
    module = tf.Module()

    def classify(inputs: Any) -> Any:
        scores = example_parser(inputs)
        return {"scores": scores, "classes": tf.tile([["a", "b"]], [tf.shape(scores)[0], 1])}

    function = tf.function(
        classify, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
    )
    directory = tmp_path / "classes" / "1"
    tf.saved_model.save(module, str(directory), signatures={"serving_default": function})
    saved = __import__("tensorflow.core.protobuf.saved_model_pb2", fromlist=["x"]).SavedModel()
    saved.ParseFromString((directory / "saved_model.pb").read_bytes())
    signature = saved.meta_graphs[0].signature_def["serving_default"]
    ask = serving("tensorflow", tmp_path)
    header = {"x-amzn-sagemaker-custom-attributes": "tfs-method=classify"}
    body = b'{"examples": [{"x": [0.25, 0.75]}, {"x": [1.5, 2.5]}]}'
    assert "Was: tensorflow/serving/predict" in said_by(ask(body, JSON, **header), 400)["error"]
    signature.method_name = "tensorflow/serving/classify"
    (directory / "saved_model.pb").write_bytes(saved.SerializeToString())
    ask = serving("tensorflow", tmp_path)
    assert said_by(ask(body, JSON, **header))["results"] == [
        [["a", 0.25], ["b", 0.75]],
        [["a", 1.5], ["b", 2.5]],
    ]


def test_a_keras_model_is_exported_and_served(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
    model.export(str(tmp_path / "dense" / "1"), verbose=False)
    ask = serving("tensorflow", tmp_path)
    predicted = said_by(ask(b"[[1, 2, 3]]", JSON))["predictions"]
    assert predicted[0] == pytest.approx(
        model(tf.constant([[1.0, 2, 3]])).numpy()[0].tolist(), 1e-4
    )


def test_what_is_not_there(tmp_path: Path, artifact: Path) -> None:
    with pytest.raises(NoModel, match="no SavedModel bundles found!"):
        serving("tensorflow", tmp_path)
    with pytest.raises(BadSetting, match=r"MODEL_NAME is 'zork', and the artifact has other, half"):
        serving("tensorflow", artifact, {"SAGEMAKER_TFS_DEFAULT_MODEL_NAME": "zork"})
