"""The container contract, SageMaker's handlers, and what becomes of code that is wrong."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inservice.runtimes.base import Handle, InstanceState
from tests.contracts.runtime_stages import PATIENCE_SECONDS
from tests.modelserver.conftest import Launch, Serve
from tests.modelserver.unix_http import UnixConnection, call

CHAIN = """
import json

def model_fn(model_dir):
    return {"factor": 3}

def input_fn(body, content_type):
    if content_type != "application/json":
        raise ValueError(f"no {content_type}")
    return json.loads(body)

def predict_fn(value, model):
    return value * model["factor"]

def output_fn(prediction, accept):
    return json.dumps({"answer": prediction, "accept": accept})
"""

CONTEXT = """
def model_fn(model_dir, context):
    return context.system_properties["model_dir"] == model_dir

def transform_fn(model, body, content_type, accept, context):
    context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "seen=" + str(
        context.get_request_header(0, "x-amzn-sagemaker-custom-attributes")))
    context.set_response_header(0, "X-Amzn-SageMaker-Session-Id", "s1; Expires=2030-01-01T00:00:00Z"
    )
    context.set_response_content_type(0, "application/mine")
    context.set_response_status(201)
    return repr((model, body, context.get_request_id(), context.get_request_property("Accept")))
"""


def log_of(handle: Handle) -> str:
    assert handle.log_path is not None
    return handle.log_path.read_text()


def wait_for_log(handle: Handle, words: str) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while words not in (text := log_of(handle)):
        assert time.monotonic() < deadline, text
        time.sleep(0.01)
    return text


def test_ping(serve: Serve) -> None:
    handle = serve(CHAIN)
    for method in ("GET", "POST"):
        answer = call(handle.address, method=method, path="/ping")
        assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/invocations", 405), ("DELETE", "/ping", 405), ("POST", "/models", 404)],
)
def test_nothing_else_is_there(serve: Serve, method: str, path: str, status: int) -> None:
    assert call(serve(CHAIN).address, method=method, path=path).status == status


def test_the_chain_of_handlers(serve: Serve) -> None:
    handle = serve(CHAIN)
    answer = call(handle.address, "14", content_type="application/json", accept="a/b")
    assert (answer.status, answer.headers["content-type"]) == (200, "a/b")
    assert json.loads(answer.body) == {"answer": 42, "accept": "a/b"}
    answer = call(handle.address, "14", content_type="application/json", accept="*/*")
    assert json.loads(answer.body)["accept"] == "application/json"


def test_an_error_of_the_users_is_a_500_with_its_traceback_in_the_log_only(serve: Serve) -> None:
    handle = serve(CHAIN)
    answer = call(handle.address, "14", content_type="text/plain")
    assert (answer.status, answer.body) == (500, b"ValueError: no text/plain")
    text = wait_for_log(handle, "ValueError: no text/plain")
    assert "in input_fn" in text
    assert call(handle.address, "1", content_type="application/json").status == 200


def test_an_error_may_choose_its_status(serve: Serve) -> None:
    code = CHAIN.replace("raise ValueError(", "raise Picky(") + (
        "\nclass Picky(Exception):\n    status_code = 422\n"
    )
    answer = call(serve(code).address, "14", content_type="text/plain")
    assert (answer.status, answer.body) == (422, b"Picky: no text/plain")


def test_binary_comes_as_bytes_and_bad_text_is_refused(serve: Serve) -> None:
    code = "def transform_fn(model, body, content_type, accept):\n    return repr(body)\n"
    handle = serve(code)
    assert call(handle.address, b"\xff", content_type="image/png").body == b"b'\\xff'"
    assert call(handle.address, b"\xff", content_type="text/csv").status == 400


def test_the_context_carries_headers_both_ways(serve: Serve) -> None:
    handle = serve(CONTEXT)
    answer = call(
        handle.address,
        "x",
        content_type="text/plain",
        accept="text/plain",
        X_Amzn_SageMaker_Custom_Attributes="a=b",
        X_Amzn_SageMaker_Inference_Id="i-1",
    )
    assert answer.status == 201
    assert answer.headers["content-type"] == "application/mine"
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "seen=a=b"
    assert answer.headers["x-amzn-sagemaker-session-id"] == "s1; Expires=2030-01-01T00:00:00Z"
    assert answer.body == b"(True, b'x', 'i-1', 'text/plain')"


def test_a_header_cannot_split_the_answer(serve: Serve) -> None:
    code = """
        def transform_fn(model, body, content_type, accept, context):
            context.set_response_header(0, "x-a", body.decode())
            return "fine"
    """
    answer = call(serve(code).address, "a\r\nset-cookie: b", content_type="text/plain")
    assert answer.status == 500
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("returned", "body", "content_type"),
    [
        ("'text'", b"text", "application/json"),
        ("b'raw'", b"raw", "application/json"),
        ("bytearray(b'raw')", b"raw", "application/json"),
        ("('a,b', 'text/csv')", b"a,b", "text/csv"),
        ("{'a': [1, 2.5, None]}", b'{"a":[1,2.5,null]}', "application/json"),
        ("None", b"null", "application/json"),
        ("iter(['a', b'b', 'c'])", b"abc", "application/json"),
        ("(iter(['data: 1\\n\\n']), 'text/event-stream')", b"data: 1\n\n", "text/event-stream"),
    ],
)
def test_what_may_be_returned(serve: Serve, returned: str, body: bytes, content_type: str) -> None:
    code = f"def transform_fn(model, body, content_type, accept):\n    return {returned}\n"
    answer = call(serve(code).address, "x", content_type="text/plain")
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["content-type"] == content_type


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_generator_is_streamed_as_it_yields(serve: Serve, kind: str) -> None:
    """The second part is yielded only after the client has said that it has the first."""
    code = f"""
        import os, time

        {kind} parts():
            yield "first\\n"
            while not os.path.exists("go on"):
                time.sleep(0.005)
            yield "second\\n"

        def transform_fn(model, body, content_type, accept):
            return parts()
    """
    handle = serve(code)
    connection = UnixConnection(handle.address)
    connection.request("POST", "/invocations", b"x", {"content-type": "text/plain"})
    answer = connection.getresponse()
    assert answer.getheader("transfer-encoding") == "chunked"
    assert answer.readline() == b"first\n"
    scratch = Path(handle.address.removeprefix("unix:").removesuffix(".sock"))
    (scratch / "go on").touch()
    assert answer.read() == b"second\n"
    connection.close()


def test_a_stream_that_fails_is_cut_not_ended(serve: Serve) -> None:
    code = """
        def parts():
            yield "begun"
            raise RuntimeError("out of words")

        def transform_fn(model, body, content_type, accept):
            return parts()
    """
    handle = serve(code)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_SECONDS)
        client.connect(handle.address.removeprefix("unix:"))
        client.sendall(b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx")
        received = b""
        while chunk := client.recv(65536):
            received += chunk
    assert b"begun" in received
    assert not received.endswith(b"0\r\n\r\n")
    assert "RuntimeError: out of words" in wait_for_log(handle, "out of words")


def test_ping_answers_while_the_model_is_busy(serve: Serve) -> None:
    code = """
        import os, time

        def transform_fn(model, body, content_type, accept):
            while not os.path.exists("go on"):
                time.sleep(0.005)
            return "done"
    """
    handle = serve(code)
    answers = []
    busy = threading.Thread(target=lambda: answers.append(call(handle.address, "x")))
    busy.start()
    scratch = Path(handle.address.removeprefix("unix:").removesuffix(".sock"))
    try:
        assert call(handle.address, method="GET", path="/ping").status == 200
        assert answers == []
    finally:
        (scratch / "go on").touch()
        busy.join()
    assert answers[0].body == b"done"


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, {"MainThread"}),
        ({"SAGEMAKER_MODEL_SERVER_WORKERS": "3"}, {"MainThread", "model-1", "model-2"}),
        ({"INSERVICE_INLINE": "true"}, {"MainThread"}),
    ],
)
def test_where_the_model_runs(serve: Serve, environment: dict[str, str], names: set[str]) -> None:
    code = """
        import threading, time

        def transform_fn(model, body, content_type, accept):
            time.sleep(0.02)
            return threading.current_thread().name
    """
    handle = serve(code, **environment)
    with ThreadPoolExecutor(6) as pool:
        seen = {a.body.decode() for a in pool.map(lambda _: call(handle.address, "x"), range(24))}
    assert seen == names


BATCH = """
import time

