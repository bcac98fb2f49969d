"""Who is given the context, and that it is the toolkits' context."""

from __future__ import annotations

import copy
import functools
import inspect
import json
from typing import Any

import pytest

from inservice.contract import HANDLERS
from inservice.modelserver.context import Context, Headers, kept_for
from inservice.modelserver.program import BadProgram, Program, checked
from tests.modelserver.conftest import Serve
from tests.modelserver.test_what_code_raises import log_of
from tests.modelserver.unix_http import call

# ── who is given it ──────────────────────────────────────────────────────────────────────────────


class Module:
    """What `checked` reads handlers from."""

    __name__ = "inference"

    def __init__(self, **handlers: Any) -> None:
        self.__dict__.update(handlers)


def program(**handlers: Any) -> Program:
    return checked(Module(**handlers), "inference.py")  # type: ignore[arg-type]


class Handlers:
    def method(self, data: Any, model: Any, context: Any) -> Any:
        return data, model, context

    def __call__(self, data: Any, model: Any) -> Any:
        return data, model

    @staticmethod
    def static(data: Any, model: Any, context: Any = None) -> Any:
        return data, model, context


def _decorated(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*arguments: Any) -> Any:
        return function(*arguments)

    return wrapper


def _with_context(data: Any, model: Any, context: Any) -> Any:
    return data, model, context


def _positional(data: Any, model: Any, context: Any = None, /) -> Any:
    return data, model, context


def _rest(data: Any, model: Any, *rest: Any) -> Any:
    return (data, model, *rest)


def _four(a: Any, data: Any, model: Any, context: Any) -> Any:
    return data, model, context


TAKEN = {
    "plain": (lambda data, model: (data, model), False),
    "context": (_with_context, True),
    "context=None": (lambda data, model, context=None: (data, model, context), True),
    "another default": (lambda data, model, device="cpu": (data, model, device), True),
    "default in the plain form": (lambda data, model=None: (data, model), False),
    "positional only": (_positional, True),
    "*rest": (_rest, True),
    "partial": (functools.partial(_four, "a"), True),
    "bound method": (Handlers().method, True),
    "callable": (Handlers(), False),
    "static": (Handlers.static, True),
    "decorated": (_decorated(_with_context), True),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_one_parameter_more_gets_the_context(kind: str) -> None:
    function, expected = TAKEN[kind]
    assert len(inspect.signature(function).parameters) == 2 + expected, "as the toolkits count"
    made = program(predict_fn=function)
    assert ("predict_fn" in made.with_context) is expected
    given = made.call("predict_fn", "context", "data", "model")
    assert given == (("data", "model", "context") if expected else ("data", "model"))


@pytest.mark.parametrize("name", HANDLERS)
@pytest.mark.parametrize("more", [0, 1])
def test_every_handler_may_take_it(name: str, more: int) -> None:
    names = [f"a{n}" for n in range(HANDLERS[name] + more)]
    function = eval(f"lambda {', '.join(names)}: ({', '.join(names)},)")
    expected = (*range(HANDLERS[name]), *["context"] * more)
    made = program(**{name: function})
    assert made.call(name, "context", *range(HANDLERS[name])) == expected


def _keyword(data: Any, *, model: Any) -> None: ...


def _keyword_context(data: Any, model: Any, *, context: Any = None) -> None: ...


def _keywords(data: Any, model: Any, **more: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda: None, "predict_fn takes 0 arguments but 2 were given"),
        (lambda data: None, "predict_fn takes 1 arguments but 2 were given"),
        (lambda *args: None, "predict_fn takes 1 arguments but 2 were given"),
        (lambda data, model, context, more: None, "takes 4 arguments but 2 were given"),
        (lambda data, model, a=1, b=2: None, "takes 4 arguments but 2 were given"),
        (json.dumps, "arguments but 2 were given"),
        (_keyword, "cannot be called with 2 arguments"),
        (_keyword_context, "cannot be called with 3 arguments"),
        (_keywords, "cannot be called with 3 arguments"),
        (max, "its parameters cannot be counted"),
        (3, "is not a function"),
    ],
)
def test_what_the_toolkits_cannot_call_is_refused_before_it_serves(
    function: Any, said: str
) -> None:
    with pytest.raises(BadProgram) as refused:
        program(predict_fn=function)
    assert said in str(refused.value)


