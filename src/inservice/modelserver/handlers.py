"""SageMaker's handlers: what the user's inference.py defines, and what stands in for the rest.

    model_fn(model_dir)                          → model, once, before /ping answers 200
    input_fn(body, content_type)                 → value       ┐
    predict_fn(value, model)                     → prediction  ├ or transform_fn(model, body,
    output_fn(prediction, accept)                → answer      ┘      content_type, accept)
    predict_batch_fn(values, model)              → predictions   ours: declares micro-batching;
                                                   predict_fn, if there too, takes single values

Each may take one more argument, the `context`. An answer is bytes or str, either with its content
type in a pair, an iterator (of either, sync or async: it is streamed), or anything that the default
output_fn encodes.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

from inservice.modelserver import encoding
from inservice.modelserver.context import Context
from inservice.modelserver.frameworks import sklearn
from inservice.modelserver.settings import Settings

PROGRAM = "inference.py"

HANDLERS = {
    "model_fn": 1,
    "input_fn": 2,
    "predict_fn": 2,
    "output_fn": 2,
    "transform_fn": 4,
    "predict_batch_fn": 2,
}
"""The handlers and how many arguments each takes without the context. `artifacts.program` has the
same table: nothing but `transport` may be imported here, and a test holds the two together."""

_PREDICTING = ("transform_fn", "predict_fn", "predict_batch_fn")
"""Any of these stands in for the default predict_fn."""

Handler = Callable[..., Any]


class BadProgram(Exception):
    """The user's program cannot be used; the message says why."""


class Call(NamedTuple):
    """One invocation as the handlers see it. A tuple: a frozen dataclass takes twice as long to
    make, 0.4 µs more, and two are made for each invocation."""

    body: bytes
    content_type: str
    accept: str
    context: Context


class Answer(NamedTuple):
    """What goes back: whole, or as an iterator that is still to be run."""

    body: bytes | Iterator[Any] | AsyncIterator[Any]
    content_type: str


@dataclass(frozen=True, slots=True)
class Program:
    """The user's handlers, checked; those that are absent are not in it."""

    handlers: dict[str, Handler]

    def has(self, name: str) -> bool:
        """Whether the user defines it."""
        return name in self.handlers

    def call(self, name: str, context: Context, *arguments: Any) -> Any:
        """Call a handler of the user's, with the context if it takes one."""
        return self.handlers[name](*arguments, context)


def import_program(settings: Settings) -> Program:
    """Import the user's module, if there is one.

    Raises BadProgram for a named program that is not there and for handlers that cannot be;
    anything else that is raised is the user's own.
    """
    name = settings.program or PROGRAM
    path = settings.code_dir / name
    if not path.is_file():
        if settings.program is not None:
            raise BadProgram(f"SAGEMAKER_PROGRAM is '{name}', which is not in {settings.code_dir}")
        return Program({})
    # The artifact is shared by all instances and is read-only to them.
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(settings.code_dir), str(settings.code_dir / "lib")]
    try:
        module = importlib.import_module(path.stem)
    except ModuleNotFoundError as error:
        if (settings.code_dir / "requirements.txt").is_file():
            error.add_note(
                "code/requirements.txt is not installed by this runtime: install what it names "
                "into the environment that InService runs in."
            )
        raise
    return _checked(module)


def _checked(module: ModuleType) -> Program:
    handlers: dict[str, Handler] = {}
    for name, count in HANDLERS.items():
        function = getattr(module, name, None)
        if function is None:
            continue
        if not callable(function):
            raise BadProgram(f"{name} of {module.__name__} is not a function")
        handlers[name] = _taking_context(name, function, count)
    steps = ("input_fn", "predict_fn", "predict_batch_fn", "output_fn")
    overruled = [name for name in steps if name in handlers]
    if "transform_fn" in handlers and overruled:
        raise BadProgram(
            f"{module.__name__} defines transform_fn, which is all of an invocation, and also "
            f"{', '.join(overruled)}, which would never be called"
        )
    return Program(handlers)


