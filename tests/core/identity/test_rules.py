"""Each rule of the policy language by itself: what a statement applies to and what it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from inservice.identity.authority import AttachedPolicy, Authority
from inservice.identity.decide import Question, decide
from inservice.identity.policies.document import parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.policies.variables import ContextValue
from inservice.identity.principal import Principal

A = "000000000001"
ENDPOINT = f"arn:aws:sagemaker:eu-west-1:{A}:endpoint/digits"
ARN = "arn:aws:s3:::bucket"
NEWER, OLDER = "2012-10-17", "2008-10-17"

Context = Mapping[str, ContextValue]


def applies(
    elements: Mapping[str, object],
    *,
    action: str = "s3:GetObject",
    resource: str = "arn:aws:s3:::bucket/key",
    context: Context | None = None,
    effect: str = "Allow",
    version: str = NEWER,
) -> bool:
    """Whether a statement does something to a request."""
    statement: dict[str, Any] = {"Effect": effect, "Action": "*", "Resource": "*", **elements}
    for name in ("Action", "Resource"):
        if f"Not{name}" in elements:
            del statement[name]
    document = {"Version": version, "Statement": statement}
    authority = Authority(
        Principal("", ""), [AttachedPolicy(parse_policy(document, PolicyKind.IDENTITY), "P")]
    )
    decision = decide(authority, Question(action, resource, context or {}))
    return bool(decision.matches)


def holds(
    operator: str, operands: object, value: ContextValue | None, effect: str = "Allow"
) -> bool:
    """Whether a condition over one key does. None: the request does not have it."""
    context = {} if value is None else {"k": value}
    return applies({"Condition": {operator: {"k": operands}}}, context=context, effect=effect)


# ── actions ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("pattern", "action", "expected"),
    [
        ("*", "s3:GetObject", True),
        ("s3:*", "s3:GetObject", True),
        ("S3:getobject", "s3:GetObject", True),  # neither half minds its case
        ("s3:GetObject", "S3:GETOBJECT", True),
        ("s3:Get*", "s3:GetObject", True),
        ("s3:Get?bject", "s3:GetObject", True),
        ("s3:*Object", "s3:GetObject", True),
        ("s3:*Object", "s3:GetObjects", False),
        ("s3:Get", "s3:GetObject", False),
        ("s3:GetObject?", "s3:GetObject", False),
        ("sagemaker:*", "s3:GetObject", False),
        ("s3:Nobody Knows", "s3:GetObject", False),
    ],
)
def test_actions(pattern: str, action: str, expected: bool) -> None:
    assert applies({"Action": pattern}, action=action) is expected
    assert applies({"Action": ["iam:*", pattern]}, action=action) is expected
    assert applies({"NotAction": ["iam:*", pattern]}, action=action) is not expected


# ── resources ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("pattern", "resource", "expected"),
    [
        ("*", "*", True),
        ("*", ENDPOINT, True),
        ("arn:aws:sagemaker:*:*:*", "*", False),  # only `*` is for what is done to nothing
        (ENDPOINT, ENDPOINT, True),
        (ENDPOINT.upper().replace("ARN:AWS:", "arn:aws:"), ENDPOINT, False),  # they mind their case
        (ENDPOINT.replace("digits", "Digits"), ENDPOINT, False),
        (f"arn:aws:sagemaker:*:{A}:endpoint/*", ENDPOINT, True),
        ("arn:aws:logs:*:*:*:one", "arn:aws:logs:r:1:log-group:g:log-stream:one", True),
        ("arn:aws:logs:*:*:*:one", "arn:aws:logs:r:1:a:b/c:one", True),  # a `*` runs over colons
        ("arn:aws:sagemaker:*digits", ENDPOINT, False),  # completed: `…*digits:*:*`
        ("arn:aws:sagemaker:*:*:endpoint/digit?", ENDPOINT, True),
        ("arn:aws:sagemaker:*:*:endpoint/digits?", ENDPOINT, False),
        ("arn:*:sagemaker:*:*:endpoint/digits", ENDPOINT, True),
        ("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/a/b\nc:d", True),  # slashes and newlines
        ("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket", False),
        ("arn:aws:s3:::bucket", "arn:aws:s3:::bucket/a", False),
        ("arn:aws:s3", "arn:aws:s3:::bucket/a", True),  # short ones are completed
        ("arn:aws:sagemaker:eu-west-1", ENDPOINT, True),
        (f"arn:aws:sagemaker:eu-west-1:{A}", ENDPOINT, True),
        ("arn:aws:sagemaker:eu-west", ENDPOINT, False),
    ],
)
def test_resources(pattern: str, resource: str, expected: bool) -> None:
    assert applies({"Resource": pattern}, resource=resource) is expected
    assert applies({"Resource": ["arn:aws:iam::1:user/x", pattern]}, resource=resource) is expected
    assert applies({"NotResource": pattern}, resource=resource) is not expected


# ── variables ────────────────────────────────────────────────────────────────────────────────────

USER: dict[str, ContextValue] = {
    "aws:username": "ana",
    "aws:principaltag/team": "blue",
    "aws:tagkeys": ("a",),
}


@pytest.mark.parametrize(
    ("pattern", "resource", "expected"),
    [
        ("arn:aws:s3:::b/${aws:username}", "arn:aws:s3:::b/ana", True),
        ("arn:aws:s3:::b/${AWS:UserName}/*", "arn:aws:s3:::b/ana/x", True),
        ("arn:aws:s3:::b/${aws:username}", "arn:aws:s3:::b/bob", False),
        ("arn:aws:s3:::${aws:PrincipalTag/team}/${aws:username}", "arn:aws:s3:::blue/ana", True),
        ("arn:aws:s3:::b/${aws:none}", "arn:aws:s3:::b/", False),
        ("arn:aws:s3:::b/${aws:none, 'home'}", "arn:aws:s3:::b/home", True),
        ("arn:aws:s3:::b/${aws:none,'home'}", "arn:aws:s3:::b/home", True),
        ("arn:aws:s3:::b/${aws:username, 'home'}", "arn:aws:s3:::b/home", False),
        ("arn:aws:s3:::b/${*}", "arn:aws:s3:::b/*", True),
        ("arn:aws:s3:::b/${*}", "arn:aws:s3:::b/x", False),
        ("arn:aws:s3:::b/${?}${$}", "arn:aws:s3:::b/?$", True),
        ("arn:aws:s3:::b/${aws:TagKeys}", "arn:aws:s3:::b/a", False),  # several values
        ("arn:aws:s3:::b/${aws:TagKeys, 'a'}", "arn:aws:s3:::b/a", False),  # not its default either
        ("arn:aws:${aws:none, 's3'}:::b", "arn:aws:s3:::b", True),  # in any field
        ("arn:aws:s3:${aws:username}", "arn:aws:s3:ana:::b", False),  # and not completed
    ],
)
def test_variables_in_resources(pattern: str, resource: str, expected: bool) -> None:
    assert applies({"Resource": pattern}, resource=resource, context=USER) is expected


def test_a_variable_can_be_the_whole_resource() -> None:
    tagged = {"aws:principaltag/arn": "arn:aws:s3:::b"}
    assert applies(
        {"Resource": "${aws:PrincipalTag/arn}"}, resource="arn:aws:s3:::b", context=tagged
    )
    starred = {"aws:principaltag/arn": "*"}
    assert not applies(
        {"Resource": "${aws:PrincipalTag/arn}"}, resource="arn:aws:s3:::b", context=starred
    )


@pytest.mark.parametrize("name", ["*", "a?a", "${aws:PrincipalTag/team}", "a*"])
def test_what_is_put_in_is_literal(name: str) -> None:
    context = {**USER, "aws:username": name}
    element = {"Resource": "arn:aws:s3:::b/${aws:username}"}
    assert applies(element, resource=f"arn:aws:s3:::b/{name}", context=context)
    for other in ("ana", "blue", "a", "aba"):
        assert not applies(element, resource=f"arn:aws:s3:::b/{other}", context=context)


def test_the_older_version_has_no_variables() -> None:
    element = {"Resource": "arn:aws:s3:::b/${aws:username}"}
    assert not applies(element, resource="arn:aws:s3:::b/ana", context=USER, version=OLDER)
    literal = "arn:aws:s3:::b/${aws:username}"
    assert applies(element, resource=literal, context=USER, version=OLDER)
    equals = {"Condition": {"StringEquals": {"k": "${aws:username}"}}}
    assert applies(equals, context={**USER, "k": "${aws:username}"}, version=OLDER)
    assert not applies(equals, context={**USER, "k": "ana"}, version=OLDER)


def test_not_resource_with_a_variable_without_a_value_does_not_apply() -> None:
    assert not applies({"NotResource": "arn:aws:s3:::${aws:none}"})
    assert not applies({"NotResource": ["arn:aws:s3:::${aws:none}", "arn:aws:s3:::other"]})
    assert applies({"NotResource": "arn:aws:s3:::${aws:none, 'x'}"})


@pytest.mark.parametrize("text", ["${", "${aws:username", "${}", "${a,}", "${a, b}", "$", "${a'b}"])
def test_what_only_looks_like_a_variable_is_text(text: str) -> None:
    context = {**USER, "k": text}
    assert applies({"Condition": {"StringEquals": {"k": text}}}, context=context)


def test_variables_in_conditions() -> None:
    def one(operator: str, operand: str, value: str) -> bool:
        condition = {"Condition": {operator: {"k": operand}}}
        return applies(condition, context={**USER, "k": value})

    assert one("StringEquals", "${aws:username}", "ana")
    assert one("StringEqualsIgnoreCase", "${aws:username}", "ANA")
    assert one("StringLike", "${aws:username}*", "anabel")
    assert not one("StringLike", "${*}", "ana")
    assert one("StringEquals", "*${*}", "**")
    assert one("ArnLike", "arn:aws:s3:::${aws:username}*", "arn:aws:s3:::ana-1")
    assert not one("StringEquals", "${aws:none}", "")
    assert one("StringNotEquals", "${aws:none}", "")
    assert one("ArnNotLike", "${aws:none}", ARN)
    assert not one("StringEquals", "${aws:TagKeys}", "a")
    assert not one("NumericEquals", "${aws:none, '7'}", "7")  # there are none in numbers
    assert not one("DateEquals", "2026-01-01", "${aws:none, '2026-01-01'}")


# ── conditions: texts ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("operator", "operand", "value", "expected"),
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", "a", "A", False),
        ("StringEquals", "a*", "ab", False),
        ("StringEquals", "", "", True),
        ("StringEqualsIgnoreCase", "aÉ", "Aé", True),
        ("StringEqualsIgnoreCase", "ß", "ss", False),  # lower case, not case folding
        ("StringLike", "a*", "ab", True),
        ("StringLike", "A*", "ab", False),
        ("StringLike", "?", "a", True),
        ("StringLike", "?", "", False),
        ("StringLike", "*", "", True),
    ],
)
def test_texts(operator: str, operand: str, value: str, expected: bool) -> None:
    assert holds(operator, operand, value) is expected
    assert holds(operator.replace("String", "StringNot"), operand, value) is not expected


def test_values_of_a_policy_may_be_numbers_and_truths() -> None:
    assert holds("StringEquals", True, "true")
    assert holds("StringEquals", 7, "7")
    assert holds("StringEquals", 1.5, "1.5")
    assert holds("NumericEquals", [1, 7], "7")


# ── conditions: numbers and dates ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("value", "operand", "order"),
    [
        *(("7", "7", 0), ("7.0", "7", 0), ("+7", "7", 0), ("007", "7", 0), ("7.", "7", 0)),
        *(
            ("7", "+007.00", 0),
            ("-1", "1", -1),
            ("10", "9", 1),
            ("9.5", "9.25", 1),
            (".5", "0.5", 0),
        ),
        *(("1e1", "10", 0), ("-0", "0", 0), ("12345678901234567890.1", "12345678901234567890", 1)),
    ],
)
def test_numbers(value: str, operand: str, order: int) -> None:
    assert_ordered("Numeric", value, operand, order)


@pytest.mark.parametrize(
    ("value", "operand", "order"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01", 0),
        ("2026-01-01T00:00:00Z", "2026", 1),  # without dash or T it counts seconds
        ("2026-01-01T00:00:00Z", "1767225600", 0),
        ("1767225600", "2026-01-01T00:00Z", 0),
        ("2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00Z", 0),
        ("2026-01-01T00:00:00-0130", "2026-01-01T01:30:00Z", 0),
        ("2026-01-01T00:00:00", "2026-01-01T00:00:00Z", 0),
        ("2026-01", "2026-01-01", 0),
        ("2026-06-30T23:59:59.9999Z", "2026-06-30T23:59:59.999Z", 0),  # to the millisecond
        ("2026-06-30T23:59:59.998Z", "2026-06-30T23:59:59.999Z", -1),
        ("2026-02-01t00:00:00z", "2026-01-31T00:00:00Z", 1),
        ("1767225600.5", "1767225600", 1),
    ],
)
def test_dates(value: str, operand: str, order: int) -> None:
    assert_ordered("Date", value, operand, order)


def assert_ordered(kind: str, value: str, operand: str, order: int) -> None:
    """−1, 0 or 1: less, equal, greater."""
    expected = {
        "Equals": order == 0,
        "NotEquals": order != 0,
        "LessThan": order < 0,
        "LessThanEquals": order <= 0,
        "GreaterThan": order > 0,
        "GreaterThanEquals": order >= 0,
    }
    assert {name: holds(kind + name, operand, value) for name in expected} == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(
            ("Numeric", text)
            for text in ("", "seven", "7 ", "0x7", "1_0", "nan", "inf", "٧", "1e9999")
        ),
        *(("Date", text) for text in ("", "now", "2026-02-30", "2026-13-01", "-5", "0000-01-01")),
    ],
)
def test_what_is_no_number_and_no_date_is_unequal(kind: str, value: str) -> None:
    operand = "7" if kind == "Numeric" else "2026-01-01"
    for name in ("Equals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"):
        assert not holds(kind + name, operand, value)
    assert holds(kind + "NotEquals", operand, value)


def test_a_number_that_a_policy_misspells_is_equal_to_none() -> None:
    assert not holds("NumericEquals", "seven", "7")
    assert not holds("NumericLessThan", "seven", "7")
    assert holds("NumericNotEquals", "seven", "7")


# ── conditions: truths, bytes, addresses ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("operand", "value", "expected"),
    [
        *(("true", "true", True), ("true", "TRUE", True), ("True", "false", False)),
        *(("false", "false", True), ("false", "no", True), ("no", "false", True)),
        *(("true", "1", False), ("false", "", True)),
    ],
)
def test_all_but_true_is_false(operand: str, value: str, expected: bool) -> None:
    assert holds("Bool", operand, value) is expected
    assert holds("Bool", operand == "true" if operand in ("true", "false") else operand, value) is (
        expected
    )


def test_bytes() -> None:
    assert holds("BinaryEquals", "aGVsbG8=", "aGVsbG8=")
    assert not holds("BinaryEquals", "aGVsbG8=", "d29ybGQ=")
    assert not holds("BinaryEquals", "hello!", "hello!")  # no base 64


@pytest.mark.parametrize(
    ("operand", "value", "expected"),
    [
        ("10.0.0.0/8", "10.200.0.1", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.7", "10.0.0.7", True),
        ("10.0.0.7", "10.0.0.8", False),
        ("10.1.2.3/8", "10.200.0.1", True),  # host bits of IPv4 do not matter
        ("0.0.0.0/0", "192.0.2.1", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("2001:db8::/32", "2001:db8:1::1", True),
        ("2001:DB8::1", "2001:db8:0:0::1", True),
        ("2001:db8::1/32", "2001:db8::1", False),  # those of IPv6 do
        ("10.0.0.0/8", "::ffff:10.0.0.1", True),  # IPv4 in the clothes of IPv6
        ("10.0.0.0/33", "10.0.0.0", False),
        ("10.0.0.0/255.0.0.0", "10.0.0.1", False),
        ("10.0.0", "10.0.0.0", False),
        ("everywhere", "10.0.0.0", False),
    ],
)
def test_addresses(operand: str, value: str, expected: bool) -> None:
    assert holds("IpAddress", operand, value) is expected
    assert holds("NotIpAddress", operand, value) is not expected


@pytest.mark.parametrize(
    "value", ["", "unknown", "10.0.0", "10.0.0.1/32", "fe80::1%eth0", "167772161"]
)
def test_a_request_from_no_address_never_fits(value: str) -> None:
    assert not holds("IpAddress", ["0.0.0.0/0", "::/0"], value)
    assert not holds("NotIpAddress", "10.0.0.0/8", value)


# ── conditions: ARNs ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("operand", "value", "expected"),
    [
        (ENDPOINT, ENDPOINT, True),
        ("arn:aws:sagemaker:*:*:endpoint/*", ENDPOINT, True),
        ("arn:aws:sagemaker:*:endpoint/*", ENDPOINT, False),  # five fields
        ("arn:aws:s3:*:*:*", ENDPOINT, False),
        ("arn:aws:sagemaker:eu-*:00000000000?:*/digits", ENDPOINT, True),
        ("arn:aws:sagemaker:*:*:*:v1", "arn:aws:sagemaker:r:1:model-package:a:v1", True),
        ("arn:aws:sagemaker:*1:*:x", "arn:aws:sagemaker:r:1:x", False),  # a `*` keeps to its field
        ("arn:aws:s3:::Bucket", ARN, False),
        ("*:aws:s3:::bucket", ARN, True),
    ],
)
@pytest.mark.parametrize("like", ["Like", "Equals"])
def test_arns_field_by_field(operand: str, value: str, expected: bool, like: str) -> None:
    assert holds(f"Arn{like}", operand, value) is expected
    if operand.count(":") >= 5:
        assert holds(f"ArnNot{like}", operand, value) is not expected


@pytest.mark.parametrize("value", ["", "bucket", "arn:aws:s3", "nra:aws:s3:::bucket"])
def test_a_request_with_no_arn_never_fits(value: str) -> None:
    for effect in ("Allow", "Deny"):
        assert not holds("ArnLike", "arn:*:*:*:*:*", value, effect)
        assert not holds("ArnNotLike", "arn:aws:iam::1:user/x", value, effect)
        assert not holds("ArnLike", "misspelt", value, effect)


@pytest.mark.parametrize("operand", ["*", "bucket", "arn:aws:s3", "nra:aws:s3:::*"])
def test_an_arn_that_a_policy_misspells_fails_safe(operand: str) -> None:
    for operator in ("ArnLike", "ArnEquals", "ArnNotLike", "ArnNotEquals"):
        assert holds(operator, operand, ARN, "Deny")
        assert not holds(operator, operand, ARN, "Allow")
        assert holds(operator, ["arn:aws:iam::1:user/x", operand], ARN, "Deny")
    assert holds("ArnLike", [operand, ARN], ARN, "Allow")
    assert not holds("ArnNotLike", [operand, "arn:aws:iam::1:user/x"], ARN, "Allow")


# ── conditions: what is said around an operator ──────────────────────────────────────────────────

EVERY = [
    *("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"),
    *("StringLike", "StringNotLike", "Bool", "BinaryEquals", "IpAddress", "NotIpAddress"),
    *("ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"),
    *(
        kind + order
        for kind in ("Numeric", "Date")
        for order in (
            *("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan"),
            "GreaterThanEquals",
        )
    ),
]


def fitting(operator: str) -> str:
    """A text of the operator's kind, for the policy and for the request."""
    for name in ("Numeric", "Date", "Bool", "Binary", "Arn", "Ip"):
        if name in operator:
            return {
                "Numeric": "7",
                "Date": "2026-01-01",
                "Bool": "true",
                "Binary": "aGVsbG8=",
                "Arn": ARN,
                "Ip": "10.0.0.1",
            }[name]
    return "a"


