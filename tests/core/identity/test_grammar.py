"""What IAM keeps as a policy, and its words for what it does not keep."""

from __future__ import annotations

import itertools
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.errors import MalformedPolicyDocument
from inservice.identity.policies.document import Policy, parse_policy
from inservice.identity.policies.grammar import PolicyKind, invalid_principal
from inservice.identity.policies.source import Position

SYNTAX = "Syntax errors in policy."
LEGACY = "The policy failed legacy parsing"
RESOURCES = "Policy statement must contain resources."
ACTIONS = "Policy statement must contain actions."
SIDS = (
    "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the "
    "regular expression [0-9A-Za-z]*"
)
TRUST_ACTIONS = (
    "Trust Policy statement actions can only be sts:AssumeRole, "
    "sts:AssumeRoleWithSAML,  and sts:AssumeRoleWithWebIdentity"
)
IAM_PATHS = (
    'IAM resource path must either be "*" or start with user/, federated-user/, role/, group/, '
    "instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, "
    "oidc-provider/, report/, access-report/."
)
GOOD = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
TRUSTS = {
    "Effect": "Allow",
    "Action": "sts:AssumeRole",
    "Principal": {"Service": "sagemaker.amazonaws.com"},
}


def refusal(document: object, kind: PolicyKind = PolicyKind.MANAGED) -> str:
    """The words for a document; "" if it is kept."""
    text = document if isinstance(document, str) else json.dumps(document)
    try:
        parse_policy(text, kind)
    except MalformedPolicyDocument as error:
        return f"{error.code} {error.status}: {error.message}".removeprefix(_ERROR)
    return ""


_ERROR = "MalformedPolicyDocument 400: "


def policy(*statements: object, **more: object) -> dict[str, object]:
    return {"Version": "2012-10-17", "Statement": list(statements), **more}


def changed(base: dict[str, Any] = GOOD, **more: object) -> dict[str, object]:
    """A policy of one statement, with some elements changed; None takes one away."""
    return policy({k: v for k, v in {**base, **more}.items() if v is not None})


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "x", "null", "[]", '"{}"', "{", "{}", "{]", '{"Version":"2012-10-17"}'),
        json.dumps(policy(GOOD)) + "x",
        json.dumps(policy(GOOD))[:-1],
        json.dumps(policy(GOOD)).replace('"*"', "NaN"),
        json.dumps(policy(GOOD)).replace(",", ",,", 1),
        json.dumps(policy(GOOD)).replace("]", ",]"),
        json.dumps(policy(GOOD)) + "\x00",
        json.dumps(policy(GOOD)).replace("*", "\x0b"),
        json.dumps(policy(GOOD)).replace("*", "\t"),
        json.dumps(policy(GOOD)).replace("*", "€"),
        json.dumps(policy(GOOD)).replace("*", "\\ud800"),
        "\ufeff" + json.dumps(policy(GOOD)),
        '{"Statement":' + "[" * 100_000,
        '{"Statement":[{"Effect":' + '{"a":' * 50_000,
        '{"Version": 1' + "0" * 10_000 + "}",
        json.dumps(policy(GOOD)) + " " * 131_072,
    ],
    ids=itertools.count(),
)
def test_what_is_no_json_object_of_the_characters_allowed(text: str) -> None:
    assert refusal(text) == SYNTAX


@pytest.mark.parametrize(
    ("once", "twice"),
    [
        ('"Version"', '"Version": "2012-10-17", "Version"'),
        ('"Statement"', '"Statement": [], "Statement"'),
        ('"Effect"', '"Effect": "Deny", "Effect"'),
        ('"Bool"', '"Bool": {}, "Bool"'),
        ('"a"', '"a": "true", "a"'),
    ],
)
def test_a_key_is_there_once(once: str, twice: str) -> None:
    text = json.dumps(changed(Condition={"Bool": {"a": "false"}}))
    assert refusal(text) == ""
    assert refusal(text.replace(once, twice)) == SYNTAX


