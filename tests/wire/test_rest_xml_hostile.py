"""Whatever strangers send to S3 is answered in S3's words: nothing escapes, and nothing is slow."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inservice.aws import rest_xml
from inservice.errors import AwsError
from inservice.identity.sigv4.s3 import s3_query_pairs
from inservice.s3_errors import MalformedXML
from tests.depth import examples
from tests.wire.s3_model import routes, service


@cache
def parser(name: str) -> rest_xml.Parser:
    return rest_xml.Parser(service(), service().operations[name])


def elements() -> st.SearchStrategy[str]:
    """Documents that look like S3's: its names, nested anyhow, with any text between."""
    names = {
        member.location_name or member.name
        for shape in service().shapes.values()
        for member in shape.members.values()
        if (member.location_name or member.name).isidentifier()
    }
    name = st.sampled_from(sorted(names))
    text = st.sampled_from(
        ["", " ", "a", "1", "-1", "true", "&amp;", "&#13;", "1e9", "9" * 30, "é"]
    )
    return st.recursive(
        text,
        lambda inner: st.tuples(name, st.lists(inner, max_size=3)).map(
            lambda parts: f"<{parts[0]}>{''.join(parts[1])}</{parts[0]}>"
        ),
        max_leaves=12,
    )


DOCUMENTS = sorted(
    name
    for name, operation in service().operations.items()
    if not operation.deprecated and parser(name).takes == "document"
)


@settings(max_examples=examples(300), deadline=None)
@given(
    st.sampled_from(DOCUMENTS),
    elements() | st.binary(max_size=50).map(lambda raw: raw.decode("latin-1")),
    st.booleans(),
)
def test_a_document_of_whatever_is_read_or_malformed(name: str, inner: str, rooted: bool) -> None:
    shape = service().shapes[service().operations[name].input or ""]
    member = shape.members[shape.payload or ""]
    root = member.location_name or member.name
    document = f"<{root}>{inner}</{root}>" if rooted else inner
    told: set[str] = set()
    try:
        members = parser(name).document(document.encode())
    except MalformedXML as error:
        told.add(error.code)
    else:
        told.update(members)
    assert told <= {"MalformedXML", shape.payload}


@settings(max_examples=examples(500), deadline=None)
@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "TRACE"]),
    path=st.binary(max_size=30).map(lambda raw: b"/" + raw.replace(b"?", b"").replace(b" ", b"")),
    names=st.lists(
        st.sampled_from(
            [
                *(b"uploads", b"uploadId", b"partNumber", b"list-type", b"versionId", b"max-keys"),
                *(b"policy", b"tagging", b"analytics", b"id", b"encoding-type", b"x-amz-acl"),
                *(b"attributes", b"delete", b"response-expires", b"response-content-type"),
            ]
        ),
        max_size=3,
    ),
    value=st.binary(max_size=12),
    fields=st.dictionaries(
        st.sampled_from(
            [
                *(b"range", b"expires", b"x-amz-copy-source", b"x-amz-object-attributes"),
                *(b"content-length", b"if-modified-since", b"x-amz-meta-a", b"x-amz-tagging"),
                *(b"x-amz-object-lock-retain-until-date", b"x-amz-checksum-mode"),
                *(b"x-amz-bypass-governance-retention", b"x-amz-storage-class"),
            ]
        ),
        st.binary(max_size=20),
        max_size=4,
    ),
)
def test_a_head_of_whatever_is_read_or_refused(
    method: str, path: bytes, names: list[bytes], value: bytes, fields: dict[bytes, bytes]
) -> None:
    pairs = s3_query_pairs(b"&".join(name + b"=" + value for name in names))
    statuses: set[int] = set()
    try:
        asked = routes().asked(method, path, pairs, fields)
        members: dict[str, Any] = parser(asked.operation).head(asked)
    except AwsError as error:
        statuses.add(error.status)
    else:
        assert members.get("Key", asked.key) == asked.key
    assert statuses <= {400, 405}


SLOW: dict[str, bytes] = {
    "text in pieces": b"<Delete>" + b"a<Object/>" * 90_000 + b"</Delete>",
    "one long text": b"<Delete><Object><Key>" + b"a\n" * 4_000_000 + b"</Key></Object></Delete>",
    "entities": b"<Delete><Object><Key>" + b"&lt;" * 2_000_000 + b"</Key></Object></Delete>",
    "comments": b"<Delete>" + b"<!--a-->" * 1_000_000 + b"</Delete>",
    "sections": b"<Delete><Object><Key>" + b"<![CDATA[a]]>" * 600_000 + b"</Key></Object></Delete>",
    "instructions": b"<Delete>" + b"<?a b?>" * 1_000_000 + b"</Delete>",
    "attributes": b"<Delete " + b" ".join(b'a%d="x"' % n for n in range(500_000)) + b"/>",
    "an open tag": b"<Delete " + b"a" * 8_000_000,
    "an open attribute": b'<Delete a="' + b"a" * 8_000_000,
    "depth": b"<Delete>" + b"<a>" * 2_600_000,
}


@pytest.mark.parametrize("name", SLOW)
def test_the_largest_document_costs_what_its_size_does(name: str) -> None:
    """What grew with the square of it would take minutes for eight megabytes: a quarter of the
    document costs no less than a twentieth, but for what is too little to measure."""
    document = SLOW[name]
    root, end = b"<Delete", b"</Delete>"

    def cost(text: bytes) -> float:
        begun = time.process_time()
        with pytest.raises(AwsError):
            parser("DeleteObjects").document(text)
        return time.process_time() - begun

    part = document[: len(document) // 4].rpartition(b"<")[0]
    quarter, whole = cost(part + end if part.startswith(root) else part), cost(document)
    assert whole < max(20 * quarter, 3.0)