@pytest.mark.parametrize("operator", EVERY)
def test_an_absent_key(operator: str) -> None:
    operand = fitting(operator)
    negated = "Not" in operator
    for absent in (None, ()):
        assert holds(operator, operand, absent) is negated
        assert holds(f"{operator}IfExists", operand, absent)
        assert holds(f"ForAllValues:{operator}", operand, absent)
        assert holds(f"ForAllValues:{operator}IfExists", operand, absent)
        assert not holds(f"ForAnyValue:{operator}", operand, absent)
        assert holds(f"ForAnyValue:{operator}IfExists", operand, absent)


@pytest.mark.parametrize("operator", EVERY)
def test_a_key_that_is_there(operator: str) -> None:
    value = fitting(operator)
    expected = operator.endswith(("Equals", "Like", "Case", "Bool", "Address"))
    expected = expected and "Not" not in operator
    assert holds(operator, value, value) is expected
    assert holds(f"{operator}IfExists", value, value) is expected
    for quantifier in ("ForAllValues", "ForAnyValue"):
        assert holds(f"{quantifier}:{operator}", value, value) is expected
        assert holds(f"{quantifier}:{operator}", value, (value, value)) is expected


@pytest.mark.parametrize("operator", EVERY)
def test_a_key_with_several_values_fits_no_operator_for_one(operator: str) -> None:
    value = fitting(operator)
    for values in ((value,), (value, value), ("other",)):
        assert not holds(operator, value, values)
        assert not holds(f"{operator}IfExists", value, values)


