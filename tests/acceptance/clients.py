"""Clients that invoke without pause and account for every request."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType

from tests.acceptance.server import Server, wait_until


@dataclass(frozen=True)
class Answer:
    """One invocation: when it was answered and by which model, or what went wrong."""

    at: float
    model: str = ""
    failure: str = ""


class Crowd:
    """Some clients of one endpoint. As a context manager they invoke until the block ends."""

    def __init__(self, server: Server, endpoint: str, clients: int = 2) -> None:
        self.answers: list[Answer] = []
        self._server, self._endpoint = server, endpoint
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._invoke) for _ in range(clients)]

    def _invoke(self) -> None:
        runtime = self._server.new_client("sagemaker-runtime")
        while not self._over.is_set():
            try:
                answer = runtime.invoke_endpoint(EndpointName=self._endpoint, Body=b"x")
                said = json.loads(answer["Body"].read())
                self.answers.append(Answer(time.time(), model=said["model"]))
            except Exception as failure:
                self.answers.append(Answer(time.time(), failure=repr(failure)))
            # A steady rate that leaves the two cores room for what is being tested.
            self._over.wait(0.004)

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        wait_until(lambda: len(self.answers) >= len(self._threads))  # the crowd is there
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def wait(self, answers: int) -> None:
        """Until there are more answers than so many."""
        wait_until(lambda: len(self.answers) > answers)

    @property
    def failures(self) -> list[str]:
        return [answer.failure for answer in self.answers if answer.failure]

    def models(self, since: float = 0.0, until: float = float("inf")) -> Counter[str]:
        """How many answers each model gave in a stretch of time."""
        return Counter(
            answer.model
            for answer in self.answers
            if since <= answer.at < until and not answer.failure
        )
