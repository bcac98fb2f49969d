"""All services that botocore has a model of, by the name they are signed for.

Only the head of each model is read, a tenth of a second for all of them together, and not before a
request comes for a service that is not here. One signing name may stand for several services: `s3`
is also S3 Control's, `sagemaker` also the Feature Store's.
"""

from __future__ import annotations

import functools
import json
import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from inservice.aws import service_model

_HEAD_BYTES = 4_096
"""Of each compressed model. Its metadata is what it begins with, and less than a kilobyte."""


@dataclass(frozen=True, slots=True)
class KnownService:
    """The head of a model."""

    name: str  # botocore's: "elbv2"
    signing_name: str  # "elasticloadbalancing"
    protocols: tuple[str, ...]  # the one that clients choose first
    target_prefix: str | None  # of the JSON protocols' X-Amz-Target
    xml_namespace: str
    api_version: str

    def has(self, operation: str) -> bool:
        """Whether the service has an operation of this name."""
        return operation in _operations(self.name)

    def operation_at(self, method: str, path: str, query: str, headers: Collection[str]) -> str:
        """The operation of a REST service that has this method and path; empty if none has.

        `headers` are the names of those that came, in lower case. Of several operations it is the
        one that asks for more: CopyObject is a PutObject with a header.
        """
        parts = [part.partition("=") for part in query.split("&")]
        given = {part for name, _, value in parts for part in (name, f"{name}={value}")}
        given |= {f"{name}:" for name in headers}
        for route in _routes(self.name):
            if route.method == method and route.needs <= given and route.path.fullmatch(path):
                return route.operation
        return ""


def by_signing_name(name: str) -> Sequence[KnownService]:
    """The services that are signed for by this name; none if AWS has none."""
    return _catalogue().get(name, ())


@functools.cache
def _catalogue() -> Mapping[str, Sequence[KnownService]]:
    spec = find_spec("botocore")
    assert spec is not None
    assert spec.origin is not None
    found: dict[str, list[KnownService]] = {}
    for directory in sorted((Path(spec.origin).parent / "data").iterdir()):
        if models := sorted(directory.glob("*/service-2.json.gz")):
            known = _known(directory.name, _metadata(models[-1]))
            found.setdefault(known.signing_name, []).append(known)
    return found


def _metadata(model: Path) -> Mapping[str, Any]:
    with model.open("rb") as opened:
        inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        head = inflate.decompress(opened.read(_HEAD_BYTES)).decode(errors="replace")
    start = head.index("{", head.index('"metadata"'))
    metadata: Mapping[str, Any] = json.JSONDecoder().raw_decode(head, start)[0]
    return metadata


def _known(name: str, metadata: Mapping[str, Any]) -> KnownService:
    return KnownService(
        name=name,
        signing_name=metadata.get("signingName", metadata["endpointPrefix"]),
        protocols=tuple(metadata.get("protocols", (metadata["protocol"],))),
        target_prefix=metadata.get("targetPrefix"),
        xml_namespace=metadata.get("xmlNamespace", ""),
        api_version=metadata["apiVersion"],
    )


@functools.lru_cache(maxsize=64)
def _operations(service: str) -> frozenset[str]:
    return frozenset(service_model.read(service).operations)


@dataclass(frozen=True, slots=True)
class _Route:
    """How an operation of a REST service is asked for."""

    method: str
    path: re.Pattern[str]
    needs: frozenset[str]  # `key` and `key=value` of the query, `name:` of a header
    operation: str


_LABEL = re.compile(r"\{([^/{}]+?)(\+?)\}")


@functools.lru_cache(maxsize=16)
def _routes(service: str) -> Sequence[_Route]:
    """The routes of a service's model, those first that are more exact: with fewer labels in their
    path, then with more that they need beside it."""
    model = service_model.read(service)
    found: list[tuple[tuple[Any, ...], _Route]] = []
    for name in model.operations:
        operation = model.operation(name)
        path, _, query = operation["http"]["requestUri"].partition("?")
        needs = {part.removesuffix("=") for part in query.split("&") if part}
        given = operation.get("input", {}).get("shape")
        needs |= _required(model.shape(given)) if given else set()
        plain = _LABEL.split(path.rstrip("/"))  # text, label, its plus, text, label, its plus, text
        pattern = "".join(
            (re.escape(part), "", ".+" if part else "[^/]+")[n % 3] for n, part in enumerate(plain)
        )
        order = (len(plain), "+}" in path, -len(needs), name)
        method = operation["http"].get("method", "POST")
        found.append((order, _Route(method, re.compile(f"{pattern}/?"), frozenset(needs), name)))
    return [route for _, route in sorted(found, key=lambda one: one[0])]


def _required(shape: Mapping[str, Any]) -> set[str]:
    """What a request has to have in its query and headers."""
    marks = {"querystring": "{}", "header": "{}:"}
    members = (shape["members"][name] for name in shape.get("required", ()))
    return {
        marks[member["location"]].format(
            member["locationName"].lower()
            if member["location"] == "header"
            else member["locationName"]
        )
        for member in members
        if member.get("location") in marks
    }
