"""Violations in AWS's words, and AWS's patterns as Java would read them."""

from __future__ import annotations

import time
import unicodedata
from typing import Any

import pytest

from inservice.aws.constraints import Violations, compile_check
from inservice.aws.patterns import matcher
from inservice.aws.service_model import Service, load
from tests.wire.values import HOSTING, ours, theirs

SERVICES = (
    "sagemaker",
    "sagemaker-runtime",
    "cloudwatch",
    "logs",
    "application-autoscaling",
    "iam",
    "sts",
)


def violations(operation: str, members: dict[str, Any], service: str = "sagemaker") -> Violations:
    model = ours(service)
    shape = model.shapes[model.operations[operation].input or ""]
    found = Violations()
    compile_check(model, shape)(members, "", found)
    return found


VARIANT = {"VariantName": "AllTraffic", "ModelName": "m", "InstanceType": "ml.m5.large"}


def test_all_violations_come_in_one_message() -> None:
    """hosting-semantics 0.1: joined by semicolons, in lower camel case, elements from one."""
    found = violations(
        "CreateEndpointConfig",
        {
            "EndpointConfigName": "a_b",
            "ProductionVariants": [
                VARIANT,
                {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 0},
                {"ModelName": "m", "RoutingConfig": {}},
            ],
        },
    )
    assert found.message() == (
        "4 validation errors detected: "
        "Value 'a_b' at 'endpointConfigName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}; "
        "Value '0' at 'productionVariants.2.member.initialInstanceCount' failed to satisfy "
        "constraint: Member must have value greater than or equal to 1; "
        "Value null at 'productionVariants.3.member.variantName' failed to satisfy constraint: "
        "Member must not be null; "
        "Value null at 'productionVariants.3.member.routingConfig.routingStrategy' failed to "
        "satisfy constraint: Member must not be null"
    )


def test_one_violation_is_an_error_two_are_errors() -> None:
    assert violations("DescribeEndpoint", {}).message() == (
        "1 validation error detected: Value null at 'endpointName' failed to satisfy constraint: "
        "Member must not be null"
    )


def test_an_enum_shows_its_values_in_the_order_of_the_model() -> None:
    message = violations("ListEndpoints", {"SortOrder": "Up"}).message()
    assert "Member must satisfy enum value set: [Ascending, Descending]" in message


def test_an_over_long_name_breaks_its_length_and_its_pattern() -> None:
    message = violations("DescribeEndpoint", {"EndpointName": "a" * 64}).message()
    assert message.startswith("2 validation errors detected: ")
    assert "Member must have length less than or equal to 63" in message


def test_an_empty_name_passes_every_client_and_is_refused_here() -> None:
    """hosting-semantics, fact 27: the model's minimum is 0, the pattern forbids it."""
    assert violations("DescribeEndpoint", {"EndpointName": ""}).count == 1


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/key/model.tar.gz",
        "s3://my-bucket/",
        "https://bucket.s3.amazonaws.com/k",
        "s3://b",
    ],
)
def test_real_uris_pass_the_pattern_that_seems_to_allow_one_character(uri: str) -> None:
    """hosting-semantics, fact 28: `(https|s3)://([^/])/?(.*)`; the last group takes the rest."""
    assert matcher("(https|s3)://([^/])/?(.*)")(uri)


def test_elements_that_are_strings_are_shown_with_their_list() -> None:
    found = violations(
        "CreateModel",
        {
            "ModelName": "m",
            "VpcConfig": {"SecurityGroupIds": ["sg-1", "not ok"], "Subnets": ["subnet-1"]},
        },
    )
    assert found.message() == (
        "1 validation error detected: Value '[sg-1, not ok]' at 'vpcConfig.securityGroupIds' "
        "failed to satisfy constraint: Member must satisfy constraint: [Member must have length "
        "less than or equal to 32, Member must satisfy regular expression pattern: [-0-9a-zA-Z]+]"
    )


def test_entries_of_a_map_are_shown_with_their_map() -> None:
    container = {"Image": "i", "Environment": {"1BAD": "x"}}
    found = violations("CreateModel", {"ModelName": "m", "PrimaryContainer": container})
    assert found.message() == (
        "1 validation error detected: Value '{1BAD=x}' at 'primaryContainer.environment' failed to "
        "satisfy constraint: Map keys must satisfy constraint: [Member must have length less than "
        "or equal to 1024, Member must satisfy regular expression pattern: [a-zA-Z_][a-zA-Z0-9_]*]"
    )


def test_null_elements_and_values_are_refused() -> None:
    assert (
        violations(
            "AddTags",
            {"ResourceArn": "arn:aws:sagemaker:r:123456789012:endpoint/e", "Tags": [None]},
        ).count
        == 1
    )
    container = {"Image": "i", "Environment": {"A": None}}
    assert violations("CreateModel", {"ModelName": "m", "PrimaryContainer": container}).count == 1


def test_a_union_has_exactly_one_member() -> None:
    alarm = {"AlarmName": "a", "EvaluationWindow": {}}
    assert "exactly one" in violations("PutMetricAlarm", alarm, "cloudwatch").message()


def test_a_message_stays_readable_however_much_is_wrong() -> None:
    tags = [{"Key": "k" * 1_000_000, "Value": "v"}] * 100_000
    found = violations("AddTags", {"ResourceArn": "x", "Tags": tags})
    assert found.count > 100_000
    assert len(found.message()) < 400_000


