"""The service models that control answers from: AWS's, one of them widened, and InService's own.

InService's own API is described in `service_models/inservice/`, in botocore's format, so the same
wire, validation and clients serve it.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from importlib.resources import files
from typing import Any

from inservice.aws import service_model
from inservice.aws.service_model import Service

OWN = "inservice"

_WIDENED = ("Url", "S3ModelUri")
"""Shapes of ModelDataUrl and S3Uri: beside s3://, a single host has file://."""


def load(name: str, keep: Collection[str] | None = None) -> Service:
    """The model of a service, with the operations in `keep`. Raises UnknownService."""
    if name == OWN:
        return service_model.service_of(name, _own(), keep)
    model = service_model.read(name)
    if name == "sagemaker":
        for shape in _WIDENED:
            aws = model["shapes"][shape]["pattern"]
            model["shapes"][shape]["pattern"] = f"{aws}|file:///(.*)"
    return service_model.service_of(name, model, keep)


def _own() -> dict[str, Any]:
    (version,) = (files("inservice.api") / "service_models" / OWN).iterdir()
    model: dict[str, Any] = json.loads((version / "service-2.json").read_bytes())
    return model