@pytest.mark.parametrize(
    "document",
    [
        policy(),
        policy("s"),
        policy(GOOD, []),
        {"Version": "2012-10-17", "Statement": "s"},
        policy(GOOD, Conditions={}),
        policy(GOOD, statement=GOOD),
        policy(GOOD, Id=[]),
        policy(GOOD, Id=7),
        policy(GOOD, Version="2013-10-17"),
        policy(GOOD, Version=20121017),
        policy(GOOD, Version=["2012-10-17"]),
        changed(Effect=None),
        changed(Effect="Permit"),
        changed(Effect=["Allow"]),
        changed(Effect=None, effect="Allow"),
        changed(action="s3:*"),
        changed(Action={}),
        changed(Action=[["s3:*"]]),
        changed(Action=7),
        changed(Action=None, NotAction=None, Actions="s3:*"),
        changed(NotAction="s3:*"),
        changed(NotResource="*"),
        changed(NotResource=[]),
        changed(Resource={"a": "*"}),
        changed(Resource=["*", 7]),
        changed(Resource=[None]),
        changed(Resource=True),
        changed(Sid=[]),
        changed(Sid=7),
        changed(Principal={"AWS": "*"}, NotPrincipal={"AWS": "*"}),
        changed(Principal="me"),
        changed(Principal=["*"]),
        changed(Principal={"Everybody": "*"}),
        changed(Principal={"AWS": {}}),
        changed(Condition=[]),
        changed(Condition="StringEquals"),
        changed(Condition={"StringEquals": "a"}),
        changed(Condition={"StringEquals": []}),
        changed(Condition={"StringEquals": {"a": {}}}),
        changed(Condition={"StringEquals": {"a": [None]}}),
        changed(Condition={"StringEquals": {"a": [["b"]]}}),
        changed(Condition={"StringLikes": {"a": "b"}}),
        changed(Condition={"stringequals": {"a": "b"}}),
        changed(Condition={"NullIfExists": {"a": "true"}}),
        changed(Condition={"StringEqualsIfExistsIfExists": {"a": "b"}}),
        changed(Condition={"ForAnyValue::StringEquals": {"a": "b"}}),
        changed(Condition={"ForSomeValues:StringEquals": {"a": "b"}}),
        changed(Condition={":StringEquals": {"a": "b"}}),
        changed(Condition={"NotBool": {"a": "b"}}),
    ],
    ids=json.dumps,
)
def test_the_form_of_a_policy(document: object) -> None:
    assert refusal(document) == SYNTAX


