"""Language models as GGUF files, by llama.cpp (`xllamacpp`): OpenAI's API, with streams.

    openai     what is asked and how it is answered, as pure functions
    metadata   what the head of a file tells

llama.cpp's own server runs in this process and does what it is good at: it puts the tokens of all
requests that are under way into one batch for each step, and keeps what it has computed of prompts.
Each request waits in a thread of its own, in C++ without the interpreter's lock; what comes of it
is told in the loop of the model's thread. That server listens on a port as well, which cannot be
kept from it: it asks for a key there that nobody knows.

Settings are those of llama.cpp's container, `LLAMA_ARG_…`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inservice.contract import MODEL_FILES, is_litter
from inservice.modelserver import failures
from inservice.modelserver.awaiting import awaited
from inservice.modelserver.calls import Call
from inservice.modelserver.devices import threads
from inservice.modelserver.encoding import JSON
from inservice.modelserver.frameworks.base import Framework, NoModel, Start, contents
from inservice.modelserver.frameworks.gguf import metadata, openai
from inservice.modelserver.frameworks.gguf.openai import Asked, Kind, Refused
from inservice.modelserver.program import Program
from inservice.modelserver.settings import BadSetting, number
from inservice.transport.messages import Response

CONTEXT_TOKENS_MAX: Final = 8192
"""The context where none is asked for: what a model was made for may be sixteen times as much, and
its memory is taken when the model is loaded."""

WAITING_MAX: Final = 256
"""How many requests wait in threads at once; the rest waits before."""

POOLINGS: Final = ("mean", "cls", "last")
"""What LLAMA_ARG_POOLING may say."""

_STEPS: Final = frozenset(("transform_fn", "input_fn", "predict_fn", "predict_batch_fn"))

_PART: Final = re.compile(r"-(\d{5})-of-\d{5}\.gguf$")


def plug(start: Start) -> Framework:
    """The container of an instance."""
    return LanguageModel(start)


def knows(model: Any) -> bool:
    """Whether it is what `load` makes."""
    return isinstance(model, Engine)


@dataclass(frozen=True, slots=True)
class Options:
    """What llama.cpp is told. Raises BadSetting where it is read."""

    context_tokens: int
    slots: int  # requests that are computed side by side
    threads: int
    batch_tokens: int
    predicted_tokens: int  # -1: until the model ends, or its context does
    gpu_layers: int  # -1: all that fit
    embeds: bool
    pooling: str  # how the vectors of tokens become one; "": as the file says
    name: str


class Engine:
    """llama.cpp's server with one model in it. Its methods are called in any thread."""

    def __init__(self, file: Path, options: Options) -> None:
        import xllamacpp  # type: ignore[import-not-found,unused-ignore]

        params = xllamacpp.CommonParams()
        params.model.path = str(file)
        params.model_alias = {options.name}
        params.n_ctx = options.context_tokens
        params.n_parallel = options.slots
        params.kv_unified = True  # one pool: a lone request may have all of the context
        params.n_predict = options.predicted_tokens
        params.n_batch = options.batch_tokens
        params.n_gpu_layers = options.gpu_layers
        params.embedding = options.embeds
        if options.embeds:  # one text is one step there: it has to be as long as a context is
            params.n_batch = params.n_ubatch = options.context_tokens
        if options.pooling:
            kinds = xllamacpp.llama_pooling_type
            params.pooling_type = kinds[f"LLAMA_POOLING_TYPE_{options.pooling.upper()}"]
        for cpu in (params.cpuparams, params.cpuparams_batch):
            cpu.n_threads = options.threads
        params.api_keys = [secrets.token_hex(32)]
        params.n_threads_http = 1
        params.ui = False
        params.offline = True
        params.verbosity = 1  # what is wrong, and not each request
        self.options = options
        self._server = xllamacpp.Server(params)

    def ask(self, asked: Asked, hear: Any) -> None:
        """Have a request answered: `hear` is given the answer, or chunk after chunk, as JSON or as
        an object, until it says True. Raises ValueError and RuntimeError for what cannot be."""
        if asked.kind is Kind.EMBEDDING:
            hear(self._server.handle_embeddings(dict(asked.body)))
            return
        chats = "messages" in asked.body
        server = self._server
        handle = server.handle_chat_completions if chats else server.handle_completions
        handle(json.dumps(asked.body), hear)