def test_the_context_reaches_every_handler(serve: Serve) -> None:
    code = """
        def pre_model_fn(model_dir, context=None):
            context.seen = ["pre"]
        def model_fn(model_dir, context=None):
            context.seen.append("model")
            return context.model_name
        def model_warmup_fn(model_dir, model, context=None):
            context.seen.append("warm")
        def input_fn(body, content_type, context=None):
            context.seen.append("input")
            return body
        def predict_fn(value, model, context=None):
            context.seen.append("predict")
            return context.get_request_header(0, "accept")
        def output_fn(prediction, accept, context=None):
            context.seen.append("output")
            return repr((context.seen, prediction))
    """
    handle = serve(code)
    seen = ["pre", "model", "warm"]
    for _ in range(2):  # what is kept on a context is there for the next request
        seen += ["input", "predict", "output"]
        answer = call(handle.address, "x", content_type="a/b", accept="c/d")
        assert answer.body.decode() == repr((seen, "c/d"))


# ── what it is ───────────────────────────────────────────────────────────────────────────────────

FIELDS = {
    b"content-type": b"text/csv",
    b"x-amzn-sagemaker-custom-attributes": b"a=b",
    b"x-amzn-requestid": b"r-1",
    b"traceparent": b"00-1",
    b"x-my-own": b"\xe9",
}
WRITTEN = {
    "Content-Type": "text/csv",
    "X-Amzn-SageMaker-Custom-Attributes": "a=b",
    "X-Amzn-RequestId": "r-1",
    "traceparent": "00-1",
    "X-My-Own": "é",
}


def context_of(*fields: dict[bytes, bytes]) -> Context:
    return Context(kept_for("/m", {"model": {"modelName": "model"}}, 1), fields or (FIELDS,))


def cases(name: str) -> set[str]:
    return {name, name.lower(), name.upper(), name.title(), name.swapcase()}


def test_headers_are_found_whatever_the_case_under_the_names_that_clients_write() -> None:
    context = context_of()
    headers = context.get_all_request_header(0)
    assert dict(headers) == WRITTEN
    assert isinstance(headers, dict)
    assert json.loads(json.dumps(headers)) == WRITTEN
    for name, value in WRITTEN.items():
        for spelled in cases(name):
            assert context.get_request_header(0, spelled) == value
            assert headers[spelled] == headers.get(spelled) == value
            assert spelled in headers
    assert context.get_request_header(0, "absent") is None
    assert headers.get("absent", "none") == "none"
    assert "absent" not in headers
    with pytest.raises(KeyError):
        headers["absent"]


def test_it_has_what_the_toolkits_read() -> None:
    context = context_of()
    assert context.request_processor
    [request] = context.request_processor
    assert request.get_request_property("content-TYPE") == "text/csv"
    assert context.request_ids == {0: "r-1"}
    assert context.get_request_id(0) == "r-1"
    assert context.get_request_id(7) is None
    assert context.model_name == "model"
    assert context.manifest["model"]["modelName"] == "model"
    assert set(context.system_properties) == {
        *("model_dir", "gpu_id", "batch_size", "server_name", "server_version")
    }
    context.set_response_status(404, "Not here", 0)
    assert context.get_response_status(0) == (404, "Not here")
    context.set_all_response_status(201)
    assert context.get_response_status(0) == (201, "")
    context.set_response_content_type(0, "a/b")
    assert context.get_response_content_type(0) == "a/b"
    context.set_response_header(0, "X-A", "b")
    assert request.get_response_header("x-a") == "b"
    assert context.get_response_headers(0) == {"content-type": "a/b", "x-a": "b"}
    with pytest.raises(AttributeError, match="nothing"):
        _ = context.nothing
    assert copy.copy(context).model_name == "model"


