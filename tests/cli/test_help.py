"""Help pages: everything the model says about an operation is on its page."""

from __future__ import annotations

import pytest
from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel

from inservice.cli.aws.globals import GLOBAL_OPTIONS
from inservice.cli.main import SERVICES
from tests.cli.conftest import Run


def test_an_operation(inservice: Run) -> None:
    page = inservice("sagemaker", "create-endpoint", "help").out
    for section in ("NAME", "DESCRIPTION", "SYNOPSIS", "OPTIONS", "GLOBAL OPTIONS", "OUTPUT"):
        assert f"\n{section}\n" in f"\n{page}"
    assert "--endpoint-name (string, required)" in page
    assert "[--tags <value>]" in page
    assert "Key=string,Value=string" in page
    assert "One of: ALL_AT_ONCE, CANARY, LINEAR" in page
    assert "EndpointArn -> (string, required)" in page
    assert all(f"   --{option.name}\n" in page for option in GLOBAL_OPTIONS)
    assert "<p>" not in page
    assert page == inservice("sagemaker", "create-endpoint", "--help").out


def test_options_that_no_member_has(inservice: Run) -> None:
    page = inservice("sagemaker", "list-endpoints", "help").out
    assert "--max-items (string)" in page
    assert "--next-token" not in page
    assert (
        "[--retain-all-variant-properties]" in inservice("sagemaker", "update-endpoint", "help").out
    )
    assert "<outfile>" in inservice("sagemaker-runtime", "invoke-endpoint", "help").out
    assert "--dimensions" in inservice("cloudwatch", "put-metric-data", "help").out


def test_what_is_not_served_is_marked(inservice: Run) -> None:
    page = inservice("sagemaker", "help").out
    here, away = page.split("\nAT AWS ONLY\n")
    for name in ("create-model", "update-endpoint", "wait"):
        assert f"   o {name}\n" in here
    assert "   o create-hub\n" in away
    assert "NotImplemented" in inservice("sagemaker", "create-hub", "help").out
    assert "NotImplemented" not in inservice("sagemaker", "create-model", "help").out
    assert "NotImplemented" not in inservice("sagemaker-runtime", "invoke-endpoint", "help").out


def test_waiters(inservice: Run) -> None:
    assert "   o endpoint-in-service" in inservice("sagemaker", "wait", "help").out
    page = inservice("sagemaker", "wait", "endpoint-in-service", "help").out
    assert "EndpointStatus returns InService" in " ".join(page.split())
    assert "every 30 seconds" in " ".join(page.split())


def test_tail(inservice: Run) -> None:
    assert "--filter-pattern" in inservice("logs", "tail", "help").out


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_lists_every_operation(service: str, inservice: Run) -> None:
    page = inservice(service, "help")
    assert page.code == 0
    model = ServiceModel(Loader().load_service_model(service, "service-2"))
    for name in model.operation_names:
        if name != "InvokeEndpointWithResponseStream":
            assert f"   o {xform_name(name, '-')}\n" in page.out
