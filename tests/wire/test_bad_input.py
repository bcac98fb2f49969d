"""Whatever is sent, the answer is one of AWS's errors, and nothing has changed."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import cbor2
import pytest
from structlog.testing import capture_logs

from inservice.operations import registry
from inservice.operations.live import Live
from inservice.transport.messages import Request, Response
from tests.wire.calls import NOBODY_KEY, Caller, Quiet, application
from tests.wire.smallest import as_form, smallest
from tests.wire.values import ours


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    directory: Path = tmp_path_factory.mktemp("control")
    with application(directory) as app:
        yield Caller(app)


@pytest.fixture(autouse=True)
def _nothing_changes(caller: Caller) -> Iterator[None]:
    yield
    for listing in ("Models", "EndpointConfigs", "Endpoints"):
        assert caller.call(f"List{listing}") == (200, {listing: []})


def deep(depth: int) -> bytes:
    return b'{"ModelName": ' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"1",
        b"{'ModelName': 'm'}",
        b'{"ModelName": "m"} trailing',
        b'{"ModelName": "m", "ModelName": "n"}',
        b'{"ModelName": NaN}',
        b'{"ModelName": "\xff"}',
        b'{"ModelName": "\\ud800"}',
        '{"ModelName": "m"}'.encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b'{"ModelName": ' + b"9" * 10_000 + b"}",
        deep(500),
        deep(100_000),
        b'{"ModelName": ' * 20_000,
        b"\x00",
        b"ModelName=m",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_document_is_refused(caller: Caller, body: bytes) -> None:
    status, answer = caller.call("CreateModel", body)
    assert (status, answer["__type"]) == (400, "SerializationException")


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"ModelName": 1}, "NUMBER_VALUE can not be converted to a String at 'modelName'"),
        ({"ModelName": True}, "TRUE_VALUE can not be converted to a String at 'modelName'"),
        ({"ModelName": {}}, "Start of structure or map found where not expected at 'modelName'"),
        ({"ModelName": []}, "Start of list found where not expected at 'modelName'"),
        ({"Containers": {}}, "Start of structure or map found where not expected at 'containers'"),
        ({"Containers": ["x"]}, "STRING_VALUE can not be converted to a Structure"),
        ({"EnableNetworkIsolation": "true"}, "STRING_VALUE can not be converted to a Boolean"),
        ({"PrimaryContainer": {"Environment": {"A": 1}}}, "'primaryContainer.environment.A'"),
        ({"Tags": "x"}, "STRING_VALUE can not be converted to a List at 'tags'"),
    ],
)
def test_types_are_not_bent(caller: Caller, members: dict[str, Any], says: str) -> None:
    status, answer = caller.call("CreateModel", members)
    assert (status, answer["__type"]) == (400, "SerializationException")
    assert says in answer["message"]


@pytest.mark.parametrize(
    "number", ["1.5", "2147483648", "-2147483649", "1e400", '"1"', "true", "[]"]
)
def test_whole_numbers_are_whole_and_fit(caller: Caller, number: str) -> None:
    status, answer = caller.call("ListModels", f'{{"MaxResults": {number}}}'.encode())
    assert (status, answer["__type"]) == (400, "SerializationException")


def test_a_whole_number_may_be_written_with_a_point(caller: Caller) -> None:
    assert caller.call("ListModels", b'{"MaxResults": 5.0}')[0] == 200


@pytest.mark.parametrize("moment", ["1e400", "1e15", "-1e15", '"yesterday"', "true"])
def test_moments_can_be_told(caller: Caller, moment: str) -> None:
    body = f'{{"CreationTimeAfter": {moment}}}'.encode()
    status, answer = caller.call("ListModels", body)
    assert (status, answer["__type"]) == (400, "SerializationException")


@pytest.mark.parametrize(
    ("operation", "members", "says"),
    [
        ("ListModels", {"MaxResults": 0}, "greater than or equal to 1"),
        ("ListModels", {"MaxResults": 101}, "less than or equal to 100"),
        ("ListModels", {"SortBy": "Size"}, "enum value set: [Name, CreationTime]"),
        ("ListModels", {"NextToken": "x" * 8193}, "length less than or equal to 8192"),
        ("CreateModel", {"ModelName": "x" * 64}, "length less than or equal to 63"),
        ("CreateModel", {"ModelName": "-x"}, "regular expression pattern"),
        ("CreateModel", {}, "Value null at 'modelName'"),
        ("CreateModel", {"ModelName": None}, "Value null at 'modelName'"),
        ("CreateModel", {"ModelName": "m", "Modelname": "n"}, "'modelname'"),
        ("DescribeModel", {"ModelName": "m", "Verbose": True}, "a member of DescribeModelInput"),
    ],
)
def test_violations_are_validation_exceptions(
    caller: Caller, operation: str, members: dict[str, Any], says: str
) -> None:
    status, answer = caller.call(operation, members)
    assert (status, answer["__type"]) == (400, "ValidationException")
    assert "validation error" in answer["message"]
    assert says in answer["message"]


@pytest.mark.parametrize(
    "target",
    ["SageMaker.Nonsense", "Nonsense.DescribeModel", "DescribeModel.", ".", "x", "SageMaker..x"],
)
def test_an_unknown_target_is_unknown(caller: Caller, target: str) -> None:
    status, answer = caller.call(target if "." in target else f"{target}.")
    assert (status, answer["__type"]) == (404, "UnknownOperationException")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
def test_an_operation_is_posted(caller: Caller, method: str) -> None:
    assert caller.call("ListModels", method=method)[0] == 404


@pytest.mark.parametrize("path", ["//", "/./", "/x", "/?x=1", "/%2e", "/endpoints/a/invocations"])
def test_an_operation_is_posted_to_the_root(caller: Caller, path: str) -> None:
    assert caller.call("ListModels", target=path)[0] in (403, 404)


def test_every_operation_that_is_not_built_names_itself(caller: Caller) -> None:
    for name in sorted(ours("sagemaker").operation_names):
        if registry.find("sagemaker", name) is None:
            status, answer = caller.call(name)
            assert (status, answer["__type"]) == (400, "NotImplemented")
            assert f"sagemaker:{name} " in answer["message"]


SPEAKS_QUERY = [op for op in registry.operations() if op.service in ("iam", "sts")]
SPEAKS_JSON = [op for op in registry.operations() if op not in SPEAKS_QUERY and op.service != "ec2"]


@pytest.mark.parametrize("operation", SPEAKS_JSON, ids=lambda op: f"{op.service}:{op.name}")
def test_no_operation_answers_a_stranger(caller: Caller, operation: registry.Operation) -> None:
    service = ours(operation.service)
    target = f"{service.target_prefix}.{operation.name}"
    members = smallest(service, service.operations[operation.name].input)
    status, answer = caller.call(target, members, signed=False)
    assert (status, answer["__type"]) == (403, "MissingAuthenticationTokenException")
    nobody = Caller(caller.application, NOBODY_KEY)
    status, answer = nobody.call(target, members, service=service.signing_name)
    assert (status, answer["__type"]) == (400, "AccessDeniedException")
    assert NOBODY_KEY.principal.arn in answer["message"]
    assert f"perform: {operation.action}" in answer["message"]


def by_form(caller: Caller, service: str, action: str, *, signed: bool = True) -> tuple[int, str]:
    """An operation of IAM or STS with the members that it must have: the status and what the
    answer says."""
    model = ours(service)
    members = as_form(smallest(model, model.operations[action].input))
    form = urlencode({"Action": action, "Version": model.api_version, **members}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    answer = caller.send(form, headers, service=service, signed=signed)
    assert isinstance(answer.body, bytes)
    return answer.status, answer.body.decode()


@pytest.mark.parametrize("operation", SPEAKS_QUERY, ids=lambda op: f"{op.service}:{op.name}")
def test_no_operation_of_a_query_service_answers_a_stranger(
    caller: Caller, operation: registry.Operation
) -> None:
    by_token = operation.name == "AssumeRoleWithWebIdentity"  # which nobody signs
    status, says = by_form(caller, operation.service, operation.name, signed=False)
    if by_token:
        assert (status, "<Code>ValidationError</Code>" in says) == (400, True)
    else:
        assert (status, "<Code>MissingAuthenticationToken</Code>" in says) == (403, True)
    wrong = Caller(caller.application, replace(NOBODY_KEY, secret="another"))
    status, says = by_form(wrong, operation.service, operation.name)
    assert (status, "<Code>SignatureDoesNotMatch</Code>" in says) == (403, True)
    unknown = Caller(caller.application, replace(NOBODY_KEY, id="AKIANOBODYATALL"))
    status, says = by_form(unknown, operation.service, operation.name)
    assert (status, "<Code>InvalidClientTokenId</Code>" in says) == (403, True)
    nobody = Caller(caller.application, NOBODY_KEY)
    status, says = by_form(nobody, operation.service, operation.name)
    if operation.name == "GetCallerIdentity":  # which needs no permission, and knows no denial
        assert (status, NOBODY_KEY.principal.arn in says) == (200, True)
    elif operation.name == "GetSessionToken":  # so does this, for a user who is on record
        assert (status, "<Code>InvalidClientTokenId</Code>" in says) == (403, True)
    elif by_token:
        assert (status, "<Code>ValidationError</Code>" in says) == (400, True)
    else:
        assert (status, "<Code>AccessDenied</Code>" in says) == (403, True)
        assert f"User: {NOBODY_KEY.principal.arn} is not authorized to perform: " in says


def test_ec2_answers_no_stranger_either(caller: Caller) -> None:
    action = "DescribeInstanceTypes"
    for key, told in (
        (replace(NOBODY_KEY, secret="another"), (401, "AuthFailure")),
        (replace(NOBODY_KEY, id="AKIANOBODYATALL"), (401, "AuthFailure")),
        (NOBODY_KEY, (403, "UnauthorizedOperation")),
    ):
        status, says = by_form(Caller(caller.application, key), "ec2", action)
        assert (status, f"<Code>{told[1]}</Code>" in says) == (told[0], True), says
    assert by_form(caller, "ec2", action, signed=False)[0] == 403


def test_a_signature_for_one_service_opens_no_other(caller: Caller) -> None:
    status, answer = caller.call("ListModels", service="monitoring")
    assert (status, answer["__type"]) == (403, "InvalidSignatureException")
    assert "'sagemaker'" in answer["message"]


def test_a_stranger_learns_nothing_about_what_there_is(caller: Caller) -> None:
    for target in ("SageMaker.ListModels", "SageMaker.Nonsense", "Nonsense.Nonsense"):
        answers = {json.dumps(caller.call(target, body, signed=False)) for body in (b"{", b"{}")}
        assert len(answers) == 1
        assert "Missing Authentication Token" in answers.pop()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(b"{}")[:-4]),
        ("gzip", gzip.compress(b"{}") + b"more"),
        ("gzip", gzip.compress(b"{}") + gzip.compress(b" ")),
        ("gzip", gzip.compress(b"{}")[:-8] + b"\0" * 8),
        ("gzip", gzip.compress(gzip.compress(b"{}"))),
        ("br", b"{}"),
        ("gzip, gzip", b"{}"),
    ],
    ids=["none", "cut", "trailing", "members", "checksum", "nested", "brotli", "twice"],
)
def test_compression_is_undone_or_refused(caller: Caller, encoding: str, body: bytes) -> None:
    headers = {"X-Amz-Target": "SageMaker.ListModels", "Content-Encoding": encoding}
    response = caller.send(body, headers)
    assert response.status == 400
    assert b"SerializationException" in body_of(response)


@pytest.mark.parametrize(
    "plain",
    [
        b" " * 64_000_000,  # larger than any document
        b'{"NameContains": "' + b"a" * 3_000_000 + b'"}',  # a thousandth of it came
        b'{"a": [' + b"[]," * 1_200_000 + b"[]]}",
    ],
    ids=["bomb", "ratio", "lists"],
)
def test_what_is_small_only_on_the_way_is_refused_unread(
    caller: Caller, plain: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven kilobytes of gzip were seven megabytes of JSON, parsed where requests arrive."""
    parsed = []
    monkeypatch.setattr("inservice.aws.aws_json.decode", lambda body: parsed.append(len(body)))
    headers = {"X-Amz-Target": "SageMaker.ListModels", "Content-Encoding": "gzip"}
    response = caller.send(gzip.compress(plain), headers)
    assert response.status == 413
    assert b"RequestEntityTooLargeException" in body_of(response)
    assert not parsed