@pytest.mark.parametrize(
    "document",
    [
        {"Statement": GOOD, "Version": "2012-10-17"},
        policy(GOOD, Id="with an id"),
        changed(Action=["s3:*", "*", "S3-x.y: any thing "]),
        changed(Action="fsx:WhatNobodyKnows"),
        changed(Action=None, NotAction="s3:*"),
        changed(Resource=None, NotResource=["arn:aws:s3:::b/*"]),
        changed(Sid=""),
        policy({**GOOD, "Sid": ""}, {**GOOD, "Sid": ""}, {**GOOD, "Sid": "A1"}, GOOD),
        changed(Resource="arn:aws:fsx"),
        changed(Resource="arn:*:s3:::b"),
        changed(Resource="arn:aws-us-gov:s3:::b"),
        changed(Resource="arn:aws:s3:eu-west-1:000000000001:accesspoint/mine"),
        changed(Resource="arn:aws:s3:eu-west-1:000000000001:job/*"),
        changed(Resource="arn:aws:iam::*:user/${aws:username}"),
        changed(Resource="arn:aws:iam::${aws:PrincipalAccount}:role/r"),
        changed(Resource="arn:aws:iam::000000000001:${aws:RequestTag/what}"),
        changed(Resource="arn:aws:iam::*:*"),
        changed(Resource="${aws:PrincipalTag/arn}"),
        changed(Resource="arn:${aws:PrincipalTag/partition}:s3:::b"),
        changed(Condition={}),
        changed(Condition={"StringEquals": {}, "Whatever": {}}),
        changed(Condition={"StringEquals": {"a": []}}),
        changed(Condition={"StringEquals": {"a": "b", "c": ["d", "e"]}}),
        changed(Condition={"Bool": {"a": True}, "NumericLessThan": {"b": 7, "c": [1.50, "2"]}}),
        changed(Condition={"ForAnyValue:StringEqualsIfExists": {"a": "b"}}),
        changed(Condition={"ForAllValues:ArnNotLike": {"a": "b"}, "Null": {"c": "true"}}),
        *(
            changed(Condition={"DateLessThan": {"a": date}})
            for date in (
                *("2026-07-01T13:20:15Z", "2026-07-01", "2026-07", "2026", "01T", "-292275054"),
                *("2026-12-13T21:20:37.593194+00:00", "2026-12-13t2:00:00.593194+23", "0"),
                *("2026-07-01T13:20Z", "9223372036854775807", 1767225600),
            )
        ),
    ],
    ids=json.dumps,
)
def test_what_is_kept(document: object) -> None:
    assert refusal(document) == ""


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (changed(Effect="allow"), LEGACY),
        (changed(Effect="DENY"), LEGACY),
        (changed(Resource="arn:aws:s3::b"), LEGACY),
        (changed(Resource="arn:aws::b"), LEGACY),
        (changed(Resource="arn:aws::::b"), LEGACY),
        (changed(Resource="arn:aws:"), LEGACY),
        (changed(Resource=None, NotResource=["arn:aws:s3::b"]), LEGACY),
        *(
            (changed(Condition={"DateLessThan": {"a": date}}), LEGACY)
            for date in (
                *("soon", "2026-13", "2026-01-32", "2026-01-01T24:00:00Z", "9223372036854775808"),
                *("2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "1.5", "", "true", "+1"),
                *("2026-01-01T00:00:00.1234567890Z", "2026-01-01T00:00:00+1", "2026-1-1-1"),
            )
        ),
        (
            policy({**GOOD, "Sid": "A"}, {**GOOD, "Sid": "A"}),
            "Statement IDs (SID) in a single policy must be unique.",
        ),
        (changed(Sid="with space"), SIDS),
        (changed(Action=None), ACTIONS),
        (changed(Action=[]), ACTIONS),
        (policy(GOOD, {"Effect": "Deny"}), ACTIONS),
        (changed(Resource=None), RESOURCES),
        (changed(Resource=[]), RESOURCES),
        (changed(Resource=""), 'Resource  must be in ARN format or "*".'),
        (changed(Resource="endpoint/e"), 'Resource endpoint/e must be in ARN format or "*".'),
        (changed(Resource="**"), 'Resource ** must be in ARN format or "*".'),
        (
            changed(Resource="nra:aws:s3:::b"),
            'Resource nra:aws:s3:::b must be in ARN format or "*".',
        ),
        (
            changed(Resource="a:nowhere"),
            'Partition "nowhere" is not valid for resource "arn:nowhere:*:*:*:*".',
        ),
        (
            changed(Resource="arn:s3:eu-west-1:1:job/1"),
            'Partition "s3" is not valid for resource "arn:s3:eu-west-1:1:job/1:*".',
        ),
        (
            changed(Resource="arn:aws"),
            "Resource vendor must be fully qualified and cannot contain regexes.",
        ),
        (
            changed(Resource="arn:aws:s*:::b"),
            "Resource vendor must be fully qualified and cannot contain regexes.",
        ),
        (changed(Resource="arn:aws:iam:::b"), IAM_PATHS),
        (changed(Resource="arn:aws:iam::000000000001:root"), IAM_PATHS),
        (
            changed(Resource="arn:aws:iam:eu-west-1::user/ana"),
            "IAM resource arn:aws:iam:eu-west-1::user/ana cannot contain region information.",
        ),
        (
            changed(Resource="arn:aws:s3:eu-west-1::b"),
            "Resource arn:aws:s3:eu-west-1::b can not contain region information.",
        ),
        *(
            (
                changed(Action=action),
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
            )
            for action in ("", "GetObject", "**", "?")
        ),
        (changed(Action="s3:a:b"), "Actions/Condition can contain only one colon."),
        (changed(Action="s 3:a"), "Vendor s 3 is not valid"),
        (changed(Action="s*:a"), "Vendor s* is not valid"),
        (changed(Action=":a"), "Vendor  is not valid"),
        (changed(Principal={"AWS": "*"}), "Policy document should not specify a principal."),
        (changed(NotPrincipal="*"), "Policy document should not specify a principal."),
    ],
    ids=lambda each: each if isinstance(each, str) else json.dumps(each["Statement"][-1]),
)
def test_each_fault_has_its_words(document: object, words: str) -> None:
    assert refusal(document) == words


