"""The runtime API's wire: REST with JSON, and event streams. botocore is the oracle."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.parsers import EventStreamJSONParser, create_parser
from botocore.serialize import create_serializer
from hypothesis import given, settings
from hypothesis import strategies as st

from inservice.aws import eventstream, rest_json
from inservice.aws.constraints import Violations
from inservice.errors import AwsError, SerializationException
from inservice.gateway.runtime.requests import FIELDS
from tests.wire.values import ours, theirs

OPERATIONS = ("InvokeEndpoint", "InvokeEndpointAsync", "InvokeEndpointWithResponseStream")
SERVICE = "sagemaker-runtime"
visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)


def members_of(operation: str) -> st.SearchStrategy[dict[str, Any]]:
    """Values that fit into a header: the constraints of the model matter here."""
    kinds = {"string": visible, "integer": st.integers(1, 3600), "blob": st.binary(max_size=30)}
    shape = theirs(SERVICE).operation_model(operation).input_shape
    assert shape is not None
    members = {name: kinds[member.type_name] for name, member in shape.members.items()}
    always = {"EndpointName", "Body"} & members.keys()
    return st.fixed_dictionaries(
        {name: members[name] for name in always},
        optional={name: value for name, value in members.items() if name not in always},
    )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_we_read_what_botocore_sends(operation: str) -> None:
    parse = rest_json.compile_parser(ours(SERVICE), ours(SERVICE).operations[operation])

    @settings(max_examples=40, deadline=None, database=None)
    @given(members_of(operation))
    def read(members: dict[str, Any]) -> None:
        sent = create_serializer("rest-json", include_validation=False).serialize_to_request(
            members, theirs(SERVICE).operation_model(operation)
        )
        request = rest_json.HttpRequest(
            path=sent["url_path"].encode(),
            headers={name.lower().encode(): str(v).encode() for name, v in sent["headers"].items()},
            body=sent["body"],
        )
        assert parse(request, Violations()) == members

    read()


def test_a_path_that_is_not_the_operation_s_is_refused() -> None:
    parse = rest_json.compile_parser(ours(SERVICE), ours(SERVICE).operations["InvokeEndpoint"])
    for path in (b"/endpoints//invocations", b"/endpoints/a/b/invocations", b"/", b"/endpoints/a"):
        with pytest.raises(SerializationException):
            parse(rest_json.HttpRequest(path, {}, b""), Violations())


@settings(max_examples=40, deadline=None, database=None)
@given(
    st.fixed_dictionaries(
        {"Body": st.binary(max_size=40)},
        optional={
            "ContentType": visible,
            "InvokedProductionVariant": visible,
            "CustomAttributes": visible,
            "NewSessionId": visible,
            "ClosedSessionId": visible,
        },
    )
)
def test_botocore_reads_what_we_send(output: dict[str, Any]) -> None:
    model = ours(SERVICE)
    serialize = rest_json.compile_serializer(model, model.operations["InvokeEndpoint"])
    assert received(serialize(output, "r-1"), "InvokeEndpoint") == output


def test_the_id_of_an_asynchronous_inference_comes_in_the_body() -> None:
    """hosting-semantics, fact 23: locations in headers, InferenceId in the body, status 202."""
    model = ours(SERVICE)
    serialize = rest_json.compile_serializer(model, model.operations["InvokeEndpointAsync"])
    output = {"InferenceId": "i-1", "OutputLocation": "s3://b/o", "FailureLocation": "s3://b/f"}
    reply = serialize(output, "r-1")
    assert reply.status == 202
    assert reply.body == b'{"InferenceId":"i-1"}'
    assert received(reply, "InvokeEndpointAsync") == output


def received(reply: Any, operation: str) -> dict[str, Any]:
    class Headers(dict[str, str]):  # any case, as HTTP has it
        def __contains__(self, name: object) -> bool:
            return super().__contains__(str(name).lower())

        def __getitem__(self, name: str) -> str:
            return super().__getitem__(name.lower())

    class Stream(bytes):
        def decode(self, *_: Any) -> Any:  # botocore leaves the payload to be read; keep its bytes
            return bytes(self)

    response = {
        "status_code": reply.status,
        "headers": Headers({k.decode().lower(): v.decode() for k, v in reply.headers}),
        "body": Stream(reply.body) if operation == "InvokeEndpoint" else reply.body,
    }
    shape = theirs(SERVICE).operation_model(operation).output_shape
    parser: Any = create_parser("rest-json")
    parsed: dict[str, Any] = parser.parse(response, shape)
    assert parsed.pop("ResponseMetadata")["RequestId"] == "r-1"
    return parsed


class ModelError(AwsError):
    code = "ModelError"
    status = 424
    fault = "Sender"


def test_errors_carry_their_code_in_a_header_and_their_members_in_the_body() -> None:
    error = ModelError("no", members={"OriginalStatusCode": 500, "OriginalMessage": "boom"})
    reply = rest_json.serialize_error(ours(SERVICE), error, "r-1")
    response = {
        "status_code": reply.status,
        "headers": {k.decode().lower(): v.decode() for k, v in reply.headers},
        "body": reply.body,
    }
    assert reply.status == 424
    parser: Any = create_parser("rest-json")
    assert parser.parse(response, None)["Error"]["Code"] == "ModelError"
    shape = theirs(SERVICE).shape_for("ModelError")
    modelled = create_parser("rest-json").parse(response, shape)
    assert modelled["OriginalStatusCode"] == 500


def test_the_gateway_knows_every_header_of_the_model_by_its_name_and_length() -> None:
    """The gateway keeps its own tables, in its own words; they have to say what the model says."""
    model = ours(SERVICE)
    for operation in ("InvokeEndpoint", "InvokeEndpointWithResponseStream"):
        shape = model.shapes[model.operations[operation].input or ""]
        for name, member in rest_json.bindings(model, shape.name).headers.items():
            if name in FIELDS:
                bound = model.shape_of(shape.members[member])
                assert FIELDS[name].length_max == bound.most, name
                assert FIELDS[name].length_min == (bound.least or 0), name
                assert FIELDS[name].member == member[0].lower() + member[1:]


# ── event streams ────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=40, deadline=None, database=None)
@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 64))
def test_botocore_reads_the_parts_however_they_are_cut(parts: list[bytes], size: int) -> None:
    stream = b"".join(eventstream.payload_part(part) for part in parts)
    buffer = EventStreamBuffer()
    found = []
    for start in range(0, len(stream), size):
        buffer.add_data(stream[start : start + size])
        found += list(buffer)
    shape = theirs(SERVICE).shape_for("ResponseStream")
    parsed = [EventStreamJSONParser().parse(event.to_response_dict(), shape) for event in found]
    assert parsed == [{"PayloadPart": {"Bytes": part}} for part in parts]


def test_botocore_reads_an_error_in_the_stream() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(
        eventstream.exception("ModelStreamError", {"Message": "gone", "ErrorCode": "StreamBroken"})
    )
    (event,) = buffer
    shape = theirs(SERVICE).shape_for("ResponseStream")
    parsed = EventStreamJSONParser().parse(event.to_response_dict(), shape)
    assert parsed["Error"] == {"Code": "ModelStreamError", "Message": "gone"}
