"""Bodies of S3, whole and in chunks: what is decoded, what is refused, and in which words."""

from __future__ import annotations

import base64
import hashlib
import io
import tracemalloc
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from botocore import httpchecksum
from hypothesis import given, settings
from hypothesis import strategies as st

from inservice import checksums
from inservice.blobs.base import Checksum
from inservice.checksums import ALGORITHMS
from inservice.errors import AwsError, NotImplementedYet
from inservice.identity.sigv4.s3 import (
    SIGNED_CHUNKS,
    SIGNED_CHUNKS_TRAILER,
    UNSIGNED_CHUNKS_TRAILER,
    S3Claim,
)
from inservice.s3_errors import (
    BadDigest,
    EntityTooLarge,
    IncompleteBody,
    InvalidChunkSizeError,
    InvalidDigest,
    InvalidRequest,
    MalformedTrailerError,
    MaxMessageLengthExceeded,
    MissingContentLength,
    SignatureDoesNotMatch,
    XAmzContentSHA256Mismatch,
)
from inservice.storage.bodies import Body, Digests, stated
from tests.depth import examples
from tests.storage.encoded import KINDS, Upload, checksum

LARGE = bytes(range(256)) * 32  # as large as a chunk must be
TRAILERS = [f"x-amz-checksum-{name.lower()}" for name in ALGORITHMS]


def received(
    fields: Mapping[bytes, bytes],
    pieces: Iterable[bytes],
    claim: S3Claim[Any] | None = None,
    operation: str = "PutObject",
) -> tuple[bytes, Digests]:
    """What comes of a body in these pieces."""
    body = Body(stated(operation, fields, claim))
    found = [bytes(part) for piece in pieces for part in body.feed(piece)]
    return b"".join(found), body.end()


def refused(kind: type[AwsError], words: str, upload: Upload, encoded: bytes) -> AwsError:
    with pytest.raises(kind, match=words or None) as caught:
        received(upload.fields, [encoded], upload.claim())
    return caught.value


def whole(data: bytes, **headers: str) -> dict[bytes, bytes]:
    """The headers of a body that comes whole."""
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return {b"content-length": str(len(data)).encode(), **named}


def uploads() -> st.SearchStrategy[Upload]:
    """Of every kind, with chunks as S3 takes them: only the last one may be small."""
    chunks = st.tuples(
        st.lists(st.integers(0, 255).map(lambda n: LARGE + bytes([n])), max_size=2),
        st.binary(min_size=1, max_size=40) | st.none(),
    ).map(lambda parts: [*parts[0], *([] if parts[1] is None else [parts[1]])])

    def of(kind: bytes, chunks: list[bytes], trailer: str) -> Upload:
        return Upload(kind, chunks, None if kind == SIGNED_CHUNKS else trailer)

    return st.builds(of, st.sampled_from(KINDS), chunks, st.sampled_from(TRAILERS))


