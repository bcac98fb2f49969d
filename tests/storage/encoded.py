"""Bodies as clients of S3 encode them: in chunks, signed or not, with a trailer or none."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from inservice.checksums import ALGORITHMS, told
from inservice.identity.sigv4.s3 import (
    SIGNED_CHUNKS,
    SIGNED_CHUNKS_TRAILER,
    UNSIGNED_CHUNKS_TRAILER,
    S3Claim,
    s3_claim,
)

NOW = 1795867200.0
KINDS = (SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER, UNSIGNED_CHUNKS_TRAILER)


@dataclass(frozen=True)
class Key:
    secret: str = "secret"
    session_token: str | None = None
    expires_at: float | None = None


def checksum(algorithm: str, data: bytes) -> str:
    """As it is sent."""
    running = ALGORITHMS[algorithm].new()
    running.update(data)
    return told(running.digest())


@dataclass
class Upload:
    """A PutObject whose body comes in these chunks, and the head that was signed for it."""

    kind: bytes
    chunks: Sequence[bytes]
    trailer: str | None = None  # its header
    headers: dict[str, str] = field(default_factory=dict)
    path: str = "/b/k"
    host: str = "h"
    key_id: str = "AKIA"
    secret: str = "secret"
    at: float = NOW

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)

    def __post_init__(self) -> None:
        self.stamp = datetime.fromtimestamp(self.at, UTC).strftime("%Y%m%dT%H%M%SZ")
        self.scope = f"{self.stamp[:8]}/eu-west-1/s3/aws4_request"
        self.fields = {
            b"host": self.host.encode(),
            b"x-amz-date": self.stamp.encode(),
            b"x-amz-content-sha256": self.kind,
            b"x-amz-decoded-content-length": str(len(self.data)).encode(),
            **{name.encode(): value.encode() for name, value in self.headers.items()},
        }
        if self.trailer is not None:
            self.fields[b"x-amz-trailer"] = self.trailer.encode()
        names = sorted(self.fields)
        canonical = "\n".join(
            (
                "PUT",
                self.path,
                "",
                *(f"{name.decode()}:{self.fields[name].decode()}" for name in names),
                "",
                b";".join(names).decode(),
                self.kind.decode(),
            )
        )
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        self.seed = self._signature("AWS4-HMAC-SHA256", digest)
        self.fields[b"authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.key_id}/{self.scope}, "
            f"SignedHeaders={b';'.join(names).decode()}, Signature={self.seed}"
        ).encode()

    def _signature(self, kind: str, *rest: str) -> str:
        key = f"AWS4{self.secret}".encode()
        for part in self.scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        text = "\n".join((kind, self.stamp, self.scope, *rest))
        return hmac.digest(key, text.encode(), "sha256").hex()

    @property
    def signs(self) -> bool:
        """Whether its chunks are signed."""
        return self.kind != UNSIGNED_CHUNKS_TRAILER

    def claim(self) -> S3Claim[Key]:
        """Its signature, verified."""
        claim = s3_claim("PUT", b"/b/k", (), self.fields, keys={"AKIA": Key()}.get, now=NOW)
        assert claim is not None
        return claim

    def encoded(self) -> bytes:
        """The body as it goes over the wire."""
        return b"".join(self.pieces())

    def pieces(self) -> Iterable[bytes]:
        """Its headers of chunks, chunks and trailers, one by one."""
        previous = self.seed
        for chunk in (*self.chunks, b""):
            header = f"{len(chunk):x}"
            if self.signs:
                empty = hashlib.sha256(b"").hexdigest()
                digest = hashlib.sha256(chunk).hexdigest()
                previous = self._signature("AWS4-HMAC-SHA256-PAYLOAD", previous, empty, digest)
                header += f";chunk-signature={previous}"
            yield f"{header}\r\n".encode()
            if chunk:
                yield chunk
                yield b"\r\n"
        if self.trailer is not None:
            algorithm = self.trailer.removeprefix("x-amz-checksum-").upper()
            value = checksum(algorithm, self.data)
            yield f"{self.trailer}:{value}\r\n".encode()
            if self.signs:
                digest = hashlib.sha256(f"{self.trailer}:{value}\n".encode()).hexdigest()
                last = self._signature("AWS4-HMAC-SHA256-TRAILER", previous, digest)
                yield f"x-amz-trailer-signature:{last}\r\n".encode()
        yield b"\r\n"
