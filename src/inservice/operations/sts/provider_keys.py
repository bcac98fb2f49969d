"""What is asked about the keys of identity providers by who has a token of one."""

from __future__ import annotations

from typing import Protocol

from inservice.identity.sts.errors import IdpCommunicationError
from inservice.identity.sts.jwks import Jwk
from inservice.identity.sts.web_identity import Unproven


class ProviderKeys(Protocol):
    """The keys that identity providers sign with, as far as they are known."""

    def of(self, issuer: str) -> list[Jwk]:
        """Those of an issuer. From any thread. Raises IdpCommunicationError where it could not be
        asked, and InvalidIdentityToken where it has none that could be used."""
        ...

    def are_due(self, issuer: str, token: Unproven) -> bool:
        """Whether the issuer has to be asked before the token can be judged. From any thread."""
        ...

    async def ask(self, issuer: str, token: Unproven, account: str) -> None:
        """Ask the issuer, in the place of an account that has registered it, within a deadline;
        keys that will do for the token meanwhile are not waited for. Raises nothing: `of` tells
        what came of it."""
        ...


class _NoKeys:
    """Of nobody."""

    def of(self, issuer: str) -> list[Jwk]:
        """None."""
        raise IdpCommunicationError(f"{issuer} was not asked.")

    def are_due(self, issuer: str, token: Unproven) -> bool:  # noqa: ARG002
        """Nobody is asked."""
        return False

    async def ask(self, issuer: str, token: Unproven, account: str) -> None:
        """Nobody."""


NO_KEYS: ProviderKeys = _NoKeys()
"""Where there is nobody to ask."""