@settings(max_examples=examples(150), deadline=None)
@given(uploads(), st.lists(st.integers(0, 20_000), max_size=6))
def test_it_is_decoded_in_whichever_pieces_it_comes(upload: Upload, cuts: list[int]) -> None:
    encoded = upload.encoded()
    edges = sorted({0, len(encoded), *(min(cut, len(encoded)) for cut in cuts)})
    pieces = [encoded[start:end] for start, end in pairwise(edges)]
    data, digests = received(upload.fields, pieces, upload.claim())
    assert data == upload.data
    assert (digests.size, digests.md5) == (len(data), hashlib.md5(data).hexdigest())
    algorithm = (upload.trailer or "x-amz-checksum-crc64nvme").rpartition("-")[2].upper()
    assert digests.checksum == Checksum(algorithm, checksum(algorithm, data))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_decoded_when_it_is_cut_anywhere(kind: bytes) -> None:
    trailer = None if kind == SIGNED_CHUNKS else "x-amz-checksum-crc32c"
    upload = Upload(kind, [b"twenty bytes of data"], trailer)
    encoded = upload.encoded()
    for cut in range(len(encoded)):
        pieces = [encoded[:cut], encoded[cut:]]
        assert received(upload.fields, pieces, upload.claim())[0] == upload.data
    one_by_one = (encoded[n : n + 1] for n in range(len(encoded)))
    assert received(upload.fields, one_by_one, upload.claim())[0] == upload.data


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_cut_off_is_noticed_wherever(kind: bytes) -> None:
    """But for the last line's end, which some clients leave out and S3 does not miss."""
    trailer = None if kind == SIGNED_CHUNKS else "x-amz-checksum-crc32c"
    upload = Upload(kind, [LARGE, b"the rest"], trailer)
    encoded = upload.encoded()
    for cut in range(len(encoded) - 2):
        with pytest.raises((IncompleteBody, MalformedTrailerError)):
            received(upload.fields, [encoded[:cut]], upload.claim())
    assert received(upload.fields, [encoded[:-2]], upload.claim())[0] == upload.data


@settings(max_examples=examples(200), deadline=None)
@given(uploads(), st.data())
def test_a_changed_byte_never_goes_unnoticed(upload: Upload, draw: st.DataObject) -> None:
    """Of signed chunks. The size in hex may be written in another way, and blanks do not count."""
    encoded = bytearray(upload.encoded())
    at = draw.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= draw.draw(st.integers(1, 255))
    try:
        data, _ = received(upload.fields, [bytes(encoded)], upload.claim())
    except AwsError as error:
        data = upload.data if error.status in (400, 403) else b""
    assert data == upload.data


@settings(max_examples=examples(60), deadline=None)
@given(st.binary(max_size=30_000), st.sampled_from(list(vars(httpchecksum)["_CHECKSUM_CLS"])))
def test_botocore_s_own_chunks(data: bytes, algorithm: str) -> None:
    name = f"x-amz-checksum-{algorithm}"
    wrapper = vars(httpchecksum)["AwsChunkedWrapper"]
    cls = vars(httpchecksum)["_CHECKSUM_CLS"][algorithm]
    encoded = wrapper(io.BytesIO(data), checksum_cls=cls, checksum_name=name, chunk_size=8192)
    upload = Upload(UNSIGNED_CHUNKS_TRAILER, [data], name)
    found, digests = received(upload.fields, iter(lambda: encoded.read(1000), b""), upload.claim())
    assert found == data
    assert digests.checksum == Checksum(algorithm.upper(), checksum(algorithm.upper(), data))


# ── hostile chunks ───────────────────────────────────────────────────────────────────────────────

