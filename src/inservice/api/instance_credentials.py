"""Credentials for a model's own code: those of its execution role, and for its instance alone.

An instance of a model whose execution role is known here is started with

    AWS_CONTAINER_CREDENTIALS_FULL_URI     where to ask: this server, on this host
    AWS_CONTAINER_AUTHORIZATION_TOKEN      what to show there, of this instance and no other
    AWS_ENDPOINT_URL                       this server again, which is AWS for that role

as containers on AWS are with theirs, so every SDK finds its credentials by itself and asks again
before they end. Each answer is a session of the role, named `SageMaker` as on AWS: it reaches what
the role may, on both planes, and ends with the role.

The token says which instance of which model it is and is sealed with a key that only this server
has, so there is nothing to keep or to lose. It is good while that instance runs, while the role is
there and trusts SageMaker, and from this host. A model whose environment says anything of AWS's
credentials or endpoints has decided by itself: then nothing is set, and no key of ours can reach
whatever it talks to.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

import msgspec
import structlog

from inservice.clock import Clock
from inservice.errors import AccessDeniedException, AwsError
from inservice.hosting.arn import ResourceArn, ResourceKind
from inservice.identity.principal import AccessKey, Session, role_session
from inservice.identity.sts.trusting import trusts_service
from inservice.operations.sagemaker.touches import SERVICE
from inservice.operations.sts.given import begin
from inservice.operations.sts.touches import own_role_at
from inservice.store.base import Reading, Store
from inservice.store.errors import StoreRefused
from inservice.threads import Threads
from inservice.transport.messages import Request, Response
from inservice.transport.source import source_of

Answer = Callable[[Request], Response | Awaitable[Response]]

PATH: Final = b"/instance-credentials"

SESSION_NAME: Final = "SageMaker"
SESSION_SECONDS: Final = 3_600.0

RENEWED_SECONDS: Final = 1_800.0
"""What credentials last at least when they are told. SDKs ask again a quarter of an hour before the
end, and have to have got others ten minutes before it."""

_DECIDED: Final = re.compile(
    r"AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|SECURITY_TOKEN|(DEFAULT_)?PROFILE"
    r"|CONFIG_FILE|SHARED_CREDENTIALS_FILE|CREDENTIAL_.*|WEB_IDENTITY_.*|ROLE_.*|CONTAINER_.*"
    r"|ENDPOINT_URL.*)"
)
"""Variables by which a model's environment says whose credentials it uses, or where they go."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Bearer:
    """What a token says."""

    instance: str
    account: str
    region: str
    model: str  # its name
    role: str  # ARN, as the model names it


_DECODER: Final = msgspec.json.Decoder(_Bearer)


