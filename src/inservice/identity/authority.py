"""What a caller holds: policies of their own, the bounds on them, and what is known of the caller.

Compiled once for each caller, and asked by `decide` for each request. It can be sent: `to_plain`
is JSON, with each policy as its document, and `from_plain` takes it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from inservice.identity.policies.document import Policy, parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.policies.principals import Caller
from inservice.identity.policies.variables import Context, ContextValue
from inservice.identity.principal import Principal, Session


class AttachedPolicy:
    """A policy and where it comes from, which a decision tells."""

    def __init__(self, policy: Policy, name: str, arn: str = "", holder: str = "") -> None:
        self.policy: Final = policy
        self.name: Final = name
        self.arn: Final = arn  # of a managed policy; of a resource's policy, the resource
        self.holder: Final = holder  # ARN of whom it is attached to, or embedded in

    def to_plain(self) -> dict[str, str]:
        """As JSON can have it."""
        return {
            "text": self.policy.text,
            "kind": self.policy.kind.value,
            "name": self.name,
            "arn": self.arn,
            "holder": self.holder,
        }

    @staticmethod
    def from_plain(plain: Mapping[str, str]) -> AttachedPolicy:
        """What `to_plain` made. Raises MalformedPolicyDocument."""
        policy = parse_policy(plain["text"], PolicyKind(plain["kind"]))
        return AttachedPolicy(policy, plain["name"], plain["arn"], plain["holder"])

    def __reduce__(self) -> tuple[Callable[..., AttachedPolicy], tuple[object, ...]]:
        return AttachedPolicy, (self.policy, self.name, self.arn, self.holder)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AttachedPolicy) and self.to_plain() == other.to_plain()

    def __hash__(self) -> int:
        return hash((self.policy, self.name, self.arn, self.holder))


class Authority:
    """Who asks, with all that is theirs.

    `identity` are the policies of the principal, of its groups or of its role. `session` are those
    that were passed when a session was begun: None if none were, while an empty one grants nothing.
    `credentials` are the condition keys that the caller's credentials decide, as
    `aws:TokenIssueTime`; they overrule those that follow from the principal and its tags. What a
    request says of itself never overrules either.
    """

    def __init__(
        self,
        principal: Principal,
        identity: Iterable[AttachedPolicy] = (),
        boundary: AttachedPolicy | None = None,
        session: Iterable[AttachedPolicy] | None = None,
        tags: Mapping[str, str] | None = None,
        credentials: Context | None = None,
    ) -> None:
        self.principal: Final = principal
        self.identity: Final = tuple(identity)
        self.boundary: Final = boundary
        self.session: Final = None if session is None else tuple(session)
        self.tags: Final = dict(tags or {})
        self.kind: Final = principal.kind
        self.caller: Final = Caller(principal, bounded=boundary is not None)
        own: dict[str, ContextValue] = dict(principal.context())
        own.update({f"aws:principaltag/{key.lower()}": value for key, value in self.tags.items()})
        self.credentials: Final[Context] = {
            key.lower(): value for key, value in (credentials or {}).items()
        }
        self.context: Final[Context] = {**own, **self.credentials}

    def to_plain(self) -> dict[str, object]:
        """As JSON can have it."""
        principal = self.principal
        return {
            "principal": [principal.account, principal.arn, principal.id, principal.role_arn],
            "identity": [each.to_plain() for each in self.identity],
            "boundary": self.boundary and self.boundary.to_plain(),
            "session": None if self.session is None else [p.to_plain() for p in self.session],
            "tags": self.tags,
            "credentials": {
                key: value if isinstance(value, str) else list(value)
                for key, value in self.credentials.items()
            },
        }

    @staticmethod
    def from_plain(plain: Mapping[str, Any]) -> Authority:
        """What `to_plain` made. Raises MalformedPolicyDocument."""
        boundary, session = plain["boundary"], plain["session"]
        return Authority(
            Principal(*plain["principal"]),
            [AttachedPolicy.from_plain(each) for each in plain["identity"]],
            None if boundary is None else AttachedPolicy.from_plain(boundary),
            None if session is None else [AttachedPolicy.from_plain(each) for each in session],
            plain["tags"],
            {
                key: value if isinstance(value, str) else tuple(value)
                for key, value in plain["credentials"].items()
            },
        )

    def __reduce__(self) -> tuple[Callable[..., Authority], tuple[object, ...]]:
        return Authority, (
            *(self.principal, self.identity, self.boundary, self.session),
            *(self.tags, self.credentials),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Authority) and self.to_plain() == other.to_plain()

    def __hash__(self) -> int:
        return hash((self.principal, self.identity, self.boundary, self.session))


_EVERYTHING: Final = AttachedPolicy(
    parse_policy(
        '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}',
        PolicyKind.IDENTITY,
    ),
    "root",
)
"""What root holds, for who is not root and has what root passed on."""


def in_session(
    session: Session, held: Authority | None, passed: Mapping[str, AttachedPolicy]
) -> Authority:
    """What a session holds: what its role or its user does, within the policies that it was begun
    with.

    `held` is theirs, None if they are gone; `passed` has the managed session policies by ARN,
    as they are now. A session that has lost its holder or one of them holds nothing: what is gone
    may have been what kept it from something. Raises MalformedPolicyDocument.
    """
    if session.is_of_root:
        held = Authority(Principal(session.principal.account, session.holder), [_EVERYTHING])
    stands = held is not None and held.principal.id == session.owner
    if held is None or not stands or not passed.keys() >= set(session.policy_arns):
        return Authority(session.principal)
    policies: list[AttachedPolicy] | None = None
    if session.policy is not None or session.policy_arns:
        policies = [passed[arn] for arn in session.policy_arns]
        if session.policy is not None:
            inline = parse_policy(session.policy, PolicyKind.SESSION)
            policies.append(AttachedPolicy(inline, "session", holder=session.principal.arn))
    issued = datetime.fromtimestamp(session.issued_at, UTC)
    credentials: dict[str, ContextValue] = {
        "aws:tokenissuetime": issued.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:multifactorauthpresent": "false",
        **session.keys,
    }
    if session.source_identity:
        credentials["aws:sourceidentity"] = session.source_identity
    own = {key.lower() for key in session.tags}
    tags = {key: value for key, value in held.tags.items() if key.lower() not in own}
    return Authority(
        session.principal,
        held.identity,
        held.boundary,
        policies,
        {**tags, **session.tags},
        credentials,
    )
