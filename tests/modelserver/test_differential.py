"""Handlers answer as under SageMaker's inference toolkit, or the limits page says why not.

Every case is asked of both. Where the answers differ, a row of DIFFERENCES has to be about it;
every row has to be met by some case, and its words have to be on the page. So an answer that begins
to differ fails, and so does a row that is no longer true.
"""

from __future__ import annotations

import gc
import io
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sagemaker_inference.errors import BaseInferenceToolkitError

from inservice.modelserver.encoding import media_type
from tests.depth import examples
from tests.modelserver.toolkit import Asked, Said, ours, page, theirs

JSON, CSV, NPY, NPZ = "application/json", "text/csv", "application/x-npy", "application/x-npz"


# ── programs ─────────────────────────────────────────────────────────────────────────────────────


def _model_fn(model_dir: str) -> None:
    return None


def _identity(value: Any, model: Any) -> Any:
    return value


def _seen(value: Any) -> str:
    """What a predict_fn is given, in full."""
    if scipy.sparse.issparse(value):
        return f"sparse {value.shape} {value.dtype} {value.toarray().tolist()}"
    if isinstance(value, np.ndarray):
        return f"array {value.shape} {value.dtype} {value.tolist()}"
    return f"{type(value).__name__} {bytes(value) if isinstance(value, bytearray) else value!r}"


def _plain_seen(value: Any) -> str:
    """The toolkit's server gives bytearrays, ours gives bytes; both are bytes to read."""
    return _seen(value).replace("bytearray ", "bytes ", 1)


def _returning(value: Callable[[], Any], name: str = "transform_fn") -> dict[str, Any]:
    if name == "transform_fn":
        return {"model_fn": _model_fn, "transform_fn": lambda m, b, c, a: value()}
    if name == "output_fn":
        handlers = {"input_fn": lambda b, c: b, "output_fn": lambda p, a: value()}
        return {"model_fn": _model_fn, "predict_fn": _identity, **handlers}
    handlers = {"input_fn": lambda b, c: b, "predict_fn": lambda v, m: value()}
    return {"model_fn": _model_fn, **handlers}


def _raising(error: Callable[[], BaseException]) -> dict[str, Any]:
    """A new one each time: the traceback of an exception that is raised again grows each time."""

    def transform_fn(model: Any, body: Any, content_type: Any, accept: Any) -> Any:
        raise error()

    return {"model_fn": _model_fn, "transform_fn": transform_fn}


def _headers_fn(model: Any, body: Any, content_type: Any, accept: Any, context: Any = None) -> Any:
    headers = context.get_all_request_header(0)
    (request,) = context.request_processor
    names = ("Content-Type", "Accept", "X-None")
    seen = [context.get_request_header(0, name) for name in names]
    return json.dumps(
        [sorted(headers.items()), seen, request.get_request_properties().get("Accept")]
    )


def _answering_fn(model: Any, body: Any, kind: Any, accept: Any, context: Any) -> Any:
    context.set_response_status(code=404, phrase="Not Found", idx=0)
    context.set_response_header(0, "x-own", "a")
    return "not here", "text/plain"


def _typing_fn(model: Any, body: Any, kind: Any, accept: Any, context: Any) -> Any:
    context.set_response_content_type(0, "application/own")
    return "typed"


def _typing_pair_fn(model: Any, body: Any, kind: Any, accept: Any, context: Any) -> Any:
    context.set_response_content_type(0, "application/own")
    return "typed", "text/plain"


