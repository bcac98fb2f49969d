"""SageMaker's handlers: what the user's program defines, and what stands in for the rest.

    pre_model_fn(model_dir)                      → nothing, before
    model_fn(model_dir)                          → model, once for each worker, before /ping is 200
    model_warmup_fn(model_dir, model)            → nothing, after
    input_fn(body, content_type)                 → value       ┐
    predict_fn(value, model)                     → prediction  ├ or transform_fn(model, body,
    output_fn(prediction, accept)                → answer      ┘      content_type, accept)
    predict_batch_fn(values, model)              → predictions   ours: declares micro-batching;
                                                   predict_fn, if there too, takes single values

Each may take one more argument, the `context`, and each may be `async def`. What an answer may be
is told in `answers`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from inservice.modelserver.answers import Answer, answer_of
from inservice.modelserver.awaiting import Parts, awaited, awaits, streams
from inservice.modelserver.calls import Beside, Call
from inservice.modelserver.context import Context, kept_for
from inservice.modelserver.failures import Answered, log
from inservice.modelserver.frameworks.base import Framework, NoModel
from inservice.modelserver.frameworks.select import by_files, by_model
from inservice.modelserver.program import BadProgram, Program
from inservice.modelserver.settings import Settings
from inservice.transport.messages import Response

_log = logging.getLogger("inservice.modelserver")

MANIFEST = "MAR-INF/MANIFEST.json"
"""Where a model archive says what is in it."""


class Model:
    """One worker's model with its handlers: what an invocation runs, on that worker's thread."""

    def __init__(
        self,
        plug: Framework,
        program: Program,
        settings: Settings,
        model: Any,
        kept: dict[str, Any],
    ) -> None:
        self._program = program
        self.plug = plug
        """What stands in for the handlers that the program has not, and for its family's server."""
        self._default_accept = plug.default_accept(settings.default_accept)
        self._whole = plug.whole
        self._given = plug.given
        self._model = model
        self._kept = kept

    @classmethod
    async def load(
        cls,
        program: Program,
        settings: Settings,
        beside: Model | None,
        image: Framework | None = None,
    ) -> Model:
        """Load it: by the program's model_fn, by `image` (the plug of the image, which knows the
        program), or by what the artifact's files say. Raises NoModel, BadProgram, and what the
        user's code raises.

        Another worker's model is shared only where no code of the user's loaded it: what model_fn
        makes may belong to the thread that made it.
        """
        directory = str(settings.model_dir)
        kept = kept_for(directory, _manifest(settings), settings.batch_size_max)
        context = Context(kept)
        if program.has("pre_model_fn"):
            await _settled(program.call("pre_model_fn", context, directory))
        plug = image if beside is None else beside.plug
        if program.has("model_fn"):
            model = await _settled(program.call("model_fn", context, directory))
        elif beside is not None and beside.plug.shared:
            model = beside._model
        else:
            plug, model = await _default_model(plug, program, settings)
        if plug is None:
            plug = by_model(model, program, settings)
        if program.has("model_warmup_fn"):
            await _settled(program.call("model_warmup_fn", context, directory, model))
        log_metrics(context)
        return cls(plug, program, settings, model, kept)

    async def invoke(self, call: Call) -> Answer:
        """One invocation from body to answer. Raises what the handlers raise, and Unacceptable."""
        if self._whole:
            return await self._answered(await self.plug.invoke(call, self._model), call)
        if not self._program.has("transform_fn"):
            value = await self.take_in(call)
            return await self.put_out(await self.predict(value, call), call)
        self._give_context(call)
        body, accept = self._given(call), self._accept(call)
        returned = self._program.call(
            "transform_fn", call.context, self._model, body, call.content_type, accept
        )
        if awaits(returned):
            returned = await awaited(returned)
        answer = answer_of(returned, accept, call.request)
        return answer if isinstance(answer.body, bytes) else await _begun(answer)

    async def take_in(self, call: Call) -> Any:
        """input_fn, the user's or the default."""
        self._give_context(call)
        if self._program.has("input_fn"):
            body = self._given(call)
            value = self._program.call("input_fn", call.context, body, call.content_type)
            return await awaited(value) if awaits(value) else value
        return self.plug.decode(call)

    async def predict(self, value: Any, call: Call) -> Any:
        """predict_fn, the user's or the default."""
        if self._program.has("predict_fn"):
            prediction = self._program.call("predict_fn", call.context, value, self._model)
            return await awaited(prediction) if awaits(prediction) else prediction
        if self._program.has("predict_batch_fn"):
            return (await self.predict_batch([value], [call]))[0]
        prediction = self.plug.predict(value, self._model)
        return await awaited(prediction) if awaits(prediction) else prediction

    async def predict_batch(self, values: Sequence[Any], calls: Sequence[Call]) -> Sequence[Any]:
        """Many values at once. Raises NotAlike when they have to be taken one by one."""
        if not self._program.has("predict_batch_fn"):
            return self.plug.predict_batch(values, self._model)
        contexts = [call.context for call in calls if call.context is not None]
        context = contexts[0].joined(contexts) if len(contexts) > 1 else (*contexts, None)[0]
        predictions = self._program.call("predict_batch_fn", context, list(values), self._model)
        if awaits(predictions):
            predictions = await awaited(predictions)
        predictions = list(predictions)
        if len(predictions) != len(values):
            raise BadProgram(
                f"predict_batch_fn was given {len(values)} values and returned {len(predictions)}"
            )
        if context is not None and len(contexts) > 1:
            log_metrics(context)
        return predictions

    async def put_out(self, prediction: Any, call: Call) -> Answer:
        """output_fn, the user's or the default."""
        accept = self._accept(call)
        if self._program.has("output_fn"):
            returned = self._program.call("output_fn", call.context, prediction, accept)
            if awaits(returned):
                returned = await awaited(returned)
        elif streams(prediction):
            returned = prediction
        else:
            returned = self.plug.encode(prediction, accept, call)
        answer = answer_of(returned, accept, call.request)
        return answer if isinstance(answer.body, bytes) else await _begun(answer)

    async def beside(self, request: Beside) -> Answer:
        """What the plug `serves` beside invocations."""
        return await self._answered(await self.plug.beside(request, self._model), request.call)

    def failure(self, error: BaseException) -> Response:
        """What is answered where this was raised."""
        return error.response if isinstance(error, Answered) else self.plug.failure(error)

    async def _answered(self, returned: Any, call: Call) -> Answer:
        answer = answer_of(returned, self._accept(call), call.request)
        return answer if isinstance(answer.body, bytes) else await _begun(answer)

    def _give_context(self, call: Call) -> None:
        if self._program.with_context:
            call.context = Context(self._kept, (call.fields,))

    def _accept(self, call: Call) -> str:
        return call.accept if call.accept not in ("", "*/*") else self._default_accept