def _taking_context(name: str, function: Handler, count: int) -> Handler:
    """The handler as one that takes the context, whether or not the user's does."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # written in C, without a signature
        return lambda *arguments: function(*arguments[:-1])
    for given, wrapped in (
        (count, lambda *arguments: function(*arguments[:-1])),
        (count + 1, function),
    ):
        try:
            signature.bind(*[None] * given)
        except TypeError:
            continue
        return wrapped
    raise BadProgram(f"{name}{signature} takes neither {count} arguments nor the context as well")


class Model:
    """A loaded model with its handlers: what an invocation runs. Used by worker threads."""

    def __init__(self, program: Program, settings: Settings) -> None:
        self._program = program
        self._default_accept = settings.default_accept
        context = Context({}, str(settings.model_dir))
        if program.has("model_fn"):
            self._model = program.call("model_fn", context, str(settings.model_dir))
        elif any(map(program.has, _PREDICTING)):
            self._model = self._optional(settings)
        else:
            self._model = sklearn.load(settings.model_dir)
        self.takes_batches = program.has("predict_batch_fn")
        """The user's code says so."""
        self.could_take_batches = not any(map(program.has, _PREDICTING))
        """The default predict_fn can, if the user's settings say so."""

    @staticmethod
    def _optional(settings: Settings) -> Any:
        """Handlers without a model_fn may work on a model.joblib, or on nothing at all."""
        try:
            return sklearn.load(settings.model_dir)
        except sklearn.NoModel:
            return None

    def invoke(self, call: Call) -> Answer:
        """One invocation from body to answer. Raises what the handlers raise, and Unacceptable."""
        if self._program.has("transform_fn"):
            body = _as_users_expect(call)
            accept = self._accept(call)
            answer = self._program.call(
                "transform_fn", call.context, self._model, body, call.content_type, accept
            )
            return self._answer(answer, call)
        return self.put_out(self.predict(self.take_in(call), call), call)

    def take_in(self, call: Call) -> Any:
        """input_fn, the user's or the default."""
        if self._program.has("input_fn"):
            body = _as_users_expect(call)
            return self._program.call("input_fn", call.context, body, call.content_type)
        return encoding.decode(call.body, call.content_type)

    def predict(self, value: Any, call: Call) -> Any:
        """predict_fn, the user's or the default."""
        if self._program.has("predict_fn"):
            return self._program.call("predict_fn", call.context, value, self._model)
        if self.takes_batches:
            return self.predict_batch([value], call)[0]
        return sklearn.predict(value, self._model)

    def predict_batch(self, values: Sequence[Any], call: Call) -> Sequence[Any]:
        """Many values at once. Raises NotAlike when they have to be taken one by one."""
        if not self.takes_batches:
            return sklearn.predict_batch(values, self._model)
        arguments = (list(values), self._model)
        predictions = list(self._program.call("predict_batch_fn", call.context, *arguments))
        if len(predictions) != len(values):
            raise BadProgram(
                f"predict_batch_fn was given {len(values)} values and returned {len(predictions)}"
            )
        return predictions

    def put_out(self, prediction: Any, call: Call) -> Answer:
        """output_fn, the user's or the default."""
        if self._program.has("output_fn"):
            accept = self._accept(call)
            answer = self._program.call("output_fn", call.context, prediction, accept)
            return self._answer(answer, call)
        if _streams(prediction):
            return self._answer(prediction, call)
        named = encoding.media_type(call.content_type) == encoding.JSON and (
            not self._program.has("input_fn") and encoding.has_instances(call.body)
        )
        return Answer(*encoding.encode(prediction, self._accept(call), named=named))

    def _accept(self, call: Call) -> str:
        return call.accept if call.accept not in ("", "*/*") else self._default_accept

    def _answer(self, answer: Any, call: Call) -> Answer:
        content_type = self._accept(call)
        match answer:
            case (body, str(said)):
                answer, content_type = body, said
        if call.context.response_content_type is not None:
            content_type = call.context.response_content_type
        match answer:
            case bytes():
                return Answer(answer, content_type)
            case bytearray() | memoryview():
                return Answer(bytes(answer), content_type)
            case str():
                return Answer(answer.encode(), content_type)
            case None:
                return Answer(b"", content_type)
        if _streams(answer):
            return Answer(answer, content_type)
        return Answer(*encoding.encode(answer, content_type))


def _streams(answer: Any) -> bool:
    return isinstance(answer, Iterator | AsyncIterator)


def _as_users_expect(call: Call) -> bytes | str:
    """SageMaker's toolkits give text as str, and user code relies on it (`StringIO(body)`)."""
    if encoding.media_type(call.content_type) not in encoding.TEXT_TYPES:
        return call.body
    try:
        return call.body.decode()
    except UnicodeDecodeError as error:
        raise encoding.Unacceptable(400, f"The body is not UTF-8: {error}") from error