def input_fn(body, content_type):
    return int(body)

def predict_batch_fn(values, model):
    time.sleep(0.02)
    if -1 in values:
        raise ValueError("minus one")
    return [(value, len(values)) for value in values]

def output_fn(prediction, accept):
    return f"{prediction[0]} {prediction[1]}"
"""


def test_calls_that_wait_are_predicted_together(serve: Serve) -> None:
    handle = serve(BATCH, INSERVICE_MAX_BATCH_SIZE="8")
    bodies = [str(n) for n in range(40)]
    with ThreadPoolExecutor(12) as pool:
        ask = lambda body: call(handle.address, body, content_type="text/csv")  # noqa: E731
        answers = list(pool.map(ask, bodies))
    pairs = [answer.body.decode().split() for answer in answers]
    assert [value for value, _ in pairs] == bodies
    sizes = {int(size) for _, size in pairs}
    assert max(sizes) > 2
    assert max(sizes) <= 8


def test_in_a_batch_everybody_gets_their_own_error(serve: Serve) -> None:
    handle = serve(BATCH)
    bodies = [str(n) for n in range(20)] + ["-1", "words"]
    with ThreadPoolExecutor(22) as pool:
        ask = lambda body: call(handle.address, body, content_type="text/csv")  # noqa: E731
        answers = dict(zip(bodies, pool.map(ask, bodies), strict=True))
    assert (answers["-1"].status, answers["-1"].body) == (500, b"ValueError: minus one")
    assert answers["words"].status == 500
    assert all(answers[str(n)].status == 200 for n in range(20))


def test_a_single_call_does_not_wait_for_company(serve: Serve) -> None:
    """Three that waited would take half a minute; three that do not, a few milliseconds."""
    handle = serve(BATCH.replace("time.sleep(0.02)", ""), INSERVICE_MAX_BATCH_DELAY_MS="10000")
    began = time.monotonic()
    for n in range(3):
        assert call(handle.address, str(n), content_type="text/csv").body == f"{n} 1".encode()
    assert time.monotonic() - began < 3 * 10


def test_batches_of_the_wrong_length_are_an_error(serve: Serve) -> None:
    handle = serve(BATCH.replace("for value in values]", "for value in values[1:]]"))
    answer = call(handle.address, "1", content_type="text/csv")
    assert (answer.status, b"1 values and returned 0" in answer.body) == (500, True)


def test_ending_a_process_that_the_model_forked_does_not_end_the_instance(serve: Serve) -> None:
    """A multiprocessing.Pool ends its workers by SIGTERM, which asyncio would take for its own."""
    code = """
        import os, signal

        def transform_fn(model, body, content_type, accept):
            child = os.fork()
            if child == 0:
                signal.pause()
            os.kill(child, signal.SIGTERM)
            return str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    handle = serve(code)
    for _ in range(5):
        answer = call(handle.address, "x", content_type="text/plain")
        assert (answer.status, answer.body) == (200, b"-15")
        assert answer.headers.get("connection") is None, "it is not draining"


