"""What a handler may return: bodies, response objects, streams, and what cannot be encoded."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.runtime_stages import PATIENCE_SECONDS
from tests.modelserver.conftest import Serve
from tests.modelserver.unix_http import UnixConnection, call

RETURNS = """
import datetime, decimal, enum, io, types, uuid
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from unittest.mock import MagicMock
import numpy as np
import scipy.sparse
import flask, werkzeug.wrappers

class Own:
    pass

@dataclass
class Data:
    a: int = 1

class Selfish:
    def tolist(self):
        return self

class Endless:
    def tolist(self):
        return Endless()

class OldToolkits:
    "As sagemaker-containers' worker.Response and others: data, status_code, mimetype."
    def __init__(self, data, status_code, mimetype):
        self._data, self._status, self._mimetype = data, status_code, mimetype
    data = property(lambda self: self._data)
    status_code = property(lambda self: self._status)
    mimetype = property(lambda self: self._mimetype)

Pair = namedtuple("Pair", "body content_type")

async def coroutine():
    return "awaited"

def loop():
    loop = []
    loop.append(loop)
    return loop

def deep():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    return deep

def raising():
    raise ValueError("before the first part")
    yield b""

def empty_then_raising():
    yield ""
    yield b""
    raise ValueError("still before it")

class Raising:
    def __iter__(self):
        return self
    def __next__(self):
        raise KeyError("of an iterator")

async def async_raising():
    raise ValueError("before the first part")
    yield b""

async def async_parts():
    yield "a"
    yield b"b"

class Reused(dict):
    pass

def transform_fn(model, body, content_type, accept):
    return eval(body)
