"""The container contract over our HTTP: GET /ping, POST /invocations.

It listens only once the model is loaded, so /ping has nothing to lie about. The model runs on a
worker's thread, and /ping is answered from the loop however busy the model is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from inservice.modelserver.answers import Answer
from inservice.modelserver.awaiting import Parts
from inservice.modelserver.batching import RunBatch, Runner, submit
from inservice.modelserver.calls import Beside, Call
from inservice.modelserver.failures import refusal
from inservice.modelserver.frameworks.base import Framework, NotAlike
from inservice.modelserver.handlers import Model, log_metrics
from inservice.modelserver.program import Program
from inservice.modelserver.settings import Settings
from inservice.transport.messages import Later, Request, Response

Step = Callable[[], Awaitable[bytes | None]]
"""Going on with a stream: never waits for a batch to fill, nor is run beside the model."""


class StreamBroke(Exception):
    """The user's code failed in the middle of a stream; why is in the log already."""


class ModelServer:
    """Answers the requests of one instance."""

    def __init__(self, runner: Runner, phases: dict[str, float], plug: Framework) -> None:
        self._runner = runner
        self._plug = plug
        self._content_type = plug.content_type.encode("latin-1")
        timing = ", ".join(f"{name};dur={s * 1000:.3f}" for name, s in phases.items())
        self._pong = Response(200, ((b"server-timing", timing.encode()),))

    def answer(self, request: Request) -> Response | Later:
        """One request."""
        path = request.path
        if path == b"/invocations":
            if request.method != "POST":
                return refusal(405, "invocations are POSTed")
            return self._begin(self._call(request))
        if path == b"/ping":
            if request.method not in ("GET", "POST", "HEAD"):
                return refusal(405, "ping with GET")
            return self._pong
        return self._beside(request, path.decode("latin-1"))

    def _beside(self, request: Request, path: str) -> Response | Later:
        if not self._plug.serves(request.method, path):
            return refusal(404, "a model server has /ping and /invocations")
        query = request.query.decode("latin-1")
        return self._begin(Beside(self._call(request), request.method, path, query))

    def _call(self, request: Request) -> Call:
        fields = request.fields
        return Call(
            request.body,
            fields.get(b"content-type", self._content_type).decode("latin-1"),
            fields.get(b"accept", b"").decode("latin-1"),
            fields,
        )

    def _begin(self, asked: Call | Beside) -> Later:
        later = Later()
        self._runner.begin(asked, lambda outcome: later.settle(self._respond(outcome)))
        return later

    def _respond(self, outcome: Answer | Response | Exception) -> Response | Exception:
        if not isinstance(outcome, Answer):
            return outcome
        body = outcome.body
        parts = self._pull(body) if isinstance(body, Parts) else body
        return Response(outcome.status, outcome.headers, parts)

    async def _pull(self, parts: Parts) -> AsyncIterator[bytes]:
        """Run the user's generator step by step, by its worker, as fast as the client reads."""
        part = parts.first
        try:
            while part is not None:
                yield part
                part = await submit(self._runner, parts.next, parts.lane)
                if isinstance(part, Response):
                    raise StreamBroke(part.body.decode() if isinstance(part.body, bytes) else "")
        finally:
            await submit(self._runner, parts.close, parts.lane)


def takes_batches(program: Program, settings: Settings, plug: Framework | None) -> bool:
    """Whether calls are predicted together: the user's code says so, or their settings do where the
    default predict_fn can."""
    if plug is not None and plug.whole:
        return False
    return program.has("predict_batch_fn") or (settings.batch_size_max > 1 and not program.predicts)


def batch_size(program: Program, settings: Settings, plug: Framework | None) -> int:
    """A predict_batch_fn declares that batches are welcome, of 32 unless the settings say more."""
    if not takes_batches(program, settings, plug):
        return 1
    declared = settings.batch_size_max == 1 and program.has("predict_batch_fn")
    return 32 if declared else settings.batch_size_max


# ── on the model's thread ────────────────────────────────────────────────────────────────────────


def running(model: Model, lane: int, *, batches: bool) -> RunBatch:
    """How a worker runs what is in its lane. Whatever is raised becomes an outcome: sys.exit() in a
    handler is one failed invocation, and no end of the worker."""

    async def outcome(item: Call | Beside | Step) -> Answer | Response | bytes | None:
        try:
            if isinstance(item, Call):
                return _done(item, await model.invoke(item))
            if isinstance(item, Beside):
                return _done(item.call, await model.beside(item))
            return await item()
        except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
            return _failed(model, item, error)

    async def one_by_one(work: Sequence[Call | Beside | Step]) -> Sequence[Any]:
        if len(work) == 1:  # a comprehension that awaits is a coroutine more
            return (await outcome(work[0]),)
        return [await outcome(item) for item in work]

    async def together(work: Sequence[Call | Beside | Step]) -> Sequence[Any]:
        """One prediction for all; whoever's input or output fails, fails alone."""
        outcomes: list[Any] = [None] * len(work)
        values: list[tuple[int, Call, Any]] = []
        for n, item in enumerate(work):
            if not isinstance(item, Call):
                outcomes[n] = await outcome(item)
                continue
            try:
                values.append((n, item, await model.take_in(item)))
            except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
                outcomes[n] = _failed(model, item, error)
        for n, call, prediction in await _predict_all(model, values):
            if isinstance(prediction, Response):
                outcomes[n] = prediction
                continue
            try:
                outcomes[n] = _done(call, await model.put_out(prediction, call))
            except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
                outcomes[n] = _failed(model, call, error)
        return outcomes

    def _done(call: Call, answer: Answer) -> Answer:
        if isinstance(answer.body, Parts):
            answer.body.lane = lane
        if call.context is not None:
            log_metrics(call.context)
        return answer

    return together if batches else one_by_one


def _failed(model: Model, item: Call | Beside | Step, error: BaseException) -> Response:
    if isinstance(item, Call) and item.context is not None:
        log_metrics(item.context)
    return model.failure(error)


async def _predict_all(
    model: Model, values: list[tuple[int, Call, Any]]
) -> list[tuple[int, Call, Any | Response]]:
    if not values:
        return []
    calls = [call for _, call, _ in values]
    try:
        predictions = await model.predict_batch([value for _, _, value in values], calls)
    except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
        if not isinstance(error, NotAlike) and len(values) == 1:
            return [(*values[0][:2], _failed(model, calls[0], error))]
        # One of them may be to blame: each on its own, so that it alone is answered for it.
        return [(n, call, await _predict_one(model, value, call)) for n, call, value in values]
    return [(n, call, p) for (n, call, _), p in zip(values, predictions, strict=True)]


async def _predict_one(model: Model, value: Any, call: Call) -> Any | Response:
    try:
        return await model.predict(value, call)
    except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
        return _failed(model, call, error)