class InstanceCredentials:
    """Gives instances their environment, and answers what they ask with it."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        key: bytes,
        url: str | None,
        running: Callable[[str], bool],
    ) -> None:
        """`key` seals tokens, and is the same in the next life of control. `url` is where this host
        finds the server, None if not by a loopback address, which is all that SDKs take.
        `running` says whether there is an instance of an id, and is asked in the event loop."""
        self._store = store
        self._clock = clock
        self._key = key
        self._url = url
        self._running = running
        self._lock = threading.Lock()
        self._given: dict[str, AccessKey] = {}  # by instance

    # ── what an instance is started with ────────────────────────────────────────────────────────
    def environment(
        self,
        instance_id: str,
        *,
        model: ResourceArn,
        role_arn: str | None,
        own: Mapping[str, str],
    ) -> Mapping[str, str]:
        """What is set beside a model's `own` environment: nothing, unless its execution role is
        known here. It reads the store, so not for the event loop."""
        if self._url is None or role_arn is None or any(map(_DECIDED.fullmatch, own)):
            return {}
        with self._store.reading() as records:
            if own_role_at(records, model.account, model.region, role_arn) is None:
                return {}
        bearer = _Bearer(instance_id, model.account, model.region, model.name, role_arn)
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": self._url + PATH.decode(),
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": self._sealed(bearer),
            "AWS_ENDPOINT_URL": self._url,
        }

    def _sealed(self, bearer: _Bearer) -> str:
        said = base64.urlsafe_b64encode(msgspec.json.encode(bearer))
        return f"{said.decode()}.{self._seal(said)}"

    def _seal(self, said: bytes) -> str:
        return hmac.digest(self._key, said, "sha256").hex()

    def _bearer(self, token: bytes) -> _Bearer | None:
        """Who shows this; None for a token that was not made here."""
        said, _, seal = token.rpartition(b".")
        if not hmac.compare_digest(seal, self._seal(said).encode()):
            return None
        try:
            return _DECODER.decode(base64.urlsafe_b64decode(said))
        except (binascii.Error, msgspec.MsgspecError):  # of a later version
            return None

    # ── what it asks ────────────────────────────────────────────────────────────────────────────
    def before(self, answer: Answer, threads: Threads) -> Answer:
        """`answer`, but for what instances ask, which is found out in `threads`."""

        def route(request: Request) -> Response | Awaitable[Response]:
            if request.path != PATH:
                return answer(request)
            if request.method != "GET" or not _is_of_this_host(request):
                return _refused(403, "AccessDenied")
            bearer = self._bearer((request.header(b"authorization") or b"").strip())
            if bearer is None or not self._running(bearer.instance):
                return _refused(403, "AccessDenied")
            return threads.run(self._answered, bearer)

        return route

    def _answered(self, bearer: _Bearer) -> Response:
        try:
            key = self._credentials(bearer)
        except (AwsError, StoreRefused) as error:
            _log.warning("instance.no_credentials", instance=bearer.instance, why=str(error))
            return _refused(503 if _is_ours(error) else 403, getattr(error, "code", ""))
        document = {
            "AccessKeyId": key.id,
            "SecretAccessKey": key.secret,
            "Token": key.session_token,
            "Expiration": _iso(key.expires_at or 0.0),
            "RoleArn": bearer.role,
        }
        return Response(200, _HEADERS, msgspec.json.encode(document))

    def _credentials(self, bearer: _Bearer) -> AccessKey:
        """A session of the role that lasts a while. Raises AccessDeniedException."""
        now = float(int(self._clock.now()))
        with self._lock:
            with self._store.reading() as records:
                session = self._session(records, bearer, now)
                known = self._given.get(bearer.instance)
                if (
                    known is not None
                    and known.principal == session.principal
                    and (known.expires_at or 0.0) >= now + RENEWED_SECONDS
                    and records.sessions.find(known.id) is not None
                ):
                    return known
            with self._store.transaction() as tx:
                made = begin(tx, self._session(tx, bearer, now), now)
            self._given = {
                instance: key
                for instance, key in self._given.items()
                if (key.expires_at or 0.0) > now
            }
            self._given[bearer.instance] = made
            return made

    def _session(self, records: Reading, bearer: _Bearer, now: float) -> Session:
        model = ResourceArn(ResourceKind.MODEL, bearer.account, bearer.region, bearer.model)
        context = {"aws:sourceaccount": bearer.account, "aws:sourcearn": str(model)}
        role = own_role_at(records, bearer.account, bearer.region, bearer.role)
        if role is None or not trusts_service(role, SERVICE, context):
            raise AccessDeniedException(f"SageMaker may not assume {bearer.role}.")
        principal = role_session(role.account, role.name, SESSION_NAME, role.path, role.id)
        return Session(principal, issued_at=now, expires_at=now + SESSION_SECONDS)


_HEADERS: Final = [(b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store")]


def _refused(status: int, code: str) -> Response:
    words = {"code": code, "message": "There are no credentials for whoever asks this way."}
    return Response(status, _HEADERS, msgspec.json.encode(words))


def _is_ours(error: Exception) -> bool:
    """Whether it is the server that cannot, and not the instance that may not."""
    return not isinstance(error, AwsError) or error.fault == "Receiver"


def _is_of_this_host(request: Request) -> bool:
    source = source_of(request)
    return source is not None and ip_address(source).is_loopback


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
