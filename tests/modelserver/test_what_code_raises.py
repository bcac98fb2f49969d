"""Whatever user code raises, and wherever: the caller is told, the instance goes on."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from inservice.runtimes.base import Handle, InstanceState, Sight
from tests.contracts.runtime_stages import PATIENCE_SECONDS, until
from tests.modelserver.conftest import Launch, Serve
from tests.modelserver.unix_http import UnixConnection, call

RAISED = {
    "sys.exit(3)": "SystemExit: 3",
    "sys.exit()": "SystemExit: ",
    "raise KeyboardInterrupt('ctrl-c')": "KeyboardInterrupt: ctrl-c",
    "raise GeneratorExit('closed')": "GeneratorExit: closed",
    "raise asyncio.CancelledError('gone')": "CancelledError: gone",
    "raise Own('mine')": "Own: mine",
    "raise StopIteration('no more')": "RuntimeError: coroutine raised StopIteration",
    "raise MemoryError('large')": "MemoryError: large",
    "raise Unspeakable()": "Unspeakable: (its text cannot be had: ZeroDivisionError)",
    "raise Surrogate()": r"Surrogate: \udcff",
}

CODE = """
import asyncio, sys

class Own(BaseException):
    pass

class Unspeakable(Exception):
    def __str__(self):
        return 1 / 0

class Surrogate(Exception):
    def __str__(self):
        return "\\udcff"

def boom(where, body):
    at, _, what = body.decode().partition(" ")
    if at == where:
        exec(what)

def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    boom("input", body)
    return body

def predict_fn(body, model):
    boom("predict", body)
    return body

def parts(body):
    boom("first", body)
    yield "one"
    boom("second", body)
    yield "two"

def output_fn(body, accept):
    boom("output", body)
    return parts(body)
"""
TRANSFORM = (
    CODE[: CODE.index("def input_fn")]
    + """
def transform_fn(model, body, content_type, accept):
    boom("transform", body)
    return "fine"