"""


@pytest.fixture(scope="module")
def returning(request: pytest.FixtureRequest) -> Any:
    """A model that returns what it is asked to; asks it."""
    import asyncio

    from tests.modelserver.conftest import settle

    stage = request.getfixturevalue("stage")
    spec = stage.spec(code=RETURNS)
    stage.again()
    handle = asyncio.run(stage.runtime.launch(spec))
    sight = settle(stage, handle)
    assert sight.state == "Ready", sight
    yield lambda expression, **headers: call(
        handle.address, expression, content_type="a/b", **headers
    )
    stage.again()
    asyncio.run(stage.runtime.retire(handle, 2))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('["positive", "negative"]', ["positive", "negative"]),
        ('["body", "text/plain"]', ["body", "text/plain"]),
        ("[b'x'.decode(), 'a/b']", ["x", "a/b"]),
        ("(1, 2)", [1, 2]),
        ("('only',)", ["only"]),
        ("()", []),
        ("None", None),
        ("True", True),
        ("1.5", 1.5),
        ("np.float32(0.5)", 0.5),
        ("np.array([[1, 2], [3, 4]])", [[1, 2], [3, 4]]),
        ("np.array(['a', 'b'])", ["a", "b"]),
        ("np.array([None, 1, 'a'], dtype=object)", [None, 1, "a"]),
        ("{'scores': np.array([0.5]), 'n': np.int64(3)}", {"scores": [0.5], "n": 3}),
        ("{1: 'a', None: 'b', True: 'c'}", {"1": "c", "null": "b"}),
        ("Reused(a=1)", {"a": 1}),
    ],
)
def test_what_json_has_is_json(returning: Any, expression: str, value: Any) -> None:
    answer = returning(expression, accept="application/json")
    assert (answer.status, json.loads(answer.body)) == (200, value)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("expression", "body"),
    [
        ("[float('nan'), float('inf'), -float('inf')]", b"[NaN,Infinity,-Infinity]"),
        ("np.array([1.0, np.nan, np.inf])", b"[1.0,NaN,Infinity]"),
        ("{'a': float('nan'), 'b': None}", b'{"a":NaN,"b":null}'),
    ],
)
def test_not_a_number_is_written_as_python_writes_it(
    returning: Any, expression: str, body: bytes
) -> None:
    assert returning(expression).body == body


@pytest.mark.parametrize(
    ("expression", "body", "content_type"),
    [
        ("('a,b', 'text/csv')", b"a,b", "text/csv"),
        ("('a,b', 'text/csv', 'ignored')", b"a,b", "text/csv"),
        ("Pair(b'raw', 'image/png')", b"raw", "image/png"),
        ("([1, 2], 'application/json')", b"[1,2]", "application/json"),
        ("([1, 2], 'text/csv')", b"[1,2]", "text/csv"),
        ("(np.array([1, 2]), 'text/csv')", b"1\n2\n", "text/csv"),
        ("({'a': 1}, 'text/csv')", b'{"a":1}', "text/csv"),
        ("({'a': 1}, 'application/vnd.own')", b'{"a":1}', "application/vnd.own"),
        ("(iter(['a', 'b']), 'text/plain')", b"ab", "text/plain"),
        ("memoryview(b'raw')", b"raw", "x/y"),
        ("io.BytesIO(b'one\\ntwo')", b"one\ntwo", "x/y"),
        ("(n for n in ())", b"", "x/y"),
        ("np.bytes_(b'raw')", b"raw", "x/y"),
        ("np.str_('text')", b"text", "x/y"),
        ("coroutine()", b"awaited", "x/y"),
        ("async_parts()", b"ab", "x/y"),
    ],
)
def test_a_pair_is_a_body_and_its_type(
    returning: Any, expression: str, body: bytes, content_type: str
) -> None:
    answer = returning(expression, accept="x/y")
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["content-type"] == content_type


@pytest.mark.parametrize(
    ("expression", "status", "content_type", "body"),
    [
        (
            "flask.Response('hi', 201, mimetype='text/plain')",
            201,
            "text/plain; charset=utf-8",
            b"hi",
        ),
        ("werkzeug.wrappers.Response(b'x', 418, mimetype='a/b')", 418, "a/b", b"x"),
        ("werkzeug.wrappers.Response('{}', content_type='a/b; c=d')", 200, "a/b; c=d", b"{}"),
        ("werkzeug.wrappers.Response((c for c in 'ab'), mimetype='a/b')", 200, "a/b", b"ab"),
        ("OldToolkits(b'old', 200, 'a/b')", 200, "a/b", b"old"),
        ("OldToolkits('old', 422, 'a/b')", 422, "a/b", b"old"),
        ("OldToolkits({'a': 1}, 200, 'application/json')", 200, "application/json", b'{"a":1}'),
        ("OldToolkits(b'', 204, 'a/b')", 204, "a/b", b""),
        ("OldToolkits(b'no body', 204, 'a/b')", 204, "a/b", b""),
    ],
)
def test_a_response_object_passes(
    returning: Any, expression: str, status: int, content_type: str, body: bytes
) -> None:
    answer = returning(expression, accept="x/y")
    assert (answer.status, answer.body) == (status, body)
    assert answer.headers["content-type"] == content_type


def test_its_headers_pass_but_for_those_that_frame_it(returning: Any) -> None:
    answer = returning(
        "werkzeug.wrappers.Response('abc', headers={'X-Amzn-SageMaker-Custom-Attributes': 'a=b', "
        "'Content-Length': '1', 'Connection': 'close'})"
    )
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "a=b"
    assert (answer.body, answer.headers["content-length"]) == (b"abc", "3")
    assert "connection" not in answer.headers


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("1 + 2j", "TypeError: Object of type complex is not JSON serializable"),
        ("np.array([1 + 2j])", "TypeError: Object of type complex is not JSON serializable"),
        ("Own()", "TypeError: Object of type Own is not JSON serializable"),
        ("Own", "TypeError: Object of type type is not JSON serializable"),
        ("{'a': [Own()]}", "TypeError: Object of type Own is not JSON serializable"),
        ("Data()", "TypeError: Object of type Data is not JSON serializable"),
        ("{1, 2}", "TypeError: Object of type set is not JSON serializable"),
        ("{'a': b'raw'}", "TypeError: Object of type bytes is not JSON serializable"),
        ("(b'raw', None)", "TypeError: Object of type bytes is not JSON serializable"),
        ("decimal.Decimal(1)", "TypeError: Object of type Decimal is not JSON serializable"),
        ("uuid.UUID(int=1)", "TypeError: Object of type UUID is not JSON serializable"),
        ("datetime.date(2026, 1, 1)", "TypeError: Object of type date is not JSON serializable"),
        ("scipy.sparse.eye(2, format='csr')", "TypeError: Object of type "),
        ("[coroutine()]", "TypeError: Object of type coroutine is not JSON serializable"),
        ("lambda: 1", "TypeError: Object of type function is not JSON serializable"),
        ("{(1, 2): 3}", "TypeError: keys must be str, int, float, bool or None, not tuple"),
        ("Selfish()", "TypeError: Object of type Selfish is not JSON serializable"),
        ("Endless()", "TypeError: Object of type Endless is not JSON serializable"),
        ("loop()", "ValueError: Circular reference detected"),
        ("deep()", "TypeError: Object of type list nests too deeply for JSON"),
        ("[MagicMock()]", "TypeError: Object of type MagicMock is not JSON serializable"),
        ("'\\udcff'", "UnicodeEncodeError: "),
        ("('x', 'a\\r\\nb: c')", "ValueError: 'a\\r\\nb: c' is not a content type"),
        ("('x', '\\xe4/b')", "ValueError: 'ä/b' is not a content type"),
        ("OldToolkits(b'x', 700, 'a/b')", "ValueError: 700 is not a status to answer with"),
        # streams that fail before their first part
        ("raising()", "ValueError: before the first part"),
        ("empty_then_raising()", "ValueError: still before it"),
        ("async_raising()", "ValueError: before the first part"),
        ("Raising()", "KeyError: 'of an iterator'"),
        ("map(int, ['a'])", "ValueError: invalid literal for int()"),
        ("map(int, ['1'])", "TypeError: a part of a stream is bytes or str, not int"),
        ("iter([{'a': 1}])", "TypeError: a part of a stream is bytes or str, not dict"),
        ("iter([np.zeros(2)])", "TypeError: a part of a stream is bytes or str, not ndarray"),
        ("iter([None])", "TypeError: a part of a stream is bytes or str, not NoneType"),
        ("iter(['\\udcff'])", "UnicodeEncodeError: "),
        ("iter([coroutine()])", "TypeError: a part of a stream is bytes or str, not coroutine"),
    ],
)
def test_what_cannot_be_encoded_is_named(returning: Any, expression: str, said: str) -> None:
    answer = returning(expression, accept="application/json")
    assert answer.status == 500
    assert answer.body.decode().startswith(said)
    assert returning("'next'").body == b"next"


@pytest.mark.parametrize("code", [204, 304])
def test_a_status_without_a_body_leaves_nothing_for_the_next_answer(
    serve: Serve, code: int
) -> None:
    handle = serve(f"""
        def transform_fn(model, body, content_type, accept, context):
            if body == b"none":
                context.set_response_status({code})
                return "a body all the same"
            return body
    """)
    connection = UnixConnection(handle.address)
    for body, status in ((b"none", code), (b"next", 200)) * 3:
        connection.request("POST", "/invocations", body, {"content-type": "a/b"})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (status, b"" if status == code else body)
    connection.close()


# ── async ────────────────────────────────────────────────────────────────────────────────────────

ASYNC = """
import asyncio, threading

