"""AWS's model of S3, read once for all tests of how S3 is spoken."""

from __future__ import annotations

from functools import cache

from inservice.aws import service_model
from inservice.aws.s3_requests import Routes
from inservice.aws.service_model import Service


@cache
def model() -> service_model.Model:
    return service_model.read("s3")


@cache
def routes() -> Routes:
    return Routes(model())


@cache
def service() -> Service:
    return service_model.service_of("s3", model())
