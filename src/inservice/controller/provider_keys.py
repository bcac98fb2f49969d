"""The keys of identity providers: asked for where a provider says that they are, and remembered.

Somebody shows a token; its issuer is registered in IAM, or nobody is asked anything. The issuer's
`/.well-known/openid-configuration` names where its keys are, and they are got from there. Neither
is trusted to answer: an exchange has a deadline and a size, an issuer is asked once for all who
wait, an account has its share of those that are asked at one time, and whoever does not wait for a
token waits for none of it.

    fresh      for ten minutes keys are used as they are
    ageing     for an hour they are used, and asked for again beside
    unknown    a token of a key that is not among them has the issuer asked again, twice a minute
    failed     what went wrong is told for ten seconds before it is tried again

Where the server has no way out, a file has the keys: of an issuer that the setting
INSERVICE_OIDC_JWKS names nobody else is ever asked.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from inservice.clock import Clock
from inservice.controller.kit.dialing import Dialer, Resolver, looked_up
from inservice.controller.kit.getting import NotGot, document_at
from inservice.controller.kit.receivers import Networks
from inservice.identity.iam.oidc import is_loopback
from inservice.identity.sts.errors import IdpCommunicationError, InvalidIdentityToken
from inservice.identity.sts.jwks import Jwk, candidates, usable_keys
from inservice.identity.sts.web_identity import Unproven
from inservice.turns import Full, Turns

FRESH_SECONDS: Final = 600.0
KEPT_SECONDS: Final = 3_600.0
AGAIN_SECONDS: Final = 30.0
FAILED_SECONDS: Final = 10.0

ISSUERS_MAX: Final = 1_000
"""Of whom keys are remembered; the one that was asked the longest ago is forgotten first."""

AT_ONCE: Final = 64
"""Issuers that are asked at one time, shared by the accounts: each has an even part, whatever the
others have."""

DOCUMENT_BYTES_MAX: Final = 256 * 1024
"""The largest JWKS is some ten kilobytes."""

_CONFIGURATION: Final = "/.well-known/openid-configuration"
_NO_KEY: Final = (
    "Couldn't retrieve verification key from your identity provider,  please reference "
    "AssumeRoleWithWebIdentity documentation for requirements"
)

_log = structlog.get_logger(__name__)

Keys = list[Jwk]


class _Unusable(Exception):
    """The issuer answered, and not what an issuer says."""


@dataclass(frozen=True)
class _Known:
    """What came of asking an issuer."""

    asked_at: float  # as the clock's `now`
    keys: Keys = field(default_factory=list)
    got_at: float = 0.0  # when `keys` came
    problem: Exception | None = None  # of the latest attempt


class IssuerKeys:
    """Implements `operations.sts.provider_keys.ProviderKeys`."""

    def __init__(
        self,
        clock: Clock,
        networks: Networks,
        files: Mapping[str, Path],
        look_up: Resolver = looked_up,
    ) -> None:
        """`files` has the JWKS files by issuer."""
        self._clock = clock
        self._dialer = Dialer(clock, networks, look_up)
        self._files = files
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._turns = Turns(None, AT_ONCE)

    def of(self, issuer: str) -> Keys:
        """See `ProviderKeys`."""
        if (file := self._files.get(issuer)) is not None:
            return _in_file(file)
        known = self._known.get(issuer)
        if known is None:
            raise IdpCommunicationError("The identity provider was not asked.")
        if self._is_usable(known):
            return known.keys
        if isinstance(known.problem, _Unusable):
            raise InvalidIdentityToken(_NO_KEY)
        raise IdpCommunicationError(
            "The identity provider that was asked to verify the incoming identity token could not "
            "be reached."
        )

    def are_due(self, issuer: str, token: Unproven) -> bool:
        """See `ProviderKeys`."""
        known = self._known.get(issuer)
        if issuer in self._files:
            return False
        if known is None:
            return True
        now = self._clock.now()
        since = now - known.asked_at
        if not self._is_usable(known):
            return since >= FAILED_SECONDS
        if not candidates(known.keys, token):
            return since >= AGAIN_SECONDS
        return since >= AGAIN_SECONDS and now - known.got_at >= FRESH_SECONDS

    async def ask(self, issuer: str, token: Unproven, account: str) -> None:
        """See `ProviderKeys`."""
        asking = self._asking.get(issuer)
        if asking is None:
            asking = asyncio.create_task(self._ask(issuer, account))
            self._asking[issuer] = asking
            asking.add_done_callback(lambda _: self._asking.pop(issuer, None))
        known = self._known.get(issuer)
        if known is None or not self._is_usable(known) or not candidates(known.keys, token):
            await asyncio.shield(asking)

    def _is_usable(self, known: _Known) -> bool:
        return bool(known.keys) and self._clock.now() - known.got_at < KEPT_SECONDS

    async def _ask(self, issuer: str, account: str) -> None:
        before = self._known.get(issuer)
        keys: Keys | None = None
        problem: Exception | None = None
        try:
            keys = await self._turns.run(account, lambda: self._got(issuer))
        except Full as full:
            problem = full
        except (NotGot, _Unusable) as why:
            problem = why
            _log.warning("provider_keys.not_got", issuer=issuer[:255], why=str(why)[:1_000])
        now = self._clock.now()
        if keys is not None:
            found = _Known(now, keys, now)
        elif before is not None:
            found = _Known(now, before.keys, before.got_at, problem)
        else:
            found = _Known(now, problem=problem)
        self._known[issuer] = found
        self._known.move_to_end(issuer)
        while len(self._known) > ISSUERS_MAX:
            self._known.popitem(last=False)

    async def _got(self, issuer: str) -> Keys:
        configuration = await self._document(issuer.rstrip("/") + _CONFIGURATION)
        if configuration.get("issuer") != issuer:
            raise _Unusable("its configuration is another issuer's")
        place = configuration.get("jwks_uri")
        if not isinstance(place, str) or not _may_have_keys(place, issuer):
            raise _Unusable("its configuration names no place of its keys that may be asked")
        keys = usable_keys(await self._document(place))
        if not keys:
            raise _Unusable("it has no keys that can be used")
        return keys

    async def _document(self, url: str) -> Mapping[str, Any]:
        return _parsed(await document_at(url, self._dialer, DOCUMENT_BYTES_MAX))


def _may_have_keys(place: str, issuer: str) -> bool:
    """Anywhere that TLS vouches for; without it, where the issuer itself is, on this host."""
    try:
        where, whose = urlsplit(place), urlsplit(issuer)
    except ValueError:
        return False
    if where.scheme == "https":
        return True
    beside = (where.scheme, where.netloc) == ("http", whose.netloc) and whose.scheme == "http"
    return beside and is_loopback(whose.hostname or "")


def _parsed(text: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise _Unusable("what it has there is no JSON") from None
    if not isinstance(document, dict):
        raise _Unusable("what it has there is no JSON object")
    return document


def _in_file(file: Path) -> Keys:
    """The keys in a file, which is read each time: it is short, and is replaced when keys are."""
    try:
        with file.open("rb") as opened:
            keys = usable_keys(_parsed(opened.read(DOCUMENT_BYTES_MAX)))
    except (OSError, _Unusable) as problem:
        _log.error("provider_keys.file", file=str(file), why=str(problem))
        keys = []
    if not keys:
        raise InvalidIdentityToken(_NO_KEY)
    return keys