HOSTILE: dict[str, tuple[bytes, type[AwsError]]] = {
    "no header": (b"\r\n", IncompleteBody),
    "no hex": (b"xyz\r\nabc\r\n0\r\n\r\n", IncompleteBody),
    "negative": (b"-4\r\ndata\r\n0\r\n\r\n", IncompleteBody),
    "a sign": (b"+4\r\ndata\r\n0\r\n\r\n", IncompleteBody),
    "0x": (b"0x4\r\ndata\r\n0\r\n\r\n", IncompleteBody),
    "underscores": (b"0_4\r\ndata\r\n0\r\n\r\n", IncompleteBody),
    "blanks before": (b" 4\r\ndata\r\n0\r\n\r\n", IncompleteBody),
    "other digits": ("４\r\ndata\r\n0\r\n\r\n".encode(), IncompleteBody),
    "too many digits": (b"0" * 17 + b"4\r\ndata\r\n0\r\n\r\n", IncompleteBody),
    "a huge size": (b"ffffffffffffffff\r\ndata\r\n0\r\n\r\n", IncompleteBody),
    "more than was said": (b"5\r\ndata!\r\n0\r\n\r\n", IncompleteBody),
    "less than was said": (b"3\r\ndat\r\n0\r\n\r\n", IncompleteBody),
    "an end before the end": (b"0\r\n\r\n4\r\ndata\r\n0\r\n\r\n", IncompleteBody),
    "a chunk after the end": (b"4\r\ndata\r\n0\r\n\r\n4\r\ndata\r\n", MalformedTrailerError),
    "a chunk in the trailer": (b"4\r\ndata\r\n0\r\n4\r\ndata\r\n", MalformedTrailerError),
    "junk after the end": (b"4\r\ndata\r\n0\r\n\r\n\xff", MalformedTrailerError),
    "a line after the end": (b"4\r\ndata\r\n0\r\n\r\n\r\n", MalformedTrailerError),
    "a request after the end": (
        b"4\r\ndata\r\n0\r\n\r\nDELETE /b/k HTTP/1.1\r\nhost: h\r\n\r\n",
        MalformedTrailerError,
    ),
    "no line's end behind the data": (b"4\r\ndata0\r\n\r\n", IncompleteBody),
    "more data than the size": (b"4\r\ndata!\r\n0\r\n\r\n", IncompleteBody),
    "line feeds alone": (b"4\ndata\n0\n\n", IncompleteBody),
    "carriage returns alone": (b"4\rdata\r0\r\r", IncompleteBody),
    "no end": (b"4\r\ndata\r\n", IncompleteBody),
    "an endless header": (b"4;x=" + b"a" * 5_000, IncompleteBody),
    "an endless line of zeros": (b"0" * 5_000, IncompleteBody),
    "an extension": (b"4;name=value\r\ndata\r\n0\r\n\r\n", IncompleteBody),
    "a signature nobody asked for": (
        b"4;chunk-signature=" + b"a" * 64 + b"\r\ndata\r\n0\r\n\r\n",
        IncompleteBody,
    ),
    "a trailer nobody announced": (
        b"4\r\ndata\r\n0\r\nx-amz-checksum-crc32:rfPzYw==\r\n\r\n",
        MalformedTrailerError,
    ),
    "a header in the trailer": (
        b"4\r\ndata\r\n0\r\nx-amz-acl:public-read\r\n\r\n",
        MalformedTrailerError,
    ),
    "an endless trailer": (b"4\r\ndata\r\n0\r\n" + b"a" * 5_000, MalformedTrailerError),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_hostile_chunks(name: str, size: int) -> None:
    encoded, kind = HOSTILE[name]
    upload = Upload(UNSIGNED_CHUNKS_TRAILER, [b"data"])
    pieces = [encoded[at : at + size] for at in range(0, len(encoded), size)]
    with pytest.raises(kind):
        received(upload.fields, pieces, upload.claim())


TRAILING: dict[str, tuple[bytes, type[AwsError]]] = {
    "none": (b"\r\n", MalformedTrailerError),
    "none, and no end": (b"", MalformedTrailerError),
    "another one": (b"x-amz-checksum-sha1:ofF9a/QyOOBr\r\n\r\n", MalformedTrailerError),
    "another one beside it": (b"%b\r\nbonus:x\r\n\r\n", MalformedTrailerError),
    "twice": (b"%b\r\n%b\r\n\r\n", MalformedTrailerError),
    "after a blank line": (b"\r\n%b\r\n\r\n", MalformedTrailerError),
    "without a line's end": (b"%b", IncompleteBody),
    "with half of one": (b"%b\r", IncompleteBody),
    "with the other half": (b"%b\n", MalformedTrailerError),
    "no colon": (b"x-amz-checksum-crc32\r\n\r\n", MalformedTrailerError),
    "no name": (b":rfPzYw==\r\n\r\n", MalformedTrailerError),
    "no value": (b"x-amz-checksum-crc32:\r\n\r\n", InvalidRequest),
    "no base64": (b"x-amz-checksum-crc32:not=base-64\r\n\r\n", InvalidRequest),
    "of another length": (b"x-amz-checksum-crc32:ofF9aw==AA==\r\n\r\n", InvalidRequest),
    "wrong": (b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n", BadDigest),
    "a signature nobody asked for": (
        b"%b\r\nx-amz-trailer-signature:" + b"a" * 64 + b"\r\n\r\n",
        MalformedTrailerError,
    ),
}


@pytest.mark.parametrize("name", TRAILING)
def test_hostile_trailers(name: str) -> None:
    rest, kind = TRAILING[name]
    line = f"x-amz-checksum-crc32:{checksum('CRC32', b'data')}".encode()
    upload = Upload(UNSIGNED_CHUNKS_TRAILER, [b"data"], "x-amz-checksum-crc32")
    encoded = b"4\r\ndata\r\n0\r\n" + rest.replace(b"%b", line)
    refused(kind, "", upload, encoded)
    assert received(upload.fields, [b"4\r\ndata\r\n0\r\n", line, b"\r\n"], upload.claim())


def test_a_trailer_may_be_written_with_blanks_and_capitals() -> None:
    upload = Upload(UNSIGNED_CHUNKS_TRAILER, [b"data"], "x-amz-checksum-crc32")
    line = f"X-Amz-Checksum-CRC32 : {checksum('CRC32', b'data')} \r\n\r\n".encode()
    assert received(upload.fields, [b"4\r\ndata\r\n0\r\n" + line], upload.claim())[0] == b"data"


def test_only_the_last_chunk_may_be_small() -> None:
    for kind in KINDS:
        upload = Upload(kind, [LARGE, b"x" * 1024, b"y" * 4096])
        words = "Only the last chunk is allowed to have a size less than 8192 bytes"
        error = refused(InvalidChunkSizeError, words, upload, upload.encoded())
        assert error.members == {"Chunk": 3, "BadChunkSize": 1024}
        assert error.status == 403


@pytest.mark.parametrize("kind", [SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER])
def test_chunks_cannot_be_reordered_left_out_or_repeated(kind: bytes) -> None:
    chunks = [LARGE + b"1", LARGE + b"2", LARGE + b"3"]
    trailer = None if kind == SIGNED_CHUNKS else "x-amz-checksum-sha256"
    upload = Upload(kind, chunks, trailer)
    pieces = list(upload.pieces())
    one, two, three = (b"".join(pieces[at : at + 3]) for at in (0, 3, 6))
    rest = b"".join(pieces[9:])
    assert received(upload.fields, [one, two, three, rest], upload.claim())[0] == upload.data
    for others in ([two, one, three], [one, one, three], [one, three, two], [three, two, one]):
        error = refused(SignatureDoesNotMatch, "", upload, b"".join(others) + rest)
        assert error.members["StringToSign"].startswith("AWS4-HMAC-SHA256-PAYLOAD\n20261128T")
        assert error.members["CanonicalRequest"].startswith("PUT\n/b/k\n")
    refused(IncompleteBody, "", upload, one + two + rest)


def test_signed_chunks_are_signed() -> None:
    upload = Upload(SIGNED_CHUNKS, [b"data"])
    encoded = upload.encoded()
    signature = encoded.partition(b"chunk-signature=")[2][:64]
    for new in (b"", b";chunk-signature="):
        changed = encoded.replace(b";chunk-signature=" + signature, new)
        refused(IncompleteBody, "", upload, changed)
    for new in (b"a" * 64, b"invalid", signature.upper()):
        refused(SignatureDoesNotMatch, "", upload, encoded.replace(signature, new))
    extended = encoded.replace(b"\r\ndata", b";extra=param\r\ndata")
    refused(IncompleteBody, "", upload, extended)
    spaced = encoded.replace(b";chunk-signature=", b" ; chunk-signature = ")
    assert received(upload.fields, [spaced], upload.claim())[0] == b"data"


def test_a_signed_trailer_is_signed() -> None:
    upload = Upload(SIGNED_CHUNKS_TRAILER, [b"data"], "x-amz-checksum-crc32")
    encoded = upload.encoded()
    body, _, _ = encoded.partition(b"x-amz-trailer-signature:")
    signature = encoded[len(body) :]
    refused(IncompleteBody, "", upload, body)
    refused(IncompleteBody, "", upload, body + b"\r\n")
    words = "Check your key and signing method"
    error = refused(
        SignatureDoesNotMatch, words, upload, body + signature.replace(b"\r\n", b"1\r\n")
    )
    assert error.members["StringToSign"].startswith("AWS4-HMAC-SHA256-TRAILER\n")
    other = checksum("CRC32", b"atad").encode()
    changed = encoded.replace(checksum("CRC32", b"data").encode(), other)
    refused(SignatureDoesNotMatch, words, upload, changed)
    checksums = body.rpartition(b"\r\n")[0].rpartition(b"\r\n")
    early = checksums[0] + b"\r\n" + signature.removesuffix(b"\r\n") + checksums[2] + b"\r\n\r\n"
    refused(SignatureDoesNotMatch, words, upload, early)


def test_memory_is_that_of_a_line() -> None:
    size = 64 << 20
    upload = Upload(UNSIGNED_CHUNKS_TRAILER, [b""], "x-amz-checksum-crc64nvme")
    upload.fields[b"x-amz-decoded-content-length"] = str(size).encode()
    body = Body(stated("PutObject", upload.fields, None))
    piece = bytes(1 << 16)
    tracemalloc.start()
    body.feed(f"{size:x}\r\n".encode())
    for _ in range(size // len(piece)):
        body.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000
    running = ALGORITHMS["CRC64NVME"].new()
    running.update(bytes(size))
    value = base64.b64encode(running.digest())
    body.feed(b"\r\n0\r\nx-amz-checksum-crc64nvme:" + value + b"\r\n\r\n")
    assert body.end().size == size


# ── whole bodies ─────────────────────────────────────────────────────────────────────────────────


@given(st.binary(max_size=100), st.sampled_from(list(ALGORITHMS)))
def test_what_is_stated_of_a_whole_body(data: bytes, algorithm: str) -> None:
    md5 = hashlib.md5(data).digest()
    name = algorithm.lower()
    fields = {
        **whole(data, content_md5=base64.b64encode(md5).decode()),
        b"x-amz-content-sha256": hashlib.sha256(data).hexdigest().upper().encode(),
        f"x-amz-checksum-{name}".encode(): checksum(algorithm, data).encode(),
        b"x-amz-sdk-checksum-algorithm": name.encode(),
    }
    found, digests = received(fields, [data[:50], data[50:]])
    assert found == data
    assert digests == Digests(len(data), md5.hex(), Checksum(algorithm, checksum(algorithm, data)))
    wrong = data + b"x"
    fields[b"content-length"] = str(len(wrong)).encode()
    with pytest.raises(XAmzContentSHA256Mismatch) as mismatch:
        received(fields, [wrong])
    assert mismatch.value.members == {
        "ClientComputedContentSHA256": hashlib.sha256(data).hexdigest().upper(),
        "S3ComputedContentSHA256": hashlib.sha256(wrong).hexdigest(),
    }
    del fields[b"x-amz-content-sha256"]
    with pytest.raises(BadDigest, match="The Content-MD5 you specified did not match") as bad:
        received(fields, [wrong])
    assert bad.value.members["ExpectedDigest"] == md5.hex()
    del fields[b"content-md5"]
    words = f"The {algorithm} you specified did not match the calculated checksum."
    with pytest.raises(BadDigest, match=words):
        received(fields, [wrong])


def test_a_body_is_as_long_as_was_said() -> None:
    for pieces in ([b"dat"], [b"data!"], [b"data", b"!"], []):
        with pytest.raises(IncompleteBody, match="did not provide the number of bytes") as caught:
            received(whole(b"data"), pieces)
        assert caught.value.members["NumberBytesExpected"] == 4


def test_without_a_checksum_s3_s_own_is_kept() -> None:
    _, digests = received(whole(b"data"), [b"data"])
    assert digests.checksum == Checksum("CRC64NVME", checksum("CRC64NVME", b"data"))


def test_of_a_document_nothing_is_kept_and_what_is_stated_is_verified() -> None:
    fields = whole(b"<Delete/>", x_amz_checksum_crc32=checksum("CRC32", b"<Delete/>"))
    found, digests = received(fields, [b"<Delete/>"], operation="DeleteObjects")
    assert (found, digests) == (b"<Delete/>", Digests(9, "", None))
    with pytest.raises(BadDigest):
        received(fields, [b"<delete/>"], operation="DeleteObjects")
    object_s = whole(b"<a/>", x_amz_checksum_crc32=checksum("CRC32", b"another"))
    assert received(object_s, [b"<a/>"], operation="CompleteMultipartUpload")[0] == b"<a/>"


def test_only_what_was_stated_or_has_to_be_kept_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[str] = []
    for algorithm in list(ALGORITHMS.values()):

        def new(name: str = algorithm.name, make: Any = algorithm.new) -> Any:
            begun.append(name)
            return make()

        counting = replace(algorithm, new=new)
        monkeypatch.setitem(vars(checksums)["ALGORITHMS"], algorithm.name, counting)
    sha256 = hashlib.sha256(b"data").hexdigest()

    def computed(operation: str, **headers: str) -> list[str]:
        begun.clear()
        received(whole(b"data", **headers), [b"data"], operation=operation)
        return sorted(begun)

    assert computed("PutBucketPolicy") == []
    assert computed("PutObject") == ["CRC64NVME", "MD5"]
    assert computed("PutObject", x_amz_content_sha256="UNSIGNED-PAYLOAD") == ["CRC64NVME", "MD5"]
    once = checksum("SHA256", b"data")
    both = computed("PutObject", x_amz_content_sha256=sha256, x_amz_checksum_sha256=once)
    assert both == ["MD5", "SHA256"]
    assert computed("UploadPart", x_amz_checksum_md5=checksum("MD5", b"data")) == ["MD5"]


# ── heads ────────────────────────────────────────────────────────────────────────────────────────

_SEVERAL = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
_CRC = checksum("CRC32", b"data")
HEADS: list[tuple[dict[str, str], type[AwsError], str]] = [
    ({"content_md5": "invalid"}, InvalidDigest, "The Content-MD5 you specified was invalid."),
    ({"content_md5": ""}, InvalidDigest, "invalid"),
    ({"content_md5": "AAAA"}, InvalidDigest, "invalid"),
    ({"content_length": "-1"}, MissingContentLength, "must provide the Content-Length"),
    ({"content_length": "4a"}, MissingContentLength, "must provide the Content-Length"),
    ({"content_length": "1e3"}, MissingContentLength, "must provide the Content-Length"),
    ({"content_length": str((5 << 30) + 1)}, EntityTooLarge, "exceeds the maximum allowed"),
    ({"x_amz_checksum_crc32": "bad"}, InvalidRequest, "Value for x-amz-checksum-crc32 header is"),
    ({"x_amz_checksum_bad": _CRC}, InvalidRequest, "The algorithm type you specified in"),
    ({"x_amz_checksum_xxhash64": _CRC}, NotImplementedYet, "XXHASH64"),
    ({"x_amz_checksum_crc32": _CRC, "x_amz_checksum_crc32c": _CRC}, InvalidRequest, _SEVERAL),
    (
        {"x_amz_sdk_checksum_algorithm": "CRC32"},
        InvalidRequest,
        "specified, but no corresponding x-amz-checksum-",
    ),
    (
        {"x_amz_sdk_checksum_algorithm": "CRC32C", "x_amz_checksum_crc32": _CRC},
        InvalidRequest,
        "Value for x-amz-sdk-checksum-algorithm header is invalid.",
    ),
    ({"x_amz_trailer": "x-amz-checksum-crc32"}, MalformedTrailerError, "trailing data"),
    ({"x_amz_trailer": "x-amz-checksum-bad"}, InvalidRequest, "x-amz-trailer header is not supp"),
    ({"x_amz_trailer": "content-md5"}, InvalidRequest, "x-amz-trailer header is not supported"),
    ({"x_amz_trailer": ""}, InvalidRequest, "x-amz-trailer header is not supported"),
    ({"x_amz_trailer": ",x-amz-checksum-crc32"}, InvalidRequest, _SEVERAL),
    (
        {"x_amz_trailer": "x-amz-checksum-crc32", "x_amz_checksum_crc32": _CRC},
        InvalidRequest,
        "^Expecting a single x-amz-checksum- header$",
    ),
    ({"x_amz_trailer": "x-amz-checksum-crc32, x-amz-checksum-sha1"}, InvalidRequest, _SEVERAL),
]


@pytest.mark.parametrize(("headers", "kind", "words"), HEADS)
def test_what_a_head_alone_is_wrong_in(
    headers: dict[str, str], kind: type[AwsError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        stated("PutObject", whole(b"data", **headers), None)


def test_data_comes_with_its_length() -> None:
    for operation in ("PutObject", "UploadPart"):
        for fields in ({}, {b"transfer-encoding": b"chunked"}):
            with pytest.raises(MissingContentLength) as caught:
                stated(operation, fields, None)
            assert caught.value.status == 411
    upload = Upload(UNSIGNED_CHUNKS_TRAILER, [b"data"])
    for length in (None, b"not an int", b"", b"-4", b"4.0"):
        fields = {**upload.fields, b"content-length": b"20"}
        del fields[b"x-amz-decoded-content-length"]
        if length is not None:
            fields[b"x-amz-decoded-content-length"] = length
        with pytest.raises(MissingContentLength):
            stated("PutObject", fields, upload.claim())


def test_a_document_is_bounded_whether_its_length_is_said_or_not() -> None:
    with pytest.raises(MaxMessageLengthExceeded):
        stated("DeleteObjects", {b"content-length": b"100000000"}, None)
    body = Body(stated("DeleteObjects", {b"transfer-encoding": b"chunked"}, None))
    for _ in range(8):
        assert len(body.feed(bytes(1 << 20))) == 1
    with pytest.raises(MaxMessageLengthExceeded):
        body.feed(b"x")


def test_chunks_are_part_of_the_header_s_way_to_sign() -> None:
    """A presigned URL covers no body: there a mark is a digest that is wrong, as on S3."""
    upload = Upload(UNSIGNED_CHUNKS_TRAILER, [b"data"])
    claim = S3Claim(None, "eu-west-1", UNSIGNED_CHUNKS_TRAILER, None, presigned=True)  # type: ignore[type-var]
    fields = {**upload.fields, b"content-length": b"4"}
    with pytest.raises(XAmzContentSHA256Mismatch):
        received(fields, [b"data"], claim)


def test_whoever_does_not_sign_may_send_chunks_too() -> None:
    upload = Upload(UNSIGNED_CHUNKS_TRAILER, [b"data"], "x-amz-checksum-crc32")
    unsigned = {
        name: value
        for name, value in upload.fields.items()
        if name not in (b"authorization", b"x-amz-date")
    }
    assert received(unsigned, [upload.encoded()])[0] == b"data"
    del unsigned[b"x-amz-content-sha256"]  # botocore sets it where it signs
    assert received(unsigned, [upload.encoded()])[0] == b"data"
    signed = {**unsigned, b"x-amz-content-sha256": SIGNED_CHUNKS, b"content-length": b"4"}
    del signed[b"x-amz-trailer"]
    with pytest.raises(XAmzContentSHA256Mismatch):
        received(signed, [b"data"])
