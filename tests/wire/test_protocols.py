"""botocore is the oracle: what it sends we read, what we send it reads, for every shape."""

from __future__ import annotations

from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inservice.api.compiled import WIRES
from inservice.aws import aws_json, aws_query, ec2_query, rpc_v2_cbor
from inservice.aws.constraints import Violations
from inservice.errors import AwsError, ValidationException
from tests.depth import examples
from tests.wire.values import ALARMS_AND_METRICS, HOSTING, as_seconds, ours, theirs, values

PAGES: dict[str, ModuleType] = {
    "json": aws_json,
    "query": aws_query,
    "smithy-rpc-v2-cbor": rpc_v2_cbor,
    "ec2": ec2_query,
}

FORMS = ("query", "ec2")

CLOUDWATCH = ("json", "query", "smithy-rpc-v2-cbor")

SPOKEN = [
    ("ec2", "ec2", "DescribeInstanceTypes"),
    *(("json", "sagemaker", name) for name in HOSTING),
    *((protocol, "cloudwatch", name) for protocol in CLOUDWATCH for name in ALARMS_AND_METRICS),
    ("json", "logs", "GetLogEvents"),
    ("json", "logs", "FilterLogEvents"),
    ("json", "logs", "DescribeLogGroups"),
    ("json", "logs", "DescribeLogStreams"),
    ("json", "application-autoscaling", "PutScalingPolicy"),
    ("json", "application-autoscaling", "RegisterScalableTarget"),
    ("json", "application-autoscaling", "DescribeScalingPolicies"),
    ("json", "application-autoscaling", "DescribeScalingActivities"),
    ("query", "sts", "GetCallerIdentity"),
    ("query", "sts", "AssumeRole"),
    ("query", "iam", "CreateRole"),
    ("query", "iam", "ListAccessKeys"),
    ("query", "iam", "SimulatePrincipalPolicy"),
]


def test_every_protocol_that_is_answered_is_held_against_botocore() -> None:
    assert {protocol.value: page for protocol, page in WIRES.items()} == PAGES