def test_a_model_may_use_processes_of_its_own(serve: Serve) -> None:
    code = """
        import multiprocessing

        def transform_fn(model, body, content_type, accept):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                return repr(pool.map(abs, [-1, -2]))
    """
    answer = call(serve(code).address, "x", content_type="text/plain")
    assert (answer.status, answer.body) == (200, b"[1, 2]")


# ── what cannot be loaded ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "environment", "last_line"),
    [
        ("import a_module_that_nobody_has", {}, "ModuleNotFoundError: No module named 'a_module_"),
        ("def model_fn(model_dir):\n    return 1 / 0", {}, "ZeroDivisionError: division by zero"),
        ("def model_fn(", {}, "SyntaxError: '(' was never closed"),
        ("import sys\nsys.exit('I would rather not')", {}, "SystemExit: I would rather not"),
        (
            "def model_fn(): pass",
            {},
            "model_fn takes 0 arguments but 1 were given: model_fn() has to take 1 arguments, or 2",
        ),
        ("model_fn = 3", {}, "model_fn of inference.py is not a function"),
        (
            "def transform_fn(m, b, c, a): pass\ndef predict_fn(v, m): pass",
            {},
            "defines transform_fn, which is all of an invocation, and also predict_fn",
        ),
        ("", {}, "the artifact has no code/inference.py with a model_fn and none of model.joblib"),
        ("", {"SAGEMAKER_PROGRAM": "mine.py"}, "SAGEMAKER_PROGRAM is 'mine.py', which is not in"),
        (
            "x = 1",
            {"SAGEMAKER_SUBMIT_DIRECTORY": "s3://bucket/sourcedir.tar.gz"},
            "which nothing has brought to this host",
        ),
        (
            "x = 1",
            {"SAGEMAKER_MODEL_SERVER_WORKERS": "many"},
            "SAGEMAKER_MODEL_SERVER_WORKERS is 'many', not a whole number from 1 to 256",
        ),
    ],
)
def test_the_last_line_says_why_a_model_cannot_be_loaded(
    launch: Launch, code: str, environment: dict[str, str], last_line: str
) -> None:
    _, sight = launch(code, **environment)
    assert (sight.state, sight.exit_code) == (InstanceState.GONE, 1)
    assert sight.last_lines[-1].startswith("The model could not be loaded: ")
    assert last_line in sight.last_lines[-1]


