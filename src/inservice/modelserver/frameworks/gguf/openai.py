"""What clients ask of a language model, and how it is answered: OpenAI's shapes, and LMI's.

A request is one of four, told by the path that it was sent to (`/openai/v1/…` on the gateway) or,
where it comes by InvokeEndpoint, by what its body holds:

    messages   /v1/chat/completions   a chat
    prompt     /v1/completions        a text that goes on
    input      /v1/embeddings         vectors
    inputs     –                      AWS's LMI containers' own: {"inputs", "parameters", "stream"}

The first three go to llama.cpp as they are: its server has OpenAI's members and many of its own.
LMI's is put into a completion, and its answer made of one. `"stream": true` asks for parts, as
server-sent events, or lines of JSON for LMI's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from inservice.transport.messages import Response

PATH_HEADER: Final = b"x-amzn-sagemaker-model-invocation-path"
"""Where the gateway says which path below /openai/ was called."""

EVENTS: Final = "text/event-stream"
LINES: Final = "application/jsonlines"

NEW_TOKENS: Final = 30
"""max_new_tokens of an LMI container that is told none."""


class Kind(Enum):
    """What is asked. The value is the member of the body that it is about."""

    CHAT = "messages"
    COMPLETION = "prompt"
    EMBEDDING = "input"
    GENERATION = "inputs"


_PATHS: Final[Mapping[str, Kind]] = {
    "/v1/chat/completions": Kind.CHAT,
    "/v1/completions": Kind.COMPLETION,
    "/v1/embeddings": Kind.EMBEDDING,
}


class Refused(Exception):
    """A request that is answered with OpenAI's error object."""

    def __init__(
        self, message: str, *, status: int = 400, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as llama.cpp gets it."""

    kind: Kind
    body: Mapping[str, Any]
    streams: bool
    lmi: Lmi | None = None  # of Kind.GENERATION


@dataclass(frozen=True, slots=True)
class Lmi:
    """What of an LMI request is about its answer."""

    prompts: Sequence[str] = field(default_factory=tuple)
    """Whose texts the answers begin with, where the full text is asked for; else empty."""
    details: bool = False
    several: bool = False  # `inputs` is a list: so is the answer
    chat: bool = False  # `inputs` is a list of messages


# ── in ───────────────────────────────────────────────────────────────────────────────────────────


def read(body: bytes, path: str | None) -> Asked:
    """What is asked. Raises Refused."""
    try:
        said = json.loads(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(f"The body is not readable as JSON: {error}") from error
    if not isinstance(said, dict):
        raise Refused("The body has to be a JSON object.")
    kind = _kind(said, path)
    if kind.value not in said:
        raise Refused(f"'{kind.value}' is a required property", param=kind.value)
    _check_stream(said)
    if kind is Kind.GENERATION:
        return generation(said)
    if not isinstance(said[kind.value], str | list) or said[kind.value] == []:
        raise Refused(f"'{kind.value}' holds nothing that can be read.", param=kind.value)
    if kind is Kind.EMBEDDING and said.get("stream"):
        raise Refused("Embeddings are not streamed.", param="stream")
    if kind is Kind.CHAT:
        _check_messages(said["messages"])
    return Asked(kind, said, streams=said.get("stream") is True)


def _kind(said: Mapping[str, Any], path: str | None) -> Kind:
    if path is not None:
        if (kind := _PATHS.get(path.rstrip("/"))) is None:
            raise Refused(
                f"This model has no {path}; it has {', '.join(_PATHS)}.",
                status=404,
                code="unknown_url",
            )
        return kind
    for kind in Kind:
        if kind.value in said:
            return kind
    raise Refused(
        "The body has to have one of 'messages' (a chat), 'prompt' (a completion), 'input' "
        "(embeddings) and 'inputs'."
    )


def _check_stream(said: Mapping[str, Any]) -> None:
    if said.get("stream") not in (None, True, False):
        raise Refused("'stream' is neither true nor false.", param="stream")


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise Refused("'messages' has to be an array of objects.", param="messages")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_SAME: Final[Mapping[str, str]] = {
    "max_new_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "repetition_penalty": "repeat_penalty",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "stop": "stop",
    "stop_sequences": "stop",
    "ignore_eos": "ignore_eos",
}
"""LMI's parameters that llama.cpp has under a name of its own."""

_OURS: Final = ("do_sample", "details", "return_full_text")


def generation(said: Mapping[str, Any]) -> Asked:
    """LMI's request as a completion, or as a chat if its inputs are messages. Raises Refused."""
    unknown = sorted(said.keys() - {"inputs", "parameters", "stream", "model"})
    parameters = said.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise Refused("'parameters' has to be an object.", param="parameters")
    unknown += sorted(parameters.keys() - _SAME.keys() - set(_OURS))
    if unknown:
        raise Refused(
            f"This model does not take {', '.join(unknown)}; of 'parameters' it takes "
            f"{', '.join(sorted((*_SAME, *_OURS)))}.",
            param=unknown[0],
        )
    body: dict[str, Any] = {
        _SAME[name]: value
        for name, value in parameters.items()
        if name in _SAME and value is not None
    }
    body.setdefault("max_tokens", NEW_TOKENS)
    if not parameters.get("do_sample", "temperature" in parameters):
        body["temperature"] = 0  # greedy, as LMI is unless it is told to sample
    streams = said.get("stream") is True
    inputs = said["inputs"]
    chat = isinstance(inputs, list) and bool(inputs) and all(isinstance(i, dict) for i in inputs)
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not chat and not (
        isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts)
    ):
        raise Refused("'inputs' has to be a text, texts, or messages.", param="inputs")
    several = not chat and not isinstance(inputs, str)
    if streams and several:
        raise Refused("One text can be streamed at a time.", param="inputs")
    if chat:
        body["messages"] = inputs
    else:
        body["prompt"] = texts if several else inputs
    if streams:
        body |= {"stream": True, "logprobs": True if chat else 1}
    lmi = Lmi(
        prompts=tuple(texts) if parameters.get("return_full_text") and not chat else (),
        details=bool(parameters.get("details")),
        several=several,
        chat=chat,
    )
    return Asked(Kind.GENERATION, body, streams, lmi)