@pytest.mark.parametrize("operator", EVERY)
def test_no_operands_never_fit_a_key_that_is_there(operator: str) -> None:
    value = fitting(operator)
    assert not holds(operator, [], value)
    assert not holds(f"{operator}IfExists", [], value)
    assert not holds(f"ForAllValues:{operator}", [], (value,))
    assert not holds(f"ForAnyValue:{operator}", [], (value,))
    assert holds(operator, [], None) is ("Not" in operator)


@pytest.mark.parametrize(
    ("operator", "operands", "values", "expected"),
    [
        ("ForAllValues:StringEquals", ["a", "b"], ("a",), True),
        ("ForAllValues:StringEquals", ["a", "b"], ("a", "b", "a"), True),
        ("ForAllValues:StringEquals", ["a", "b"], ("a", "c"), False),
        ("ForAllValues:StringNotEquals", ["a", "b"], ("c", "d"), True),
        ("ForAllValues:StringNotEquals", ["a", "b"], ("a", "d"), False),
        ("ForAnyValue:StringEquals", ["a", "b"], ("c", "b"), True),
        ("ForAnyValue:StringEquals", ["a", "b"], ("c", "d"), False),
        ("ForAnyValue:StringNotEquals", ["a", "b"], ("a", "d"), True),
        ("ForAnyValue:StringNotEquals", ["a", "b"], ("a", "b"), False),
        ("ForAllValues:StringLike", ["a*"], ("ab", "ac"), True),
        ("ForAnyValue:NumericLessThan", ["5"], ("7", "3"), True),
        ("ForAllValues:StringEquals", ["a"], "a", True),  # one value is a set of one
    ],
)
def test_quantifiers(
    operator: str, operands: list[str], values: ContextValue, expected: bool
) -> None:
    assert holds(operator, operands, values) is expected


