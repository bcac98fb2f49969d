"""On which terms a role is assumed, rule by rule."""

from __future__ import annotations

import json
import random
import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.errors import (
    AccessDeniedException,
    AwsError,
    MalformedPolicyDocument,
    ValidationError,
)
from inservice.identity.authority import AttachedPolicy, Authority, in_session
from inservice.identity.decide import Question, decide
from inservice.identity.iam.entities import Role
from inservice.identity.policies.document import parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.principal import Principal, Session, user
from inservice.identity.sts.assuming import Asked, begun, inherited, packed_percent
from inservice.identity.sts.errors import InvalidParameterValue, PackedPolicyTooLarge

A = "111122223333"
ROLE = Role(A, "r", "/path/", "AROAR", 1.0, "{}", max_session_seconds=7_200)
NOW = 1_000.9


def document(*statements: dict[str, Any]) -> str:
    several = statements or ({"Effect": "Allow", "Action": "*", "Resource": "*"},)
    return json.dumps({"Version": "2012-10-17", "Statement": list(several)})


def assume(caller: Session | None = None, role: Role = ROLE, **asked: Any) -> Session:
    return begun(role, Asked(**{"session_name": "s", **asked}), caller, NOW)


def of_user(**terms: Any) -> Session:
    """A session that is no role's."""
    return Session(user(A, "ana", id="AIDAANA"), 1.0, 2.0, **terms)


CHAINED = assume(tags=[("Team", "a"), ("stage", "b")], transitive=("team",), source_identity="ana")


def test_who_a_session_is() -> None:
    session = assume()
    assert session.principal.arn == f"arn:aws:sts::{A}:assumed-role/r/s"
    assert session.holder == ROLE.arn == f"arn:aws:iam::{A}:role/path/r"
    assert session.principal.userid == "AROAR:s"
    assert (session.issued_at, session.expires_at) == (1_000.0, 4_600.0)
    assert Session.from_plain(json.loads(json.dumps(CHAINED.to_plain()))) == CHAINED


TOO_LONG = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
TOO_LONG_A_CHAIN = (
    "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role "
    "chaining"
)
DURATIONS: list[tuple[Session | None, int | None, int | str]] = [
    (None, None, 3_600),
    (None, 900, 900),
    (None, 7_200, 7_200),
    (None, 7_201, TOO_LONG),
    (of_user(), 7_200, 7_200),
    (CHAINED, None, 3_600),
    (CHAINED, 3_600, 3_600),
    (CHAINED, 3_601, TOO_LONG_A_CHAIN),
    (CHAINED, 7_201, TOO_LONG_A_CHAIN),
]


@pytest.mark.parametrize(("caller", "seconds", "gives"), DURATIONS)
def test_how_long_a_session_lasts(
    caller: Session | None, seconds: int | None, gives: int | str
) -> None:
    if isinstance(gives, int):
        session = assume(caller, seconds=seconds)
        assert session.expires_at - session.issued_at == gives
    else:
        with pytest.raises(ValidationError) as caught:
            assume(caller, seconds=seconds)
        assert caught.value.message == gives


ARN = "arn:aws:iam::aws:policy/ReadOnlyAccess"
POLICIES: list[tuple[dict[str, Any], type[AwsError] | None]] = [
    ({"policy": document()}, None),
    ({"policy": document() + " " * (2_048 - len(document()))}, None),
    ({"policy": document() + " " * (2_049 - len(document()))}, ValidationError),
    (
        {"policy": document() + " " * (2_048 - len(document())), "policy_arns": (ARN,)},
        ValidationError,
    ),
    ({"policy": "{}"}, MalformedPolicyDocument),
    ({"policy": '"Allow"'}, MalformedPolicyDocument),
    (
        {"policy": document({"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"})},
        MalformedPolicyDocument,
    ),
    ({"policy_arns": tuple(f"{ARN}{n}" for n in range(10))}, None),
    ({"policy_arns": tuple(f"{ARN}{n}" for n in range(11))}, ValidationError),
]


@pytest.mark.parametrize(("asked", "refusal"), POLICIES)
def test_which_policies_can_be_passed(
    asked: dict[str, Any], refusal: type[AwsError] | None
) -> None:
    if refusal is None:
        session = assume(**asked)
        assert session.policy == asked.get("policy")
        assert session.policy_arns == asked.get("policy_arns", ())
    else:
        with pytest.raises(refusal):
            assume(**asked)


INHERITED = {"Team": "a"}
TAGS: list[tuple[Session | None, list[tuple[str, str]], tuple[str, ...], object]] = [
    (None, [], (), ({}, ())),
    (None, [("a", "1"), ("b", "")], (), ({"a": "1", "b": ""}, ())),
    (None, [("a", "1"), ("B", "2")], ("b",), ({"a": "1", "B": "2"}, ("B",))),
    (None, [("a", "1")], ("a", "A"), ({"a": "1"}, ("a",))),
    (None, [("a", "1"), ("A", "2")], (), "Duplicate tag keys found"),
    (None, [("aws:a", "1")], (), "reserved"),
    (None, [("AWS:a", "1")], (), "reserved"),
    (None, [("a", "1")], ("b",), "must be included in the requested tags"),
    (None, [], ("b",), "must be included in the requested tags"),
    (CHAINED, [], (), (INHERITED, ("Team",))),
    (CHAINED, [("stage", "c")], (), ({**INHERITED, "stage": "c"}, ("Team",))),
    (CHAINED, [("x", "c")], ("x",), ({**INHERITED, "x": "c"}, ("Team", "x"))),
    (CHAINED, [("TEAM", "c")], (), "conflicts with a transitive tag key"),
    (CHAINED, [("Team", "a")], (), "conflicts with a transitive tag key"),
    (CHAINED, [], ("Team",), "must be included in the requested tags"),
    (CHAINED, [(f"k{n}", "") for n in range(50)], (), "up to 50 tags"),
]


