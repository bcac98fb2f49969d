"""The order of a decision, step by step, and what it says of itself."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from typing import Any

import pytest
from tests.core.identity.test_patterns import calls_of

from inservice.identity.authority import AttachedPolicy, Authority
from inservice.identity.decide import Decision, Outcome, PolicyType, Question, decide
from inservice.identity.policies.document import MANAGED_SIZE_MAX, parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.policies.source import Position
from inservice.identity.policies.statements import Statement
from inservice.identity.policies.variables import ContextValue
from inservice.identity.principal import (
    ANONYMOUS,
    Account,
    Principal,
    federated_user,
    role_session,
    service,
    user,
    web_identity,
)
from inservice.identity.request_context import owner_of

A, B = "000000000001", "000000000002"
ENDPOINT = f"arn:aws:sagemaker:eu-west-1:{A}:endpoint/digits"
INVOKE = Question("sagemaker:InvokeEndpoint", ENDPOINT)
OBJECT = Question("s3:GetObject", "arn:aws:s3:::bucket/key")
ROLE = f"arn:aws:iam::{A}:role/team/r"
ASSUME = Question("sts:AssumeRole", ROLE)

ANA = user(A, "ana", id="AIDAANAANAANAANAANAAN")
SESSION = role_session(A, "r", "ana", "/team/", "AROARRRRRRRRRRRRRRRRR")
FEDERATED = federated_user(A, "ana")

ALLOW = {"Effect": "Allow", "Action": "*", "Resource": "*"}
DENY = {"Effect": "Deny", "Action": "*", "Resource": "*"}
NOTHING = {"Effect": "Allow", "Action": "iam:Nothing", "Resource": "*"}


def attached(
    *statements: Mapping[str, object], kind: PolicyKind = PolicyKind.IDENTITY, name: str = "P"
) -> AttachedPolicy:
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    return AttachedPolicy(parse_policy(document, kind), name)


def boundary(*statements: Mapping[str, object]) -> AttachedPolicy:
    return attached(*statements, kind=PolicyKind.BOUNDARY)


def session(*statements: Mapping[str, object]) -> AttachedPolicy:
    return attached(*statements, kind=PolicyKind.SESSION)


def resource(principal: object, statement: Mapping[str, object] = ALLOW) -> AttachedPolicy:
    return attached({**statement, "Principal": principal}, kind=PolicyKind.RESOURCE)


def trust(principal: object, effect: str = "Allow", **more: object) -> AttachedPolicy:
    statement = {"Effect": effect, "Action": "sts:AssumeRole", "Principal": principal, **more}
    return attached(statement, kind=PolicyKind.TRUST)


def told(decision: Decision) -> tuple[Outcome, PolicyType | None]:
    return decision.outcome, decision.policy_type


ALLOWED, EXPLICIT, IMPLICIT = Outcome.ALLOWED, Outcome.EXPLICIT_DENY, Outcome.IMPLICIT_DENY
IDENTITY, RESOURCE, TRUST = PolicyType.IDENTITY, PolicyType.RESOURCE, PolicyType.TRUST
BOUNDARY, OF_SESSION = PolicyType.BOUNDARY, PolicyType.SESSION

# ── an explicit deny, wherever it is ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("identity", IDENTITY),
        ("resource", RESOURCE),
        ("boundary", BOUNDARY),
        ("session", OF_SESSION),
    ],
)
def test_a_deny_anywhere_wins(where: str, expected: PolicyType) -> None:
    def denies(name: str) -> tuple[Mapping[str, object], ...]:
        return (ALLOW, DENY) if name == where else (ALLOW,)

    decision = decide(
        Authority(
            SESSION,
            [attached(*denies("identity"))],
            boundary(*denies("boundary")),
            [session(*denies("session"))],
        ),
        OBJECT,
        [resource({"AWS": SESSION.arn})] + ([resource("*", DENY)] if where == "resource" else []),
    )
    assert told(decision) == (EXPLICIT, expected)
    (match,) = decision.matches
    assert match.policy_type is expected
    assert match.statement.index == (0 if where == "resource" else 1)


def test_a_deny_that_does_not_apply_denies_nothing() -> None:
    for deny in (
        {**DENY, "Action": "s3:PutObject"},
        {**DENY, "Resource": "arn:aws:s3:::other/*"},
        {**DENY, "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
    ):
        authority = Authority(ANA, [attached(ALLOW, deny)])
        assert decide(authority, OBJECT).allowed


# ── a resource's policy ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("principal", "named"),
    [
        (ANA, {"AWS": ANA.arn}),
        (ANA, {"AWS": ANA.id}),
        (ANA, "*"),
        (ANA, {"AWS": ["arn:aws:iam::000000000003:root", "*"]}),
        (SESSION, {"AWS": SESSION.arn}),
        (FEDERATED, {"AWS": FEDERATED.arn}),
    ],
)
def test_naming_somebody_allows_at_once(principal: Principal, named: object) -> None:
    """Whatever their own policies leave out."""
    nothing = Authority(principal, (), boundary(NOTHING), ())
    assert told(decide(nothing, OBJECT, [resource(named)])) == (ALLOWED, RESOURCE)


@pytest.mark.parametrize("named", [ROLE, SESSION.id])
def test_naming_a_role_stays_within_boundary_and_session_policy(named: str) -> None:
    policies = [resource({"AWS": named})]

    def decided(bound: AttachedPolicy | None, passed: list[AttachedPolicy] | None) -> object:
        return told(decide(Authority(SESSION, (), bound, passed), OBJECT, policies))

    assert decided(None, None) == (ALLOWED, RESOURCE)
    assert decided(boundary(ALLOW), [session(ALLOW)]) == (ALLOWED, RESOURCE)
    assert decided(boundary(NOTHING), None) == (IMPLICIT, BOUNDARY)
    assert decided(None, [session(NOTHING)]) == (IMPLICIT, OF_SESSION)
    assert decided(None, []) == (IMPLICIT, OF_SESSION)


@pytest.mark.parametrize("named", [A, f"arn:aws:iam::{A}:root"])
@pytest.mark.parametrize("principal", [ANA, SESSION])
def test_naming_an_account_only_delegates(principal: Principal, named: str) -> None:
    policies = [resource({"AWS": named})]
    assert told(decide(Authority(principal), OBJECT, policies)) == (IMPLICIT, IDENTITY)
    able = Authority(principal, [attached(ALLOW)])
    assert told(decide(able, OBJECT, policies)) == (ALLOWED, IDENTITY)


@pytest.mark.parametrize(
    "named",
    [
        {"AWS": f"arn:aws:iam::{A}:user/Ana"},
        {"AWS": f"arn:aws:iam::{A}:user/team/ana"},
        {"AWS": f"arn:aws:iam::{B}:user/ana"},
        {"AWS": "AIDAOLDOLDOLDOLDOLDOL"},  # who had the name before
        {"AWS": f"arn:aws:iam::{A}:role/ana"},
        {"AWS": B},
        {"Service": "sagemaker.amazonaws.com"},
        {"Federated": "ana.example.com"},
        {"CanonicalUser": ANA.arn},
    ],
)
def test_naming_somebody_else_gives_nothing(named: object) -> None:
    assert told(decide(Authority(ANA), OBJECT, [resource(named)])) == (IMPLICIT, IDENTITY)
    able = Authority(ANA, [attached(ALLOW)])
    assert told(decide(able, OBJECT, [resource(named, DENY)])) == (ALLOWED, IDENTITY)


def test_the_strongest_naming_counts() -> None:
    policies = [resource({"AWS": [A, ROLE]}), resource({"AWS": [A, ROLE, SESSION.arn]})]
    limited = Authority(SESSION, (), boundary(NOTHING))
    assert decide(limited, OBJECT, policies).allowed
    assert not decide(limited, OBJECT, policies[:1]).allowed


@pytest.mark.parametrize(
    ("principal", "listed", "denied"),
    [
        (ANA, {"AWS": ANA.arn}, False),
        (ANA, {"AWS": [ANA.arn, A]}, False),
        (ANA, {"AWS": f"arn:aws:iam::{A}:user/bob"}, True),
        (ANA, {"AWS": A}, True),  # an account spares its root alone
        (SESSION, {"AWS": SESSION.arn}, False),
        (SESSION, {"AWS": [ROLE, A]}, True),
        (Account(A).root, {"AWS": A}, False),
        (ANA, {"AWS": "*"}, False),
    ],
)
def test_who_is_spared_by_not_principal(principal: Principal, listed: object, denied: bool) -> None:
    everyone_else = attached({**DENY, "NotPrincipal": listed}, kind=PolicyKind.RESOURCE)
    authority = Authority(principal, [attached(ALLOW)])
    expected = EXPLICIT if denied else ALLOWED
    assert decide(authority, OBJECT, [everyone_else]).outcome is expected
    bounded = Authority(principal, [attached(ALLOW)], boundary(ALLOW))
    assert decide(bounded, OBJECT, [everyone_else]).outcome is EXPLICIT


# ── trust policies ───────────────────────────────────────────────────────────────────────────────


def test_a_trust_policy_has_to_allow() -> None:
    able = Authority(ANA, [attached(ALLOW)])
    assert told(decide(able, ASSUME, [trust({"AWS": B})])) == (IMPLICIT, TRUST)
    assert told(decide(able, ASSUME, [trust({"AWS": ANA.arn}, "Deny")])) == (EXPLICIT, TRUST)
    assert told(decide(able, ASSUME, [trust({"AWS": ANA.arn})])) == (ALLOWED, TRUST)


def test_one_that_names_the_account_needs_a_policy_of_the_callers_too() -> None:
    policies = [trust({"AWS": A})]
    assert told(decide(Authority(ANA), ASSUME, policies)) == (IMPLICIT, IDENTITY)
    able = Authority(ANA, [attached({**ALLOW, "Action": "sts:AssumeRole", "Resource": ROLE})])
    assert told(decide(able, ASSUME, policies)) == (ALLOWED, IDENTITY)


def test_one_that_names_the_caller_does_not() -> None:
    assert told(decide(Authority(ANA), ASSUME, [trust({"AWS": ANA.arn})])) == (ALLOWED, TRUST)


def test_conditions_of_a_trust_policy() -> None:
    policies = [trust({"AWS": ANA.arn}, Condition={"StringEquals": {"sts:ExternalId": "x"}})]
    for context, allowed in (({"sts:externalid": "x"}, True), ({}, False)):
        question = Question("sts:AssumeRole", ROLE, context)
        assert decide(Authority(ANA), question, policies).allowed is allowed


@pytest.mark.parametrize(
    ("principal", "named"),
    [
        (service("sagemaker.amazonaws.com"), {"Service": "sagemaker.amazonaws.com"}),
        (
            web_identity(A, f"arn:aws:iam::{A}:oidc-provider/id.example.com"),
            {"Federated": f"arn:aws:iam::{A}:oidc-provider/id.example.com"},
        ),
        (ANONYMOUS, "*"),
    ],
)
def test_who_has_no_policies_gets_what_the_resources_gives(
    principal: Principal, named: object
) -> None:
    authority = Authority(principal)
    assert told(decide(authority, ASSUME, [trust(named)])) == (ALLOWED, TRUST)
    assert told(decide(authority, OBJECT, [resource(named)])) == (ALLOWED, RESOURCE)
    other = {"Service": "ec2.amazonaws.com", "Federated": "x.example.com", "AWS": [A, B]}
    assert told(decide(authority, ASSUME, [trust(other)])) == (IMPLICIT, TRUST)
    assert told(decide(authority, OBJECT, [resource(other)])) == (IMPLICIT, RESOURCE)
    assert told(decide(authority, OBJECT)) == (IMPLICIT, RESOURCE)


# ── one's own policies ───────────────────────────────────────────────────────────────────────────


def test_without_an_allow_nothing_is_allowed() -> None:
    assert told(decide(Authority(ANA), INVOKE)) == (IMPLICIT, IDENTITY)
    assert told(decide(Authority(ANA, [attached(NOTHING)]), INVOKE)) == (IMPLICIT, IDENTITY)
    several = Authority(ANA, [attached(NOTHING), attached(NOTHING, ALLOW)])
    assert told(decide(several, INVOKE)) == (ALLOWED, IDENTITY)


def test_a_boundary_grants_nothing_and_bounds() -> None:
    assert told(decide(Authority(ANA, (), boundary(ALLOW)), INVOKE)) == (IMPLICIT, IDENTITY)
    bounded = Authority(ANA, [attached(ALLOW)], boundary(NOTHING))
    assert told(decide(bounded, INVOKE)) == (IMPLICIT, BOUNDARY)
    assert decide(Authority(ANA, [attached(ALLOW)], boundary(ALLOW)), INVOKE).allowed


def test_a_session_has_what_was_passed_of_what_its_role_has() -> None:
    def decided(principal: Principal, passed: list[AttachedPolicy] | None) -> object:
        return told(decide(Authority(principal, [attached(ALLOW)], None, passed), INVOKE))

    assert decided(SESSION, None) == (ALLOWED, IDENTITY)
    assert decided(SESSION, []) == (IMPLICIT, OF_SESSION)
    assert decided(SESSION, [session(NOTHING)]) == (IMPLICIT, OF_SESSION)
    assert decided(SESSION, [session(NOTHING), session(ALLOW)]) == (ALLOWED, IDENTITY)
    assert decided(FEDERATED, None) == (IMPLICIT, OF_SESSION)
    assert decided(FEDERATED, [session(ALLOW)]) == (ALLOWED, IDENTITY)


def test_root_is_asked_for_no_policy() -> None:
    root = Authority(Account(A).root, [attached(DENY)], boundary(NOTHING))
    decision = decide(root, INVOKE)
    assert told(decision) == (ALLOWED, None)
    assert decision.matches == ()


def test_a_resources_policy_can_shut_out_root() -> None:
    root = Authority(Account(A).root)
    assert told(decide(root, OBJECT, [resource("*", DENY)])) == (EXPLICIT, RESOURCE)
    assert told(decide(root, ASSUME, [trust({"AWS": B})])) == (IMPLICIT, TRUST)
    assert told(decide(root, ASSUME, [trust({"AWS": A})])) == (ALLOWED, TRUST)


# ── other accounts ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "question",
    [
        Question(INVOKE.action, ENDPOINT.replace(A, B)),
        Question(OBJECT.action, OBJECT.resource, {"aws:resourceaccount": B}),
    ],
)
def test_of_another_account_both_sides_have_to_allow(question: Question) -> None:
    able, unable = Authority(ANA, [attached(ALLOW)]), Authority(ANA)
    for named in (ANA.arn, A, "*"):
        policies = [resource({"AWS": named})]
        assert told(decide(able, question, policies)) == (ALLOWED, IDENTITY)
        assert told(decide(unable, question, policies)) == (IMPLICIT, IDENTITY)
    for policies in ([], [resource({"AWS": B})]):
        assert told(decide(able, question, policies)) == (IMPLICIT, RESOURCE)
    bounded = Authority(ANA, [attached(ALLOW)], boundary(NOTHING))
    assert told(decide(bounded, question, [resource({"AWS": ANA.arn})])) == (IMPLICIT, BOUNDARY)


def test_root_of_one_account_is_nobody_in_another() -> None:
    question = Question(INVOKE.action, ENDPOINT.replace(A, B))
    root = Authority(Account(A).root)
    assert told(decide(root, question)) == (IMPLICIT, RESOURCE)
    assert decide(root, question, [resource({"AWS": A})]).allowed


@pytest.mark.parametrize(
    "arn", ["*", "arn:aws:s3:::bucket/key", "arn:aws:iam::aws:policy/ReadOnlyAccess", ENDPOINT]
)
def test_what_is_of_no_account_is_of_the_callers(arn: str) -> None:
    assert decide(Authority(ANA, [attached(ALLOW)]), Question("iam:X", arn)).allowed


# ── what is known of a caller ────────────────────────────────────────────────────────────────────


def test_a_request_cannot_say_who_asks() -> None:
    needs = {**ALLOW, "Condition": {"StringEquals": {"aws:username": "bob"}}}
    lies: dict[str, ContextValue] = {"aws:username": "bob"}
    authority = Authority(ANA, [attached(needs)])
    assert not decide(authority, Question(INVOKE.action, ENDPOINT, lies)).allowed
    simulated = Authority(ANA, [attached(needs)], credentials=lies)
    assert decide(simulated, INVOKE).allowed


def test_the_case_of_keys_does_not_matter() -> None:
    needs = {**ALLOW, "Condition": {"Bool": {"aws:SecureTransport": "true", "aws:MFA": "true"}}}
    able = Authority(ANA, [attached(needs)], credentials={"AWS:mfa": "true"})
    secure: dict[str, ContextValue] = {"Aws:SecureTRANSPORT": "true"}
    assert decide(able, Question(INVOKE.action, ENDPOINT, secure)).allowed


def test_tags_and_credentials() -> None:
    needs = {
        **ALLOW,
        "Condition": {
            "StringEquals": {"aws:PrincipalTag/Team": "blue"},
            "Bool": {"aws:MultiFactorAuthPresent": "true"},
        },
    }
    mfa: dict[str, ContextValue] = {"aws:multifactorauthpresent": "true"}
    able = Authority(ANA, [attached(needs)], tags={"team": "blue"}, credentials=mfa)
    assert decide(able, INVOKE).allowed
    assert not decide(Authority(ANA, [attached(needs)], tags={"team": "blue"}), INVOKE).allowed
    assert not decide(Authority(ANA, [attached(needs)], credentials=mfa), INVOKE).allowed


def test_the_keys_of_a_principal_are_for_its_policies() -> None:
    own = {**ALLOW, "Resource": "arn:aws:s3:::home/${aws:userid}/*"}
    question = Question("s3:GetObject", f"arn:aws:s3:::home/{SESSION.id}:ana/x")
    assert decide(Authority(SESSION, [attached(own)]), question).allowed
    role = {**ALLOW, "Condition": {"ArnEquals": {"aws:PrincipalArn": ROLE}}}
    assert decide(Authority(SESSION, [attached(role)]), INVOKE).allowed


# ── what is told ─────────────────────────────────────────────────────────────────────────────────

CALLER = ANA.arn
START = f"User: {CALLER} is not authorized to perform: "


@pytest.mark.parametrize(
    ("authority", "policies", "why"),
    [
        (Authority(ANA), [], "because no identity-based policy allows the {} action"),
        (
            Authority(ANA, [attached(DENY)]),
            [],
            "with an explicit deny in an identity-based policy",
        ),
        (
            Authority(service("x.amazonaws.com")),
            [],
            "because no resource-based policy allows the {} action",
        ),
        (
            Authority(ANA),
            [resource("*", DENY)],
            "with an explicit deny in a resource-based policy",
        ),
        (
            Authority(ANA, [attached(ALLOW)], boundary(NOTHING)),
            [],
            "because no permissions boundary allows the {} action",
        ),
        (
            Authority(ANA, [attached(ALLOW)], boundary(DENY)),
            [],
            "with an explicit deny in a permissions boundary",
        ),
        (
            Authority(SESSION, [attached(ALLOW)], None, []),
            [],
            "because no session policy allows the {} action",
        ),
        (
            Authority(SESSION, [attached(ALLOW)], None, [session(DENY)]),
            [],
            "with an explicit deny in a session policy",
        ),
    ],
)
def test_the_words_of_a_denial(
    authority: Authority, policies: list[AttachedPolicy], why: str
) -> None:
    said = decide(authority, INVOKE, policies).message(CALLER)
    why = why.format("sagemaker:InvokeEndpoint")
    assert said == f"{START}sagemaker:InvokeEndpoint on resource: {ENDPOINT} {why}"


def test_the_words_of_a_role_that_does_not_trust() -> None:
    able = Authority(ANA, [attached(ALLOW)])
    assert decide(able, ASSUME, [trust({"AWS": B})]).message(CALLER) == (
        f"{START}sts:AssumeRole on resource: {ROLE} because no role trust policy allows the "
        "sts:AssumeRole action"
    )
    assert decide(able, ASSUME, [trust({"AWS": A}, "Deny")]).message(CALLER) == (
        f"{START}sts:AssumeRole on resource: {ROLE} with an explicit deny in the role trust policy"
    )


def test_what_is_done_to_nothing_names_nothing() -> None:
    assert decide(Authority(ANA), Question("sagemaker:ListModels")).message(CALLER) == (
        f"{START}sagemaker:ListModels because no identity-based policy allows the "
        "sagemaker:ListModels action"
    )


def test_a_decision_tells_the_statement() -> None:
    text = '{"Version": "2012-10-17", "Statement": [\n  {"Sid": "All", "Effect": "Allow",\n'
    text += '   "Action": "*", "Resource": "*"}]}'
    policy = AttachedPolicy(parse_policy(text, PolicyKind.MANAGED), "All", "arn:p", "arn:group")
    (match,) = decide(Authority(ANA, [policy]), INVOKE).matches
    assert (match.attached.name, match.attached.arn, match.attached.holder) == (
        *("All", "arn:p", "arn:group"),
    )
    assert (match.statement.sid, match.statement.start, match.statement.end) == (
        *("All", Position(2, 3), Position(3, 34)),
    )


def test_a_simulation_is_told_every_statement() -> None:
    authority = Authority(
        SESSION,
        [attached(ALLOW, NOTHING, ALLOW), attached(ALLOW)],
        boundary(ALLOW),
        [session(ALLOW, ALLOW)],
    )
    types = [match.policy_type for match in decide(authority, INVOKE, every_match=True).matches]
    assert types == [IDENTITY] * 3 + [BOUNDARY] + [OF_SESSION] * 2
    first = [match.policy_type for match in decide(authority, INVOKE).matches]
    assert first == [IDENTITY, BOUNDARY, OF_SESSION]
    denying = Authority(ANA, [attached(ALLOW, DENY, DENY)], boundary(DENY))
    denied = decide(denying, INVOKE, every_match=True)
    assert [match.statement.index for match in denied.matches] == [1, 2, 0]


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        (None, None),
        (boundary(ALLOW), True),
        (boundary(NOTHING), False),
        (boundary(ALLOW, DENY), False),
    ],
)
def test_what_the_boundary_says_is_told_whatever_decides(
    bound: AttachedPolicy | None, expected: bool | None
) -> None:
    for identity in ((), (attached(ALLOW),), (attached(DENY),)):
        assert decide(Authority(ANA, identity, bound), INVOKE).boundary_allows is expected


# ── sent, and asked often ────────────────────────────────────────────────────────────────────────


def test_an_authority_can_be_sent() -> None:
    sent = Authority(
        SESSION,
        [attached(ALLOW, name="Q")],
        boundary(ALLOW),
        [session(ALLOW)],
        {"team": "blue"},
        {"aws:tokenissuetime": "2026-01-01T00:00:00Z", "aws:x": ("a", "b")},
    )
    plain: dict[str, Any] = json.loads(json.dumps(sent.to_plain()))
    for received in (Authority.from_plain(plain), pickle.loads(pickle.dumps(sent))):
        assert received == sent
        assert received.context == sent.context
        assert decide(received, INVOKE).allowed
    bare = Authority(ANA)
    assert Authority.from_plain(bare.to_plain()) == bare
    assert bare != sent


def test_who_has_the_same_policy_has_it_once() -> None:
    """A managed policy of a thousand users is compiled once, on either side of a channel."""
    plain = Authority(ANA, [attached(ALLOW)]).to_plain()
    one, two = Authority.from_plain(plain), Authority.from_plain(plain)
    assert one.identity[0].policy is two.identity[0].policy


def full_of_wildcards() -> AttachedPolicy:
    """As many patterns as a managed policy can hold, each of which has to be walked."""
    resources = [f"arn:aws:s3:::*{n % 7}*a?{n % 5}*k" for n in range(10)]
    statements: list[Mapping[str, object]] = []
    while True:
        more = {"Effect": "Allow", "Action": "s3:*", "Resource": resources}
        policy = attached(*statements, more, name="W")
        if policy.policy.size > MANAGED_SIZE_MAX:
            return attached(*statements, name="W")
        statements.append(more)


def test_a_policy_full_of_wildcards_costs_a_walk_of_each() -> None:
    policy = full_of_wildcards()
    patterns = 10 * len(policy.policy.statements)
    assert patterns > 150
    authority = Authority(ANA, [policy])
    decide(authority, OBJECT)
    for n in (1, 10_000):
        question = Question("s3:GetObject", f"arn:aws:s3:::bucket/aaaa/aaaa/{'a' * 100}/{n}/z")
        made = calls_of(lambda question=question: decide(authority, question))  # type: ignore[misc]
        assert made < 20 * patterns


def test_statements_about_other_actions_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    actions = [f"service{n}:Act" for n in range(60)]
    policy = attached(*({"Effect": "Allow", "Action": a, "Resource": "*"} for a in actions))
    authority = Authority(ANA, [policy])
    looked: list[str] = []
    is_about = Statement.is_about

    def counted(statement: Statement, action: str) -> bool:
        looked.append(action)
        return is_about(statement, action)

    monkeypatch.setattr(Statement, "is_about", counted)
    for _ in range(3):
        assert decide(authority, Question("Service7:ACT")).allowed
    assert looked == ["service7:act"] * 60  # once for each statement, whoever asks how often


def test_actions_that_nobody_has_do_not_fill_the_memory() -> None:
    policy = attached(ALLOW)
    authority = Authority(ANA, [policy])
    for n in range(2_000):
        decide(authority, Question(f"s3:Nothing{n}"))
    assert len(policy.policy._about) <= 512


@pytest.mark.parametrize("resource", [ENDPOINT, f"arn:aws:iam::{A}:user/eve"])
@pytest.mark.parametrize("said", [False, True], ids=["by the ARN", "by aws:ResourceAccount"])
def test_policies_speak_for_what_is_their_account_s(resource: str, said: bool) -> None:
    """Whatever somebody of another account is given there, and by whichever name."""
    keys = dict(owner_of(resource)) if said else {}
    question = Question("sagemaker:DeleteEndpoint", resource, keys)
    everything = attached(ALLOW, {**ALLOW, "Resource": resource})
    for caller, allowed in (
        (ANA, True),
        (Account(A).root, True),
        (user(B, "ana"), False),
        (role_session(B, "r", "ana", "/team/", "AROARRRRRRRRRRRRRRRRR"), False),
        (Account(B).root, False),
    ):
        assert decide(Authority(caller, [everything]), question).allowed is allowed


@pytest.mark.parametrize(
    ("resource", "owner"),
    [
        (ENDPOINT, A),
        (ROLE, A),
        ("arn:aws:iam::aws:policy/ReadOnlyAccess", None),
        ("arn:aws:s3:::bucket/key", None),
        ("*", None),
        ("nonsense", None),
        ("a:b:c:d:000000000001:e", None),
        ("arn:aws:sagemaker:eu-west-1:1:model/m", None),
    ],
)
def test_an_arn_says_whose_it_is(resource: str, owner: str | None) -> None:
    assert owner_of(resource).get("aws:resourceaccount") == owner