# ── out ──────────────────────────────────────────────────────────────────────────────────────────


def whole(asked: Asked, answer: Mapping[str, Any]) -> bytes:
    """The body of an answer in one piece."""
    if asked.lmi is None:
        return _json(answer)
    choices = sorted(answer["choices"], key=lambda choice: int(choice["index"]))
    prompts = [*asked.lmi.prompts, *[""] * len(choices)]
    tokens = answer.get("usage", {}).get("completion_tokens", 0)
    texts = [
        _generated(choice, prompt, tokens if asked.lmi.details else None)
        for choice, prompt in zip(choices, prompts, strict=False)
    ]
    return _json(texts if asked.lmi.several else texts[0])


def _generated(choice: Mapping[str, Any], prompt: str, tokens: int | None) -> dict[str, Any]:
    message = choice.get("message")
    text = choice.get("text") if message is None else message.get("content")
    generated: dict[str, Any] = {"generated_text": prompt + (text or "")}
    if tokens is not None:
        generated["details"] = _details(choice["finish_reason"], tokens)
    return generated


def _details(finish_reason: str | None, tokens: int) -> dict[str, Any]:
    """Why it ended, in LMI's words: `stop` is either the end of the text or a stop sequence, and
    llama.cpp does not say which."""
    reason = "eos_token" if finish_reason == "stop" else finish_reason
    return {"finish_reason": reason, "generated_tokens": tokens}


def parts_of(asked: Asked) -> Callable[[Mapping[str, Any]], bytes]:
    """What a chunk of a stream is to the client of one request."""
    return _event if asked.lmi is None else _Lines(asked.lmi).line


def last_of(asked: Asked) -> bytes:
    """What ends a stream."""
    return b"data: [DONE]\n\n" if asked.lmi is None else b""


def _event(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + _json(chunk) + b"\n\n"


class _Lines:
    """The lines of one stream, which gathers what the last of them tells of all."""

    def __init__(self, lmi: Lmi) -> None:
        self._text = lmi.prompts[0] if lmi.prompts else ""
        self._tokens = 0

    def line(self, chunk: Mapping[str, Any]) -> bytes:
        """A token's; nothing for a chunk without one."""
        choices = chunk.get("choices") or ()
        if not choices:
            return b""
        choice = choices[0]
        delta = choice.get("delta")
        text = (choice.get("text") if delta is None else delta.get("content")) or ""
        self._text += text
        known: Mapping[str, Any] = ((choice.get("logprobs") or {}).get("content") or ({},))[-1]
        line: dict[str, Any] = {
            "token": {
                "id": known.get("id"),
                "text": text,
                "log_prob": known.get("logprob"),
            }
        }
        if (reason := choice.get("finish_reason")) is not None:
            line["generated_text"] = self._text
            line["details"] = _details(reason, self._tokens)
        elif not text:
            return b""  # who speaks: a chat begins with it
        else:
            self._tokens += 1
        return _json(line) + b"\n"


def refused_by(answer: Mapping[str, Any], asked: Asked) -> Refused | None:
    """The error that llama.cpp answered, as OpenAI's clients know it; None for an answer."""
    error = answer.get("error")
    if not isinstance(error, Mapping):
        return None
    message, status = str(error.get("message", "")), error.get("code")
    if error.get("type") == "exceed_context_size_error":
        return Refused(
            f"This model's maximum context length is {error.get('n_ctx')} tokens. However, your "
            f"request has {error.get('n_prompt_tokens')} tokens. Please reduce its length, or "
            "raise LLAMA_ARG_CTX_SIZE.",
            code="context_length_exceeded",
            param=asked.kind.value,
        )
    if "is too large to process" in message:  # of a text to embed, which llama.cpp calls its fault
        return Refused(message, code="context_length_exceeded", param=asked.kind.value)
    if error.get("type") == "not_supported_error":
        return Refused(f"This model does not do that: {message}", code="not_supported")
    status = status if isinstance(status, int) and 400 <= status <= 599 else 500
    return Refused(message, status=status)


def error_page(refused: Refused) -> Response:
    """OpenAI's error object."""
    kind = "server_error" if refused.status >= 500 else "invalid_request_error"
    error = {"message": str(refused), "type": kind, "param": refused.param, "code": refused.code}
    body = _json({"error": error})
    return Response(refused.status, ((b"content-type", b"application/json"),), body)


def error_part(refused: Refused, asked: Asked) -> bytes:
    """The same in the middle of a stream, whose status is out already."""
    page = error_page(refused).body
    assert isinstance(page, bytes)
    return page + b"\n" if asked.lmi is not None else b"data: " + page + b"\n\n"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(
        errors="backslashreplace"
    )
