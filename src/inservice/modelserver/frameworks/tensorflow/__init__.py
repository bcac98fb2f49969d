"""TensorFlow, as AWS's `tensorflow-inference` containers serve it: TensorFlow Serving's API.

    requests_in   what the container's front makes of an invocation
    tensors       JSON and tensors
    bundles       the SavedModels of the artifact
    rest          TensorFlow Serving's REST API over them
    listener      that API on a port, for user code that asks it

A program of the user's has functions of its own in this family: `handler(data, context)`, which
does all, or `input_handler(data, context)` and `output_handler(response, context)` around a POST to
`context.rest_uri`. A program with SageMaker's usual handlers, which AWS's container refuses, is
served as by the others. There is no gRPC: `context.channel` is None.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections import namedtuple
from collections.abc import Mapping
from typing import Any, Final

from inservice.contract import HANDLERS, PROGRAM
from inservice.modelserver import failures
from inservice.modelserver.answers import Answer
from inservice.modelserver.awaiting import awaited, awaits
from inservice.modelserver.calls import Call
from inservice.modelserver.devices import threads
from inservice.modelserver.frameworks.base import Framework, Start
from inservice.modelserver.frameworks.tensorflow import listener, requests_in, rest
from inservice.modelserver.frameworks.tensorflow.bundles import Bundles, found_in
from inservice.modelserver.program import BadProgram, Program
from inservice.modelserver.settings import BadSetting, number
from inservice.transport.messages import Response

HANDLER: Final = "handler"
INPUT: Final = "input_handler"
OUTPUT: Final = "output_handler"

Context = namedtuple(
    "Context",
    "model_name, model_version, method, rest_uri, grpc_port, channel, "
    "custom_attributes, request_content_type, accept_header, content_length",
)
"""What the functions are told of a request; the names are AWS's."""

_log = logging.getLogger("inservice.modelserver")


def plug(start: Start) -> Framework:
    """The container of an instance."""
    return Serving(start)


def knows(model: Any) -> bool:
    """Whether it is a Keras model, or another of TensorFlow's that can be called."""
    import tensorflow as tf  # type: ignore[import-untyped,import-not-found,unused-ignore]

    return callable(model) and isinstance(model, tf.Module | tf.keras.Model)


class Serving(Framework):
    """The container: TensorFlow Serving, with nginx or with the user's functions before it."""

    handlers: Mapping[str, int] = {**HANDLERS, HANDLER: 2, INPUT: 2, OUTPUT: 2}

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self._port = 0  # of the listener; 0: there is none

    def use(self, program: Program) -> None:
        """The user's functions. Raises BadProgram in AWS's words for a program with none."""
        super().use(program)
        settings = self.start.settings
        usual = any(program.has(name) for name in HANDLERS)
        self.whole = not usual
        if usual or program.has(HANDLER) or (program.has(INPUT) and program.has(OUTPUT)):
            return
        if settings.program is not None or (settings.code_dir / PROGRAM).is_file():
            raise BadProgram("Handlers are not implemented correctly in user script.")

    def load(self) -> Bundles:
        """All SavedModels of the artifact. Raises NoModel, BadSetting, and what TensorFlow
        raises."""
        environment = self.start.settings.environment
        _set_threads(environment)
        models = found_in(self.start.settings.model_dir)
        default = environment.get("SAGEMAKER_TFS_DEFAULT_MODEL_NAME", "").strip() or None
        if default is not None and default not in models:
            raise BadSetting(
                f"SAGEMAKER_TFS_DEFAULT_MODEL_NAME is '{default}', and the artifact has "
                f"{', '.join(models)}"
            )
        bundles = Bundles(models, default)
        if self.whole and self.program.handlers:
            self._port = listener.listen(
                lambda method, path, body: rest.answer(bundles, method, path, body)
            )
        return bundles

    async def invoke(self, call: Call, model: Any) -> Any:
        """One request: by the user's functions, or as nginx would pass it on."""
        header = call.fields.get(requests_in.CUSTOM_ATTRIBUTES, b"").decode("latin-1")
        attributes = requests_in.attributes_of(header)
        aim = requests_in.aim_of(attributes, model.default)
        if self.program.handlers:
            return await self._by_functions(call, self._context(call, header, attributes, aim))
        content_type = call.content_type if b"content-type" in call.fields else None
        try:
            body = requests_in.as_serving_json(call.body.decode(errors="replace"), content_type)
        except requests_in.Unsupported as error:
            return _answer(415, requests_in.JSON, rest.refused(str(error)))
        status, said = rest.answer(model, "POST", aim.path, body.encode())
        kind, in_one_line = requests_in.answer_type(call.accept)
        return _answer(status, kind, said.replace("\n", "") if in_one_line else said)

    def _context(
        self, call: Call, header: str, attributes: Mapping[str, str], aim: requests_in.Aim
    ) -> Context:
        asked = call.fields.get
        length = asked(b"content-length", b"")
        return Context(
            attributes.get("tfs-model-name"),
            attributes.get("tfs-model-version"),
            attributes.get("tfs-method"),
            f"http://localhost:{self._port}{aim.path}",
            None,
            None,
            header or None,
            asked(b"content-type", b"").decode("latin-1") or requests_in.JSON,
            asked(b"accept", b"").decode("latin-1") or requests_in.JSON,
            int(length) if length.isdigit() else len(call.body),
        )

    async def _by_functions(self, call: Call, context: Context) -> Any:
        returned = self._called(io.BytesIO(call.body), context)
        if awaits(returned):
            returned = await awaited(returned)
        body, content_type = returned
        return body, content_type

    def _called(self, data: io.BytesIO, context: Context) -> Any:
        functions = self.program.handlers
        if self.program.has(HANDLER):
            return functions[HANDLER](data, context)
        import requests  # type: ignore[import-untyped,import-not-found,unused-ignore]

        given = functions[INPUT](data, context)
        # The invocation has a timeout, and who answers is this process.
        response = requests.post(context.rest_uri, data=given)  # noqa: S113
        return functions[OUTPUT](response, context)

    def predict(self, value: Any, model: Any) -> Any:
        """For a program with SageMaker's usual handlers: what a model that its model_fn made
        predicts."""
        predict = getattr(model, "predict", model)
        answered = predict(value)
        return answered.numpy() if hasattr(answered, "numpy") else answered

    def failure(self, error: BaseException) -> Response:
        """The error of TensorFlow's container: an object with one member."""
        failures.failure(error)  # which tells the log
        body = json.dumps({"error": failures.text_of(error)}).encode()
        return Response(500, ((b"content-type", b"application/json"),), body)


def _answer(status: int, content_type: str, body: str) -> Answer:
    return Answer(status, [(b"content-type", content_type.encode("latin-1"))], body.encode())


def _set_threads(environment: Mapping[str, str]) -> None:
    """As many as the Environment says, before TensorFlow has begun to compute. Raises
    BadSetting."""
    import tensorflow as tf

    given = {name: value for name, value in environment.items() if value.strip()}
    default = threads(environment) or 0
    inside = number(given, "SAGEMAKER_TFS_INTRA_OP_PARALLELISM", default, 0, 1024)
    between = number(given, "SAGEMAKER_TFS_INTER_OP_PARALLELISM", default, 0, 1024)
    with contextlib.suppress(RuntimeError):  # the user's code has begun already
        tf.config.threading.set_intra_op_parallelism_threads(inside)
        tf.config.threading.set_inter_op_parallelism_threads(between)
