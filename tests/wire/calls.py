"""An application with a real store, and requests to it signed by botocore."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from inservice.api.application import Application, create_application
from inservice.audit.trail import Trail
from inservice.clock import SystemClock
from inservice.identity.principal import AccessKey, Account, Principal
from inservice.operations.live import CapacitySeen, DataSeen, EngineSeen, Live
from inservice.operations.sts.provider_keys import NO_KEYS, ProviderKeys
from inservice.placement.host import Host
from inservice.placement.place import Rules
from inservice.store.drivers.database import open_store
from inservice.threads import Threads
from inservice.transport.messages import Request, Response
from tests.kept_images import FakeImages
from tests.stores import lay_out, new_store

ROOT_KEY = AccessKey("AKIAROOT", "root-secret", Account("000000000000").root)
NOBODY_KEY = AccessKey(
    "AKIANOBODY", "secret", Principal("000000000000", "arn:aws:iam::000000000000:user/nobody")
)
KEYS = {key.id: key for key in (ROOT_KEY, NOBODY_KEY)}


class Quiet:
    """A server that runs nothing, nor has metrics and logs."""

    started_at = 0.0
    own_account = "000000000000"

    def __init__(self) -> None:
        self.images = FakeImages()

    def processes(self) -> tuple[()]:
        return ()

    def served(self) -> tuple[str, ...]:
        return ()

    is_strict = False
    takes_unknown_roles = True

    def buckets_of(self, account_id: str) -> int:
        """None: there is no storage."""
        return 0

    def bucket_tags(self, account_id: str, region: str) -> dict[str, dict[str, str]]:
        """None: there is no storage."""
        return {}

    placement_rules = Rules()

    def engine(self) -> EngineSeen:
        return EngineSeen("Podman", "5.0", "/run/podman/podman.sock")

    def capacity(self) -> CapacitySeen:
        return CapacitySeen(Host(2, 8 * 2**30), (), self.placement_rules)

    def data_seen(self, *_: object) -> DataSeen:
        return DataSeen.ELSEWHERE

    def instances_seen(self) -> tuple[()]:
        return ()


@contextmanager
def application(
    directory: Path,
    live: Live | None = None,
    short: Callable[[], str] = lambda: "",
    trail: Trail | None = None,
    provider_keys: ProviderKeys = NO_KEYS,
) -> Iterator[Application]:
    """Control's API on an empty store; `short` is why its disk is full, if it is. Without a `trail`
    nobody is told who changed what."""
    lay_out(new_store("state.db", "secrets.key"), directory)
    store = open_store(f"sqlite:///{directory / 'state.db'}", key_file=directory / "secrets.key")
    try:
        yield create_application(
            store=store,
            live=live or cast(Live, Quiet()),
            clock=SystemClock(),
            keys=KEYS.get,
            threads=Threads("api", 2),
            readers=Threads("reads"),
            short=short,
            trail=trail,
            provider_keys=provider_keys,
        )
    finally:
        store.close()


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@dataclass(frozen=True)
class Caller:
    """Sends requests to an application, without a socket between."""

    application: Application
    key: AccessKey = ROOT_KEY

    def send(
        self,
        body: bytes,
        headers: dict[str, str],
        *,
        method: str = "POST",
        target: str = "/",
        service: str = "sagemaker",
        signed: bool = True,
    ) -> Response:
        """One request as it is given, signed for a service, and its answer."""
        return self.application.answer(
            self.request(
                body, headers, method=method, target=target, service=service, signed=signed
            )
        )

    def request(
        self,
        body: bytes,
        headers: dict[str, str],
        *,
        method: str = "POST",
        target: str = "/",
        service: str = "sagemaker",
        region: str = "us-east-1",
        signed: bool = True,
    ) -> Request:
        """One request as the transport would give it."""
        request = AWSRequest(method, f"http://127.0.0.1:7420{target}", data=body, headers=headers)
        if signed:
            credentials = Credentials(self.key.id, self.key.secret)
            SigV4Auth(credentials, service, region).add_auth(request)
        received = {
            name.lower().encode(): _bytes(value)
            for name, value in request.prepare().headers.items()
        }
        received[b"host"] = b"127.0.0.1:7420"
        arrived = Request(method, target.encode(), 1, list(received.items()))
        arrived.parts, arrived.length = [body], len(body)
        return arrived

    def call(self, operation: str, body: Any = None, **sending: Any) -> tuple[int, dict[str, Any]]:
        """One operation over AWS JSON: the status and the document. Bytes are sent as they are."""
        raw = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        target = operation if "." in operation else f"SageMaker.{operation}"
        headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
        response = self.send(raw, headers, **sending)
        assert isinstance(response.body, bytes)
        return response.status, json.loads(response.body or b"{}")
