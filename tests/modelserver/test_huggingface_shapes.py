"""Hugging Face's container without Transformers: tasks, bodies, errors, the way to the hub."""

from __future__ import annotations

import datetime
import importlib
import io
import json
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inservice.modelserver.calls import Call
from inservice.modelserver.frameworks.base import Start
from inservice.modelserver.frameworks.huggingface import Pipelines, coding, error_page, hub
from inservice.modelserver.frameworks.huggingface.tasks import NoTask, by_architecture, task_of
from inservice.modelserver.settings import BadSetting, settings_from
from inservice.modelserver.stacks.toolkit import UnsupportedFormatError

KNOWN = ("text-classification", "fill-mask")


def container(**environment: str) -> Pipelines:
    return Pipelines(Start(settings_from(environment, "/m")))


def body_of(response: Any) -> Any:
    return json.loads(response.body)


# ── which pipeline ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("BertForSequenceClassification", "text-classification"),
        ("DistilBertForTokenClassification", "token-classification"),
        ("RobertaForQuestionAnswering", "question-answering"),
        ("TapasForQuestionAnswering", "table-question-answering"),
        ("BertForMultipleChoice", "multiple-choice"),
        ("XLMRobertaForMaskedLM", "fill-mask"),
        ("LlamaForCausalLM", "text-generation"),
        ("GPT2LMHeadModel", "text-generation"),
        ("BartForConditionalGeneration", "text2text-generation"),
        ("MarianMTModel", "text2text-generation"),
        ("EncoderDecoderModel", "text2text-generation"),
        ("T5WithLMHeadModel", "text2text-generation"),
        ("WhisperForConditionalGeneration", "automatic-speech-recognition"),
        ("ViTForImageClassification", "image-classification"),
        ("Wav2Vec2ForCTC", "automatic-speech-recognition"),
    ],
)
def test_an_architecture_tells_its_task(architecture: str, task: str) -> None:
    assert by_architecture({"architectures": [architecture, "Other"]}) == task


@pytest.mark.parametrize(
    "config",
    [
        *({}, {"architectures": None}, {"architectures": []}, {"architectures": [7]}),
        *({"architectures": ["BertModel"]}, {"architectures": "BertForMaskedLM"}),
    ],
)
def test_one_that_tells_none_is_named_in_the_toolkit_s_words(config: dict[str, Any]) -> None:
    with pytest.raises(NoTask, match=r"Task couldn't be inferenced from .*Use env `HF_TASK`"):
        by_architecture(config)


def test_hf_task_wins_over_the_files(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["BertForMaskedLM"]}')
    assert task_of(tmp_path, {"HF_TASK": "ner"}, KNOWN) == "ner"
    assert task_of(tmp_path, {"HF_TASK": " "}, KNOWN) == "fill-mask"
    (tmp_path / "config.json").rename(tmp_path / "model_index.json")
    assert task_of(tmp_path, {}, KNOWN) == "text-to-image"


def test_files_that_tell_none_are_told_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(NoTask, match=r"one of the following \['fill-mask', 'text-class.*HF_TASK"):
        task_of(tmp_path, {}, KNOWN)
    for broken in ("{", "[]", "\udcff"):
        (tmp_path / "config.json").write_bytes(broken.encode(errors="surrogateescape"))
        with pytest.raises(NoTask, match=r"config\.json"):
            task_of(tmp_path, {}, KNOWN)


@pytest.mark.parametrize("said", ["maybe", "2", "ja"])
def test_whether_code_is_trusted_is_said_clearly(said: str) -> None:
    with pytest.raises(BadSetting, match=f"HF_TRUST_REMOTE_CODE is '{said}'"):
        container(HF_TRUST_REMOTE_CODE=said)


