"""What principals hold, as control tells it to processes that decide by themselves: JSON, compiled
when somebody is asked about.

Such a process goes on deciding while control is gone. It refuses whoever it was told nothing about,
and compiles anew as soon as it is told something else about that one principal. Safe for threads:
what was compiled counts for the very text that was told.

What a session holds is its role's, within what it was begun with: two sessions of one role may hold
different things. So a session is looked up by the terms on which its key was given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from inservice.identity.authority import AttachedPolicy, Authority, in_session
from inservice.identity.principal import Principal, Session

_NOTHING: Final[Mapping[str, str]] = {}


class Holders:
    """What is compiled of what was told."""

    def __init__(self) -> None:
        self._told: Mapping[str, str] = _NOTHING
        self._held: dict[str, tuple[str, Authority]] = {}  # by ARN: as told, compiled
        self._passed: dict[str, tuple[str, AttachedPolicy]] = {}  # session policies, the same

    def follow(self, told: Mapping[str, str]) -> None:
        """From now on this is all that is known: by its ARN what a user or a role holds, or which
        managed policy that is."""
        if told is self._told:
            return
        self._told = told
        self._held = {arn: each for arn, each in self._held.items() if told.get(arn) == each[0]}
        self._passed = {arn: each for arn, each in self._passed.items() if told.get(arn) == each[0]}

    def authority(self, principal: Principal, session: str | None = None) -> Authority:
        """What a principal holds: nothing, of one that nothing was told of. `session` are the terms
        of a temporary key, as JSON. Raises MalformedPolicyDocument."""
        if session is None:
            held = self._of(principal.arn)
            return Authority(principal) if held is None else held
        terms = Session.from_plain(json.loads(session))
        passed = {}
        for arn in terms.policy_arns:
            if (policy := self._policy(arn)) is not None:
                passed[arn] = policy
        return in_session(terms, self._of(terms.holder), passed)

    def _of(self, arn: str) -> Authority | None:
        """What a user or a role holds, as far as it was told."""
        text = self._told.get(arn)
        if text is None:
            return None
        known = self._held.get(arn)
        if known is None or known[0] != text:
            known = self._held[arn] = text, Authority.from_plain(json.loads(text))
        return known[1]

    def _policy(self, arn: str) -> AttachedPolicy | None:
        """A managed policy that a session was begun with, as it is now."""
        text = self._told.get(arn)
        if text is None:
            return None
        known = self._passed.get(arn)
        if known is None or known[0] != text:
            known = self._passed[arn] = text, AttachedPolicy.from_plain(json.loads(text))
        return known[1]


def mentioned(authority: Authority, *actions: str) -> set[str]:
    """Every condition key and variable in what somebody holds, in small letters: of the statements
    that are about one of these actions, or of all where none is given."""
    held = [*authority.identity, *(authority.session or ())]
    if authority.boundary is not None:
        held.append(authority.boundary)
    asked = [action.lower() for action in actions]
    return {
        key.lower()
        for each in held
        for statement in each.policy.statements
        if not asked or any(map(statement.is_about, asked))
        for key in statement.keys
    }