async def _begun(answer: Answer) -> Answer:
    """With its first part: what fails before that is an ordinary error, with a status."""
    parts = answer.body
    assert isinstance(parts, Parts)
    await parts.begin()
    return answer._replace(body=b"") if parts.first is None else answer


async def _settled(value: Any) -> Any:
    return await awaited(value) if awaits(value) else value


async def _default_model(
    plug: Framework | None, program: Program, settings: Settings
) -> tuple[Framework | None, Any]:
    """Handlers without a model_fn may work on a framework's model, or on nothing at all."""
    try:
        plug = plug or by_files(program, settings)
        return plug, await _settled(plug.load())
    except NoModel:
        if not program.predicts:
            raise
    return plug, None


def _manifest(settings: Settings) -> dict[str, Any]:
    """The archive's own, or what the toolkits' packer would have written."""
    try:
        manifest = json.loads((settings.model_dir / MANIFEST).read_bytes())
    except (OSError, ValueError):
        manifest = None
    if isinstance(manifest, dict):
        return manifest
    return {
        "runtime": "python",
        "model": {"modelName": "model", "handler": settings.program or "inference.py"},
        "modelServerVersion": "1.0",
        "implementationVersion": "1.0",
        "specificationVersion": "1.0",
    }


def log_metrics(context: Context) -> None:
    """Write what user code counted and timed, once it is done. What is wrong with a reading costs
    the readings and not the answer."""
    try:
        for line in context.metric_lines():
            _log.info("%s", line)
    except BaseException as error:  # noqa: BLE001 - values and dimensions are the user's objects
        log("a metric cannot be written", error)