"""
)
BATCH = CODE.replace("def predict_fn(body, model)", "def predict_batch_fn(bodies, model)").replace(
    'boom("predict", body)\n    return body',
    '[boom("predict", body) for body in bodies]\n    return bodies',
)


def log_of(handle: Handle, words: str) -> str:
    assert handle.log_path is not None
    deadline = time.monotonic() + PATIENCE_SECONDS
    while words not in (text := handle.log_path.read_text()):
        assert time.monotonic() < deadline, text
        time.sleep(0.01)
    return text


@pytest.fixture(scope="module")
def programs() -> dict[str, str]:
    return {"chain": CODE, "transform": TRANSFORM, "batch": BATCH}


@pytest.mark.parametrize("inline", ["", "true"])
@pytest.mark.parametrize(
    ("program", "places"),
    [
        ("chain", ("input", "predict", "output", "first")),
        ("transform", ("transform",)),
        ("batch", ("input", "predict", "output", "first")),
    ],
)
def test_each_is_one_failed_invocation(
    serve: Serve, programs: dict[str, str], program: str, places: tuple[str, ...], inline: str
) -> None:
    handle = serve(programs[program], INSERVICE_INLINE=inline)
    for place in places:
        for what, said in RAISED.items():
            if place == "first" and "StopIteration" in what:
                said = "RuntimeError: generator raised StopIteration"
            answer = call(handle.address, f"{place} {what}", content_type="a/b")
            assert (answer.status, answer.body.decode()) == (500, said), (place, what)
            assert call(handle.address, method="GET", path="/ping").status == 200
            assert call(handle.address, "nowhere", content_type="a/b").status == 200
    text = log_of(handle, "GeneratorExit: closed")
    assert "in boom" in text, "the traceback says where"


@pytest.mark.parametrize("inline", ["", "true"])
def test_in_the_middle_of_a_stream_it_cuts_that_stream_only(serve: Serve, inline: str) -> None:
    handle = serve(CODE, INSERVICE_INLINE=inline)
    for what in RAISED:
        with pytest.raises(http.client.IncompleteRead):
            call(handle.address, f"second {what}", content_type="a/b")
        assert call(handle.address, "nowhere", content_type="a/b").body == b"onetwo"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys\ndef model_fn(model_dir):\n    sys.exit(0)", "SystemExit: 0"),
        ("def model_fn(model_dir):\n    raise KeyboardInterrupt", "KeyboardInterrupt: "),
        ("raise GeneratorExit('closed')", "GeneratorExit: closed"),
        ("class Own(BaseException): pass\nraise Own('mine')", "Own: mine"),
        ("def pre_model_fn(model_dir):\n    raise SystemExit('early')", "SystemExit: early"),
        (
            "def model_fn(d): pass\ndef model_warmup_fn(d, model):\n    raise SystemExit('late')",
            "SystemExit: late",
        ),
        ("async def model_fn(model_dir):\n    raise SystemExit('awaited')", "SystemExit: awaited"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_while_loading_it_ends_the_instance_and_says_so(
    launch: Launch, code: str, said: str, workers: str
) -> None:
    _, sight = launch(code, SAGEMAKER_MODEL_SERVER_WORKERS=workers)
    assert (sight.state, sight.exit_code) == (InstanceState.GONE, 1)
    assert sight.last_lines[-1] == f"The model could not be loaded: {said}".rstrip()


def test_only_the_second_worker_cannot_load(launch: Launch) -> None:
    code = """
        import threading

        def model_fn(model_dir):
            if threading.current_thread() is not threading.main_thread():
                raise SystemExit("not here")
    """
    _, sight = launch(code, SAGEMAKER_MODEL_SERVER_WORKERS="2")
    assert (sight.state, sight.exit_code) == (InstanceState.GONE, 1)
    assert sight.last_lines[-1].endswith("SystemExit: not here")


# ── exceptions out of nowhere ────────────────────────────────────────────────────────────────────

STRIKES = {
    "a signal's handler that is late": """
        import os, signal

        def late(number, frame):
            raise TimeoutError("late")

        def strike():
            os.kill(os.getpid(), signal.SIGALRM)

        def model_fn(model_dir):
            signal.signal(signal.SIGALRM, late)
    """,
    "an exception set from another thread": """
        import ctypes, threading

        def strike():
            main = threading.main_thread().ident
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(main), ctypes.py_object(SystemExit))
    """,
}
STRIKING = """
        import queue, threading, time
        asked = queue.SimpleQueue()

        def strike_when_asked():
            while True:
                asked.get()
                time.sleep(0.05)
                strike()

        threading.Thread(target=strike_when_asked, daemon=True).start()

        def transform_fn(model, body, content_type, accept):
            if body == b"strike":
                asked.put(None)
            return body
