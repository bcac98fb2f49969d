"""A framework's plug: how the container of a family behaves around the user's handlers.

The model server asks its plug for everything that AWS's containers differ in. What `Framework` does
of itself is what containers of no family do: SageMaker's handlers with our defaults. A plug is a
module of this package with two functions,

    plug(start)     the family's Framework for this instance
    knows(model)    whether a model, whoever loaded it, is one of the framework's

and it comes to its instance in one of three ways: by the *image* (then it stands in for AWS's
container, in all that clients and handlers can see), by the *files* of an artifact that no code
loads, or by the *model* that code has loaded and leaves to the default predict_fn.

One plug serves all workers of an instance. It imports its framework inside its functions: every
instance has all the plugs, and the environment that it runs in has the framework of one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from inservice.contract import (
    CODE_DIRECTORY,
    HANDLERS,
    PROGRAM,
    ModelFiles,
    is_litter,
    model_files,
)
from inservice.modelserver import encoding, failures
from inservice.modelserver.calls import Beside, Call
from inservice.modelserver.program import Program, import_program
from inservice.modelserver.settings import Settings
from inservice.transport.messages import Response


class NoModel(Exception):
    """The artifact holds nothing that could be loaded without code; the message says what would."""


class NotAlike(Exception):
    """These requests cannot share one prediction."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a plug is made from."""

    settings: Settings  # `environment` among them: a family's own variables are the plug's to read
    by_image: bool = False  # it stands in for the family's container, and sees the whole artifact
    file: Path | None = None  # by files: the one that is the model
    coded: bool = False  # by files: beside it is a program, which has some of the handlers


class Framework:
    """A family's container, for one instance. What is overridden is what its family differs in.

    Methods run on the worker's thread, except `serves`, which runs in the server's loop.
    """

    handlers: Mapping[str, int] = HANDLERS
    """The functions of the user's program that mean something, with the arguments of each less the
    context."""

    content_type = encoding.JSON
    """What a request without a Content-Type is taken for."""

    shared = True
    """Whether one model that `load` made can be used by several workers at once."""

    whole = False
    """Whether `invoke` is all of an invocation, and no handlers are called around it. May be set by
    `use`, once the user's program is known."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self.program = Program({})

    def program_of(self) -> Program:
        """The user's program, imported. Raises as `import_program` does."""
        return import_program(self.start.settings, self.handlers)

    def use(self, program: Program) -> None:
        """The user's handlers, before anything is loaded. Raises BadProgram for what the family's
        container cannot run."""
        self.program = program
        self.named = not program.predicts and not program.has("input_fn")

    named = True
    """Whether both of the default handlers are used that know JSON's object forms."""

    def tuned(self, settings: Settings) -> Settings:
        """The settings, with what the family's own variables say where they mean the same. Raises
        BadSetting."""
        return settings

    # ── loading ──────────────────────────────────────────────────────────────────────────────

    def load(self) -> Any | Awaitable[Any]:
        """The default model_fn. Raises NoModel where there is nothing for it, and what the
        framework raises. May be awaited."""
        raise NoModel("there is no model_fn, and nothing is loaded without one")

    # ── the default handlers ─────────────────────────────────────────────────────────────────

    def default_accept(self, said: str | None) -> str:
        """What a request without an Accept, or with `*/*`, asks for; `said` is what
        SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT says. Asked once."""
        return said or encoding.JSON

    def given(self, call: Call) -> bytes | str:
        """The body as the user's input_fn or transform_fn gets it.

        SageMaker's toolkits give JSON and CSV as str, and user code relies on it
        (`StringIO(body)`).
        """
        if call.content_type not in encoding.TEXT_TYPES:
            return call.body
        try:
            return call.body.decode()
        except UnicodeDecodeError as error:
            raise encoding.Unacceptable(400, f"The body is not UTF-8: {error}") from error

    def decode(self, call: Call) -> Any:
        """The default input_fn."""
        return encoding.decode(call.body, call.content_type, named=self.named)

    def predict(self, value: Any, model: Any) -> Any | Awaitable[Any]:  # noqa: ARG002
        """The default predict_fn. Raises Unacceptable for what the model finds wrong with the
        value. May be awaited."""
        raise TypeError(f"there is no predict_fn, and none stands in for a {type(model).__name__}")

    def predict_batch(self, values: Sequence[Any], model: Any) -> Sequence[Any]:  # noqa: ARG002
        """One prediction for many values, cut up again, in their order. Raises NotAlike where they
        have to be taken one by one."""
        raise NotAlike

    def encode(self, prediction: Any, accept: str, call: Call) -> Any:
        """The default output_fn: what `answers.answer_of` takes."""
        named = (
            self.named
            and encoding.media_type(call.content_type) == encoding.JSON
            and encoding.has_names(call.body)
        )
        return encoding.encode(prediction, accept, named=named)

    # ── whole requests ───────────────────────────────────────────────────────────────────────

    async def invoke(self, call: Call, model: Any) -> Any:  # noqa: ARG002
        """All of an invocation, if the plug is `whole`: what `answers.answer_of` takes, an Answer
        with its own status and headers among it. An iterator is streamed."""
        raise LookupError("only who says that it is `whole` is asked for a whole invocation")

    def serves(self, method: str, path: str) -> bool:  # noqa: ARG002 - no family's
        """Whether `beside` answers this, which is neither /ping nor /invocations."""
        return False

    async def beside(self, request: Beside, model: Any) -> Any:  # noqa: ARG002
        """Answer what it `serves`; see `invoke`."""
        raise LookupError("only who `serves` other paths is asked for them")

    def failure(self, error: BaseException) -> Response:
        """What an invocation answers that raised this, and what the log is told. `Answered` never
        comes here."""
        return failures.failure(error)


class Plug(Protocol):
    """The module of a framework."""

    def plug(self, start: Start, /) -> Framework:
        """Its container for this instance."""
        ...

    def knows(self, model: Any, /) -> bool:
        """Whether a model is one of the framework's that its default predict_fn takes."""
        ...


def the_model(model_dir: Path, frameworks: Mapping[str, ModelFiles]) -> tuple[str, Path]:
    """Which framework's the artifact is, of these, and its file. Raises NoModel when there is none,
    or no saying which."""
    found = model_files((p.name for p in model_dir.glob("*") if p.is_file()), frameworks)
    if not found:
        names = ", ".join(name for files in frameworks.values() for name in files.names)
        raise NoModel(
            f"the artifact has no {CODE_DIRECTORY}/{PROGRAM} with a model_fn and none of "
            f"{names}; it holds {contents(model_dir)}"
        )
    framework, file = found[0]
    if len(found) > 1:
        files = ", ".join(file for _, file in found)
        name = frameworks[framework].names[0]
        raise NoModel(f"which of {files} is the model? Name one {name}")
    return framework, model_dir / file


def contents(model_dir: Path) -> str:
    """What an artifact holds, for who looks for the model in it."""
    names = sorted(path.name for path in model_dir.glob("*") if not is_litter(path.name))
    return ", ".join(names[:10]) or "nothing"
