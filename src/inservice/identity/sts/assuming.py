"""On which terms a role is assumed: AWS's rules, once it is decided that the caller may.

    how long        as asked, an hour by default; not above the role's maximum, and not above an
                    hour where one role is assumed from a session of another
    session policy  at most 2,048 characters, with the ARNs of managed ones; what the session may do
                    is what both they and its role allow
    tags            each key once whatever its case; those of the calling session that are
                    transitive come along and cannot be given anew
    source identity that of the calling session, which nobody changes

What is passed to a session is bounded once more, packed as it would be in AWS's token: a session is
kept, and told to every gateway worker.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from inservice.errors import AccessDeniedException, ValidationError
from inservice.identity.iam.entities import Role
from inservice.identity.policies.document import SESSION_SIZE_MAX, parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.principal import PrincipalKind, Session, role_session
from inservice.identity.sts.errors import InvalidParameterValue, PackedPolicyTooLarge

CHAINED_SECONDS_MAX: Final = 3_600
DEFAULT_SECONDS: Final = 3_600
POLICY_ARNS_MAX: Final = 10
TAGS_MAX: Final = 50

PACKED_BYTES: Final = 4_096
"""Room for what a session is passed, packed. AWS does not tell its own; a policy of the greatest
length fits, and so do fifty ordinary tags."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What AssumeRole was asked, beside the role; or GetFederationToken, beside the user."""

    session_name: str
    seconds: int | None = None
    policy: str | None = None
    policy_arns: tuple[str, ...] = ()  # as they are kept
    tags: Sequence[tuple[str, str]] = field(default_factory=tuple)
    transitive: tuple[str, ...] = ()  # keys
    source_identity: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)  # condition keys of an identity token


def begun(role: Role, asked: Asked, caller: Session | None, now: float) -> Session:
    """The session that AssumeRole begins. `caller` is the caller's own, None of a long-term key.

    Raises ValidationError, MalformedPolicyDocument, InvalidParameterValue, PackedPolicyTooLarge,
    and AccessDeniedException for another source identity.
    """
    seconds = _seconds(role, asked, caller)
    tags, transitive = checked_tags(asked, caller)
    session = Session(
        principal=role_session(role.account, role.name, asked.session_name, role.path, role.id),
        issued_at=float(int(now)),
        expires_at=float(int(now) + seconds),
        policy=asked.policy,
        policy_arns=asked.policy_arns,
        tags=tags,
        transitive=transitive,
        source_identity=_source_identity(asked, caller),
        keys=asked.keys,
    )
    refuse_large(session)
    return session


def refuse_large(session: Session) -> None:
    """What a session is passed has to be policies, and to fit. Raises MalformedPolicyDocument,
    ValidationError and PackedPolicyTooLarge."""
    if session.policy is not None:
        parse_policy(session.policy, PolicyKind.SESSION)
    if len(session.policy_arns) > POLICY_ARNS_MAX:
        raise ValidationError(
            "1 validation error detected: Value at 'policyArns' failed to satisfy constraint: "
            f"Member must have length less than or equal to {POLICY_ARNS_MAX}"
        )
    if len(session.policy or "") + sum(map(len, session.policy_arns)) > SESSION_SIZE_MAX:
        raise ValidationError(
            "1 validation error detected: Value at 'policy' failed to satisfy constraint: "
            f"Member must have length less than or equal to {SESSION_SIZE_MAX}"
        )
    if (percent := packed_percent(session)) > 100:
        raise PackedPolicyTooLarge(percent)


def inherited(caller: Session | None) -> Mapping[str, str]:
    """The tags that a session which is begun by `caller` has, whatever is asked."""
    if caller is None:
        return {}
    return {key: value for key, value in caller.tags.items() if key in caller.transitive}


def packed_percent(session: Session) -> int:
    """Of the room for what a session is passed, how much it takes: PackedPolicySize."""
    if not (session.policy or session.policy_arns or session.tags):
        return 0
    passed = json.dumps([session.policy, session.policy_arns, dict(session.tags)])
    return -(-len(zlib.compress(passed.encode(), 9)) * 100 // PACKED_BYTES)


def _seconds(role: Role, asked: Asked, caller: Session | None) -> int:
    chained = caller is not None and caller.principal.kind is PrincipalKind.ROLE_SESSION
    seconds = DEFAULT_SECONDS if asked.seconds is None else asked.seconds
    if chained and seconds > CHAINED_SECONDS_MAX:
        raise ValidationError(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by "
            "role chaining"
        )
    if seconds > role.max_session_seconds:
        raise ValidationError(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    return seconds


def checked_tags(asked: Asked, caller: Session | None) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The tags of the session and the keys of those that are transitive. Raises
    InvalidParameterValue."""
    given = {key.lower(): key for key, _ in asked.tags}
    if len(given) != len(asked.tags):
        raise InvalidParameterValue(
            "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        )
    if any(key.startswith("aws:") for key in given):
        raise InvalidParameterValue("Tag keys starting with 'aws:' are reserved for system use.")
    if not {key.lower() for key in asked.transitive} <= given.keys():
        raise InvalidParameterValue(
            "The specified transitive tag key must be included in the requested tags."
        )
    before = inherited(caller)
    if not given.keys().isdisjoint(key.lower() for key in before):
        raise InvalidParameterValue(
            "One of the specified transitive tag keys can't be set because it conflicts with a "
            "transitive tag key from the calling session."
        )
    tags = {**before, **dict(asked.tags)}
    if len(tags) > TAGS_MAX:
        raise InvalidParameterValue(f"A session can have up to {TAGS_MAX} tags.")
    transitive = [*before, *(given[key.lower()] for key in asked.transitive)]
    return tags, tuple(dict.fromkeys(transitive))


def _source_identity(asked: Asked, caller: Session | None) -> str:
    kept = caller.source_identity if caller is not None else ""
    if kept and asked.source_identity not in ("", kept):
        raise AccessDeniedException("The source identity of a session cannot be changed.")
    return kept or asked.source_identity