"""


@pytest.mark.parametrize("strike", STRIKES)
def test_an_exception_between_two_calls_costs_no_more_than_one(serve: Serve, strike: str) -> None:
    handle = serve(STRIKES[strike] + STRIKING)
    for _ in range(5):
        assert call(handle.address, "strike", content_type="a/b").status == 200
        time.sleep(0.2)  # the exception is pending by now
        answer = call(handle.address, "struck", content_type="a/b")
        assert answer.status in (200, 500), "and it is an answer, at once"
        assert call(handle.address, "next", content_type="a/b").body == b"next"
    with ThreadPoolExecutor(8) as pool:
        bodies = [f"{n}" if n % 10 else "strike" for n in range(200)]
        ask = lambda body: call(handle.address, body, content_type="a/b")  # noqa: E731
        answers = list(pool.map(ask, bodies))
    assert all(answer.status in (200, 500) for answer in answers)
    assert sum(answer.status == 500 for answer in answers) <= bodies.count("strike")
    assert all(
        a.body.decode() == b for a, b in zip(answers, bodies, strict=True) if a.status == 200
    )


def test_a_background_task_that_exits_ends_no_worker(serve: Serve) -> None:
    code = """
        import asyncio, sys

        async def leave():
            sys.exit(1)

        async def transform_fn(model, body, content_type, accept):
            task = asyncio.ensure_future(leave())
            await asyncio.sleep(0.05)
            return body
    """
    handle = serve(code)
    for n in range(3):
        assert call(handle.address, str(n), content_type="a/b").body == str(n).encode()


def test_neither_does_a_log_handler_that_raises(serve: Serve) -> None:
    code = """
        import logging, sys

        class Handler(logging.Handler):
            def emit(self, record):
                sys.exit("no log today")

        class Odd:
            def __str__(self):
                raise RuntimeError("a value")

        def model_fn(model_dir):
            logging.getLogger().addHandler(Handler())

        def transform_fn(model, body, content_type, accept, context):
            context.metrics.add_metric("Asked", Odd())
            if body == b"bad":
                raise ValueError("bad")
            return body
    """
    handle = serve(code)
    for _ in range(3):
        assert call(handle.address, "x", content_type="a/b").body == b"x"
        answer = call(handle.address, "bad", content_type="a/b")
        assert (answer.status, answer.body) == (500, b"ValueError: bad")
    log_of(handle, "and logging it failed: SystemExit")


def test_an_instance_whose_worker_ends_all_the_same_ends_too(serve: Serve, stage: Any) -> None:
    """No user code is known to bring it about, so this reaches into ours."""
    code = STRIKES["an exception set from another thread"] + STRIKING
    code += """
        import inservice.modelserver.batching
        inservice.modelserver.batching.Lane._struck = None
    """
    handle = serve(code)
    assert call(handle.address, "strike", content_type="a/b").body == b"strike"
    time.sleep(0.2)
    with contextlib.suppress(OSError, http.client.HTTPException):
        call(handle.address, "struck", content_type="a/b")
    stage.again()

    async def gone() -> Sight:
        stage.again()
        return await until(stage, handle, lambda sight: sight.state is InstanceState.GONE)

    assert asyncio.run(gone()).exit_code == 1
    assert "a worker has ended, and the instance with it" in log_of(handle, "a worker has ended")


# ── the end ──────────────────────────────────────────────────────────────────────────────────────

HOLDING = {
    "a handler that hangs": "",
    "a thread that is no daemon": "threading.Thread(target=time.sleep, args=(600,)).start()",
    "an executor's thread": "concurrent.futures.ThreadPoolExecutor(1).submit(time.sleep, 600)",
    "an atexit handler": "atexit.register(time.sleep, 600)",
    "a finalizer": "sys.slow = Slow()",
}


def server_of(tmp_path: Path, code: str, **environment: str) -> tuple[subprocess.Popen[bytes], str]:
    """The model server as a container's, whose end nobody else sees to."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text(textwrap.dedent(code))
    address = str(tmp_path / "s")
    with (tmp_path / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "inservice.modelserver", "--unix", address, "--model-dir", "."],
            cwd=tmp_path,
            env={**os.environ, "SAGEMAKER_MODEL_SERVER_TIMEOUT": "1", **environment},
            stderr=stderr,
        )
    return process, address


def test_user_code_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """All at once, since each is given its time."""
    with contextlib.ExitStack() as servers:
        running = {name: servers.enter_context(_held_up(tmp_path, name)) for name in HOLDING}
        for holding, (_, address) in running.items():
            _wait_for(partial(_is_listening, address))
            assert call(address, "x", content_type="a/b").body == b"x", holding
        _, address = running["a handler that hangs"]
        threading.Thread(target=_ignoring, args=(address,), daemon=True).start()
        _wait_for((Path(address).parent / "hangs").exists)
        for process, _ in running.values():
            process.send_signal(signal.SIGTERM)
        for holding, (process, address) in running.items():
            process.wait(PATIENCE_SECONDS)
            said = (Path(address).parent / "stderr").read_bytes()
            assert b"Timeout" in said, f"{holding}: the log says where it hung"


