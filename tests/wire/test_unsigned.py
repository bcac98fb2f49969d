"""What nobody signs: bounded for each address and each account, and in nobody else's way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlencode

from inservice.api.application import UNSIGNED_MAX, Application
from inservice.identity.iam.entities import OidcProvider
from inservice.identity.sts.errors import IdpCommunicationError
from inservice.identity.sts.jwks import Jwk
from inservice.identity.sts.web_identity import Unproven
from inservice.transport.messages import Request, Response
from inservice.transport.source import SOURCE
from tests.issuers import Issuer
from tests.waiting import until
from tests.wire.calls import Caller, application

HANGS, OTHER = "111122223333", "444455556666"


class Hanging:
    """Providers of one account never answer; those of others do at once, and have no keys."""

    def __init__(self) -> None:
        self.asked = 0
        self.over = asyncio.Event()

    def of(self, issuer: str) -> list[Jwk]:
        raise IdpCommunicationError(f"{issuer} has none.")

    def are_due(self, issuer: str, token: Unproven) -> bool:
        return True

    async def ask(self, issuer: str, token: Unproven, account: str) -> None:
        if account == HANGS:
            self.asked += 1
            await self.over.wait()


def presented(issuer: Issuer, account: str, address: str, **fields: str) -> Request:
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": f"arn:aws:iam::{account}:role/r",
        "RoleSessionName": "s1",
        "WebIdentityToken": issuer.token(),
        **fields,
    }
    body = urlencode(form).encode()
    headers = [
        (b"host", b"127.0.0.1:7420"),
        (b"content-type", b"application/x-www-form-urlencoded"),
        (SOURCE, address.encode()),
    ]
    request = Request("POST", b"/", 1, headers)
    request.parts, request.length = [body], len(body)
    return request


async def answered(app: Application, request: Request) -> Response:
    answer = app(request)
    return answer if isinstance(answer, Response) else await answer


def code_of(response: Response) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode().partition("<Code>")[2].partition("<")[0]


def test_who_waits_for_a_provider_that_hangs_is_in_nobody_s_way(tmp_path: Path) -> None:
    issuer = Issuer("https://issuer.invalid")

    async def ask() -> None:
        keys = Hanging()
        with application(tmp_path, provider_keys=keys) as app:
            with app._store.transaction() as tx:
                for account in (HANGS, OTHER):
                    there = OidcProvider(account, "issuer.invalid", issuer.url, 1.0, ("a",))
                    tx.oidc_providers.save(there)
            slow = [
                asyncio.create_task(answered(app, presented(issuer, HANGS, "192.0.2.1")))
                for _ in range(UNSIGNED_MAX)
            ]
            await until(lambda: keys.asked == UNSIGNED_MAX)
            more = await answered(app, presented(issuer, HANGS, "192.0.2.1"))
            assert code_of(more) == "Throttling"
            other = await answered(app, presented(issuer, OTHER, "192.0.2.2"))
            assert code_of(other) == "IDPCommunicationError"
            headers = {"X-Amz-Target": "SageMaker.ListModels"}
            signed = await answered(app, Caller(app).request(b"{}", headers))
            assert signed.status == 200
            keys.over.set()
            assert {code_of(await each) for each in slow} == {"IDPCommunicationError"}

    asyncio.run(ask())


def test_what_is_too_long_or_has_too_much_in_it_is_no_such_request(tmp_path: Path) -> None:
    issuer = Issuer("https://issuer.invalid")
    with application(tmp_path) as app:
        long = presented(issuer, OTHER, "192.0.2.1", Policy="x" * 200_000)
        many = presented(issuer, OTHER, "192.0.2.1", **{f"X{n}": "" for n in range(100)})
        for request in (long, many):
            assert code_of(app.answer(request)) == "MissingAuthenticationToken"
        assert code_of(app.answer(presented(issuer, OTHER, "192.0.2.1"))) == "InvalidIdentityToken"