def test_what_came_plain_has_the_same_limits(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = []
    monkeypatch.setattr("inservice.aws.aws_json.decode", lambda body: parsed.append(len(body)))
    status, error = caller.call("ListModels", b" " * 5_000_000)
    assert (status, error["__type"]) == (413, "RequestEntityTooLargeException")
    status, error = caller.call("ListModels", b'{"a": [' + b"{}," * 400_000 + b"{}]}")
    assert (status, error["__type"]) == (400, "SerializationException")
    assert not parsed


@pytest.mark.parametrize(
    "body",
    [
        b"\x81" * 60 + b"\x9a\x00\x10\x00\x00" + b"\x80" * 1_048_576,  # a million empty lists
        b"\xa1\x61a\x9f" + b"\xa0" * 2_000_000 + b"\xff",
        b"\x5a\x00\x20\x00\x00" + bytes(2_097_152),
    ],
    ids=["lists", "maps", "bytes"],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_cbor_has_a_smaller_limit_for_every_byte_may_be_a_value(
    caller: Caller, body: bytes, compressed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = []
    monkeypatch.setattr("inservice.aws.rpc_v2_cbor._decode", lambda body: parsed.append(len(body)))
    response = caller.send(
        gzip.compress(body) if compressed else body,
        {
            "smithy-protocol": "rpc-v2-cbor",
            "Content-Type": "application/cbor",
            **({"Content-Encoding": "gzip"} if compressed else {}),
        },
        target="/service/GraniteServiceVersion20100801/operation/PutMetricData",
        service="monitoring",
    )
    assert response.status == 413
    assert b"RequestEntityTooLargeException" in body_of(response)
    assert not parsed


def test_compressed_documents_are_read_and_never_where_they_arrive(caller: Caller) -> None:
    headers = {"X-Amz-Target": "SageMaker.ListModels", "Content-Encoding": "gzip"}
    request = caller.request(gzip.compress(b"{}"), headers)

    async def ask() -> int:
        answer = caller.application(request)
        assert not isinstance(answer, Response)
        return (await answer).status

    assert asyncio.run(ask()) == 200


def body_of(response: Response) -> bytes:
    assert isinstance(response.body, bytes)
    return response.body


# ── CloudWatch's two other protocols ─────────────────────────────────────────────────────────────


def query(caller: Caller, form: bytes) -> Response:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    return caller.send(form, headers, service="monitoring")


ALARMS = b"Action=DescribeAlarms&Version=2010-08-01"


@pytest.mark.parametrize(
    "form",
    [
        ALARMS + b"&MaxRecords=1&MaxRecords=2",
        ALARMS + b"&MaxRecords=ten",
        ALARMS + b"&MaxRecords=1_0",
        ALARMS + b"&MaxRecords=1e1",
        ALARMS + b"&MaxRecords.x=1",
        ALARMS + b"&AlarmNames.member.x=a",
        ALARMS + b"&AlarmNames.member.0=a",
        ALARMS + b"&AlarmNames.1=a",
        ALARMS + b"&AlarmNames=a",
        ALARMS + b"&AlarmNames.member=a&AlarmNames.member.1=a",
        ALARMS + b"&AlarmNames.member.1=a&AlarmNames.member.1.x=a",
        ALARMS + b"&AlarmNames.member.1=\xff",
        ALARMS + b"&AlarmNames.member.1=%ff",
        ALARMS + b"".join(b"&a%d=1" % n for n in range(60_000)),
        ALARMS + b"&AlarmNames" + b".x" * 100_000 + b"=1",
        b"Action=PutMetricData&Version=2010-08-01&MetricData.member.1.Value=nano",
        b"Action=PutMetricData&Version=2010-08-01&MetricData.member.1.Timestamp=now",
    ],
    ids=lambda form: form[28:64].decode("latin-1"),
)
def test_what_is_no_form_is_refused(caller: Caller, form: bytes) -> None:
    response = query(caller, form)
    assert response.status == 400, response.body
    assert b"<Code>MalformedInput</Code>" in body_of(response)


def test_lists_of_a_form_are_read_as_aws_reads_them(caller: Caller) -> None:
    def said(form: bytes) -> tuple[int, bytes]:
        response = query(caller, ALARMS + form)
        return response.status, body_of(response)

    for form in (b"&AlarmNames.member.01=a&MaxRecords=007", b"&AlarmNames.member.1=a"):
        assert said(form)[0] == 200, form
    status, says = said(b"&AlarmNames.member.1=a&AlarmNames.member.3=c")
    assert (status, b"Member must not be null" in says) == (400, True)  # the second is left out
    for form in (
        b"&AlarmNames.member.1=a&AlarmNames.member.01=b",
        b"&AlarmNames.member.1=a&AlarmNames.member.12=b",
        b"&AlarmNames.member.11=a",
        b"&AlarmNames.member.999999999=a",
    ):
        status, says = said(form)
        assert (status, b"<Code>MalformedInput</Code>" in says) == (400, True), form


def test_a_plus_in_a_signed_query_is_what_was_signed(caller: Caller) -> None:
    """A form's `+` is a blank; to Signature Version 4 it is `%2B`, so either can be sent."""
    query = "/?Action=SetAlarmState&AlarmName=a&StateReason=r&StateValue=x%2By&Version=2010-08-01"
    signed = caller.request(b"", {}, method="GET", target=query, service="monitoring")
    for target in (signed.target, signed.target.replace(b"%2B", b"+")):
        sent = Request("GET", target, 1, list(signed.headers))
        answer = body_of(caller.application.answer(sent))
        assert b"Value 'x+y'" in answer or b"Value &apos;x+y&apos;" in answer, answer


@pytest.mark.parametrize(
    "form",
    [b"", b"Action=Nonsense&Version=2010-08-01", b"Action=DescribeAlarms&Version=2009-01-01"],
)
def test_an_unknown_action_is_unknown(caller: Caller, form: bytes) -> None:
    response = query(caller, form)
    assert response.status == 404
    assert b"<Code>UnknownOperationException</Code>" in body_of(response)


def test_violations_have_the_name_of_the_query_days(caller: Caller) -> None:
    response = query(caller, ALARMS + b"&MaxRecords=101&Foo.member.1=x")
    assert response.status == 400
    assert b"<Code>ValidationError</Code>" in body_of(response)
    assert b"2 validation errors detected" in body_of(response)


def rpc(caller: Caller, body: bytes, operation: str = "DescribeAlarms") -> Response:
    headers = {"smithy-protocol": "rpc-v2-cbor", "Content-Type": "application/cbor"}
    path = f"/service/GraniteServiceVersion20100801/operation/{operation}"
    return caller.send(body, headers, target=path, service="monitoring")


def laughs(levels: int) -> bytes:
    """A structure of shared references that stands for 10 ** levels elements."""
    document: bytes = b"\x80"
    for level in range(levels):
        document = b"\xd8\x1c\x8a" + document + b"\xd8\x1d" + bytes([level]) * 9
    return b"\xa1\x6aAlarmNames" + document


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"\x80",
        b"\xa1",
        cbor2.dumps([]),
        cbor2.dumps({1: 2}),
        cbor2.dumps({"AlarmNames": {"a": 1}}),
        cbor2.dumps({"AlarmNames": [b"bytes"]}),
        cbor2.dumps({"MaxRecords": 1.0}),
        cbor2.dumps({"MaxRecords": 2**70}),
        cbor2.dumps({"MaxRecords": True}),
        b"\xa2\x6aMaxRecords\x01\x6aMaxRecords\x02",
        b"\xa1\x6aAlarmNames" + b"\x81" * 200_000,
        b"\xa1\x6aAlarmNames\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x6aAlarmNames\xd8\x23\x63(a+",
        laughs(8),
    ],
    ids=lambda body: body[:16].hex(),
)
def test_what_is_no_cbor_document_is_refused(caller: Caller, body: bytes) -> None:
    started = time.process_time()
    response = rpc(caller, body)
    assert response.status == 400, response.body
    assert cbor2.loads(body_of(response))["__type"] == "SerializationException"
    assert dict(response.headers)[b"smithy-protocol"] == b"rpc-v2-cbor"
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize("moment", [True, "2020-01-01T00:00:00Z", 1.0])
def test_a_moment_is_tagged_as_one(caller: Caller, moment: Any) -> None:
    members = {"AlarmName": "a", "StartDate": moment}
    response = rpc(caller, cbor2.dumps(members), "DescribeAlarmHistory")
    assert cbor2.loads(body_of(response))["__type"] == "SerializationException"


@pytest.mark.parametrize("path", ["/service/X/operation/DescribeAlarms", "/service/operation", "/"])
def test_an_unknown_path_is_unknown(caller: Caller, path: str) -> None:
    headers = {"smithy-protocol": "rpc-v2-cbor"}
    assert caller.send(b"", headers, target=path, service="monitoring").status == 404


# ── ours ─────────────────────────────────────────────────────────────────────────────────────────


class Broken(Quiet):
    def processes(self) -> Any:
        raise RuntimeError("a detail that is nobody's business")


def test_a_bug_is_logged_under_the_id_that_the_caller_has(tmp_path: Path) -> None:
    headers = {"X-Amz-Target": "InService.DescribeServer"}
    with application(tmp_path, cast(Live, Broken())) as app, capture_logs() as logs:
        response = Caller(app).send(b"{}", headers)
    assert response.status == 500
    assert b"nobody" not in body_of(response)
    assert json.loads(body_of(response))["__type"] == "InternalFailure"
    (entry,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert entry["request_id"].encode() == dict(response.headers)[b"x-amzn-RequestId"]