# ── bodies ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b'{"inputs": "a", "x": NaN}', "application/json", None),
        (b"inputs\na\nb\n", "text/csv", {"inputs": ["a", "b"]}),
        (b'INPUTS,inputs\n1,"a,b"\n', "text/csv", {"inputs": ["a,b"]}),
        (
            b"question,context\nq,c\n",
            "text/csv",
            {"inputs": [{"question": "q", "context": "c"}]},
        ),
        (b"\x00\xff", "audio/x-flac", {"inputs": b"\x00\xff"}),
        (b"x", "audio/wave", {"inputs": b"x"}),
    ],
)
def test_what_a_body_is_to_a_pipeline(body: bytes, content_type: str, value: Any) -> None:
    read = coding.decode(body, content_type)
    assert read["inputs"] == "a" if value is None else read == value


@pytest.mark.parametrize("body", [b"", b"a,b\n1,2\n", b"inputs\n", b"text\na\n"])
def test_a_csv_without_a_header_that_is_known(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"Header|header"):
        coding.decode(body, "text/csv")


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/json; charset=utf-8", "Application/JSON"]
)
def test_a_type_is_known_as_it_is_written(content_type: str | None) -> None:
    with pytest.raises(UnsupportedFormatError, match=r"is not supported by this framework\."):
        coding.decode(b"{}", content_type)
    with pytest.raises(UnsupportedFormatError):
        coding.encode([], content_type or "text/plain")


def test_json_is_compact_and_holds_what_pipelines_return() -> None:
    answer: list[Any] = [
        {
            "l": "é",
            "s": np.float32(0.5),
            "at": datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC),
        }
    ]
    answer.append({"array": np.array([[1, 2]]), "n": np.int64(3)})
    assert coding.encode(answer, "application/json") == (
        '[{"l":"é","s":0.5,"at":"2020-01-02 00:00:00+00:00"},{"array":[[1,2]],"n":3}]'.encode()
    )


