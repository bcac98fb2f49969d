"""Language models without llama.cpp: requests, answers, errors, heads of files, settings."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from inservice.modelserver.frameworks.base import NoModel, Start
from inservice.modelserver.frameworks.gguf import (
    LanguageModel,
    Options,
    metadata,
    openai,
    options_of,
    the_file,
)
from inservice.modelserver.frameworks.gguf.openai import Asked, Kind, Refused
from inservice.modelserver.program import Program
from inservice.modelserver.settings import BadSetting, settings_from

MESSAGES = [{"role": "user", "content": "Hi"}]


def asked(said: Any, path: str | None = None) -> Asked:
    return openai.read(json.dumps(said).encode(), path)


def refused(said: Any, path: str | None = None) -> Refused:
    with pytest.raises(Refused) as error:
        asked(said, path)
    return error.value


# ── requests ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "path", "kind"),
    [
        ({"messages": MESSAGES}, None, Kind.CHAT),
        ({"messages": MESSAGES}, "/v1/chat/completions", Kind.CHAT),
        ({"messages": MESSAGES, "prompt": "a"}, "/v1/completions/", Kind.COMPLETION),
        ({"prompt": ["a", "b"]}, None, Kind.COMPLETION),
        ({"input": "a"}, None, Kind.EMBEDDING),
        ({"input": ["a"], "inputs": "b"}, "/v1/embeddings", Kind.EMBEDDING),
        ({"inputs": "a"}, None, Kind.GENERATION),
    ],
)
def test_the_path_or_the_body_tells_what_is_asked(said: Any, path: str | None, kind: Kind) -> None:
    read = asked(said, path)
    assert (read.kind, read.streams) == (kind, False)
    if kind is not Kind.GENERATION:
        assert read.body == said


def test_only_true_streams() -> None:
    assert asked({"prompt": "a", "stream": True}).streams
    for quiet in (False, None):
        assert not asked({"prompt": "a", "stream": quiet}).streams
    assert refused({"prompt": "a", "stream": "yes"}).param == "stream"
    assert refused({"input": "a", "stream": True}).param == "stream"


@pytest.mark.parametrize(
    ("said", "path", "status", "param", "words"),
    [
        ({}, None, 400, None, "has to have one of 'messages'"),
        ([], None, 400, None, "has to be a JSON object"),
        ("text", None, 400, None, "has to be a JSON object"),
        ({"prompt": "a"}, "/v1/chat/completions", 400, "messages", "required property"),
        ({"messages": []}, None, 400, "messages", "nothing that can be read"),
        ({"messages": ["a"]}, None, 400, "messages", "array of objects"),
        ({"messages": "a"}, None, 400, "messages", "array of objects"),
        ({"prompt": 5}, None, 400, "prompt", "nothing that can be read"),
        ({"prompt": "a"}, "/v1/responses", 404, None, "has no /v1/responses"),
        ({"inputs": 5}, None, 400, "inputs", "a text, texts, or messages"),
        ({"inputs": []}, None, 400, "inputs", "a text, texts, or messages"),
        ({"inputs": ["a", 5]}, None, 400, "inputs", "a text, texts, or messages"),
        ({"inputs": ["a"], "stream": True}, None, 400, "inputs", "One text can be streamed"),
        ({"inputs": "a", "parameters": []}, None, 400, None, "^$"),
        ({"inputs": "a", "parameters": 5}, None, 400, "parameters", "has to be an object"),
        ({"inputs": "a", "parameters": {"best_of": 2}}, None, 400, "best_of", "does not take"),
        ({"inputs": "a", "options": {}}, None, 400, "options", "does not take options"),
    ],
)
def test_what_cannot_be_asked_is_an_error_of_openai_s(
    said: Any, path: str | None, status: int, param: str | None, words: str
) -> None:
    if words == "^$":  # an empty list is as good as no parameters
        assert asked(said, path).kind is Kind.GENERATION
        return
    error = refused(said, path)
    assert (error.status, error.param) == (status, param)
    assert words in str(error)
    page = openai.error_page(error)
    assert page.status == status
    assert isinstance(page.body, bytes)
    body = json.loads(page.body)["error"]
    assert body["type"] == "invalid_request_error"
    assert body.keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"prompt": NaN}', b"[" * 100_000])
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(Refused, match="not readable as JSON"):
        openai.read(body, None)


def test_an_lmi_request_is_a_completion() -> None:
    parameters = {
        "max_new_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "repetition_penalty": 1.1,
        "stop": ["a"],
        "seed": 3,
        "do_sample": True,
        "details": True,
        "top_k": None,
    }
    read = asked({"inputs": "a", "parameters": parameters})
    assert read.body == {
        "prompt": "a",
        "max_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "repeat_penalty": 1.1,
        "stop": ["a"],
        "seed": 3,
    }
    assert read.lmi == openai.Lmi(details=True)


def test_an_lmi_request_is_greedy_and_short_unless_it_says_otherwise() -> None:
    assert asked({"inputs": "a"}).body == {"prompt": "a", "max_tokens": 30, "temperature": 0}
    assert asked({"inputs": "a", "parameters": {"temperature": 0.5}}).body["temperature"] == 0.5
    sampled = asked({"inputs": "a", "parameters": {"do_sample": True}})
    assert "temperature" not in sampled.body


def test_lmi_messages_are_a_chat_and_several_texts_are_several_answers() -> None:
    assert asked({"inputs": MESSAGES}).body["messages"] == MESSAGES
    several = asked({"inputs": ["a", "b"], "parameters": {"return_full_text": True}})
    assert (several.body["prompt"], several.lmi) == (
        ["a", "b"],
        openai.Lmi(prompts=("a", "b"), several=True),
    )


# ── answers ──────────────────────────────────────────────────────────────────────────────────────


def choice(text: str, index: int = 0, reason: str | None = "stop") -> dict[str, Any]:
    return {"text": text, "index": index, "finish_reason": reason}


def test_openai_s_answers_pass_as_they_are() -> None:
    answer = {"choices": [choice("é")], "usage": {"completion_tokens": 1}}
    assert json.loads(openai.whole(asked({"prompt": "a"}), answer)) == answer


def test_lmi_s_answers() -> None:
    answer = {"choices": [choice("y", 1), choice("x")], "usage": {"completion_tokens": 4}}
    whole = openai.whole(asked({"inputs": "a"}), {"choices": [choice("x")]})
    assert json.loads(whole) == {"generated_text": "x"}
    full = asked({"inputs": ["a", "b"], "parameters": {"return_full_text": True}})
    assert json.loads(openai.whole(full, answer)) == [
        {"generated_text": "ax"},
        {"generated_text": "by"},
    ]
    detailed = asked({"inputs": "a", "parameters": {"details": True}})
    answer = {"choices": [choice("x", reason="length")], "usage": {"completion_tokens": 4}}
    assert json.loads(openai.whole(detailed, answer))["details"] == {
        "finish_reason": "length",
        "generated_tokens": 4,
    }
    chat = asked({"inputs": MESSAGES})
    message = {"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}
    assert json.loads(openai.whole(chat, message)) == {"generated_text": "hi"}


def test_openai_s_streams_are_events() -> None:
    read = asked({"prompt": "a", "stream": True})
    write = openai.parts_of(read)
    assert write({"choices": [choice("é\n")]}).startswith(
        b'data: {"choices":[{"text":"\xc3\xa9\\n"'
    )
    assert write({"choices": []}).endswith(b"\n\n")
    assert openai.last_of(read) == b"data: [DONE]\n\n"
    part = openai.error_part(Refused("no", status=500), read)
    assert part.startswith(b'data: {"error":{"message":"no","type":"server_error"')


def test_lmi_s_streams_are_lines() -> None:
    read = asked({"inputs": "a", "parameters": {"return_full_text": True}, "stream": True})
    assert (read.body["stream"], read.body["logprobs"]) == (True, 1)
    write = openai.parts_of(read)
    token = {**choice("x", reason=None), "logprobs": {"content": [{"id": 5, "logprob": -0.5}]}}
    assert json.loads(write({"choices": [token]})) == {
        "token": {"id": 5, "text": "x", "log_prob": -0.5}
    }
    assert write({"choices": []}) == b""
    last = json.loads(write({"choices": [choice("")]}))
    assert last["generated_text"] == "ax"
    assert last["details"] == {"finish_reason": "eos_token", "generated_tokens": 1}
    assert openai.last_of(read) == b""


def test_who_speaks_is_no_token() -> None:
    write = openai.parts_of(asked({"inputs": MESSAGES, "stream": True}))
    first = {"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": None}
    assert write({"choices": [first]}) == b""


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (
            {"code": 400, "type": "exceed_context_size_error", "n_ctx": 8, "n_prompt_tokens": 9},
            400,
            "context_length_exceeded",
        ),
        (
            {"code": 500, "message": "input (9 tokens) is too large to process"},
            400,
            "context_length_exceeded",
        ),
        ({"code": 501, "type": "not_supported_error", "message": "m"}, 400, "not_supported"),
        ({"code": 400, "type": "invalid_request_error", "message": "m"}, 400, None),
        ({"code": 503, "type": "unavailable_error", "message": "m"}, 503, None),
        ({"code": "odd", "message": "m"}, 500, None),
        ({}, 500, None),
    ],
)
def test_llama_cpp_s_errors_are_openai_s(error: Any, status: int, code: str | None) -> None:
    answered = openai.refused_by({"error": error}, asked({"prompt": "a"}))
    assert answered is not None
    assert (answered.status, answered.code) == (status, code)
    if "n_ctx" in error:
        assert "maximum context length is 8 tokens" in str(answered)
        assert answered.param == "prompt"
    assert openai.refused_by({"choices": []}, asked({"prompt": "a"})) is None


# ── files ────────────────────────────────────────────────────────────────────────────────────────


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def head(*pairs: tuple[str, int, bytes]) -> bytes:
    body = b"".join(text(key) + struct.pack("<I", kind) + value for key, kind, value in pairs)
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + body


ARCHITECTURE = ("general.architecture", 8, text("llama"))
CONTEXT = ("llama.context_length", 4, struct.pack("<I", 2048))


def test_a_file_s_head_is_read_up_to_the_tokenizer(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    numbers = ("general.tags", 9, struct.pack("<IQ", 8, 2) + text("a") + text("b"))
    floats = ("x.floats", 9, struct.pack("<IQ", 6, 3) + b"\0" * 12)
    file.write_bytes(head(numbers, floats, ARCHITECTURE, CONTEXT, ("tokenizer.x", 99, b"")))
    pairs = metadata.read(file)
    assert pairs["general.architecture"] == "llama"
    assert metadata.context_length(pairs) == 2048
    assert not metadata.embeds(pairs)


@pytest.mark.parametrize(
    "pairs",
    [
        {"general.architecture": "bert"},
        {"general.architecture": "qwen3", "qwen3.pooling_type": 3},
    ],
)
def test_a_model_of_embeddings_is_known(pairs: dict[str, metadata.Value]) -> None:
    assert metadata.embeds(pairs)
    assert metadata.context_length(pairs) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no GGUF file"),
        (b"PK\x03\x04", "is no GGUF file"),
        (b"GGUF\x03", "damaged or cut off"),
        (head(ARCHITECTURE, CONTEXT)[:-3], "damaged or cut off"),
        (head(("a", 99, b"")), "damaged or cut off"),
        (head(("a", 8, struct.pack("<Q", 2**60))), "damaged or cut off"),
        (head(("a", 9, struct.pack("<IQ", 4, 2**63))), "damaged or cut off"),
    ],
)
def test_a_file_that_is_none_or_damaged(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    with pytest.raises(metadata.NotGguf, match=words):
        metadata.read(file)
    plug = LanguageModel(Start(settings_from({}, str(tmp_path))))
    with pytest.raises(NoModel, match=r"model\.gguf is"):
        plug.load()


@pytest.mark.parametrize(
    ("files", "file"),
    [
        (["model.gguf", "other.gguf"], "model.gguf"),
        (["a.gguf", "mmproj-a.gguf", "._a.gguf"], "a.gguf"),
        (["a-00002-of-00002.gguf", "a-00001-of-00002.gguf"], "a-00001-of-00002.gguf"),
    ],
)
def test_which_file_is_the_model(tmp_path: Path, files: list[str], file: str) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert the_file(tmp_path) == tmp_path / file


def test_none_and_several(tmp_path: Path) -> None:
    with pytest.raises(NoModel, match=r"no \.gguf file; it holds nothing"):
        the_file(tmp_path)
    (tmp_path / "a.gguf").touch()
    (tmp_path / "b.gguf").touch()
    with pytest.raises(NoModel, match=r"which of a\.gguf, b\.gguf is the model\? Name one model"):
        the_file(tmp_path)


# ── settings ─────────────────────────────────────────────────────────────────────────────────────


def options(pairs: Mapping[str, metadata.Value] | None = None, /, **environment: str) -> Options:
    return options_of(environment, pairs or {}, Path("/m/small.gguf"))


def test_what_stands_where_nothing_is_said() -> None:
    made_for: dict[str, metadata.Value] = {
        "general.architecture": "llama",
        "llama.context_length": 2048,
    }
    assert options(made_for).context_tokens == 2048
    assert options({**made_for, "llama.context_length": 131072}).context_tokens == 8192
    plain = options(OMP_NUM_THREADS="1")
    assert (plain.slots, plain.name, plain.embeds) == (4, "small", False)
    assert plain.threads == len(os.sched_getaffinity(0))
    assert options(OMP_NUM_THREADS="3").threads == 3


def test_llama_cpp_s_variables_are_heard() -> None:
    said = options(
        LLAMA_ARG_CTX_SIZE="16384",
        LLAMA_ARG_N_PARALLEL="2",
        LLAMA_ARG_THREADS="5",
        LLAMA_ARG_N_PREDICT="9",
        LLAMA_ARG_ALIAS="mine",
        LLAMA_ARG_EMBEDDINGS="1",
        LLAMA_ARG_N_GPU_LAYERS="0",
    )
    assert (said.context_tokens, said.slots, said.threads) == (16384, 2, 5)
    assert said.pooling == "mean"
    assert options(LLAMA_ARG_EMBEDDINGS="1", LLAMA_ARG_POOLING="CLS").pooling == "cls"
    assert options({"general.architecture": "bert"}).pooling == ""
    assert (said.predicted_tokens, said.name, said.embeds, said.gpu_layers) == (9, "mine", True, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("CTX_SIZE", "many"), ("N_PARALLEL", "0"), ("THREADS", "-1")),
        *(("EMBEDDINGS", "maybe"), ("POOLING", "zork")),
    ],
)
def test_one_that_cannot_be_meant_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=f"LLAMA_ARG_{name} is '{value}'"):
        options(None, **{f"LLAMA_ARG_{name}": value})


def test_a_program_of_the_user_s_stands_around_the_model() -> None:
    plug = LanguageModel(Start(settings_from({}, "/m")))
    plug.use(Program({}))
    assert plug.whole
    plug.use(Program({"model_warmup_fn": lambda *_: None}))
    assert plug.whole
    for handler in ("input_fn", "transform_fn", "output_fn", "model_fn"):
        plug.use(Program({handler: lambda *_: None}))
        assert not plug.whole
