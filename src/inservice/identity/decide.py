"""May this caller do that? IAM's decision, and why it is so: the one place that makes it.

A decision is a question put to some policies in an order, and the first that settles it wins:

    1  a Deny that applies, in whatever policy                     denied
    2  the resource's policy names the caller, by their own ARN    allowed
    3  it names their role                                         allowed, within 5 and 6
    4  an Allow in a policy of the caller's own; root needs none   else denied
    5  one in the boundary, if there is one                        else denied
    6  one in the session's policies, if some were passed          else denied

A trust policy is a resource's policy that has to speak: where it does not name the caller, their
role or their account, no policy of theirs makes up for that. The same goes for a resource of
another account, where naming the caller is not enough either: 4 to 6 have to hold as well. Whoever
has no policies, a service or somebody anonymous, gets what a resource's policy gives.

Nothing here knows actions, resources or condition keys: an operation says what it touches. No I/O
and no clock; what depends on them is in the question's context.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import Final

from inservice.identity.authority import AttachedPolicy, Authority
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.policies.principals import Naming
from inservice.identity.policies.statements import Request, Statement
from inservice.identity.policies.variables import Context
from inservice.identity.principal import PrincipalKind

_NOTHING: Final[Context] = {}
_WITHOUT_POLICIES: Final = (
    PrincipalKind.SERVICE,
    PrincipalKind.WEB_IDENTITY,
    PrincipalKind.ANONYMOUS,
)


class Outcome(enum.Enum):
    """What was decided, as AWS's simulator calls it."""

    ALLOWED = "allowed"
    EXPLICIT_DENY = "explicitDeny"
    IMPLICIT_DENY = "implicitDeny"


class PolicyType(enum.Enum):
    """What a policy was to the decision. The value is IAM's name for it in a denial."""

    IDENTITY = "identity-based policy"
    RESOURCE = "resource-based policy"
    BOUNDARY = "permissions boundary"
    SESSION = "session policy"
    TRUST = "role trust policy"


class Question:
    """What somebody wants to do, to what, and under which circumstances.

    `context` has the condition keys, whose case does not matter. A key with several values has a
    tuple, also where it has one. Actions that are done to nothing in particular have the resource
    `*`.
    """

    def __init__(self, action: str, resource: str = "*", context: Context = _NOTHING) -> None:
        self.action: Final = action
        self.resource: Final = resource
        self.context: Final[Context] = {key.lower(): value for key, value in context.items()}


class Match:
    """A statement that applied, and whose it is."""

    def __init__(
        self, attached: AttachedPolicy, statement: Statement, policy_type: PolicyType
    ) -> None:
        self.attached: Final = attached
        self.statement: Final = statement
        self.policy_type: Final = policy_type


class Decision:
    """What was decided and why.

    `policy_type` is that of the policy whose statement decided, or of which none allows it; None
    for root, which needs none. `matches` are the statements that decided: none where none does.
    `boundary_allows` says whether the boundary, if there is one, would have.
    """

    def __init__(
        self,
        question: Question,
        outcome: Outcome,
        policy_type: PolicyType | None,
        matches: Sequence[Match],
        boundary_allows: bool | None,
    ) -> None:
        self.action: Final = question.action
        self.resource: Final = question.resource
        self.outcome: Final = outcome
        self.policy_type: Final = policy_type
        self.matches: Final = tuple(matches)
        self.boundary_allows: Final = boundary_allows

    @property
    def allowed(self) -> bool:
        """Whether it may be done."""
        return self.outcome is Outcome.ALLOWED

    def message(self, caller_arn: str, *, with_reason: bool = True) -> str:
        """Why it may not, in IAM's words for whoever asked; or only that it may not."""
        where = "" if self.resource == "*" else f" on resource: {self.resource}"
        kind = self.policy_type or PolicyType.IDENTITY
        if self.outcome is Outcome.EXPLICIT_DENY:
            article = {PolicyType.IDENTITY: "an", PolicyType.TRUST: "the"}.get(kind, "a")
            why = f"with an explicit deny in {article} {kind.value}"
        else:
            why = f"because no {kind.value} allows the {self.action} action"
        denied = f"User: {caller_arn} is not authorized to perform: {self.action}{where}"
        return f"{denied} {why}" if with_reason else denied


def decide(
    authority: Authority,
    question: Question,
    resource_policies: Sequence[AttachedPolicy] = (),
    *,
    every_match: bool = False,
) -> Decision:
    """What IAM decides. `resource_policies` are the resource's, or the trust policy of a role.

    With `every_match` all statements that decided are told, as simulations do, and not the first.
    Which account a resource is of says `aws:resourceaccount`, else its ARN; S3's say none and are
    taken for the caller's.
    """
    return _Deciding(authority, question, resource_policies, every_match).decide()