async def _async_fn(model: Any, body: Any, content_type: Any, accept: Any) -> Any:
    return "awaited"


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left_to_others() -> Iterator[None]:
    """The toolkit awaits no coroutine. Python says so when it collects one, to whichever test is
    running then."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


class Response:
    data, status_code, mimetype = b"whole", 200, "text/plain"


class Own:
    pass


class Picky(BaseInferenceToolkitError):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(422, "not like that", "Unprocessable")


VALUES: dict[str, Callable[[], Any]] = {
    "str": lambda: "text",
    "bytes": lambda: b"raw",
    "bytearray": lambda: bytearray(b"raw"),
    "list": lambda: ["positive", "negative"],
    "list of lists": lambda: [[1, 2.5], [3, None]],
    "dict": lambda: {"a": [1, 2.5, None, True], "b": {"c": "é"}},
    "dict with odd keys": lambda: {1: "a", None: "b", 2.5: "c"},
    "None": lambda: None,
    "number": lambda: 1.5,
    "true": lambda: True,
    "nan": lambda: [float("nan"), float("inf"), None],
    "big": lambda: 2**70,
    "array": lambda: np.array([[1, 2], [3, 4]]),
    "floats": lambda: np.array([0.1, 2.0, np.nan]),
    "float32": lambda: np.array([0.1, 2.0], dtype=np.float32),
    "bools": lambda: np.array([True, False]),
    "words": lambda: np.array(["a", "b"]),
    "words with commas": lambda: np.array(["a,b", 'c"d']),
    "objects": lambda: np.array([None, 1, "a"], dtype=object),
    "numpy scalar": lambda: np.float64(0.5),
    "deep": lambda: np.zeros((2, 1, 1)),
    "ragged": lambda: [[1, 2], [3]],
    "complex": lambda: [1 + 2j],
    "sparse": lambda: scipy.sparse.eye(2, format="csr"),
    "own class": Own,
    "set": lambda: {1},
    "bytes inside": lambda: {"a": b"raw"},
    "pair": lambda: ("a,b", "text/csv"),
    "pair of bytes": lambda: (b"raw", "image/png"),
    "three": lambda: ("body", "text/plain", "more"),
    "pair of numbers": lambda: (1, 2),
    "one": lambda: ("only",),
    "pair without type": lambda: ("body", None),
    "iterator": lambda: iter(["a", "b"]),
    "response": Response,
}
DEFAULTS = {"model_fn": _model_fn, "predict_fn": _identity}
PROGRAMS: dict[str, dict[str, Any]] = {
    "defaults": DEFAULTS,
    "predict sees": {
        "model_fn": _model_fn,
        "predict_fn": lambda v, m: v,
        "output_fn": lambda p, a: (_plain_seen(p), a),
    },
    "input sees": {
        "model_fn": _model_fn,
        "input_fn": lambda b, c: f"{_plain_seen(b)} {c}",
        "predict_fn": _identity,
        "output_fn": lambda p, a: f"{p} {a}",
    },
    "transform sees": {
        "model_fn": _model_fn,
        "transform_fn": lambda m, b, c, a: f"{_plain_seen(b)} {c} {a}",
    },
    "headers": {"model_fn": _model_fn, "transform_fn": _headers_fn},
    "answering": {"model_fn": _model_fn, "transform_fn": _answering_fn},
    "typing": {"model_fn": _model_fn, "transform_fn": _typing_fn},
    "typing a pair": {"model_fn": _model_fn, "transform_fn": _typing_pair_fn},
    "async": {"model_fn": _model_fn, "transform_fn": _async_fn},
    "raises": _raising(lambda: ValueError("no good")),
    "raises its status": _raising(Picky),
    "exits": _raising(lambda: SystemExit(3)),
    **{
        f"{name} returns {kind}": _returning(value, name)
        for kind, value in VALUES.items()
        for name in ("transform_fn", "output_fn", "predict_fn")
    },
}


# ── requests ─────────────────────────────────────────────────────────────────────────────────────


def npy(value: Any, **how: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, value, **how)
    return out.getvalue()


def npz(value: Any) -> bytes:
    out = io.BytesIO()
    scipy.sparse.save_npz(out, value)
    return out.getvalue()


BODIES = {
    JSON: [
        *(b"[[1, 2], [3, 4]]", b"[1.5, 2]", b"3", b'"text"', b"null", b"true", b'["a", "b"]'),
        *(b'{"a": 1}', b'{"instances": [[1, 2]]}', b'[{"a": 1}]', b"[]", b"[NaN, Infinity, 1]"),
        *(b"[1e400]", b'["\\ud800"]', b"[[1, 2], [3]]", b"{", b"", b"\xff", b"[1, null]"),
        *('["é"]'.encode(), b"123456789012345678901234567890", b" [1] ", b'{"a": 1, "a": 2}'),
    ],
    CSV: [
        *(b"1,2\n3,4", b"1.5,2", b"1\n2\n3", b"1,2\r\n3,4\r\n", b"a,b\nc,d", b"1,,3", b""),
        *(b"1,2\n3", b"\xff", b'"a,b",c', b"1,2\n\n3,4", b"1e3,nan"),
    ],
    NPY: [
        *(
            npy(np.array([[1, 2], [3, 4]])),
            npy(np.array([0.5], dtype=np.float32)),
            npy(np.array(["a"])),
        ),
        *(npy(np.array([None], dtype=object), allow_pickle=True), b"garbage", b""),
    ],
    NPZ: [npz(scipy.sparse.eye(2, format="csr")), npz(scipy.sparse.eye(1, format="coo")), b"bad"],
    "text/plain": [b"words", b"\xff"],
    "application/octet-stream": [b"\x00\xff"],
    "application/json; charset=utf-8": [b"[1, 2]"],
    "application/json;charset=UTF-8": [b"[1, 2]"],
    "Text/CSV": [b"1,2"],
    "image/png": [b"png"],
    "": [b"[1]"],
    None: [b"[1, 2]"],
}
ACCEPTS = [
    *(None, "*/*", "", JSON, CSV, NPY, "text/csv, application/json", "image/png, text/csv"),
    *("application/json;q=0.9, text/csv", "application/json; charset=utf-8", "application/*"),
    *("image/png", "Text/CSV", "*/*, text/csv", " text/csv ", "text/html"),
]


def cases() -> Iterator[tuple[str, Asked]]:
    for name in PROGRAMS:
        if " returns " in name:
            for accept in (None, CSV, NPY, "image/png"):
                yield name, Asked(b"x", "text/plain", accept)
            continue
        for content_type, bodies in BODIES.items():
            for body in bodies:
                for accept in ACCEPTS if name == "defaults" else (None, CSV, "a/b"):
                    yield name, Asked(body, content_type, accept)


# ── where they differ ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Case:
    """A request and both answers, which differ."""

    program: str
    asked: Asked
    theirs: Said
    ours: Said

    @property
    def in_by_default(self) -> bool:
        """Whether the default input_fn is what reads the body."""
        return self.program in ("defaults", "predict sees") and self.asked.content_type is not None

    @property
    def kind(self) -> str:
        return media_type(self.asked.content_type or "")

    @property
    def returned(self) -> str:
        """Which of VALUES a handler returned."""
        return self.program.partition(" returns ")[2]

    @property
    def statuses(self) -> tuple[int, int]:
        return int(self.theirs.status), self.ours.status


def _is_unusual(header: str | None) -> bool:
    """A type with parameters, in capitals, or a range."""
    return header is not None and any(
        choice.strip() not in (JSON, CSV, NPY, NPZ) for choice in header.split(",")
    )


SCALARS = {"str", "number", "true", "numpy scalar"}
ODD_TUPLES = {"pair of numbers", "one", "pair without type"}

DIFFERENCES: dict[str, Callable[[Case], bool]] = {
    "what is wrong with a request, found before or by the default handlers": lambda case: (
        case.theirs.status == 500 and case.ours.status in (400, 406, 415)
    ),
    "an answer that cannot be encoded": lambda case: case.statuses == (503, 500),
    "arrays, iterators, response objects and coroutines that handlers return": lambda case: (
        case.statuses == (503, 200) or (case.ours.status == 200 and case.returned == "iterator")
    ),
    "types with parameters or in capitals, and ranges, for the default handlers": lambda case: (
        b"is not supported by this framework" in case.theirs.body
        and case.program in ("defaults", "predict sees")
        and (_is_unusual(case.asked.content_type) or _is_unusual(case.asked.accept))
    ),
    "no content type": lambda case: case.asked.content_type is None,
    "`text/csv` for the default `input_fn`": lambda case: (
        case.in_by_default and case.kind == CSV and case.ours.status in (200, 400)
    ),
    "NPY requests": lambda case: (
        case.in_by_default and case.kind == NPY and b"'|O'" in case.asked.body
    ),
    "NPY answers of what is no array of numbers or words": lambda case: (
        case.asked.accept == NPY
        and case.statuses == (200, 500)
        and b"is not writable as" in case.ours.body
    ),
    "CSV answers: text that holds commas, quotes or line breaks": lambda case: (
        case.ours.content_type == CSV and case.statuses == (200, 200) and b'"' in case.ours.body
    ),
    "CSV answers: one number or word": lambda case: (
        case.statuses == (500, 200)
        and b"got 0D array" in case.theirs.body
        and (case.returned in SCALARS or case.program == "defaults")
    ),
    "CSV answers: complex numbers and bytes": lambda case: (
        case.ours.status == 500 and b"is not writable as text/csv" in case.ours.body
    ),
    "`context.set_response_content_type` without a pair": lambda case: case.program == "typing",
    "what ends a worker: `sys.exit()`, text that UTF-8 has no bytes for": lambda case: (
        case.statuses == (500, 500)
        and case.theirs.body.startswith(b"Worker died.")
        and (b"SystemExit: 3" in case.ours.body or b"UnicodeEncodeError" in case.ours.body)
    ),
    "a tuple whose second member is no content type": lambda case: case.returned in ODD_TUPLES,
}
"""What a row of the limits page is called, and which cases it is about."""


def alike(theirs: Said, ours: Said) -> bool:
    """The same answer. JSON is compared by what it says, since ours has no blanks in it; of an
    error the first line is, since theirs goes on with the traceback and ours begins with the type.
    """
    if theirs.status != ours.status:
        return False
    if theirs.status >= 400 and b"Traceback" in theirs.body:
        first = theirs.body.partition(b"\nTraceback")[0].strip()
        return first.splitlines()[0] in ours.body if first else True
    if theirs.content_type != ours.content_type:
        return False
    if media_type(ours.content_type or "") == NPY and ours.body.startswith(b"\x93NUMPY"):
        return bool(_loaded(theirs.body) == _loaded(ours.body))
    return theirs.body == ours.body or _read(theirs.body) == _read(ours.body)


def _loaded(body: bytes) -> Any:
    try:
        array = np.load(io.BytesIO(body), allow_pickle=False)
    except ValueError:
        return None
    return array.dtype, array.shape, repr(array.tolist())


def _read(body: bytes) -> str | bytes:
    try:
        return json.dumps(json.loads(body))
    except ValueError:
        return body


@lru_cache
def _both(program: str) -> tuple[Callable[[Asked], Said], Callable[[Asked], Said]]:
    return theirs(PROGRAMS[program]), ours(PROGRAMS[program])


def rows_for(program: str, asked: Asked) -> set[str] | None:
    """Which rows explain the difference; None where there is none."""
    said = [ask(asked) for ask in _both(program)]
    if alike(*said):
        return None
    return {row for row, is_about in DIFFERENCES.items() if is_about(Case(program, asked, *said))}


@pytest.mark.filterwarnings("ignore")  # numpy's, of empty bodies and comparisons
def test_every_difference_is_known_and_every_known_one_is_there() -> None:
    met: set[str] = set()
    for program, asked in cases():
        rows = rows_for(program, asked)
        assert rows is None or rows, (program, asked, [ask(asked) for ask in _both(program)])
        met |= rows or set()
    assert met == set(DIFFERENCES), "a row that no case meets is no longer true"


def test_every_difference_has_a_row_on_the_page() -> None:
    rows = [line.split("|")[1].strip() for line in page().splitlines() if line.startswith("| ")]
    always = ["the body of an error", "JSON answers of the default `output_fn`"]
    assert set(DIFFERENCES) | set(always) <= set(rows)


# ── widened ──────────────────────────────────────────────────────────────────────────────────────

NUMBERS = st.integers(-(2**66), 2**66) | st.floats()
SCALAR = st.none() | st.booleans() | NUMBERS | st.text(max_size=5)
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
BODY = {
    JSON: VALUE.map(lambda value: json.dumps(value).encode())
    | VALUE.map(lambda value: json.dumps(value, ensure_ascii=False, indent=1).encode())
    | st.binary(max_size=12),
    CSV: st.lists(st.lists(NUMBERS, min_size=2, max_size=2), min_size=2, max_size=4).map(
        lambda rows: "\n".join(",".join(map(str, row)) for row in rows).encode()
    )
    | st.binary(max_size=12),
    NPY: st.lists(NUMBERS, max_size=5).map(lambda row: npy(np.array(row, dtype=float)))
    | st.binary(max_size=12),
    "text/plain": st.binary(max_size=12),
}
ASKED = st.sampled_from(sorted(BODY)).flatmap(
    lambda kind: st.builds(Asked, BODY[kind], st.just(kind), st.sampled_from(ACCEPTS))
)
TAKEN = [name for name in PROGRAMS if " returns " not in name]


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=examples(400), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(TAKEN), ASKED)
@example("defaults", Asked(b'[{"": null, "0": null}]', JSON, CSV))
def test_whatever_is_sent(program: str, asked: Asked) -> None:
    rows = rows_for(program, asked)
    assert rows is None or rows, [ask(asked) for ask in _both(program)]


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=examples(300), deadline=None)
@given(
    VALUE | st.dictionaries(SCALAR.filter(lambda key: key == key), VALUE, max_size=3),
    st.sampled_from(["transform_fn", "output_fn", "predict_fn"]),
    st.sampled_from([None, JSON, "a/b"]),
)
def test_whatever_is_returned_as_json(value: Any, handler: str, accept: str | None) -> None:
    """Python's own values, of which the standard library makes JSON."""
    if handler == "predict_fn" and accept == "a/b":
        return  # which is a 406
    handlers = _returning(lambda: value, handler)
    asked = Asked(b"x", "text/plain", accept)
    said = theirs(handlers)(asked), ours(handlers)(asked)
    assert alike(*said), said


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(
        st.lists(st.floats(width=32) | st.integers(-9, 9), min_size=3, max_size=3), min_size=1
    ),
    st.sampled_from(["float64", "float32", "float16", "object", "str"]),
    st.booleans(),
    st.sampled_from([None, CSV, NPY]),
)
def test_whatever_array_is_predicted(
    rows: list[list[float]], dtype: str, flat: bool, accept: str | None
) -> None:
    array = np.array(rows).astype(dtype)
    handlers = _returning(lambda: array[0] if flat else array, "predict_fn")
    asked = Asked(b"x", "text/plain", accept)
    said = theirs(handlers)(asked), ours(handlers)(asked)
    if accept == NPY and dtype == "object":
        assert b"is not writable as" in said[1].body
    else:
        assert alike(*said), said
