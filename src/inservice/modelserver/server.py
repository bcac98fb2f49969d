"""The container contract over our HTTP: GET /ping, POST /invocations.

It listens only once the model is loaded, so /ping has nothing to lie about. The model runs in a
worker thread, and /ping is answered from the loop however busy the model is.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from inservice.modelserver.batching import Workers
from inservice.modelserver.context import Context
from inservice.modelserver.encoding import Unacceptable
from inservice.modelserver.frameworks.sklearn import NotAlike
from inservice.modelserver.handlers import Answer, Call, Model
from inservice.modelserver.settings import Settings
from inservice.transport.messages import Later, Request, Response

_log = logging.getLogger("inservice.modelserver")

_TEXT = (b"content-type", b"text/plain; charset=utf-8")

_END = object()

Step = Callable[[], Any]


class ModelServer:
    """Answers the requests of one instance."""

    def __init__(self, model: Model, settings: Settings, phases: dict[str, float]) -> None:
        self._model = model
        self._settings = settings
        batches = model.takes_batches or (settings.batch_size_max > 1 and model.could_take_batches)
        self.size_max = _batch_size(settings, model) if batches else 1
        run = self._run_batch if batches else self._run_steps
        self._workers = Workers(
            run,
            threads=settings.workers,
            size_max=self.size_max,
            delay_seconds_max=settings.batch_delay_seconds_max,
        )
        # A step of a stream must never wait for a batch to fill, nor be run beside the model.
        timing = ", ".join(f"{name};dur={s * 1000:.3f}" for name, s in phases.items())
        self._pong = Response(200, ((b"server-timing", timing.encode()),))

    def answer(self, request: Request) -> Response | Later:
        """One request."""
        path = request.path
        if path == b"/invocations":
            if request.method != "POST":
                return _refusal(405, "invocations are POSTed")
            return self._invoke(request)
        if path == b"/ping":
            if request.method not in ("GET", "POST", "HEAD"):
                return _refusal(405, "ping with GET")
            return self._pong
        return _refusal(404, "a model server has /ping and /invocations")

    def stop(self) -> None:
        """End the threads, after what they have."""
        self._workers.stop()

    def _invoke(self, request: Request) -> Response | Later:
        fields = request.fields
        call = Call(
            request.body,
            fields.get(b"content-type", b"application/json").decode("latin-1"),
            fields.get(b"accept", b"").decode("latin-1"),
            Context(fields, str(self._settings.model_dir)),
        )
        if self._settings.inline:
            return self._respond(call, self._outcome(call))
        later = Later()
        self._workers.begin(call, lambda outcome: later.settle(self._settled(call, outcome)))
        return later

    # ── in a worker thread ───────────────────────────────────────────────────────────────────

    def _outcome(self, call: Call) -> Answer | Response:
        try:
            return self._model.invoke(call)
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            return _failure(error)

    def _run_steps(self, work: Sequence[Call | Step]) -> Sequence[Any]:
        return [self._outcome(w) if isinstance(w, Call) else w() for w in work]

    def _run_batch(self, work: Sequence[Call | Step]) -> Sequence[Any]:
        """One prediction for all; whoever's input or output fails, fails alone."""
        outcomes: list[Any] = [None] * len(work)
        values: list[tuple[int, Call, Any]] = []
        for n, item in enumerate(work):
            try:
                if isinstance(item, Call):
                    values.append((n, item, self._model.take_in(item)))
                else:
                    outcomes[n] = item()
            except Exception as error:  # noqa: BLE001 - the user's code may raise anything
                outcomes[n] = _failure(error) if isinstance(item, Call) else error
        for n, call, prediction in self._predict_all(values):
            if isinstance(prediction, Response):
                outcomes[n] = prediction
                continue
            try:
                outcomes[n] = self._model.put_out(prediction, call)
            except Exception as error:  # noqa: BLE001 - the user's code may raise anything
                outcomes[n] = _failure(error)
        return outcomes

    def _predict_all(
        self, values: list[tuple[int, Call, Any]]
    ) -> Iterator[tuple[int, Call, Any | Response]]:
        if not values:
            return
        try:
            predictions = self._model.predict_batch([v for _, _, v in values], values[0][1])
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            if not isinstance(error, NotAlike) and len(values) == 1:
                yield (*values[0][:2], _failure(error))
                return
            # One of them may be to blame: each on its own, so that it alone is answered for it.
            for n, call, value in values:
                try:
                    yield n, call, self._model.predict(value, call)
                except Exception as own:  # noqa: BLE001 - the user's code may raise anything
                    yield n, call, _failure(own)
            return
        for (n, call, _), prediction in zip(values, predictions, strict=True):
            yield n, call, prediction

    # ── back in the loop ─────────────────────────────────────────────────────────────────────

    def _settled(self, call: Call, outcome: Answer | Response | Exception) -> Response | Exception:
        """Never raises: others are told in the same breath."""
        try:
            return outcome if isinstance(outcome, Exception) else self._respond(call, outcome)
        except Exception as error:  # noqa: BLE001 - a bug costs one request; the server logs it
            return error

    def _respond(self, call: Call, outcome: Answer | Response) -> Response:
        if isinstance(outcome, Response):
            return outcome
        context = call.context
        headers = [(b"content-type", outcome.content_type.encode("latin-1", "replace"))]
        if context.response_headers:
            headers += [(k.encode(), v.encode()) for k, v in context.response_headers.items()]
        body = outcome.body
        if isinstance(body, bytes):
            return Response(context.response_status, headers, body)
        parts = _bytes_of(body) if isinstance(body, AsyncIterator) else self._pull(body)
        return Response(context.response_status, headers, parts)

    async def _pull(self, parts: Iterator[Any]) -> AsyncIterator[bytes]:
        """Run the user's generator step by step, each in a worker, as fast as the client reads."""
        try:
            while (part := await self._workers.submit(lambda: next(parts, _END))) is not _END:
                yield _bytes(part)
        finally:
            if (close := getattr(parts, "close", None)) is not None:
                await self._workers.submit(close)


async def _bytes_of(parts: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    async for part in parts:
        yield _bytes(part)


def _bytes(part: Any) -> bytes:
    return part.encode() if isinstance(part, str) else bytes(memoryview(part))


def _batch_size(settings: Settings, model: Model) -> int:
    """A predict_batch_fn declares that batches are welcome, of 32 unless the settings say more."""
    return 32 if settings.batch_size_max == 1 and model.takes_batches else settings.batch_size_max


def _refusal(status: int, message: str) -> Response:
    return Response(status, (_TEXT,), message.encode())


def _failure(error: Exception) -> Response:
    """What a failed invocation answers. The traceback is for the log: it may hold the payload's
    secrets and the host's paths, so the caller is told the last line only.

    An error of the user's may choose its answer by a `status_code`, as the errors of SageMaker's
    toolkits do.
    """
    if isinstance(error, Unacceptable):
        return _refusal(error.status, str(error))
    _log.error("an invocation failed\n%s", "".join(traceback.format_exception(error)).rstrip())
    status = getattr(error, "status_code", 500)
    if not (isinstance(status, int) and 400 <= status <= 599):
        status = 500
    return _refusal(status, f"{type(error).__name__}: {error}")
