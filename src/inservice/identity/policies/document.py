"""A policy: a document that IAM would keep, compiled for being asked.

A document is its own text form: who has to keep or send a policy keeps or sends the text, and
parses it again. What is compiled of it is an index: few of a policy's statements are about a given
action, and which ones does not depend on who asks for what, so that is found out once for each
action, and a decision only looks at those.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from inservice.errors import MalformedPolicyDocument
from inservice.identity.policies.grammar import NEWER, OLDER, PolicyKind, check
from inservice.identity.policies.source import SYNTAX, read
from inservice.identity.policies.statements import Effect, Statement

MANAGED_SIZE_MAX: Final = 6_144
USER_INLINE_SIZE_MAX: Final = 2_048
GROUP_INLINE_SIZE_MAX: Final = 5_120
ROLE_INLINE_SIZE_MAX: Final = 10_240
TRUST_SIZE_MAX: Final = 2_048
SESSION_SIZE_MAX: Final = 2_048
"""Of a policy, or of all that are embedded in one entity, as `Policy.size` counts."""

_ACTIONS_KEPT: Final = 512
"""For how many actions a policy remembers which statements are about them: more than any service
of those that are here has, and a bound for who simulates actions that nobody has."""

_KEPT_LENGTH_MAX: Final = 12_288


class Policy:
    """A document, compiled. Two of the same text and kind are equal."""

    def __init__(self, text: str, kind: PolicyKind) -> None:
        """Raises MalformedPolicyDocument."""
        source = read(text)
        document = source.document
        elements = check(document, kind)
        self.text: Final = text
        self.kind: Final = kind
        self.version: Final = NEWER if document.get("Version") == NEWER else OLDER
        self.id: Final = str(document.get("Id", ""))
        self.statements: Final = tuple(
            Statement(index, each, *span, variables=self.version == NEWER)
            for index, (each, span) in enumerate(zip(elements, source.spans, strict=True))
        )
        self._about: dict[str, tuple[tuple[Statement, ...], tuple[Statement, ...]]] = {}

    @property
    def size(self) -> int:
        """Characters, as IAM's limits count them: without white space."""
        return len("".join(self.text.split()))

    @property
    def context_keys(self) -> tuple[str, ...]:
        """The condition keys that conditions and variables ask for: as written, each once."""
        keys: dict[str, str] = {}
        for statement in self.statements:
            for key in statement.keys:
                keys.setdefault(key.lower(), key)
        return tuple(keys.values())

    @property
    def principals(self) -> tuple[tuple[str, str], ...]:
        """Whom it names: ("AWS", an ARN), ("Service", a host) …, each once."""
        return tuple(dict.fromkeys(named for each in self.statements for named in each.named))

    def denying(self, action: str) -> tuple[Statement, ...]:
        """The Deny statements about an action, which is given in lower case."""
        return self._statements_about(action)[0]

    def allowing(self, action: str) -> tuple[Statement, ...]:
        """The Allow statements about it."""
        return self._statements_about(action)[1]

    def _statements_about(self, action: str) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
        found = self._about.get(action)
        if found is None:
            about = [each for each in self.statements if each.is_about(action)]
            found = (
                tuple(each for each in about if each.effect is Effect.DENY),
                tuple(each for each in about if each.effect is Effect.ALLOW),
            )
            if len(self._about) >= _ACTIONS_KEPT:
                self._about.clear()
            self._about[action] = found
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and (self.text, self.kind) == (other.text, other.kind)

    def __hash__(self) -> int:
        return hash((self.text, self.kind))

    def __reduce__(self) -> tuple[Callable[..., Policy], tuple[str, PolicyKind]]:
        return parse_policy, (self.text, self.kind)


def parse_policy(text: str | Mapping[str, object], kind: PolicyKind) -> Policy:
    """The policy that a document says: its text, or what JSON makes of it.

    Raises MalformedPolicyDocument, with AWS's words, for what IAM would not keep. The sizes that it
    allows depend on what else an entity has, and are for the caller to check.
    """
    if not isinstance(text, str):
        try:
            text = json.dumps(text)
        except (TypeError, ValueError, RecursionError):
            raise MalformedPolicyDocument(SYNTAX) from None
    # Many have the same: a managed policy that is attached to a thousand users is compiled once.
    return _kept(text, kind) if len(text) <= _KEPT_LENGTH_MAX else Policy(text, kind)


@lru_cache(maxsize=512)
def _kept(text: str, kind: PolicyKind) -> Policy:
    return Policy(text, kind)