def test_a_sensitive_value_is_not_repeated() -> None:
    found = violations(
        "AssumeRoleWithSAML",
        {
            "RoleArn": "arn:aws:iam::123456789012:role/r",
            "PrincipalArn": "arn:aws:iam::123456789012:saml-provider/p",
            "SAMLAssertion": "sec",
        },
        "sts",
    )
    assert found.message() == (
        "1 validation error detected: Value at 'sAMLAssertion' failed to satisfy constraint: "
        "Member must have length greater than or equal to 4"
    )


# ── patterns ─────────────────────────────────────────────────────────────────────────────────────


def served(service: str) -> Service:
    """Of SageMaker's 425 operations, those about hosting."""
    return load(service, HOSTING) if service == "sagemaker" else ours(service)


def patterns(service: str) -> set[str]:
    return {shape.pattern for shape in served(service).shapes.values() if shape.pattern}


@pytest.mark.parametrize("service", SERVICES)
def test_every_pattern_of_every_model_is_understood(service: str) -> None:
    for pattern in patterns(service):
        matcher(pattern)("anything")


@pytest.mark.parametrize("service", SERVICES)
def test_no_pattern_mixes_categories_with_ranges_beyond_ascii(service: str) -> None:
    """The stand-ins of categories rest on it."""
    for pattern in patterns(service):
        assert not (r"\p{" in pattern and r"\u0" in pattern), pattern
        assert pattern.isascii()


@pytest.mark.parametrize("category", ["L", "M", "N", "P", "S", "Z"])
def test_categories_are_those_of_unicode(category: str) -> None:
    matches = matcher(rf"[\p{{{category}}}]")
    bare = matcher(rf"\p{{{category}}}")
    for code in [*range(0x3000), *range(0x1F300, 0x1F700), 0x10FFFF]:
        expected = unicodedata.category(chr(code))[0] == category
        assert matches(chr(code)) == bare(chr(code)) == expected, hex(code)


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"[\w-_]*", ["a-b_c", ""], ["é", "a b"]),
        (r"\p{ASCII}*", ["\x00~"], ["é"]),
        (r"\p{Print}+", ["a b~"], ["\x7f", "é", ""]),
        (r"\A\S[\p{Print}]*\z", ["a b"], [" a", "a\n"]),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF]*", ["a😀", ""], ["\x1f"]),
        (r"^(NEW_SESSION)$|^[a-zA-Z0-9](-*[a-zA-Z0-9])*$", ["NEW_SESSION", "a-b"], ["a\n", "_"]),
        (r"\d{12}", ["123456789012"], ["١٢٣٤٥٦٧٨٩٠١٢"]),
    ],
)
def test_patterns_mean_what_they_mean_to_java(
    pattern: str, good: list[str], bad: list[str]
) -> None:
    matches = matcher(pattern)
    assert [text for text in good if not matches(text)] == []
    assert [text for text in bad if matches(text)] == []


@pytest.mark.parametrize("service", ["sagemaker", "application-autoscaling", "cloudwatch"])
def test_no_pattern_of_an_input_can_be_made_slow(service: str) -> None:
    """Matching is bounded by what a shape allows; within that, nothing may take seconds."""
    model = ours(service)
    names = HOSTING if service == "sagemaker" else tuple(model.operations)
    shapes = {
        shape.name: model.shapes[shape.name]
        for name in names
        if (root := theirs(service).operation_model(name).input_shape)
        for shape in _below(root, set())
        if model.shapes[shape.name].pattern
    }
    for shape in shapes.values():
        assert shape.pattern is not None
        length = min(int(shape.most or 16_384), 16_384)
        for unit in ("a", "-", " ", "a-", "a ", "\n", "a.", "/a", "+a", "p1.1"):
            text = (unit * length)[: length - 1] + "!"
            started = time.process_time()
            matcher(shape.pattern)(text)
            assert time.process_time() - started < 1.0, (shape.name, unit)


def _below(shape: Any, seen: set[str]) -> list[Any]:
    if shape.name in seen:
        return []
    seen.add(shape.name)
    parts = {
        "structure": lambda: list(shape.members.values()),
        "list": lambda: [shape.member],
        "map": lambda: [shape.key, shape.value],
    }.get(shape.type_name, list)()
    return [shape, *(found for part in parts for found in _below(part, seen))]


KNOWN_TRAITS = {
    *("type", "members", "member", "key", "value", "required", "enum", "pattern", "min", "max"),
    *("documentation", "box", "deprecated", "deprecatedMessage", "sensitive", "union"),
    *("exception", "error", "fault", "synthetic", "payload", "eventstream", "event"),
    *("xmlOrder", "retryable", "deprecatedSince", "senderFault"),
}
"""Traits that we honour, or that are none of a server's business."""


@pytest.mark.parametrize("service", SERVICES)
def test_the_models_say_nothing_that_we_do_not_hear(service: str) -> None:
    """A newer botocore may bring a trait (flattened, jsonvalue …) that changes the wire."""
    model = theirs(service)
    allowed_on_members = {
        "shape",
        "documentation",
        "box",
        "deprecated",
        "deprecatedMessage",
        "deprecatedSince",
        "idempotencyToken",
        "location",
        "locationName",
        "eventpayload",
    }
    for name in served(service).shapes:
        raw = model._shape_resolver._shape_map[name]  # type: ignore[attr-defined]
        assert raw.keys() <= KNOWN_TRAITS, name
        for member in raw.get("members", {}).values():
            assert member.keys() <= allowed_on_members, name
            if service != "sagemaker-runtime":
                assert "location" not in member, name
                assert "locationName" not in member, name
        for part in ("member", "key", "value"):
            assert raw.get(part, {}).keys() <= {"shape", "documentation"}, name