class LanguageModel(Framework):
    """The container: llama.cpp's server."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self._places = asyncio.Semaphore(WAITING_MAX)

    def use(self, program: Program) -> None:
        """Handlers of the user's stand around the model as around any other; without them the
        whole of a request is llama.cpp's."""
        super().use(program)
        self.whole = not any(map(program.has, (*_STEPS, "output_fn", "model_fn")))

    def load(self) -> Engine:
        """The model of the artifact. Raises NoModel, BadSetting, and RuntimeError for what
        llama.cpp cannot load; why is in the log."""
        file = self.start.file or the_file(self.start.settings.model_dir)
        try:
            pairs = metadata.read(file)
        except metadata.NotGguf as error:
            raise NoModel(str(error)) from error
        return Engine(file, options_of(self.start.settings.environment, pairs, file))

    async def invoke(self, call: Call, model: Any) -> Any:
        """One request, from body to answer."""
        path = call.fields.get(openai.PATH_HEADER)
        asked = openai.read(call.body, None if path is None else path.decode("latin-1"))
        return await awaited(self._answered(asked, model))

    async def predict(self, value: Any, model: Any) -> Any:
        """For an input_fn of the user's: what it makes is a request in one of the four shapes."""
        return await self._whole(openai.read(json.dumps(value).encode(), None), model)

    async def _answered(self, asked: Asked, model: Engine) -> Any:
        if asked.streams:
            kind = openai.EVENTS if asked.lmi is None else openai.LINES
            return self._parts(asked, model), kind
        return openai.whole(asked, await self._whole(asked, model)), JSON

    async def _whole(self, asked: Asked, model: Engine) -> Mapping[str, Any]:
        async with contextlib.aclosing(self._chunks(asked, model)) as chunks:
            async for chunk in chunks:
                return chunk
        raise Refused("The model gave no answer.", status=500)

    async def _parts(self, asked: Asked, model: Engine) -> AsyncIterator[bytes]:
        """A stream's parts. What goes wrong before the first has a status of its own."""
        write, begun = openai.parts_of(asked), False
        async with contextlib.aclosing(self._chunks(asked, model)) as chunks:
            try:
                async for chunk in chunks:
                    if part := write(chunk):
                        begun = True
                        yield part
            except Refused as refused:
                if not begun:
                    raise
                yield openai.error_part(refused, asked)
                return
        if last := openai.last_of(asked):
            yield last

    async def _chunks(self, asked: Asked, model: Engine) -> AsyncGenerator[Mapping[str, Any], None]:
        """What llama.cpp says, piece by piece. Closed before its end, it has llama.cpp stop at the
        next token. Raises Refused."""
        async with self._places:
            flow = _Flow(asyncio.get_running_loop())
            # A daemon, so that a model that does not end cannot hold up the end of the process.
            threading.Thread(
                target=flow.run, args=(model, asked), name="llama", daemon=True
            ).start()
            try:
                while (chunk := await flow.next()) is not None:
                    if (refused := openai.refused_by(chunk, asked)) is not None:
                        raise refused
                    yield chunk
            finally:
                flow.left = True

    def failure(self, error: BaseException) -> Response:
        """OpenAI's error object."""
        if isinstance(error, Refused):
            return openai.error_page(error)
        failures.failure(error)  # which tells the log
        return openai.error_page(Refused(failures.said_by(error), status=500))