def test_values_of_one_key_are_alternatives_and_negated_they_are_none() -> None:
    assert holds("StringEquals", ["a", "b"], "b")
    assert not holds("StringEquals", ["a", "b"], "c")
    assert not holds("StringNotEquals", ["a", "b"], "b")
    assert holds("StringNotEquals", ["a", "b"], "c")


def test_keys_and_operators_all_have_to_hold() -> None:
    both = {"Condition": {"StringEquals": {"a": "1", "b": "2"}, "Bool": {"c": "true"}}}
    assert applies(both, context={"a": "1", "b": "2", "c": "true"})
    for key in "abc":
        assert not applies(both, context={"a": "1", "b": "2", "c": "true", key: "3"})


def test_names_of_keys_do_not_mind_their_case() -> None:
    tags = {"Condition": {"StringEquals": {"aws:ResourceTag/Team": "blue"}}}
    assert applies(tags, context={"aws:resourcetag/team": "blue"})
    assert not applies(tags, context={"aws:resourcetag/team": "Blue"})


@pytest.mark.parametrize(
    ("operands", "value", "expected"),
    [
        *(("true", None, True), ("true", (), True), ("true", "x", False), ("true", "", False)),
        *(("false", None, False), ("false", "x", True), ("false", "", True)),
        *(("false", ("a", "b"), True), (True, None, True), ("TRUE", None, True)),
        *((["true", "false"], None, True), (["true", "false"], "x", True), ([], "x", False)),
    ],
)
def test_null_asks_whether_a_key_is_there(
    operands: object, value: ContextValue | None, expected: bool
) -> None:
    assert holds("Null", operands, value) is expected


def test_an_operator_with_no_keys_asks_for_nothing() -> None:
    assert applies({"Condition": {}})
    assert applies({"Condition": {"StringEquals": {}, "Whatever": {}}})
