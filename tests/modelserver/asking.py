"""Models of a family's plug, asked without sockets: `serving(…)` gives what asks one."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inservice.modelserver.answers import Answer
from inservice.modelserver.awaiting import Parts
from inservice.modelserver.batching import Lane
from inservice.modelserver.calls import Beside, Call
from inservice.modelserver.frameworks.select import by_image
from inservice.modelserver.handlers import Model
from inservice.modelserver.program import Program, checked
from inservice.modelserver.server import running
from inservice.modelserver.settings import settings_from


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    content_type: str | None
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Ask = Callable[..., Said]


def serving(
    framework: str,
    model_dir: Path | str = "/m",
    environment: Mapping[str, str] | None = None,
    **functions: Any,
) -> Ask:
    """A model server of a family's image with this program, and what asks it: `ask(body,
    content_type, accept, path="/invocations", method="POST")`. A type of None is no header."""
    variables = {"INSERVICE_FRAMEWORK": framework, **(environment or {})}
    settings = settings_from(variables, str(model_dir))
    image = by_image(settings)
    if functions or image is None:
        module = types.ModuleType("program")
        module.__dict__.update(functions)
        program = checked(module, "inference.py", *((image.handlers,) if image else ()))
    else:
        program = Program({})
    if image is not None:
        image.use(program)
    lane = Lane(lambda *_: None, size_max=1, delay_seconds_max=0.0)
    model = lane.complete(Model.load(program, settings, None, image))
    run = running(model, 0, batches=False)

    def ask(
        body: bytes,
        content_type: str | None = None,
        accept: str | None = None,
        *,
        path: str = "/invocations",
        method: str = "POST",
        **headers: str,
    ) -> Said:
        named = {"content-type": content_type, "accept": accept, **headers}
        fields = {
            k.replace("_", "-").encode(): v.encode() for k, v in named.items() if v is not None
        }
        given = model.plug.content_type if content_type is None else content_type
        asked: Call | Beside = Call(body, given, accept or "", fields)
        if path != "/invocations":
            path, _, query = path.partition("?")
            assert model.plug.serves(method, path)
            assert isinstance(asked, Call)
            asked = Beside(asked, method, path, query)
        (outcome,) = lane.complete(run([asked]))
        whole = outcome.body
        if isinstance(outcome, Answer) and isinstance(whole, Parts):
            whole = lane.complete(_whole(whole))
        answered = {k.decode(): v.decode() for k, v in outcome.headers}
        return Said(outcome.status, answered.get("content-type"), whole, answered)

    return ask


async def _whole(parts: Parts) -> bytes:
    whole, part = b"", parts.first
    while part is not None:
        whole, part = whole + part, await parts.next()
    return whole
