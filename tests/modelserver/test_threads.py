"""A worker's model lives on one thread: what is made while loading works while answering."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.modelserver.conftest import Serve
from tests.modelserver.unix_http import call

BOUND = """
import asyncio, decimal, json, os, sqlite3, threading, time
local = threading.local()
loaded = []

def model_fn(model_dir):
    local.number = threading.get_ident()
    decimal.getcontext().prec = 5
    connection = sqlite3.connect(":memory:")  # refuses to be used on another thread
    connection.execute("create table made (thread)")
    connection.execute("insert into made values (?)", [threading.get_ident()])
    loop = asyncio.new_event_loop()
    loaded.append(threading.get_ident())
    return connection, loop

def check(model):
    connection, loop = model
    (made,) = connection.execute("select thread from made").fetchone()
    assert made == local.number == threading.get_ident()
    assert str(decimal.Decimal(1) / 3) == "0.33333"
    loop.run_until_complete(asyncio.sleep(0))
    return made

def input_fn(body, content_type):
    return body.decode()

def parts(model):
    for _ in range(3):
        time.sleep(0.005)
        yield json.dumps([check(model), len(set(loaded)), os.getpid()]) + "\\n"

PREDICT

def output_fn(prediction, accept):
    check(prediction)
    return parts(prediction)
"""
PREDICTS = {
    "predict_fn": """
def predict_fn(value, model):
    check(model)
    time.sleep(0.005)
    return model
""",
    "predict_batch_fn": """
def predict_batch_fn(values, model):
    check(model)
    time.sleep(0.005)
    return [model] * len(values)
""",
}


@pytest.mark.parametrize("predict", PREDICTS)
@pytest.mark.parametrize("workers", [1, 3])
def test_loading_and_answering_share_a_thread(serve: Serve, predict: str, workers: int) -> None:
    """Also while a stream goes on, which other requests come between."""
    code = BOUND.replace("PREDICT\n", PREDICTS[predict])
    handle = serve(code, SAGEMAKER_MODEL_SERVER_WORKERS=str(workers))
    with ThreadPoolExecutor(8) as pool:
        ask = lambda n: call(handle.address, str(n), content_type="a/b")  # noqa: E731
        answers = list(pool.map(ask, range(40)))
    threads = set()
    for answer in answers:
        assert answer.status == 200, answer
        lines = [json.loads(line) for line in answer.body.splitlines()]
        assert len(lines) == 3
        assert len({thread for thread, _, _ in lines}) == 1, "a stream stays where it began"
        assert {loaded for _, loaded, _ in lines} == {workers}, "each worker loaded its own"
        threads.add(lines[0][0])
    assert len(threads) == workers, "and each answers"


def test_a_long_call_holds_up_one_worker_only(serve: Serve) -> None:
    code = """
        import os, time

        def transform_fn(model, body, content_type, accept):
            while body == b"long" and not os.path.exists("go on"):
                time.sleep(0.005)
            return body
    """
    handle = serve(code, SAGEMAKER_MODEL_SERVER_WORKERS="2")
    answers: list[bytes] = []
    long = threading.Thread(
        target=lambda: answers.append(call(handle.address, "long", content_type="a/b").body)
    )
    long.start()
    with ThreadPoolExecutor(4) as pool:
        ask = lambda n: call(handle.address, str(n), content_type="a/b").body  # noqa: E731
        assert list(pool.map(ask, range(40))) == [str(n).encode() for n in range(40)]
    assert not answers
    from pathlib import Path

    scratch = Path(handle.address.removeprefix("unix:").removesuffix(".sock"))
    (scratch / "go on").touch()
    long.join(20)
    assert answers == [b"long"]


SIGNALS = """
import signal

class Overdue(Exception):
    pass

def overdue(number, frame):
    raise Overdue("it took too long")

def model_fn(model_dir):
    signal.signal(signal.SIGALRM, overdue)
    return None

def transform_fn(model, body, content_type, accept):
    if body == b"set here":
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        return "set"
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        while True:
            pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
"""


@pytest.mark.parametrize("inline", ["", "true"])
def test_user_code_may_use_signals(serve: Serve, inline: str) -> None:
    handle = serve(SIGNALS, INSERVICE_INLINE=inline)
    assert call(handle.address, "set here", content_type="a/b").body == b"set"
    for _ in range(3):
        answer = call(handle.address, "x", content_type="a/b")
        assert (answer.status, answer.body) == (500, b"Overdue: it took too long")
    assert call(handle.address, "set here", content_type="a/b").body == b"set"


def test_user_code_may_run_event_loops(serve: Serve) -> None:
    code = """
        import asyncio

        def model_fn(model_dir):
            asyncio.get_event_loop().run_until_complete(asyncio.sleep(0))

        def transform_fn(model, body, content_type, accept):
            async def answer():
                process = await asyncio.create_subprocess_exec(
                    "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
                return (await process.communicate(body))[0]
            return asyncio.run(answer())
    """
    handle = serve(code)
    for n in range(3):
        assert call(handle.address, str(n), content_type="a/b").body == str(n).encode()