@contextlib.contextmanager
def _held_up(place: Path, holding: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    code = f"""
        import atexit, concurrent.futures, pathlib, sys, threading, time

        class Slow:
            def __del__(self, sleep=time.sleep):
                sleep(600)

        {HOLDING[holding]}

        def transform_fn(model, body, content_type, accept):
            if body == b"hang":
                pathlib.Path("hangs").touch()
                while True:
                    try:
                        time.sleep(600)
                    except BaseException:
                        pass
            return body
    """
    directory = place / str(list(HOLDING).index(holding))
    directory.mkdir()
    process, address = server_of(directory, code)
    try:
        yield process, address
    finally:
        process.kill()
        process.wait()


def _is_listening(address: str) -> bool:
    """Its file is there a moment before: a socket is bound first."""
    with socket.socket(socket.AF_UNIX) as trying:
        return trying.connect_ex(address) == 0


def _wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _ignoring(address: str) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):  # it is cut off in the end
        call(address, "hang", content_type="a/b")


def test_nobody_waits_for_a_handler_that_hangs_for_nobody(tmp_path: Path) -> None:
    """With its client gone it ends long before the time that answers in flight are given."""
    code = """
        import pathlib, time

        def transform_fn(model, body, content_type, accept):
            pathlib.Path("hangs").touch()
            while True:
                time.sleep(600)
    """
    process, address = server_of(tmp_path, code, SAGEMAKER_MODEL_SERVER_TIMEOUT="600")
    try:
        _wait_for(partial(_is_listening, address))
        connection = UnixConnection(address)
        connection.request("POST", "/invocations", b"x")
        _wait_for((tmp_path / "hangs").exists)
        connection.close()
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()


def test_a_client_that_closes_one_half_still_has_its_answer(tmp_path: Path) -> None:
    code = """
        import pathlib, time

        def transform_fn(model, body, content_type, accept):
            pathlib.Path("begun").touch()
            while not pathlib.Path("go on").exists():
                time.sleep(0.01)
            return body
    """
    process, address = server_of(tmp_path, code, SAGEMAKER_MODEL_SERVER_TIMEOUT="600")
    try:
        _wait_for(partial(_is_listening, address))
        connection = UnixConnection(address)
        connection.request("POST", "/invocations", b"whole")
        connection.sock.shutdown(socket.SHUT_WR)
        _wait_for((tmp_path / "begun").exists)
        process.send_signal(signal.SIGTERM)
        time.sleep(1.0)  # four looks at who is still there
        (tmp_path / "go on").touch()
        assert connection.getresponse().read() == b"whole"
        connection.close()
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()


def test_nor_the_end_of_one_that_could_not_load(tmp_path: Path) -> None:
    code = """
        import threading, time
        threading.Thread(target=time.sleep, args=(600,)).start()
        raise RuntimeError("no weights")
    """
    process, _ = server_of(tmp_path, code)
    try:
        assert process.wait(PATIENCE_SECONDS) == 1
        words = b"could not be loaded: RuntimeError: no weights"
        assert words in (tmp_path / "stderr").read_bytes()
    finally:
        process.kill()
        process.wait()


def test_an_end_that_nothing_holds_up_is_a_clean_one(tmp_path: Path) -> None:
    code = """
        import atexit, pathlib
        atexit.register(lambda: pathlib.Path("said goodbye").touch())

        def transform_fn(model, body, content_type, accept):
            return body
    """
    process, address = server_of(tmp_path, code)
    try:
        _wait_for(partial(_is_listening, address))
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
        assert (tmp_path / "said goodbye").exists()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("signalled", [signal.SIGTERM, signal.SIGINT])
def test_it_is_told_to_end_whatever_user_code_does_with_signals(
    tmp_path: Path, signalled: signal.Signals
) -> None:
    """A loop of the user's takes the descriptor that signals are told by, and gives none back."""
    code = """
        import asyncio, signal

        def transform_fn(model, body, content_type, accept):
            loop = asyncio.new_event_loop()
            loop.add_signal_handler(signal.SIGUSR1, print)
            asyncio.run(asyncio.sleep(0))
            return body
    """
    process, address = server_of(tmp_path, code)
    try:
        _wait_for(partial(_is_listening, address))
        assert call(address, "x", content_type="a/b").body == b"x"
        process.send_signal(signalled)
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()


def test_a_server_that_cannot_listen_says_so_and_ends(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    process, _ = server_of(tmp_path, "def transform_fn(m, b, c, a): pass")
    try:
        assert process.wait(PATIENCE_SECONDS) == 1
    finally:
        process.kill()
        process.wait()