def test_of_several_faults_the_first_is_told() -> None:
    """In AWS's order, worst first."""
    faults = {"Effect": "allow", "Resource": "x", "Action": "x", "Sid": "A"}
    document: dict[str, Any] = {"Statement": [faults, {**faults, "Effect": "?"}]}
    assert refusal(document) == SYNTAX
    document["Statement"][1]["Effect"] = "Deny"
    assert refusal(document) == "Policy document must be version 2012-10-17 or greater."
    document["Version"] = "2012-10-17"
    assert refusal(document) == LEGACY
    document["Statement"][0]["Effect"] = "Deny"
    assert refusal(document) == "Statement IDs (SID) in a single policy must be unique."
    document["Statement"][0]["Sid"] = "B"
    document["Statement"][0]["Action"] = []
    assert refusal(document) == ACTIONS
    document["Statement"][0]["Action"] = "x"
    assert refusal(document) == 'Resource x must be in ARN format or "*".'
    document["Statement"][0]["Resource"] = []
    document["Statement"][1]["Resource"] = "*"
    assert refusal(document).startswith("Actions/Conditions must be prefaced")
    document["Statement"][0]["Action"] = document["Statement"][1]["Action"] = "s3:*"
    assert refusal(document) == RESOURCES
    document["Statement"][0]["Resource"] = "*"
    assert refusal(document) == ""


@pytest.mark.parametrize("version", [None, "2008-10-17"])
def test_only_managed_policies_have_to_be_of_the_newer_version(version: str | None) -> None:
    document = {k: v for k, v in policy(GOOD, Version=version).items() if v is not None}
    assert refusal(document) == "Policy document must be version 2012-10-17 or greater."
    for kind in (PolicyKind.IDENTITY, PolicyKind.SESSION, PolicyKind.BOUNDARY):
        assert parse_policy(document, kind).version == "2008-10-17"