class _Deciding:
    """One decision being made."""

    def __init__(
        self,
        authority: Authority,
        question: Question,
        resource_policies: Sequence[AttachedPolicy],
        every_match: bool,
    ) -> None:
        context = {**question.context, **authority.context}
        self.question: Final = question
        self.every: Final = every_match
        self.authority: Final = authority
        self.root: Final = authority.kind is PrincipalKind.ROOT
        self.request: Final = Request(question.action, question.resource, context, authority.caller)
        self.identity: Final = () if self.root else authority.identity
        self.boundary: Final = (
            () if self.root or authority.boundary is None else (authority.boundary,)
        )
        self.session: Final = () if self.root or authority.session is None else authority.session
        self.resources: Final = resource_policies
        self.boundary_allows: bool | None = None

    def decide(self) -> Decision:
        """See `decide`."""
        if self.boundary:
            denied = any(self.denials(self.boundary, PolicyType.BOUNDARY))
            self.boundary_allows = not denied and any(
                self.grants(self.boundary, PolicyType.BOUNDARY)
            )
        denials = self.gathered(self.all_denials())
        if denials:
            return self.answer(Outcome.EXPLICIT_DENY, denials[0].policy_type, denials)
        naming, named = self.named()
        matches = [match for match, by in named if by is naming]
        if naming is Naming.DIRECT and not self.is_foreign():
            return self.granted(self.gathered(iter(matches)))
        if naming is Naming.NOT and (missing := self.indispensable()) is not None:
            return self.answer(Outcome.IMPLICIT_DENY, missing, ())
        if self.authority.kind in _WITHOUT_POLICIES:
            return self.granted(self.gathered(iter(matches)))
        return self.from_own_policies(matches if naming is Naming.ROLE else None)

    def from_own_policies(self, named: list[Match] | None) -> Decision:
        """Steps 4 to 6. `named` are the statements that name the role, which save it step 4."""
        matches: list[Match] = []
        if self.root:
            pass
        elif named is not None and not self.is_foreign():
            matches += self.gathered(iter(named))
        elif not (own := self.gathered(self.grants(self.identity, PolicyType.IDENTITY))):
            return self.answer(Outcome.IMPLICIT_DENY, PolicyType.IDENTITY, ())
        else:
            matches += own
        if self.boundary_allows is False:
            return self.answer(Outcome.IMPLICIT_DENY, PolicyType.BOUNDARY, ())
        matches += self.gathered(self.grants(self.boundary, PolicyType.BOUNDARY))
        if self.has_session_policy():
            passed = self.gathered(self.grants(self.session, PolicyType.SESSION))
            if not passed:
                return self.answer(Outcome.IMPLICIT_DENY, PolicyType.SESSION, ())
            matches += passed
        return self.granted(matches)

    def granted(self, matches: Sequence[Match]) -> Decision:
        """Allowed, by these; by none where root asks."""
        by = matches[0].policy_type if matches else None
        return self.answer(Outcome.ALLOWED, by, matches)

    def answer(
        self, outcome: Outcome, policy_type: PolicyType | None, matches: Sequence[Match]
    ) -> Decision:
        """That."""
        return Decision(self.question, outcome, policy_type, matches, self.boundary_allows)

    # ── what applies ─────────────────────────────────────────────────────────────────────────────

    def all_denials(self) -> Iterator[Match]:
        """The Deny statements that apply, whosever they are."""
        yield from self.denials(self.identity, PolicyType.IDENTITY)
        for attached in self.resources:
            yield from self.denials((attached,), _type_of(attached))
        yield from self.denials(self.boundary, PolicyType.BOUNDARY)
        yield from self.denials(self.session, PolicyType.SESSION)

    def denials(
        self, policies: Sequence[AttachedPolicy], policy_type: PolicyType
    ) -> Iterator[Match]:
        """The Deny statements that apply."""
        request = self.request
        for attached in policies:
            for statement in attached.policy.denying(request.action):
                if statement.naming(request) is not Naming.NOT:
                    yield Match(attached, statement, policy_type)

    def grants(
        self, policies: Sequence[AttachedPolicy], policy_type: PolicyType
    ) -> Iterator[Match]:
        """The Allow statements that apply."""
        request = self.request
        for attached in policies:
            for statement in attached.policy.allowing(request.action):
                if statement.naming(request) is not Naming.NOT:
                    yield Match(attached, statement, policy_type)

    def named(self) -> tuple[Naming, list[tuple[Match, Naming]]]:
        """How the resource's policies name the caller, at best, and where each does."""
        best = Naming.NOT
        found: list[tuple[Match, Naming]] = []
        for attached in self.resources:
            for statement in attached.policy.allowing(self.request.action):
                naming = statement.naming(self.request)
                if naming is not Naming.NOT:
                    found.append((Match(attached, statement, _type_of(attached)), naming))
                    best = max(best, naming)
        return best, found

    def gathered(self, matches: Iterator[Match]) -> list[Match]:
        """All of them, or the first."""
        if self.every:
            return list(matches)
        first = next(matches, None)
        return [] if first is None else [first]

    # ── whose, and who ───────────────────────────────────────────────────────────────────────────

    def is_foreign(self) -> bool:
        """Whether the resource is of another account than the caller's own."""
        account = self.authority.principal.account
        if not account or self.authority.kind in _WITHOUT_POLICIES:
            return False
        owner = self.request.context.get("aws:resourceaccount")
        if owner is None:
            fields = self.question.resource.split(":", 5)
            owner = fields[4] if len(fields) == 6 else ""
        return owner not in ("", "*", "aws", account)

    def indispensable(self) -> PolicyType | None:
        """The type of policy that has to name the caller; None if those of the caller's will do."""
        if any(attached.policy.kind is PolicyKind.TRUST for attached in self.resources):
            return PolicyType.TRUST
        if self.authority.kind in _WITHOUT_POLICIES or self.is_foreign():
            return PolicyType.RESOURCE
        return None

    def has_session_policy(self) -> bool:
        """Whether the session's policies have a say. A federated user has what was passed, and
        nothing where nothing was."""
        if self.root:
            return False
        federated = self.authority.kind is PrincipalKind.FEDERATED_USER
        return federated or self.authority.session is not None


def _type_of(attached: AttachedPolicy) -> PolicyType:
    trust = attached.policy.kind is PolicyKind.TRUST
    return PolicyType.TRUST if trust else PolicyType.RESOURCE
