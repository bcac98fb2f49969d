"""What a body of S3 costs in CPU beside the digests that have to be made of it.

    python -m benchmarks.bodies [--megabytes 100]

Bare are loops over `hashlib` and nothing else, in the same pieces; each kind of body is to be read
beside the bare digests that it needs. The least disturbed of three rounds counts. Last, the same
two digests in two threads, which is why there are none.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from inservice.checksums import ALGORITHMS, told
from inservice.identity.sigv4.s3 import SIGNED_CHUNKS, ChunkSigner
from inservice.identity.sigv4.signing import signing_hashes
from inservice.storage.bodies import OBJECT_BYTES_MAX, Body, Stated

READ = 1 << 16
"""How much comes of a body at once."""

CHUNK = 1 << 17
"""What Java's SDK signs at once."""

SCOPE = ("20261128", "eu-west-1", "s3")
HEAD = f"20261128T120000Z\n{'/'.join(SCOPE)}/aws4_request".encode()
SEED = b"a" * 64


def cpu(work: Callable[[], object]) -> float:
    """Milliseconds of the best of three."""
    spent = []
    for _ in range(3):
        begun = time.process_time()
        work()
        spent.append((time.process_time() - begun) * 1000)
    return min(spent)


def bare(pieces: Sequence[bytes], *names: str) -> Callable[[], object]:
    """These digests and nothing else."""

    def work() -> list[bytes]:
        digests = [ALGORITHMS[name].new() for name in names]
        for piece in pieces:
            for digest in digests:
                digest.update(piece)
        return [digest.digest() for digest in digests]

    return work


def threaded(pieces: Sequence[bytes]) -> None:
    """MD5 and SHA-256, each in a thread of its own."""
    digests = [ALGORITHMS[name].new() for name in ("MD5", "SHA256")]
    with ThreadPoolExecutor(len(digests)) as threads:
        for piece in pieces:
            for waiting in [threads.submit(digest.update, piece) for digest in digests]:
                waiting.result()


def taken(stated: Callable[[], Stated], pieces: Sequence[bytes]) -> Callable[[], object]:
    """A body as the server takes it."""

    def work() -> object:
        body = Body(stated())
        for piece in pieces:
            body.feed(piece)
        return body.end()

    return work


def chunks(data: bytes, signed: bool) -> Iterable[bytes]:
    """The body as it is sent in chunks, with a CRC32 behind them if they are not signed."""
    inner, key = hashlib.sha256(b"").hexdigest(), b"AWS4secret"
    for part in (*SCOPE, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    previous = SEED.decode()
    for at in range(0, len(data) + CHUNK, CHUNK):
        chunk = data[at : at + CHUNK]
        signature = ""
        if signed:
            digest = hashlib.sha256(chunk).hexdigest()
            text = f"{SIGNED_CHUNKS[10:].decode()}\n{HEAD.decode()}\n{previous}\n{inner}\n{digest}"
            previous = hmac.digest(key, text.encode(), "sha256").hex()
            signature = f";chunk-signature={previous}"
        yield f"{len(chunk):x}{signature}\r\n".encode() + chunk + (b"\r\n" if chunk else b"")
    if not signed:
        yield f"x-amz-checksum-crc32:{checksum('CRC32', data)}\r\n".encode()
    yield b"\r\n"


def checksum(name: str, data: bytes) -> str:
    """As it is sent."""
    digest = ALGORITHMS[name].new()
    digest.update(data)
    return told(digest.digest())


def cut(data: bytes) -> list[bytes]:
    """In the pieces that are read from a socket."""
    return [data[at : at + READ] for at in range(0, len(data), READ)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=100)
    data = os.urandom(CHUNK) * (parser.parse_args().megabytes * 1_000_000 // CHUNK)
    pieces = cut(data)
    plain = Stated(*(len(data), OBJECT_BYTES_MAX, True, False, None, None, None, None, None, None))
    whole = replace(plain, sha256=hashlib.sha256(data).hexdigest())
    trailing = replace(plain, chunked=True, algorithm="CRC32", trailer="x-amz-checksum-crc32")
    secret = signing_hashes("secret", *SCOPE)

    def signed() -> Stated:
        return replace(plain, chunked=True, chunks=ChunkSigner(secret, "AKIA", HEAD, SEED, b""))

    rows = {
        "bare MD5, CRC64NVME": bare(pieces, "MD5", "CRC64NVME"),
        "unsigned": taken(lambda: plain, pieces),
        "chunks, CRC32 behind": taken(lambda: trailing, cut(b"".join(chunks(data, signed=False)))),
        "bare MD5, CRC64NVME, SHA256": bare(pieces, "MD5", "CRC64NVME", "SHA256"),
        "signed whole": taken(lambda: whole, pieces),
        "signed chunks": taken(signed, cut(b"".join(chunks(data, signed=True)))),
        "bare MD5, SHA256": bare(pieces, "MD5", "SHA256"),
        "bare MD5, SHA256, a thread each": lambda: threaded(pieces),
    }
    for name, work in rows.items():
        print(f"{name:34}{cpu(work):8.1f} ms of CPU")


if __name__ == "__main__":
    main()