# ── trust and resource policies ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]},
        {"Action": "STS:assumerole"},
        {"Action": "sts:AssumeRoleWithWebIdentity", "Principal": {"Federated": "id.example.com"}},
        {"Principal": "*"},
        {"Principal": {"AWS": ["*"]}},
        {"Principal": {"AWS": "000000000001"}},
        {"Principal": {"AWS": "arn:aws:iam::000000000001:root"}},
        {"Principal": {"AWS": "arn:aws:iam::000000000001:user/team/ana"}},
        {"Principal": {"AWS": "arn:aws-cn:iam::000000000001:role/r"}},
        {"Principal": {"AWS": "arn:aws:sts::000000000001:assumed-role/r/ana"}},
        {"Principal": {"AWS": "AROAJQABLZS4A3QDU576Q"}},
        {"Principal": {"AWS": "000000000001", "Service": ["a.amazonaws.com", "b.amazon.com"]}},
        {
            "Principal": {
                "Federated": "arn:aws:iam::000000000001:oidc-provider/oidc.eks.example.com/id/1"
            }
        },
        {"Condition": {"StringEquals": {"sts:ExternalId": "x"}}},
        {"Principal": None, "NotPrincipal": {"AWS": "000000000001"}, "Effect": "Deny"},
    ],
    ids=json.dumps,
)
def test_who_can_be_trusted(change: dict[str, object]) -> None:
    assert refusal(changed(TRUSTS, **change), PolicyKind.TRUST) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Principal": None}, "Missing required field Principal"),
        ({"Principal": {}}, "Missing required field Principal"),
        ({"Principal": {"AWS": []}}, "Missing required field Principal"),
        ({"Resource": "*"}, "Has prohibited field Resource."),
        ({"NotResource": "*"}, "Has prohibited field Resource."),
        ({"Action": "*"}, TRUST_ACTIONS),
        ({"Action": "sts:*"}, TRUST_ACTIONS),
        ({"Action": ["sts:AssumeRole", "s3:GetObject"]}, TRUST_ACTIONS),
        ({"Action": None, "NotAction": "s3:GetObject"}, TRUST_ACTIONS),
        *(
            ({"Principal": {"AWS": name}}, f'Invalid principal in policy: "AWS":"{name}"')
            for name in (
                *("", "ana", "1", "0000000000011", "arn:aws:iam::000000000001:user/*"),
                *("arn:aws:iam::000000000001:user/", "arn:aws:iam::000000000001:group/g"),
                *("arn:aws:iam::*:role/r", "arn:aws:iam::000000000001:user/a?a", "AIDA", "**"),
                *("arn:aws:sts::000000000001:assumed-role/r", "arn:aws:s3:::b"),
            )
        ),
        (
            {"Principal": {"Service": "sagemaker"}},
            'Invalid principal in policy: "SERVICE":"sagemaker"',
        ),
        ({"Principal": {"Service": "*"}}, 'Invalid principal in policy: "SERVICE":"*"'),
        ({"Principal": {"Federated": "*"}}, 'Invalid principal in policy: "FEDERATED":"*"'),
    ],
    ids=json.dumps,
)
def test_who_cannot(change: dict[str, object], words: str) -> None:
    assert refusal(changed(TRUSTS, **change), PolicyKind.TRUST) == words


def test_a_principal_that_does_not_exist_gets_the_same_words() -> None:
    assert invalid_principal("AWS", "arn:x").message == 'Invalid principal in policy: "AWS":"arn:x"'


def test_a_resources_policy_names_somebody_and_may_say_more_in_a_sid() -> None:
    named = changed(Principal="*", Sid="Read by everyone, 1st")
    assert refusal(named, PolicyKind.RESOURCE) == ""
    assert refusal(policy(GOOD), PolicyKind.RESOURCE) == "Missing required field Principal"
    assert refusal(changed(Principal="*", Resource=None), PolicyKind.RESOURCE) == RESOURCES


# ── what a policy tells of itself ────────────────────────────────────────────────────────────────


def test_where_its_statements_stand() -> None:
    text = '{"Version": "2012-10-17",\n "Statement" : [\n  {"Effect":"Allow",\n'
    text += '   "Action":"s3:*","Resource":"*"},\t{"Effect":"Deny","Action":"*","Resource":"*"}]}'
    first, second = parse_policy(text, PolicyKind.MANAGED).statements
    assert (first.start, first.end) == (Position(3, 3), Position(4, 34))
    assert (second.start, second.end) == (Position(4, 37), Position(4, 81))
    (only,) = parse_policy(json.dumps({"Statement": GOOD}), PolicyKind.IDENTITY).statements
    assert (only.start, only.end) == (Position(1, 15), Position(1, 14 + len(json.dumps(GOOD))))


@given(st.integers(0, 6), st.sampled_from(["\n", "\r\n", " ", "\t"]))
def test_positions_are_those_of_the_braces(indent: int, space: str) -> None:
    text = json.dumps(policy(GOOD, {**GOOD, "Sid": "B"}), indent=indent).replace("\n", space)
    lines = text.split("\n")
    for statement in parse_policy(text, PolicyKind.MANAGED).statements:
        start, end = statement.start, statement.end
        assert lines[start.line - 1][start.column - 1] == "{"
        assert lines[end.line - 1][end.column - 1] == "}"


