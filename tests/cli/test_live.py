"""The whole line against a real server: a model is deployed, invoked and removed by commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.server import ECHO, PLAIN, Server, archive
from tests.cli.conftest import Run


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data directory of a server that runs."""
    directory = tmp_path_factory.mktemp("server") / "data"
    started = Server.start(directory)
    yield directory
    started.stop()


def test_from_an_artifact_to_an_answer_and_back(
    real: Path, inservice: Run, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSERVICE_DATA_DIR", str(real))
    files = {"name.txt": "m", "code/inference.py": ECHO}
    url = archive(clean / "model.tar.gz", files)
    assert inservice("model", "lint", str(clean / "model.tar.gz")).code == 0
    made = inservice(
        *("sagemaker", "create-model", "--model-name", "m"),
        *("--execution-role-arn", "arn:aws:iam::000000000000:role/r"),
        *("--primary-container", f"Image={PLAIN},ModelDataUrl={url}"),
        *("--query", "ModelArn", "--output", "text"),
    )
    assert (made.code, made.out) == (0, "arn:aws:sagemaker:us-east-1:000000000000:model/m\n")
    created = inservice("endpoint", "create", "e", "--model", "m", "--wait", "--timeout", "60")
    assert created.code == 0
    assert f"{clean}/model.tar.gz would work: " in created.err
    assert "InService  AllTraffic 1/1 instances" in created.out
    assert inservice("endpoint", "list", "--output", "name").out == "e\n"
    asked = inservice("endpoint", "invoke", "e", "--body", "hello")
    assert (asked.code, asked.err) == (0, "")
    by_aws = inservice(
        *("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "e", "out"),
        *("--body", "hello", "--cli-binary-format", "raw-in-base64-out"),
    )
    assert by_aws.code == 0
    assert (clean / "out").read_text() == asked.out
    assert inservice("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", "e").code == 0
    assert inservice("endpoint", "update", "e", "--model", "m", "--wait").code == 0
    assert inservice("endpoint", "delete", "e", "--wait", "--timeout", "60").code == 0
    assert inservice("endpoint", "show", "e").code == 1
    again = inservice("sagemaker", "describe-endpoint", "--endpoint-name", "e")
    assert again.code == 254
    assert again.err.startswith("\nAn error occurred (ValidationException) when calling the")
