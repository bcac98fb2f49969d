"""Clients that invoke without pause and account for every request.

They are what is under boto3: urllib3's pool, with requests that botocore has signed. A client of
boto3 takes ten times as much of the machine for each request, and it is the server that is tested.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.acceptance.server import Server
from tests.waiting import PATIENCE_SECONDS, wait_until

SIGNED_SECONDS = 60.0
"""How long one signature is used. It is good for minutes."""


@dataclass(frozen=True)
class Answer:
    """One invocation: when it was answered and by which model, or what went wrong."""

    at: float
    model: str = ""
    failure: str = ""


BODY = b"x"


def _answered(pool: urllib3.PoolManager, url: str, signed: Mapping[str, str]) -> Answer:
    try:
        answer = pool.request("POST", url, body=BODY, headers=signed)
    except urllib3.exceptions.HTTPError as failure:
        return Answer(time.time(), failure=repr(failure))
    if answer.status != 200:
        kind = answer.headers.get("x-amzn-errortype", "")
        return Answer(time.time(), failure=f"{answer.status} {kind}: {answer.data!r}")
    return Answer(time.time(), model=json.loads(answer.data)["model"])


class Crowd:
    """Some clients of one endpoint. As a context manager they invoke until the block ends."""

    def __init__(self, server: Server, endpoint: str, clients: int = 2) -> None:
        self.answers: list[Answer] = []
        self._server, self._endpoint = server, endpoint
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._invoke) for _ in range(clients)]

    def _invoke(self) -> None:
        path = f"/endpoints/{self._endpoint}/invocations"
        signed, signed_at = self._signed(path), time.monotonic()
        with urllib3.PoolManager(retries=False, timeout=PATIENCE_SECONDS) as pool:
            while not self._over.is_set():
                if time.monotonic() - signed_at > SIGNED_SECONDS:
                    signed, signed_at = self._signed(path), time.monotonic()
                self.answers.append(_answered(pool, self._server.url + path, signed))
                # A steady rate that leaves the two cores room for what is being tested.
                self._over.wait(0.01)

    def _signed(self, path: str) -> Mapping[str, str]:
        server = self._server
        request = AWSRequest("POST", server.url + path, data=BODY)
        keys = server.credentials
        credentials = Credentials(keys["access_key_id"], keys["secret_access_key"])
        SigV4Auth(credentials, "sagemaker", server.region).add_auth(request)
        return dict(request.headers.items())

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
            thread.join()

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