def test_its_size_is_without_white_space() -> None:
    compact = json.dumps(policy(GOOD), separators=(",", ":"))
    spread = json.dumps(policy(GOOD), indent=8).replace("\n", "\r\n\t")
    sizes = {parse_policy(text, PolicyKind.MANAGED).size for text in (compact, spread)}
    assert sizes == {len(compact)}


def test_which_keys_it_asks_for() -> None:
    asks = parse_policy(
        policy(
            {**GOOD, "Resource": "arn:aws:s3:::${aws:username}/${*}"},
            {
                **GOOD,
                "Condition": {
                    "StringLike": {"s3:Prefix": ["${aws:PrincipalTag/a, 'x'}*", "${aws:UserName}"]},
                    "Null": {"aws:TokenIssueTime": True},
                },
            },
        ),
        PolicyKind.MANAGED,
    )
    assert asks.context_keys == (
        *("aws:username", "s3:Prefix", "aws:PrincipalTag/a", "aws:TokenIssueTime"),
    )


def test_whom_it_names() -> None:
    names = {"AWS": ["000000000001", "*"], "Service": "sagemaker.amazonaws.com"}
    trust = parse_policy(changed(TRUSTS, Principal=names), PolicyKind.TRUST)
    assert trust.principals == (
        *(("AWS", "000000000001"), ("AWS", "*"), ("Service", "sagemaker.amazonaws.com")),
    )


def test_it_is_sent_as_its_text() -> None:
    sent = parse_policy(policy(GOOD, Id="me"), PolicyKind.MANAGED)
    received: Policy = pickle.loads(pickle.dumps(sent))
    assert received == sent
    assert received.id == "me"
    assert len(pickle.dumps(sent)) < len(sent.text) + 300


def test_a_document_that_is_no_text_is_what_json_makes_of_it() -> None:
    assert parse_policy(policy(GOOD), PolicyKind.MANAGED).text == json.dumps(policy(GOOD))
    for unsaid in ({"Statement": {1, 2}}, {"Statement": object()}):
        with pytest.raises(MalformedPolicyDocument, match=SYNTAX):
            parse_policy(unsaid, PolicyKind.MANAGED)


# ── whatever there is ────────────────────────────────────────────────────────────────────────────

_ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["*", "Allow", "2012-10-17", "arn:aws:s3:::${a:b}", "s3:*", "${", "a:b:c"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=6) | st.sampled_from(["AWS", "StringEquals", "DateLessThan", "a:b"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
_ELEMENTS = st.sampled_from(
    [
        *("Version", "Id", "Statement", "Sid", "Effect", "Principal", "NotPrincipal"),
        *("Action", "NotAction", "Resource", "NotResource", "Condition"),
    ]
)


@given(_ELEMENTS, _ANYTHING, st.sampled_from(list(PolicyKind)))
def test_whatever_an_element_is_the_policy_is_kept_or_refused(
    element: str, value: object, kind: PolicyKind
) -> None:
    statement: dict[str, object] = {**(TRUSTS if kind is PolicyKind.TRUST else GOOD)}
    document = policy(statement)
    if element in ("Version", "Id", "Statement"):
        document[element] = value
    else:
        statement[element] = value
    words = refusal(document, kind)
    if not words:
        assert parse_policy(document, kind).statements


@given(st.text(max_size=40) | st.text('{}[]":, \\\n\u00e9aSt1.eE-', max_size=40))
def test_whatever_a_text_is_it_is_kept_or_refused(text: str) -> None:
    assert refusal(text, PolicyKind.IDENTITY)
    within = json.dumps(policy(GOOD)).replace("s3:GetObject", text)
    assert isinstance(refusal(within, PolicyKind.IDENTITY), str)
