"""Proving who shows an identity token, which is to AssumeRoleWithWebIdentity what a signature is to
everything else.

    present   read what it claims: which issuer, registered in which account          in a thread
    await     have that issuer's keys, where they are not known                       in the loop
    prove     its signature, its audience, its time: who it is, and what is known     in a thread

Nobody has vouched for anything until the last step, so whoever asks is bounded before: in bytes
(`identify`), by address, and by the account whose provider is waited for. Only an issuer that an
account has registered is ever asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from inservice.api.compiled import CompiledOperation
from inservice.errors import ValidationError
from inservice.identity.authority import Authority
from inservice.identity.iam.entities import OidcProvider
from inservice.identity.principal import AccessKey, web_identity
from inservice.identity.sts.errors import InvalidIdentityToken
from inservice.identity.sts.web_identity import Unproven, believed, read
from inservice.operations.registry import Call
from inservice.operations.sts.provider_keys import ProviderKeys
from inservice.operations.sts.signed_tokens import signed_claims
from inservice.store.base import Store

WEB_IDENTITY: Final = "sts:AssumeRoleWithWebIdentity"


@dataclass(frozen=True, slots=True)
class Presented:
    """A token that is to be proved, and what is asked with it."""

    compiled: CompiledOperation
    call: Call
    members: dict[str, Any]
    provider: OidcProvider
    token: Unproven


def account_and_region(role_arn: str) -> tuple[str, str]:
    """Whose role is asked for, and a region of its partition: nobody signed for one. Raises
    ValidationError."""
    fields = role_arn.split(":")
    if len(fields) < 6 or fields[0] != "arn" or len(fields[4]) != 12 or not fields[4].isdecimal():
        raise ValidationError("Request ARN is invalid")
    return fields[4], f"{fields[1]}-global"


class WebIdentities:
    """Judges tokens."""

    def __init__(self, store: Store, keys: ProviderKeys, wall: Callable[[], float]) -> None:
        self._store = store
        self._keys = keys
        self._wall = wall

    def present(
        self, compiled: CompiledOperation, call: Call, members: dict[str, Any]
    ) -> Presented:
        """Raises InvalidIdentityToken for what is no token, or of nobody whom the account knows."""
        token = read(members["WebIdentityToken"])
        name = token.issuer.partition("://")[2]
        with self._store.reading() as records:
            provider = records.oidc_providers.named(call.account, name)
        if provider is None or provider.url != token.issuer:
            raise InvalidIdentityToken(
                f"No OpenIDConnect provider found in your account for {token.issuer}"
            )
        return Presented(compiled, call, members, provider, token)

    def is_due(self, presented: Presented) -> bool:
        """Whether the provider has to be asked for its keys first."""
        return self._keys.are_due(presented.provider.url, presented.token)

    async def ask(self, presented: Presented) -> None:
        """Ask it. Raises nothing."""
        await self._keys.ask(presented.provider.url, presented.token, presented.call.account)

    def prove(self, presented: Presented) -> tuple[Call, AccessKey, Authority]:
        """The call with its proof, who makes it, and what they hold: nothing but what the token
        says. Raises the errors of `identity.sts.errors`."""
        provider, call = presented.provider, presented.call
        text = presented.members["WebIdentityToken"]
        claims = signed_claims(self._keys.of(provider.url), presented.token, text)
        proof = believed(claims, provider, self._wall())
        principal = web_identity(call.account, provider.arn)
        proved = replace(call, principal=principal.arn, proof=proof)
        key = AccessKey(id="", secret="", principal=principal)
        return proved, key, Authority(principal, credentials=proof.keys)