@pytest.mark.parametrize("code", [100, 199, 600, "500", None])
def test_a_status_that_no_answer_has_is_refused(code: Any) -> None:
    with pytest.raises(ValueError, match="is not a status"):
        context_of().set_response_status(code)


def test_while_loading_there_is_no_request() -> None:
    context = Context(kept_for("/m", None, 1))
    assert (context.request_ids, context.request_processor) == (None, None)
    assert context.get_request_id(0) is None
    context.set_response_status(500)  # as there, without effect
    with pytest.raises(LookupError):
        context.get_request_header(0, "accept")


def test_headers_are_a_dictionary_like_any_other() -> None:
    headers = Headers({"Accept": "a"})
    headers["X-New"] = "b"
    assert {**headers} == {"Accept": "a", "X-New": "b"}
    assert headers.pop("Accept") == "a"


def test_a_batch_has_a_request_each(serve: Serve) -> None:
    code = """
        import threading
        first = threading.Event()

        def input_fn(body, content_type, context):
            return body.decode()

        def predict_batch_fn(values, model, context):
            import time
            time.sleep(0.05)
            asked = [context.get_request_header(n, "X-N") for n in range(len(values))]
            context.set_response_header(len(values) - 1, "X-Last", "yes")
            assert len(context.request_processor) == len(context.request_ids) == len(values)
            return [(value, n, len(values)) for value, n in zip(values, asked)]

        def output_fn(prediction, accept):
            return "%s %s %s" % prediction
    """
    from concurrent.futures import ThreadPoolExecutor

    handle = serve(code, INSERVICE_MAX_BATCH_SIZE="8")
    with ThreadPoolExecutor(8) as pool:
        ask = lambda n: call(handle.address, str(n), content_type="a/b", X_N=str(n))  # noqa: E731
        answers = list(pool.map(ask, range(24)))
    parts = [answer.body.decode().split() for answer in answers]
    assert [value for value, _, _ in parts] == [n for _, n, _ in parts]
    assert max(int(size) for _, _, size in parts) > 1
    assert any("x-last" in answer.headers for answer in answers)
    assert not all("x-last" in answer.headers for answer in answers)


def test_metrics_are_lines_of_the_log(serve: Serve) -> None:
    code = """
        def model_fn(model_dir, context):
            context.metrics.add_time("Load", 2, unit="s")

        def transform_fn(model, body, content_type, accept, context):
            metrics = context.metrics
            metrics.add_counter("Words", 2, 0)
            metrics.add_counter("Words", 3, 0)
            metrics.add_size("Body", 1.5, unit="kB")
            metrics.add_percent("Used", 50)
            metrics.add_error("Odd", "words")
            metrics.add_metric("Any", 7, unit="things")
            if body == b"bad":
                metrics.add_time("Bad", 1, unit="years")
            return str(len(metrics.store))
    """
    handle = serve(code)
    address = handle.address
    answer = call(address, "x", content_type="a/b", X_Amzn_SageMaker_Inference_Id="i-1")
    assert answer.body == b"5"
    text = log_of(handle, "Any")
    assert "[METRICS]Load.Seconds:2|#ModelName:model,Level:Model|#hostname:" in text
    assert "[METRICS]Words.Count:5|#ModelName:model,Level:Model|#hostname:" in text
    assert "[METRICS]Body.Kilobytes:1.5|" in text
    assert "[METRICS]Used.Percent:50|" in text
    assert "[METRICS]Odd.:words|#Level:Error|" in text
    (line,) = [line for line in text.splitlines() if "Any.things:7" in line]
    assert line.endswith(",i-1")
    answer = call(address, "bad", content_type="a/b")
    assert answer.body.startswith(b"ValueError: the unit for a timed metric should be one of")
    assert log_of(handle, "ValueError").count("Words.Count") == 2, "also of one that failed"
