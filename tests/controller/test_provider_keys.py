"""The keys of identity providers: what is asked, how often, and what comes of a bad one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey

from inservice.clock import SystemClock
from inservice.controller.kit import getting
from inservice.controller.kit.receivers import Networks
from inservice.controller.provider_keys import (
    AGAIN_SECONDS,
    FRESH_SECONDS,
    KEPT_SECONDS,
    IssuerKeys,
)
from inservice.errors import AwsError
from inservice.identity.sts.errors import IdpCommunicationError, InvalidIdentityToken
from inservice.identity.sts.web_identity import Unproven, read
from inservice.operations.sts.signed_tokens import signed_claims
from tests.issuers import Issuer, issuer
from tests.waiting import until

ACCOUNT = "111122223333"
DOCUMENTS = ["/.well-known/openid-configuration", "/keys"]


class Hours(SystemClock):
    """A clock that a test puts forward."""

    def __init__(self) -> None:
        super().__init__()
        self.later = 0.0

    def now(self) -> float:
        return super().now() + self.later


class Place:
    """What asks, and a provider."""

    def __init__(self, there: Issuer, files: dict[str, Path] | None = None) -> None:
        self.there, self.clock = there, Hours()
        self.keys = IssuerKeys(self.clock, Networks(), files or {})

    def token(self, **more: str) -> Unproven:
        return read(self.there.token(**more))  # type: ignore[arg-type]

    async def look(self, token: str = "", account: str = ACCOUNT) -> str:
        """ "" if the token is right, else the code of the refusal."""
        text = token or self.there.token()
        unproven = read(text)
        if self.keys.are_due(self.there.url, unproven):
            await self.keys.ask(self.there.url, unproven, account)
        try:
            signed_claims(self.keys.of(self.there.url), unproven, text)
        except AwsError as error:
            return error.code
        return ""


def run(steps: Callable[[Place], Awaitable[None]]) -> None:
    with issuer() as there:

        async def main() -> None:
            await steps(Place(there))

        asyncio.run(main())


def test_it_is_asked_once_while_its_keys_are_fresh() -> None:
    async def steps(place: Place) -> None:
        assert await asyncio.gather(*(place.look() for _ in range(20))) == [""] * 20
        assert place.there.asked == DOCUMENTS
        place.clock.later = FRESH_SECONDS + 1
        assert await place.look() == "", "what it has will do meanwhile"
        await asyncio.gather(*place.keys._asking.values())
        assert place.there.asked == DOCUMENTS * 2

    run(steps)


def test_a_new_key_is_asked_for_and_an_unknown_one_not_at_each_token() -> None:
    async def steps(place: Place) -> None:
        assert await place.look() == ""
        place.there.add_key("new", RSAKey.generate_key(2048, {"kid": "new"}))
        newer = place.there.token("rsa", header={"kid": "new"})  # signed by the old one
        for _ in range(5):
            assert await place.look(newer) == "InvalidIdentityToken"
        assert place.there.asked == DOCUMENTS, "not again so soon"
        place.clock.later = AGAIN_SECONDS + 1
        for _ in range(5):
            assert await place.look(newer) == "InvalidIdentityToken"
        assert place.there.asked == DOCUMENTS * 2

    run(steps)


def test_keys_are_not_believed_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getting, "EXCHANGE_SECONDS", 0.3)

    async def steps(place: Place) -> None:
        assert await place.look() == ""
        place.there.manner = "error"
        place.clock.later = KEPT_SECONDS - 1
        assert await place.look() == ""
        place.clock.later = 2 * KEPT_SECONDS
        assert await place.look() == "IDPCommunicationError"
        place.there.manner = "well"
        assert await place.look() == "IDPCommunicationError", "not again so soon"
        place.clock.later += 11
        assert await place.look() == ""

    run(steps)


@pytest.mark.parametrize(
    ("manner", "code"),
    [
        ("hang", IdpCommunicationError),
        ("trickle", IdpCommunicationError),
        ("endless", IdpCommunicationError),
        ("redirect", IdpCommunicationError),
        ("error", IdpCommunicationError),
        ("garbage", InvalidIdentityToken),
        ("other", InvalidIdentityToken),
        ("away", InvalidIdentityToken),
        ("keyless", InvalidIdentityToken),
    ],
)
def test_what_a_bad_one_answers_is_an_error_in_time(
    monkeypatch: pytest.MonkeyPatch, manner: str, code: type[AwsError]
) -> None:
    monkeypatch.setattr(getting, "EXCHANGE_SECONDS", 1.0)

    async def steps(place: Place) -> None:
        place.there.manner = manner
        assert await place.look() == code.code
        place.there.over.set()

    run(steps)


def test_who_hangs_does_not_keep_other_accounts_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """One account registers more providers that hang than there are places; another's is asked all
    the same."""
    monkeypatch.setattr(getting, "EXCHANGE_SECONDS", 2.0)

    async def steps(place: Place) -> None:
        with issuer() as slow:
            slow.manner = "hang"
            many = [f"{slow.url}/{number}" for number in range(200)]
            token = read(slow.token())
            asking = [
                asyncio.create_task(place.keys.ask(url, token, "444455556666")) for url in many
            ]
            await until(lambda: slow.asked)
            assert await place.look() == ""
            slow.over.set()
            await asyncio.gather(*asking)

    run(steps)


def test_a_file_stands_for_an_issuer_that_nobody_asks(tmp_path: Path) -> None:
    there = Issuer("https://issuer.invalid/realm")
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(there.jwks()))

    async def steps() -> None:
        place = Place(there, {there.url: file})
        assert await place.look() == ""
        assert await place.look(there.token("ec")) == ""
        there.add_key("rsa", RSAKey.generate_key(2048, {"kid": "rsa"}))
        assert await place.look() == "InvalidIdentityToken"
        file.write_text(json.dumps(there.jwks()))
        assert await place.look() == "", "it is read anew"
        for broken in ("", "[]", '{"keys": 1}', '{"keys": [1, {"kty": "oct", "k": "x"}]}'):
            file.write_text(broken)
            assert await place.look() == "InvalidIdentityToken"
        file.unlink()
        assert await place.look() == "InvalidIdentityToken"

    asyncio.run(steps())