class _Flow:
    """From a thread of llama.cpp's to the loop that waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._said: asyncio.Queue[Mapping[str, Any] | Refused | None] = asyncio.Queue()
        self.left = False
        """Set in the loop when nobody wants any more of it."""

    async def next(self) -> Mapping[str, Any] | None:
        """The next piece; None at the end. Raises Refused."""
        said = await self._said.get()
        if isinstance(said, Refused):
            raise said
        return said

    def run(self, engine: Engine, asked: Asked) -> None:
        """In the thread: all of a request."""
        try:
            engine.ask(asked, self._hear)
        except (ValueError, RuntimeError) as error:
            self._put(Refused(str(error)))
        except BaseException as error:  # noqa: BLE001 - whoever waits has to hear of it
            failures.log("llama.cpp could not be asked", error)
            self._put(Refused(failures.said_by(error), status=500))
        self._put(None)

    def _hear(self, said: Any) -> bool:
        """One piece; whether to stop."""
        self._put(json.loads(said) if isinstance(said, str) else said)
        return self.left

    def _put(self, said: Mapping[str, Any] | Refused | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._said.put_nowait, said)
        except RuntimeError:  # the loop is closed: the instance ends
            self.left = True


# ── which file, and how it is loaded ─────────────────────────────────────────────────────────────


def the_file(model_dir: Path) -> Path:
    """The model of an artifact; of one in several parts the first. Raises NoModel.

    What is named mmproj is the eye of a model that sees, and no model by itself.
    """
    (named,) = MODEL_FILES["gguf"].names
    if (file := model_dir / named).is_file():
        return file
    found = sorted(
        path.name
        for path in model_dir.glob("*.gguf")
        if path.is_file() and not is_litter(path.name) and not path.name.startswith("mmproj")
    )
    firsts = [name for name in found if (part := _PART.search(name)) is None or part[1] == "00001"]
    if len(firsts) == 1:
        return model_dir / firsts[0]
    if not found:
        raise NoModel(f"the artifact has no .gguf file; it holds {contents(model_dir)}")
    raise NoModel(f"which of {', '.join(firsts or found)} is the model? Name one {named}")


def options_of(
    environment: Mapping[str, str], pairs: Mapping[str, metadata.Value], file: Path
) -> Options:
    """What the Environment says, and what stands where it says nothing. Raises BadSetting."""
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    made_for = metadata.context_length(pairs)
    context = number(given, "LLAMA_ARG_CTX_SIZE", 0, 0, 2**31 - 1)
    embeds = _flag(given, "LLAMA_ARG_EMBEDDINGS", default=metadata.embeds(pairs))
    return Options(
        context_tokens=context or min(made_for or CONTEXT_TOKENS_MAX, CONTEXT_TOKENS_MAX),
        slots=number(given, "LLAMA_ARG_N_PARALLEL", 4, 1, 256),
        threads=number(given, "LLAMA_ARG_THREADS", _threads(given), 1, 1024),
        batch_tokens=number(given, "LLAMA_ARG_BATCH", 2048, 1, 2**20),
        predicted_tokens=number(given, "LLAMA_ARG_N_PREDICT", -1, 1, 2**31 - 1),
        gpu_layers=number(given, "LLAMA_ARG_N_GPU_LAYERS", -1, 0, 10_000),
        embeds=embeds,
        pooling=_pooling(given, needed=embeds and not metadata.embeds(pairs)),
        name=given.get("LLAMA_ARG_ALIAS") or file.stem,
    )


def _threads(given: Mapping[str, str]) -> int:
    """All cores that this process may use, unless OMP_NUM_THREADS says that there are to be
    several: its 1 is what every instance is given, and would make each token wait for one core."""
    said = threads(given) or 1
    return said if said > 1 else len(os.sched_getaffinity(0))


def _pooling(given: Mapping[str, str], *, needed: bool) -> str:
    """A model that was made for texts has no way of its own to make one vector of many."""
    said = given.get("LLAMA_ARG_POOLING", "mean" if needed else "").lower()
    if said not in ("", *POOLINGS):
        raise BadSetting(
            f"LLAMA_ARG_POOLING is '{given['LLAMA_ARG_POOLING']}', not one of {', '.join(POOLINGS)}"
        )
    return said


def _flag(given: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = given.get(name, str(default)).lower()
    if text not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        raise BadSetting(f"{name} is '{given[name]}', neither true nor false")
    return text in ("1", "true", "yes", "on")
