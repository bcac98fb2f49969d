"""Cases for both evaluators: policies and requests of one small vocabulary, so that they meet.

A case is drawn by `pick`, of Hypothesis or of a plain random generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from tests.core.identity.naive import Case, Document, Value, Who

from inservice.identity.authority import AttachedPolicy, Authority
from inservice.identity.decide import Question, decide
from inservice.identity.policies.document import parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.policies.principals import Naming
from inservice.identity.policies.statements import Request
from inservice.identity.principal import Principal

T = TypeVar("T")


class Pick(Protocol):
    """Chooses one."""

    def __call__(self, options: Sequence[T], /) -> T: ...


MINE = "000000000001"
OTHER = "000000000002"

PEOPLE = (
    Who("user", MINE, f"arn:aws:iam::{MINE}:user/ana", "AIDAANAANAANAANAANAAN"),
    Who("user", MINE, f"arn:aws:iam::{MINE}:user/team/b*b", "AIDABOBBOBBOBBOBBOBBO"),
    Who(
        *("session", MINE, f"arn:aws:sts::{MINE}:assumed-role/r/ana", "AROARRRRRRRRRRRRRRRRR"),
        role_arn=f"arn:aws:iam::{MINE}:role/team/r",
    ),
    Who("federated", MINE, f"arn:aws:sts::{MINE}:federated-user/ana"),
    Who("root", MINE, f"arn:aws:iam::{MINE}:root"),
    Who("root", OTHER, f"arn:aws:iam::{OTHER}:root"),
    Who("user", OTHER, f"arn:aws:iam::{OTHER}:user/ana", "AIDAOTHEROTHEROTHEROT"),
    Who("service", "", "sagemaker.amazonaws.com"),
    Who("web", MINE, f"arn:aws:iam::{MINE}:oidc-provider/id.example.com"),
    Who("anonymous", "", "anonymous"),
)
PRINCIPALS: tuple[tuple[str, str], ...] = (
    ("AWS", "*"),
    ("AWS", MINE),
    ("AWS", OTHER),
    ("AWS", f"arn:aws:iam::{MINE}:root"),
    ("AWS", "arn:aws:iam::000000000001:user/ana"),
    ("AWS", "AIDABOBBOBBOBBOBBOBBO"),
    ("AWS", "AIDANOBODYNOBODYNOBOD"),
    ("AWS", "AROARRRRRRRRRRRRRRRRR"),
    ("AWS", "arn:aws:iam::000000000001:role/team/r"),
    ("AWS", "arn:aws:iam::000000000001:role/r"),
    ("AWS", "arn:aws:sts::000000000001:assumed-role/r/ana"),
    ("AWS", "arn:aws:sts::000000000001:assumed-role/r/bob"),
    ("AWS", "arn:aws:sts::000000000001:federated-user/ana"),
    ("AWS", "arn:aws:iam::000000000002:user/ana"),
    ("Service", "sagemaker.amazonaws.com"),
    ("Service", "s3.amazonaws.com"),
    ("Federated", f"arn:aws:iam::{MINE}:oidc-provider/id.example.com"),
    ("Federated", "id.example.com"),
)
ACTIONS = ("sagemaker:InvokeEndpoint", "sagemaker:CreateEndpoint", "s3:GetObject", "S3:getobject")
ACTION_PATTERNS = (
    *("*", "sagemaker:*", "SageMaker:invoke*", "sagemaker:Invoke?ndpoint", "s3:*"),
    *("s3:Get*", "s3:*t*", "S3:GETOBJECT", "sagemaker:CreateEndpoint", "sagemaker:?", "sts:*"),
)
RESOURCES = (
    "*",
    f"arn:aws:sagemaker:eu-west-1:{MINE}:endpoint/ana",
    f"arn:aws:sagemaker:eu-west-1:{MINE}:endpoint/b*b",
    f"arn:aws:sagemaker:eu-west-1:{MINE}:endpoint/bob",
    f"arn:aws:sagemaker:eu-west-1:{OTHER}:endpoint/ana",
    *("arn:aws:s3:::bucket", "arn:aws:s3:::bucket/blue/a:b/ana", "arn:aws:s3:::bucket/Blue/"),
    *("arn:aws:s3:::aab", "arn:aws:s3:::abaab/ab"),
)
RESOURCE_PATTERNS = (
    "*",
    "arn:aws:sagemaker:*:*:endpoint/*",
    f"arn:aws:sagemaker:*:{MINE}:endpoint/${{aws:username}}",
    f"arn:aws:sagemaker:*:{MINE}:endpoint/b${{*}}b",
    f"arn:aws:sagemaker:eu-west-1:{MINE}:endpoint/b?b",
    "arn:aws:sagemaker:*ana",
    *("arn:aws:s3", "arn:aws:s3:::b?cket", "arn:aws:s3:::*a*b*", "arn:aws:s3:::*/b*/*:?*na"),
    *("arn:aws:s3:::bucket/${aws:PrincipalTag/team}/*", "arn:*:s3:::bucket*"),
    *("arn:aws:s3:::bucket/${aws:RequestTag/team, 'blue'}/*", "arn:aws:s3:::${aws:TagKeys}*"),
    *("${aws:SourceArn}", "arn:aws:s3:::bucket/${aws:RequestTag/none}"),
    *("arn:aws:s3:::*a?b*", "arn:aws:s3:::aab*ab", "arn:aws:s3:::*a*ab*ab", "arn:aws:s3:::*?ab"),
)
VALUES: dict[str, tuple[Value, ...]] = {
    "aws:RequestTag/team": ("blue", "Blue", "", "*", "red"),
    "aws:TagKeys": ((), ("team",), ("team", "Cost"), ("*",)),
    "aws:PrincipalTag/team": ("blue", "red", "b?ue"),
    "aws:SourceIp": ("10.0.0.7", "::ffff:10.0.0.7", "2001:db8::1", "nowhere"),
    "aws:CurrentTime": ("2026-01-01T00:00:00Z", "2026-06-30T12:00:00.0019+02:00", "later"),
    "aws:EpochTime": ("1767225600", "1767225601"),
    "sagemaker:Count": ("7", "+007.0", "-1.5", "many"),
    "aws:SecureTransport": ("true", "false", "TRUE", "yes"),
    "aws:SourceArn": (
        *("arn:aws:s3:::bucket", f"arn:aws:sagemaker:eu-west-1:{MINE}:endpoint/ana", "bucket"),
        *("arn:aws:s3:::bucket/blue/a:b/ana",),
    ),
    "aws:Blob": ("aGVsbG8=", "d29ybGQ="),
    "aws:ResourceAccount": (MINE, OTHER),
}
STRINGS = (
    *("blue", "BLUE", "b*", "?lue", "", "*", "${aws:PrincipalTag/team}", "${*}", "team", "T*"),
    *("${aws:RequestTag/team, 'blue'}", "${aws:username}", "cost", "x${aws:TagKeys}", "ana"),
)
NUMBERS = ("7", "+7.00", "0", "-1.5", "1e1", "seven")
DATES = ("2026-01-01", "2026-01-01T00:00:00Z", "1767225600", "2026-06-30T10:00:00.001Z", "2026-12")
ADDRESSES = (
    *("10.0.0.0/8", "10.0.0.7", "10.0.0.9/24", "0.0.0.0/0", "2001:db8::/32", "2001:db8::1/32"),
    *("2001:db8::1", "::/0", "office"),
)
ARNS = (
    *("arn:aws:s3:::*", "arn:aws:s3:::bucket", "arn:*:*:*:*:*", "arn:aws:s3:::*/blue*", "bucket"),
    *("arn:aws:sagemaker:*:${aws:PrincipalAccount}:endpoint/*", "arn:aws:s3*", "${aws:SourceArn}"),
    *("arn:aws:sagemaker:*:endpoint/ana", "${aws:RequestTag/none}", "*:aws:s3:::bucket"),
)
TRUTHS = ("true", "false", "TRUE", "maybe")
BLOBS = ("aGVsbG8=", "aGVsbG9=", "d29ybGQ=")

_ORDERS = (
    *("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"),
)
OPERATORS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    *(
        (name, STRINGS, ("aws:RequestTag/team", "AWS:TagKeys", "aws:username", "aws:PrincipalArn"))
        for name in (
            *("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase"),
            *("StringNotEqualsIgnoreCase", "StringLike", "StringNotLike"),
        )
    ),
    *((f"Numeric{order}", NUMBERS, ("sagemaker:Count",)) for order in _ORDERS),
    *((f"Date{order}", DATES, ("aws:CurrentTime", "aws:EpochTime")) for order in _ORDERS),
    ("Bool", TRUTHS, ("aws:SecureTransport", "aws:MultiFactorAuthPresent")),
    ("BinaryEquals", BLOBS, ("aws:Blob",)),
    *((name, ADDRESSES, ("aws:SourceIp",)) for name in ("IpAddress", "NotIpAddress")),
    *(
        (name, ARNS, ("aws:SourceArn", "aws:PrincipalArn"))
        for name in ("ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike")
    ),
)


def case(pick: Pick) -> Case:
    """One case."""
    who = pick(PEOPLE if pick((True, False, False)) else PEOPLE[:4])
    trust = pick((True, False, False, False))
    context: dict[str, Value] = {
        key: pick(values) for key, values in VALUES.items() if pick((True, True, False))
    }
    if pick((True, True, True, False)):
        context.pop("aws:ResourceAccount", None)
    context.update(principal_of(who).context())
    context = {
        {"aws:username": "aws:UserName", "aws:principalarn": "AWS:PrincipalArn"}.get(k, k): v
        for k, v in context.items()
    }
    resource_policies = tuple(
        ("trust" if trust else "resource", document(pick, "trust" if trust else "resource"))
        for _ in range(pick((0, 0, 1, 2)))
    )
    return Case(
        who=who,
        action="sts:AssumeRole" if trust else pick(ACTIONS),
        resource=f"arn:aws:iam::{MINE}:role/target" if trust else pick(RESOURCES),
        context=context,
        identity=tuple(document(pick) for _ in range(pick((0, 1, 1, 2)))),
        boundary=pick((None, None, document(pick))),
        session=pick((None, None, (), (document(pick),))),
        resource_policies=resource_policies,
    )


def document(pick: Pick, kind: str = "identity") -> Document:
    """One policy."""
    several = [statement(pick, kind) for _ in range(pick((1, 1, 2, 3)))]
    made: dict[str, Any] = {"Statement": several if len(several) > 1 else several[0]}
    if pick((True, True, False)):
        made["Version"] = "2012-10-17"
    return made


def statement(pick: Pick, kind: str) -> dict[str, Any]:
    """One statement."""
    made: dict[str, Any] = {"Effect": pick(("Allow", "Allow", "Allow", "Deny"))}
    if kind == "trust":
        made["Action"] = pick(("sts:AssumeRole", "STS:assumerole", "sts:TagSession"))
    else:
        broad = pick((True, False))  # else few statements would ever apply
        made[pick(("Action", "Action", "NotAction"))] = some(
            pick, ACTION_PATTERNS[:4] if broad else ACTION_PATTERNS
        )
        made[pick(("Resource", "Resource", "NotResource"))] = some(
            pick, RESOURCE_PATTERNS[:2] if broad else RESOURCE_PATTERNS
        )
    if kind != "identity":
        made[pick(("Principal", "Principal", "Principal", "NotPrincipal"))] = naming(pick)
    operators: dict[str, dict[str, Any]] = {}
    for _ in range(pick((0, 0, 0, 1, 1, 2))):
        operator, values, keys = pick(OPERATORS)
        name = pick(("", "", "ForAllValues:", "ForAnyValue:")) + operator
        name += pick(("", "", "IfExists"))
        if pick((True, False, False, False, False)):
            name, values = "Null", TRUTHS
        operands = [pick(values) for _ in range(pick((1, 1, 2, 0)))]
        operators.setdefault(name, {})[pick(keys)] = (
            operands[0] if len(operands) == 1 and pick((True, False)) else operands
        )
    without = pick((True, False))
    if operators or not without:
        made["Condition"] = operators
    return made


def naming(pick: Pick) -> object:
    """A Principal element."""
    if pick((True, False, False, False, False, False)):
        return "*"
    by_kind: dict[str, list[str]] = {}
    for _ in range(pick((1, 1, 2))):
        kind, value = pick(PRINCIPALS)
        by_kind.setdefault(kind, []).append(value)
    return by_kind


def some(pick: Pick, options: Sequence[str]) -> object:
    """One or two."""
    several = [pick(options) for _ in range(pick((1, 1, 2)))]
    return several[0] if len(several) == 1 and pick((True, False)) else several


# ── and for ours ─────────────────────────────────────────────────────────────────────────────────


def principal_of(who: Who) -> Principal:
    """The same, as the product has it."""
    return Principal(who.account, who.arn, who.id, who.role_arn)


class Ours:
    """What the product makes of a case."""

    def __init__(self, given: Case) -> None:
        def attached(each: Document, kind: PolicyKind) -> AttachedPolicy:
            return AttachedPolicy(parse_policy(each, kind), "P")

        bound, passed = given.boundary, given.session
        self.authority = Authority(
            principal_of(given.who),
            [attached(each, PolicyKind.IDENTITY) for each in given.identity],
            None if bound is None else attached(bound, PolicyKind.BOUNDARY),
            None if passed is None else [attached(each, PolicyKind.SESSION) for each in passed],
        )
        self.resource_policies = [
            attached(each, PolicyKind(kind)) for kind, each in given.resource_policies
        ]
        context = {key.lower(): value for key, value in given.context.items()}
        self.question = Question(given.action, given.resource, context)

    def decided(self) -> tuple[str, str]:
        """The outcome, and the type of policy that made it."""
        decision = decide(self.authority, self.question, self.resource_policies)
        by = decision.policy_type
        return decision.outcome.value, "" if by is None else by.name.lower()

    def applying(self) -> list[list[int]]:
        """The statements that apply, policy by policy, whatever they come to together."""
        authority, question = self.authority, self.question
        context = {**question.context, **authority.context}
        request = Request(question.action, question.resource, context, authority.caller)
        action = question.action.lower()
        bound = [] if authority.boundary is None else [authority.boundary]
        return [
            sorted(
                statement.index
                for statement in (*each.policy.allowing(action), *each.policy.denying(action))
                if statement.naming(request) is not Naming.NOT
            )
            for each in (
                *(*authority.identity, *bound, *(authority.session or ())),
                *self.resource_policies,
            )
        ]