@pytest.mark.parametrize(("caller", "tags", "transitive", "gives"), TAGS)
def test_which_tags_a_session_has(
    caller: Session | None, tags: list[tuple[str, str]], transitive: tuple[str, ...], gives: object
) -> None:
    if isinstance(gives, str):
        with pytest.raises(InvalidParameterValue, match=gives):
            assume(caller, tags=tags, transitive=transitive)
    else:
        session = assume(caller, tags=tags, transitive=transitive)
        assert (session.tags, session.transitive) == gives


def test_transitive_tags_go_down_a_chain_however_long_and_others_do_not() -> None:
    session = CHAINED
    for number in range(4):
        session = assume(session, tags=[(f"k{number}", "v")])
        assert inherited(session) == INHERITED
        assert session.tags == {**INHERITED, f"k{number}": "v"}


IDENTITIES: list[tuple[Session | None, str, str | None]] = [
    (None, "", ""),
    (None, "ana", "ana"),
    (of_user(), "ana", "ana"),
    (CHAINED, "", "ana"),
    (CHAINED, "ana", "ana"),
    (CHAINED, "bea", None),
    (CHAINED, "Ana", None),
]


@pytest.mark.parametrize(("caller", "asked", "gives"), IDENTITIES)
def test_a_source_identity_stays(caller: Session | None, asked: str, gives: str | None) -> None:
    if gives is None:
        with pytest.raises(AccessDeniedException):
            assume(caller, source_identity=asked)
    else:
        assert assume(caller, source_identity=asked).source_identity == gives


def test_what_is_passed_is_bounded_as_it_is_packed() -> None:
    assert packed_percent(assume()) == 0
    assert 0 < packed_percent(assume(policy=document())) < 10
    ordinary = [(f"cost-center-{n}", f"value number {n} of an ordinary tag") for n in range(50)]
    assert packed_percent(assume(tags=ordinary)) < 100
    drawn = random.Random(7)
    wild = [
        (
            "".join(drawn.choices(string.ascii_letters, k=126)) + str(n),
            "".join(drawn.choices(string.printable[:90], k=256)),
        )
        for n in range(10, 60)
    ]
    with pytest.raises(PackedPolicyTooLarge) as caught:
        assume(tags=wild)
    assert caught.value.message.startswith("Packed size of session tags consumes ")


# ── what a session holds ─────────────────────────────────────────────────────────────────────────
ACTIONS = ("sagemaker:InvokeEndpoint", "sagemaker:ListModels", "iam:GetUser")
STATEMENTS = st.lists(
    st.builds(
        lambda effect, actions: {"Effect": effect, "Action": actions, "Resource": "*"},
        st.sampled_from(["Allow", "Allow", "Deny"]),
        st.lists(st.sampled_from([*ACTIONS, "sagemaker:*", "*"]), min_size=1, max_size=2),
    ),
    min_size=1,
    max_size=3,
)


def attached(statements: list[dict[str, Any]], kind: PolicyKind) -> AttachedPolicy:
    return AttachedPolicy(parse_policy(document(*statements), kind), "p")


@given(
    identity=STATEMENTS,
    boundary=st.none() | STATEMENTS,
    inline=st.none() | STATEMENTS,
    managed=st.none() | STATEMENTS,
)
def test_a_session_may_what_its_role_may_and_its_policies_let_through(
    identity: list[dict[str, Any]],
    boundary: list[dict[str, Any]] | None,
    inline: list[dict[str, Any]] | None,
    managed: list[dict[str, Any]] | None,
) -> None:
    principal = Principal(A, ROLE.arn, ROLE.id)
    bound = None if boundary is None else attached(boundary, PolicyKind.BOUNDARY)
    held = Authority(principal, [attached(identity, PolicyKind.IDENTITY)], bound)
    passed = {} if managed is None else {ARN: attached(managed, PolicyKind.MANAGED)}
    text = None if inline is None else document(*inline)
    session = assume(policy=text, policy_arns=tuple(passed))
    authority = in_session(session, held, passed)
    again = Authority.from_plain(json.loads(json.dumps(authority.to_plain())))

    def said(statements: list[dict[str, Any]], action: str, effect: str) -> bool:
        prefix = action.partition(":")[0] + ":*"
        return any(
            one["Effect"] == effect and {action, prefix, "*"} & set(one["Action"])
            for one in statements
        )

    for action in ACTIONS:
        every = [identity, *(each for each in (boundary, inline, managed) if each is not None)]
        expected = not any(said(each, action, "Deny") for each in every)
        expected &= said(identity, action, "Allow")
        expected &= boundary is None or said(boundary, action, "Allow")
        own = [each for each in (inline, managed) if each is not None]
        expected &= not own or any(said(each, action, "Allow") for each in own)
        for each in (authority, again):
            assert decide(each, Question(action)).allowed is expected


def test_what_has_lost_something_holds_nothing() -> None:
    everything = [
        attached([{"Effect": "Allow", "Action": "*", "Resource": "*"}], PolicyKind.IDENTITY)
    ]
    held = Authority(Principal(A, ROLE.arn, ROLE.id), everything)
    session = assume(policy_arns=(ARN,))
    question = Question("iam:GetUser")
    assert not decide(in_session(session, held, {}), question).allowed
    assert not decide(in_session(assume(), None, {}), question).allowed
    other = Authority(replace(held.principal, id="AROAOTHER"), everything)
    assert not decide(in_session(assume(), other, {}), question).allowed
    assert decide(in_session(assume(), held, {}), question).allowed