few = settings(
    max_examples=examples(12),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize(("protocol", "service", "operation"), SPOKEN)
def test_we_read_what_botocore_sends(protocol: str, service: str, operation: str) -> None:
    model = theirs(service).operation_model(operation)
    parse = PAGES[protocol].compile_parser(ours(service), ours(service).operations[operation])
    if model.input_shape is None:
        assert parse(b"", Violations()) == {}
        return

    @few
    @given(values(model.input_shape, empty=protocol not in FORMS))
    def read(members: dict[str, Any]) -> None:
        members = full(members) if protocol == "ec2" else members
        serializer = create_serializer(protocol, include_validation=False)
        body = serializer.serialize_to_request(members, model)["body"]
        document = urlencode(body).encode() if isinstance(body, dict) else body
        violations = Violations()
        assert parse(document, violations) == as_seconds(members)
        assert violations.count == 0

    read()


def full(value: Any) -> Any:
    """Without lists that have nothing, which EC2's form cannot say; nor elements of lists."""
    if isinstance(value, list):
        return [{"Name": "x"} if full(each) == {} else full(each) for each in value]
    if isinstance(value, dict):
        return {name: full(each) for name, each in value.items() if each not in ([], {})}
    return value


def read_by_botocore(protocol: str, response: Any, shape: Any) -> Any:
    """What its parser makes of a response; of one without members its stubs do not know."""
    return create_parser(protocol).parse(response, shape)


@pytest.mark.parametrize(("protocol", "service", "operation"), SPOKEN)
def test_botocore_reads_what_we_send(protocol: str, service: str, operation: str) -> None:
    model = theirs(service).operation_model(operation)
    page = PAGES[protocol]
    serialize = page.compile_serializer(ours(service), ours(service).operations[operation])
    nothing: st.SearchStrategy[dict[str, Any]] = st.just({})
    output = nothing if model.output_shape is None else values(model.output_shape)

    @few
    @given(output)
    def written(members: dict[str, Any]) -> None:
        reply = serialize(as_seconds(members), "b1946ac9-2492-4d23-8c1b-0a6f3e1d2c3b")
        response = {
            "status_code": reply.status,
            "headers": {key.decode().lower(): value.decode() for key, value in reply.headers},
            "body": reply.body,
        }
        parsed = read_by_botocore(protocol, response, model.output_shape)
        metadata = parsed.pop("ResponseMetadata")
        assert response["headers"]["x-amzn-requestid"] == "b1946ac9-2492-4d23-8c1b-0a6f3e1d2c3b"
        if model.output_shape is not None:  # botocore drops it from a CBOR reply without members
            assert metadata["RequestId"] == "b1946ac9-2492-4d23-8c1b-0a6f3e1d2c3b"
        assert parsed == members

    written()


@pytest.mark.parametrize("protocol", PAGES)
@pytest.mark.parametrize("service", ["sagemaker", "cloudwatch", None])
def test_botocore_reads_our_errors(protocol: str, service: str | None) -> None:
    error = ValidationException("<one> & only", members={"Reason": "x"})
    reply = PAGES[protocol].serialize_error(ours(service) if service else None, error, "r-1")
    response = {
        "status_code": reply.status,
        "headers": {key.decode().lower(): value.decode() for key, value in reply.headers},
        "body": reply.body,
    }
    parsed = read_by_botocore(protocol, response, None)
    assert reply.status == 400
    # CloudWatch models it, with the code that it had in the query days.
    expected = "ValidationError" if service == "cloudwatch" else "ValidationException"
    assert parsed["Error"]["Code"] == expected
    assert parsed["Error"]["Message"] == "<one> & only"
    assert parsed["ResponseMetadata"]["RequestId"] == "r-1"


class ResourceNotFound(AwsError):
    code = "ResourceNotFound"
    status = 400
    fault = "Sender"


class LimitExceeded(AwsError):
    code = "LimitExceededFault"
    status = 400
    fault = "Sender"


@pytest.mark.parametrize(
    ("raised", "shape", "code", "status"),
    [
        (ResourceNotFound, "ResourceNotFound", "ResourceNotFound", 404),
        (LimitExceeded, "LimitExceededFault", "LimitExceeded", 400),
    ],
)
def test_modelled_errors_keep_the_codes_of_the_query_days(
    raised: type[AwsError], shape: str, code: str, status: int
) -> None:
    """hosting-semantics 7.1: with JSON the error carries x-amzn-query-error, so codes stay."""
    service = ours("cloudwatch")
    in_json = aws_json.serialize_error(service, raised("no"), "r")
    headers = dict(in_json.headers)
    assert in_json.status == status
    assert headers[b"x-amzn-query-error"] == f"{code};Sender".encode()
    assert headers[b"x-amzn-ErrorType"] == shape.encode()
    assert (
        f"<Code>{code}</Code>".encode() in aws_query.serialize_error(service, raised("no"), "r")[2]
    )


def test_xml_stays_xml_whatever_a_text_holds() -> None:
    """XML 1.0 cannot carry control characters: they are replaced, and the reply still parses."""
    model = theirs("cloudwatch").operation_model("DescribeAlarms")
    service = ours("cloudwatch")
    serialize = aws_query.compile_serializer(service, service.operations["DescribeAlarms"])
    reply = serialize({"MetricAlarms": [{"AlarmName": "a\x00b\x1b]]>\r"}]}, "r")
    response = {"status_code": 200, "headers": {}, "body": reply.body}
    parsed = read_by_botocore("query", response, model.output_shape)
    assert parsed["MetricAlarms"][0]["AlarmName"] == "a\ufffdb\ufffd]]>\r"


@pytest.mark.parametrize("protocol", PAGES)
def test_a_member_that_the_model_lacks_is_a_bug_of_ours(protocol: str) -> None:
    service = ours("cloudwatch")
    serialize = PAGES[protocol].compile_serializer(service, service.operations["DescribeAlarms"])
    with pytest.raises(LookupError, match="Nonsense"):
        serialize({"Nonsense": 1}, "r")


@pytest.mark.parametrize("protocol", PAGES)
def test_none_is_absent(protocol: str) -> None:
    service = ours("cloudwatch")
    serialize = PAGES[protocol].compile_serializer(service, service.operations["DescribeAlarms"])
    assert serialize({"NextToken": None}, "r").body == serialize({}, "r").body
