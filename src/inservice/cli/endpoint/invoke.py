"""`inservice endpoint invoke NAME`: the answer on stdout, as it came."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from inservice.cli.connection import client, parser_of

_TYPES: Final = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".npy": "application/x-npy",
    ".npz": "application/x-npz",
    ".txt": "text/plain",
}
ANSWER_SECONDS: Final = 90
"""Longer than the minute that a model has, here as at AWS: it is the server that ends the waiting,
with a ModelError that says why. And one try: a request that hangs would hang again."""

_CHUNK_BYTES: Final = 64 * 1024


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `endpoint invoke`."""
    options = parser_of(prog, "Send a request to an endpoint and print the answer.")
    options.add_argument("name")
    body = options.add_mutually_exclusive_group(required=True)
    body.add_argument("--body", metavar="TEXT", help="the request itself")
    body.add_argument("--file", metavar="PATH", help="a file with the request; - for stdin")
    options.add_argument(
        "--content-type", help="of the request; told by the file's name or the text otherwise"
    )
    options.add_argument("--accept", help="what the answer should be")
    options.add_argument("--variant", help="ask this variant, whatever the weights say")
    options.add_argument("--verbose", action="store_true", help="say on stderr what answered")
    return options


def run(options: argparse.Namespace) -> int:
    """Invoke the endpoint once."""
    body, kind = _body(options)
    extra = {
        member: value
        for member, value in (("Accept", options.accept), ("TargetVariant", options.variant))
        if value
    }
    runtime = client(options, "sagemaker-runtime", read_timeout_seconds=ANSWER_SECONDS, tries_max=1)
    answer = runtime.invoke_endpoint(
        EndpointName=options.name,
        Body=body,
        ContentType=options.content_type or kind,
        **extra,
    )
    if options.verbose:
        for member in ("ContentType", "InvokedProductionVariant", "CustomAttributes"):
            if member in answer:
                sys.stderr.write(f"{member}: {answer[member]}\n")
    ends_in_newline = _copy(answer["Body"])
    if sys.stdout.isatty() and not ends_in_newline:
        sys.stdout.write("\n")
    return 0


def _body(options: argparse.Namespace) -> tuple[bytes, str]:
    """The request and the content type that it looks like."""
    if options.body is not None:
        body = options.body.encode()
        return body, _looks_like(body)
    if options.file == "-":
        body = sys.stdin.buffer.read()
        return body, _looks_like(body)
    path = Path(options.file)
    body = path.read_bytes()
    return body, _TYPES.get(path.suffix.lower(), _looks_like(body))


def _looks_like(body: bytes) -> str:
    if body.startswith(b"\x93NUMPY"):
        return "application/x-npy"
    return "application/json" if body.lstrip()[:1] in (b"{", b"[") else "text/csv"


def _copy(stream: object) -> bool:
    """Copy a streamed answer to stdout; whether it ended in a newline."""
    last = b""
    while chunk := stream.read(_CHUNK_BYTES):  # type: ignore[attr-defined]
        sys.stdout.flush()
        sys.stdout.buffer.write(chunk)
        last = chunk
    sys.stdout.buffer.flush()
    return last.endswith(b"\n")
