"""Streams of a language model through a model server as it runs, over a stand-in for llama.cpp."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.modelserver.conftest import Serve
from tests.modelserver.unix_http import Answer, UnixConnection, call
from tests.waiting import wait_until

JSON = "application/json"


@pytest.fixture
def model(serve: Serve, tmp_path: Path) -> str:
    """The address of one."""
    weights = tmp_path / "small.gguf"
    weights.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
    files = {"small.gguf": weights, "code/xllamacpp.py": Path(__file__).with_name("llama.py")}
    return serve("", files=files, INSERVICE_FRAMEWORK="gguf").address


def body(text: str, *, stream: bool = True) -> bytes:
    messages = [{"role": "user", "content": text}]
    return json.dumps({"messages": messages, "stream": stream}).encode()


def ask(address: str, text: str, *, stream: bool = True) -> Answer:
    return call(address, body(text, stream=stream), content_type=JSON)


def left(address: str) -> int:
    """How many streams llama.cpp was told to stop."""
    said = json.loads(ask(address, "stopped", stream=False).body)
    return int(said["choices"][0]["message"]["content"])


def test_parts_come_in_order_and_the_end_is_told(model: str) -> None:
    answer = ask(model, "50")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    *parts, done, nothing = answer.body.split(b"\n\n")
    assert (len(parts), done, nothing) == (50, b"data: [DONE]", b"")
    texts = [json.loads(p[6:])["choices"][0]["delta"]["content"] for p in parts]
    assert texts == [f"{number} " for number in range(50)]


def test_whoever_leaves_a_stream_stops_it_and_others_are_answered_meanwhile(model: str) -> None:
    connections: list[UnixConnection] = []
    for _ in range(3):
        connection = UnixConnection(model)
        connection.request("POST", "/invocations", body("for ever"), {"content-type": JSON})
        assert connection.getresponse().readline().startswith(b"data: ")
        connections.append(connection)
    assert left(model) == 0  # answered, while three go on
    for number, connection in enumerate(connections, 1):
        connection.close()
        wait_until(lambda number=number: left(model) == number)  # type: ignore[misc]


def test_an_error_before_the_first_part_has_a_status_and_a_later_one_is_the_last(
    model: str,
) -> None:
    answer = ask(model, "refuse")
    assert (answer.status, answer.headers["content-type"]) == (400, JSON)
    error: Any = json.loads(answer.body)["error"]
    assert error["message"] == "this template takes no such message"
    answer = ask(model, "fail")
    *parts, last, nothing = answer.body.split(b"\n\n")
    assert (answer.status, len(parts), nothing) == (200, 3, b"")
    assert json.loads(last[6:])["error"]["message"] == "out of slots"