async def model_fn(model_dir):
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    return {"loop": loop, "gate": asyncio.Event(), "waiting": 0}

async def input_fn(body, content_type):
    await asyncio.sleep(0.001)
    return body.decode()

async def predict_fn(value, model):
    assert asyncio.get_running_loop() is model["loop"], "one loop from loading to answering"
    assert threading.current_thread() is threading.main_thread()
    if value.startswith("wait"):
        model["waiting"] += 1
        await model["gate"].wait()
    if value == "count":
        return str(model["waiting"])
    if value == "open":
        model["gate"].set()
    if value == "boom":
        raise SystemExit("awaited")
    return value

async def output_fn(prediction, accept):
    await asyncio.sleep(0)
    if prediction == "stream":
        async def parts():
            async with asyncio.timeout(20):
                for n in range(3):
                    await asyncio.sleep(0.01)
                    yield str(n)
        return parts(), "text/plain"
    return prediction, "text/plain"
"""


def test_async_handlers_are_awaited_side_by_side(serve: Serve) -> None:
    handle = serve(ASYNC)
    answers: list[bytes] = []
    ask = lambda: answers.append(call(handle.address, "wait!", content_type="a/b").body)  # noqa: E731
    waiting = [threading.Thread(target=ask) for _ in range(5)]
    for thread in waiting:
        thread.start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    # Asked while five wait: the worker is not held by any of them.
    while call(handle.address, "count", content_type="a/b").body != b"5":
        assert time.monotonic() < deadline
    assert call(handle.address, "stream", content_type="a/b").body == b"012"
    assert call(handle.address, "boom", content_type="a/b").body == b"SystemExit: awaited"
    assert not answers
    assert call(handle.address, "open", content_type="a/b").body == b"open"
    for thread in waiting:
        thread.join(PATIENCE_SECONDS)
    assert answers == [b"wait!"] * 5


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"INSERVICE_INLINE": "true"},
        {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"},
    ],
    ids=str,
)
def test_async_wherever_the_model_runs(serve: Serve, environment: dict[str, str]) -> None:
    code = """
        import asyncio, functools

        async def transform(model, body, content_type, accept):
            await asyncio.sleep(0.001)
            if body == b"stream":
                async def parts():
                    for part in ("a", "b"):
                        await asyncio.sleep(0.001)
                        yield part
                return parts()
            return body

        def transform_fn(model, body, content_type, accept):
            return functools.partial(transform, model)(body, content_type, accept)
    """
    handle = serve(code, **environment)
    for n in range(5):
        assert call(handle.address, str(n)).body == str(n).encode()
        assert call(handle.address, "stream", content_type="a/b").body == b"ab"


def test_two_async_streams_run_side_by_side(serve: Serve) -> None:
    """Each yields its second part only when the other has begun."""
    code = """
        import asyncio
        began = []

        async def transform_fn(model, body, content_type, accept):
            async def parts():
                began.append(body)
                yield "first "
                while len(began) < 2:
                    await asyncio.sleep(0.001)
                yield "second"
            return parts()
    """
    handle = serve(code)
    answers: list[bytes] = []
    ask = lambda: answers.append(call(handle.address, "x", content_type="a/b").body)  # noqa: E731
    both = [threading.Thread(target=ask) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(PATIENCE_SECONDS)
    assert answers == [b"first second"] * 2


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("inline", ["", "true"])
def test_a_stream_whose_client_leaves_is_closed(serve: Serve, kind: str, inline: str) -> None:
    code = f"""
        import os

        {kind} parts():
            try:
                while True:
                    yield b"x" * 100_000
            finally:
                open("closed", "w").close()

        def transform_fn(model, body, content_type, accept):
            return parts()
    """
    handle = serve(code, INSERVICE_INLINE=inline)
    connection = UnixConnection(handle.address)
    connection.request("POST", "/invocations", b"x", {"content-type": "a/b"})
    assert connection.getresponse().read(1000) == b"x" * 1000
    connection.close()
    scratch = Path(handle.address.removeprefix("unix:").removesuffix(".sock"))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (scratch / "closed").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