@pytest.mark.parametrize("value", [float("nan"), [np.float64("inf")], {"a": -float("inf")}])
def test_json_never_holds_what_is_no_json(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        coding.encode(value, "application/json")


def test_json_of_half_a_character_is_still_utf_8() -> None:
    assert json.loads(coding.encode(["\ud83d"], "application/json").decode()) == ["\ud83d"]


def test_an_answer_as_csv_has_the_first_one_s_columns() -> None:
    rows = [{"label": "a", "score": 1}, {"label": "b", "score": 2}]
    assert coding.encode(rows, "text/csv") == b"label,score\r\na,1\r\nb,2\r\n"
    assert coding.encode(rows[0], "text/csv") == b"label,score\r\na,1\r\n"
    for odd in ([], [[1]], "text"):
        with pytest.raises(TypeError, match="no rows"):
            coding.encode(odd, "text/csv")


def test_an_answer_as_npy() -> None:
    body = coding.encode([[1.5, 2.5]], "application/x-npy")
    assert np.load(io.BytesIO(body)).tolist() == [[1.5, 2.5]]


def call(body: bytes, content_type: str | None = "application/json") -> Call:
    fields = {} if content_type is None else {b"content-type": content_type.encode()}
    return Call(body, content_type or "application/json", "", fields)


def test_inputs_and_parameters_are_the_pipeline_s_arguments() -> None:
    heard: list[Any] = []

    def pipeline(inputs: Any, **parameters: Any) -> str:
        heard.append((inputs, parameters))
        return "answer"

    plug = container()
    for body in (
        b'{"inputs": "a", "parameters": {"top_k": 2}}',
        b'{"question": "q", "context": "c"}',
        b'{"inputs": {"a": 1}, "other": 1}',
    ):
        assert plug.predict(plug.decode(call(body)), pipeline) == "answer"
    assert heard == [
        ("a", {"top_k": 2}),
        ({"question": "q", "context": "c"}, {}),
        ({"a": 1}, {}),
    ]
    for odd in (b"[1]", b'"a"', b"3", b"null"):
        with pytest.raises(TypeError, match='object with "inputs"'):
            plug.predict(plug.decode(call(odd)), pipeline)


def test_without_a_content_type_there_is_nothing_to_read_by() -> None:
    with pytest.raises(UnsupportedFormatError, match="Content type None"):
        container().decode(call(b"{}", None))


@pytest.mark.parametrize("task", ["zero-shot-classification", "table-question-answering"])
def test_nested_inputs_are_not_read_from_csv(task: str) -> None:
    with pytest.raises(ValueError, match=f"text/csv not support with {task}"):
        container(HF_TASK=task).decode(call(b"inputs\na\n", "text/csv"))


def test_json_is_what_no_accept_means_whatever_the_environment_says() -> None:
    assert container().default_accept("text/csv") == "application/json"


# ── errors ───────────────────────────────────────────────────────────────────────────────────────


def test_every_error_is_a_400_of_the_model_server_s() -> None:
    for error in (ValueError("no"), KeyError("x"), UnsupportedFormatError("a/b"), OSError(5, "io")):
        response = container().failure(error)
        assert (response.status, dict(response.headers)[b"content-type"]) == (
            400,
            b"application/json",
        )
        assert body_of(response) == {
            "code": 400,
            "type": "InternalServerException",
            "message": str(error),
        }
    response = container().failure(MemoryError())
    assert (response.status, body_of(response)["message"]) == (507, "Out of resources")
    assert error_page(400, "x").body == (
        b'{\n  "code": 400,\n  "type": "InternalServerException",\n  "message": "x"\n}\n'
    )


# ── the hub ──────────────────────────────────────────────────────────────────────────────────────


def test_what_a_model_id_names(tmp_path: Path) -> None:
    assert hub.named({}, tmp_path) is None
    assert hub.named({"HF_MODEL_ID": " "}, tmp_path) is None
    assert hub.named({"HF_MODEL_ID": "org/name"}, tmp_path) == "org/name"
    assert hub.named({"HF_MODEL_ID": "/opt/ml/model"}, tmp_path) == tmp_path
    assert hub.named({"HF_MODEL_ID": "/opt/ml/model/sub"}, tmp_path) == tmp_path / "sub"
    assert hub.named({"HF_MODEL_ID": "/data/m"}, tmp_path) == Path("/data/m")


def test_a_hub_that_cannot_be_reached_is_named_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for endpoint in (f"http://127.0.0.1:{port}", "https://", "http://nowhere.invalid"):
        with pytest.raises(hub.HubUnreachable) as refused:
            hub.fetch("org/name", {"HF_ENDPOINT": endpoint})
        assert "HF_MODEL_ID is 'org/name'" in str(refused.value)
        assert endpoint in str(refused.value)
        assert "ModelDataUrl" in str(refused.value)


def test_settings_that_were_read_too_early_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a fork of a process that imported the hub's client before it had this Environment."""
    package = tmp_path / "huggingface_hub"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "constants.py").write_text(
        "import os\nHF_HOME = os.environ.get('HF_HOME', 'default')\n"
        "HF_HUB_OFFLINE = os.environ.get('HF_HUB_OFFLINE') == '1'\nOTHER = object()\n"
    )
    (package / "file_download.py").write_text("from .constants import HF_HOME, HF_HUB_OFFLINE\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("HF_HOME", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    downloads = importlib.import_module("huggingface_hub.file_download")
    constants = importlib.import_module("huggingface_hub.constants")
    try:
        assert (downloads.HF_HOME, downloads.HF_HUB_OFFLINE) == ("default", False)
        hub.read_again({"PATH": "/bin"})
        assert constants.HF_HOME == "default"
        hub.read_again({"HF_HOME": "/mine", "HF_HUB_OFFLINE": "1"})
        assert (constants.HF_HOME, constants.HF_HUB_OFFLINE) == ("/mine", True)
        assert (downloads.HF_HOME, downloads.HF_HUB_OFFLINE) == ("/mine", True)
    finally:
        for name in [n for n in sys.modules if n.startswith("huggingface_hub")]:
            del sys.modules[name]
