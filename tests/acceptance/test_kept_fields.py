"""What people see of fields that are kept without effect: in the answer, in the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.server import PLAIN, Server, run_cli, run_here, variant

VPC = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}


def header(answer: dict[str, Any]) -> str:
    said: str = answer["ResponseMetadata"]["HTTPHeaders"].get("x-inservice-warning", "")
    return said


def test_who_makes_shows_and_looks_into_it_is_told(
    start_server: Callable[..., Server],
) -> None:
    server = start_server()
    sagemaker, place = server.client("sagemaker"), server.data_dir
    made = sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": PLAIN}, VpcConfig=VPC)
    assert header(made).startswith("'VpcConfig' is kept and has no effect here: ")
    assert sagemaker.describe_model(ModelName="m")["VpcConfig"] == VPC

    config = json.dumps([variant("m", VolumeSizeInGB=30)])
    words = ("--endpoint-config-name", "c", "--kms-key-id", "alias/k")
    typed = run_here(
        *("sagemaker", "create-endpoint-config", *words, "--production-variants", config),
        data_dir=place,
    )
    assert typed.returncode == 0, typed.stderr
    assert set(json.loads(typed.stdout)) == {"EndpointConfigArn"}
    assert "warning: 'KmsKeyId' is kept and has no effect here: " in typed.stderr
    assert "warning: 'ProductionVariants.VolumeSizeInGB' is kept" in typed.stderr

    created = run_here("endpoint", "create", "e", "--config", "c", data_dir=place)
    assert "warning: 'VpcConfig' of model m is kept" in created.stderr, created
    assert "warning: 'KmsKeyId' of endpoint config c is kept" in created.stderr
    assert any("'VpcConfig' of model m is kept" in line for line in server.history("e"))

    for noun, name, subject in (
        ("model", "m", "'VpcConfig' is kept"),
        ("config", "c", "'KmsKeyId' is kept"),
        ("endpoint", "e", "'VpcConfig' of model m is kept"),
    ):
        shown = run_here(noun, "show", name, data_dir=place)
        assert subject in shown.stdout
        assert not shown.stderr
        as_json = run_here(noun, "show", name, "--output", "json", data_dir=place)
        json.loads(as_json.stdout)
        assert subject in as_json.stderr
    looked = run_here("sagemaker", "describe-model", "--model-name", "m", data_dir=place)
    assert not looked.stderr  # whoever asks every few seconds is not told each time


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_strict_server_refuses_it(start_server: Callable[..., Server], how: str) -> None:
    options = ("--strict",) if how == "option" else ()
    server = start_server(*options, **({} if options else {"INSERVICE_STRICT": "1"}))
    with pytest.raises(ClientError) as refused:
        server.client("sagemaker").create_model(
            ModelName="m", PrimaryContainer={"Image": PLAIN}, VpcConfig=VPC
        )
    assert refused.value.response["Error"]["Code"] == "NotImplemented"
    listed = run_cli("sagemaker", "list-models", "--output", "text", data_dir=server.data_dir)
    assert listed.stdout.strip() == ""