def test_requirements_that_lack_a_module_are_pointed_at(launch: Launch, tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("a-module-that-nobody-has==1\n")
    code = "import a_module_that_nobody_has"
    _, sight = launch(code, files={"code/requirements.txt": requirements})
    assert "code/requirements.txt does not name the package that has it" in sight.last_lines[-1]


def test_program_and_submit_directory_are_honoured(serve: Serve, tmp_path: Path) -> None:
    code = tmp_path / "code"  # in a directory that is closed to all but the server
    code.mkdir()
    (code / "entry.py").write_text(
        "import beside\ndef transform_fn(model, body, content_type, accept):\n"
        "    return beside.WORDS\n"
    )
    (code / "beside.py").write_text("WORDS = 'from beside'\n")
    handle = serve(
        "raise RuntimeError('the wrong program')",
        SAGEMAKER_PROGRAM="entry.py",
        SAGEMAKER_SUBMIT_DIRECTORY=f"file://{code}",
    )
    assert call(handle.address, "x").body == b"from beside"
    assert not (code / "__pycache__").exists(), "the artifact is not written to"


def test_the_containers_own_path_means_the_artifact(serve: Serve) -> None:
    code = "def transform_fn(model, body, content_type, accept):\n    return __file__\n"
    handle = serve(
        code,
        SAGEMAKER_PROGRAM="inference.py",
        SAGEMAKER_SUBMIT_DIRECTORY="/opt/ml/model/code",
    )
    assert call(handle.address, "x").body.endswith(b"/code/inference.py")
