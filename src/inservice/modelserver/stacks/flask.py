"""AWS's older server, of `sagemaker-containers`: SageMaker's handlers behind Flask.

What clients see of it beside a good answer:

    a Content-Type that the default input_fn does not read     415   JSON: `error`,
    an Accept that the default output_fn does not write        406   `error-message`, `stack-trace`
    the same, said by the user's input_fn or output_fn: an     415, 406   likewise
      UnsupportedFormatError of one of SageMaker's toolkits
    whatever else is raised, by a body that cannot be read     500   a page of HTML
      as well

An error that names its own status keeps it: Flask's own do so there too. `stack-trace` holds the
last line of one, without the frames, which would tell callers the host's paths.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from types import CodeType
from typing import Any

from inservice.contract import HANDLERS
from inservice.modelserver import encoding, failures
from inservice.modelserver.calls import Beside, Call
from inservice.modelserver.frameworks.base import Framework
from inservice.transport.messages import Response

PARAMETERS = "/execution-parameters"
"""What a batch transform asks before it begins."""

_PARAMETERS_FN = "execution_parameters_fn"

_UNSUPPORTED = "UnsupportedFormatError"
"""The error of SageMaker's toolkits, by its name: each of them has a class of its own."""

_JSON = ((b"content-type", encoding.JSON.encode()),)
_HTML = ((b"content-type", b"text/html; charset=utf-8"),)


class UnsupportedFormatError(encoding.Unacceptable):
    """A type that the default handlers neither read nor write."""

    def __init__(self, status: int, content_type: str) -> None:
        super().__init__(
            status,
            f"Content type {content_type} is not supported by this framework.\n\n"
            "Please implement input_fn to to deserialize the request data or an output_fn to\n"
            "serialize the response.",
        )


class FlaskStack(Framework):
    """A family whose container has this server."""

    handlers: Mapping[str, int] = {**HANDLERS, _PARAMETERS_FN: 0}

    def serves(self, method: str, path: str) -> bool:
        """`/execution-parameters`, if the program has the function for it."""
        return path == PARAMETERS and method == "GET" and self.program.has(_PARAMETERS_FN)

    async def beside(self, request: Beside, model: Any) -> Any:  # noqa: ARG002 - of Framework
        """What execution_parameters_fn returns."""
        return self.program.call(_PARAMETERS_FN, request.call.context)

    def encode(self, prediction: Any, accept: str, call: Call) -> Any:
        """The default output_fn. Raises UnsupportedFormatError."""
        if encoding.chosen(accept) is None:
            raise UnsupportedFormatError(HTTPStatus.NOT_ACCEPTABLE, accept)
        return super().encode(prediction, accept, call)

    def failure(self, error: BaseException) -> Response:
        """What Flask and its wrapper answer. See above."""
        if (status := self._unsupported(error)) is not None:
            return _of_unsupported(status, error)
        if _says_its_status(error):
            return super().failure(error)
        if (page := _of_flask(error)) is not None:
            return page
        failures.log("an invocation failed", error)
        return _page(HTTPStatus.INTERNAL_SERVER_ERROR, error)

    def _unsupported(self, error: BaseException) -> int | None:
        """415 or 406, if the error is about a type and was raised where that is asked."""
        if isinstance(error, UnsupportedFormatError):
            return error.status
        if all(kind.__name__ != _UNSUPPORTED for kind in type(error).__mro__):
            return None
        ran = set(_frames(error))
        for name, status in (
            ("input_fn", HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
            ("output_fn", HTTPStatus.NOT_ACCEPTABLE),
        ):
            handler = self.program.handlers.get(name)
            if getattr(handler, "__code__", None) in ran:
                return status
        return None


def _of_unsupported(status: int, error: BaseException) -> Response:
    said = {
        "error": _UNSUPPORTED,
        "error-message": failures.text_of(error),
        "stack-trace": failures.said_by(error),
    }
    return Response(status, _JSON, json.dumps(said).encode())


def _says_its_status(error: BaseException) -> bool:
    """Whether it is an error of the user's, or of a toolkit, that has a status to answer with."""
    return not isinstance(error, encoding.Unacceptable) and failures.status_of(error) is not None


def _of_flask(error: BaseException) -> Response | None:
    """What `flask.abort(422)` in a handler answers."""
    code, body = getattr(error, "code", None), getattr(error, "get_body", None)
    if not isinstance(code, int) or not 400 <= code <= 599 or not callable(body):
        return None
    return _with_body(code, body)


def _with_body(code: int, body: Callable[[], Any]) -> Response | None:
    try:
        return Response(code, _HTML, str(body()).encode(errors="backslashreplace"))
    except Exception:  # noqa: BLE001 - an error of somebody else's that has these names
        return None


def _page(status: HTTPStatus, error: BaseException) -> Response:
    """Flask's page, and what was raised, which Flask tells nobody but its log."""
    raised = html.escape(failures.said_by(error), quote=False)
    page = (
        f"<!doctype html>\n<html lang=en>\n<title>{status.value} {status.phrase}</title>\n"
        f"<h1>{status.phrase}</h1>\n<p>{raised}</p>\n"
    )
    return Response(status, _HTML, page.encode(errors="backslashreplace"))


def _frames(error: BaseException) -> Iterator[CodeType]:
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame.f_code
        traceback = traceback.tb_next
