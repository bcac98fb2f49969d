"""The service models that control answers from: AWS's, one of them widened, and InService's own.

InService's own API is described in `service_models/inservice/`, in botocore's format, so the same
wire, validation and clients serve it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from inservice.aws import service_model
from inservice.aws.service_model import Model, Service, Shape

OWN = "inservice"

SERVICE_MODELS = Path(__file__).with_name("service_models")
"""A search path for botocore's loaders, too."""

_WIDENED = ("Url", "S3ModelUri")
"""Shapes of ModelDataUrl and S3Uri: beside s3://, a single host has file://."""


def load(name: str, keep: Collection[str] | None = None) -> Service:
    """The model of a service, with the operations in `keep`. Raises UnknownService."""
    service = service_model.service_of(name, _model(name), keep)
    if name == "sagemaker":
        service.shapes = {key: _widened(shape) for key, shape in service.shapes.items()}
    if name == "ec2":  # which types there are is EC2's to say, and with a word of its own
        types = replace(service.shapes["InstanceType"], enum=())
        service.shapes = {**service.shapes, types.name: types}
    return service


def _model(name: str) -> Model:
    if name != OWN:
        return service_model.read(name)
    (version,) = (SERVICE_MODELS / OWN).iterdir()
    return service_model.decode((version / "service-2.json").read_bytes())


def _widened(shape: Shape) -> Shape:
    if shape.name not in _WIDENED:
        return shape
    assert shape.pattern is not None
    return replace(shape, pattern=f"{shape.pattern}|file:///(.*)")
