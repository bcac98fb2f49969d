"""The default handlers of PyTorch's and Hugging Face's containers beside AWS's own code for them.

It runs where `torch`, and PyPI's `sagemaker-pytorch-inference` and
`sagemaker-huggingface-inference-toolkit` are installed, the latter two without what they require.
"""

from __future__ import annotations

import io
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inservice.modelserver.frameworks.huggingface import coding
from inservice.modelserver.frameworks.huggingface.tasks import SUFFIXES, by_architecture
from tests.modelserver.asking import serving

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed here")
pytestmark = [pytest.mark.images, pytest.mark.filterwarnings("ignore")]

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def values(body: bytes, kind: str) -> Any:
    if kind == NPY:
        return np.load(io.BytesIO(body)).tolist()
    if kind == CSV:
        return np.genfromtxt(io.BytesIO(body), delimiter=",")
    return json.loads(body)


@pytest.mark.parametrize("accept", [JSON, CSV, NPY, f"image/png, {JSON}", "image/png"])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[[1, 2, 3], [4, 5, 6]]", JSON),
        (b"[1, 2, 3]", JSON),
        (b"1,2,3\n4,5,6\n", CSV),
        (b"1,2,3", CSV),
        (npy(np.ones((2, 3), dtype=np.float32)), NPY),
        (npy(np.ones((2, 3))), NPY),
        (b'[["a"]]', JSON),
        (b"[[1", JSON),
        (b"[[1, 2]]", JSON),
        (b"x", "text/plain"),
    ],
)
def test_pytorch_s_handlers(tmp_path: Path, body: bytes, kind: str, accept: str) -> None:
    module = "sagemaker_pytorch_serving_container.default_pytorch_inference_handler"
    theirs = pytest.importorskip(module).DefaultPytorchInferenceHandler()
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout(0.5))
    torch.jit.script(net).save(str(tmp_path / "model.pt"))
    said = serving("pytorch", tmp_path)(body, kind, accept)
    try:
        given = body.decode() if kind in (JSON, CSV) else body
        value = theirs.default_input_fn(given, kind)
        predicted = theirs.default_predict_fn(value, theirs.default_model_fn(str(tmp_path)))
        answer = theirs.default_output_fn(predicted, accept)
    except Exception:  # whatever: the container makes one thing of all
        answer = None
    assert said.status == (500 if answer is None else 200), said
    if answer is None:
        return
    written = accept.rpartition(" ")[2]
    raw = answer.encode() if isinstance(answer, str) else answer
    ours, expected = (values(one, written) for one in (said.body, raw))
    assert np.allclose(ours, expected)


@pytest.fixture
def toolkit(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Hugging Face's decoders, with the one class of multi-model-server's that they name."""
    service = types.ModuleType("mms.service")

    class PredictionException(Exception):
        def __init__(self, message: str, error_code: int = 500) -> None:
            super().__init__(message)

    service.__dict__["PredictionException"] = PredictionException
    monkeypatch.setitem(sys.modules, "mms", types.ModuleType("mms"))
    monkeypatch.setitem(sys.modules, "mms.service", service)
    return pytest.importorskip("sagemaker_huggingface_inference_toolkit.decoder_encoder")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"inputs": "\xc3\xa9", "parameters": {"k": 1}}', JSON),
        (b"[1, 2]", JSON),
        (b"{", JSON),
        (b"inputs\na\nb\n", CSV),
        (b"question,context\nq,c\n", CSV),
        (b"a,b\n1,2\n", CSV),
        (b"\x00\x01", "audio/mpeg"),
        (npy(np.ones(3)), NPY),
        (b"x", "text/plain"),
        (b"{}", "application/json; charset=utf-8"),
    ],
)
def test_hugging_face_s_decoders(toolkit: Any, body: bytes, kind: str) -> None:
    try:
        theirs = toolkit.decode(body.decode() if kind in (JSON, CSV) else body, kind)
    except Exception:  # whatever: the container makes one thing of all
        with pytest.raises(Exception, match=r"."):
            coding.decode(body, kind)
        return
    assert np.array_equal(coding.decode(body, kind), theirs)


@pytest.mark.parametrize("accept", [JSON, CSV, NPY, "image/png", "text/plain", "application/*"])
@pytest.mark.parametrize(
    "prediction",
    [
        [{"label": "é", "score": 0.5}, {"label": "b", "score": np.float32(0.25)}],
        [[0.5, 1.0], [2.0, 3.0]],
        {"a": np.arange(3), "b": np.int64(2)},
        [float("nan")],
        "text",
    ],
)
def test_hugging_face_s_encoders(toolkit: Any, prediction: Any, accept: str) -> None:
    try:
        theirs = toolkit.encode(prediction, accept)
    except Exception:  # whatever: the container makes one thing of all
        if accept == CSV and isinstance(prediction, dict):
            return  # a row of its own here
        with pytest.raises(Exception, match=r"."):
            coding.encode(prediction, accept)
        return
    if accept == NPY and not isinstance(prediction, list):
        return  # it pickles what is no array of numbers, which is refused here
    if accept == NPY and isinstance(prediction[0], dict):
        return
    raw = theirs.encode() if isinstance(theirs, str) else theirs
    assert coding.encode(prediction, accept) == raw


def test_hugging_face_s_tasks(toolkit: Any, tmp_path: Path) -> None:
    utils = pytest.importorskip(  # which knows Transformers 4 alone
        "sagemaker_huggingface_inference_toolkit.transformers_utils", exc_type=ImportError
    )
    assert dict(SUFFIXES) == utils.ARCHITECTURES_2_TASK
    config = tmp_path / "config.json"
    for suffix in utils.ARCHITECTURES_2_TASK:
        architecture = {"architectures": [f"X{suffix}"]}
        config.write_text(json.dumps(architecture))
        if suffix != "TapasForQuestionAnswering":  # there the last of two that fit is taken
            theirs = utils.infer_task_from_model_architecture(str(config))
            assert by_architecture(architecture) == theirs
