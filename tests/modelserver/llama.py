"""What the plug of language models asks of `xllamacpp`, without a model: put into an artifact's
code/ under that name, it is imported instead.

It answers by what the last message says: a number of words, `for ever`, `fail` in the middle of a
stream, or `stopped`: how many streams somebody has left.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

Hear = Callable[[Any], bool]


class CommonParams:
    """Takes whatever is set."""

    def __init__(self) -> None:
        self.model = SimpleNamespace(path="")
        self.cpuparams = SimpleNamespace(n_threads=0)
        self.cpuparams_batch = SimpleNamespace(n_threads=0)


class Server:
    """Answers in the thread that asks."""

    def __init__(self, params: CommonParams) -> None:
        if not vars(params)["api_keys"]:
            raise RuntimeError("anybody of this host could ask")
        self.stopped = 0

    def handle_chat_completions(self, body: str, hear: Hear) -> None:
        said = json.loads(body)
        asked = said["messages"][-1]["content"]
        if asked == "stopped":
            hear({"choices": [{"index": 0, "message": {"content": str(self.stopped)}}]})
        elif asked == "refuse":
            raise ValueError("this template takes no such message")
        elif asked == "for ever":
            while not hear(json.dumps(_chunk("on "))):
                time.sleep(0.001)
            self.stopped += 1
        else:
            for number in range(3 if asked == "fail" else int(asked)):
                hear(json.dumps(_chunk(f"{number} ")))
            if asked == "fail":
                hear({"error": {"code": 500, "message": "out of slots", "type": "server_error"}})


def _chunk(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
