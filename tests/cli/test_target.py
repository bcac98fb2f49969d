"""Where commands go: InService unless the user says otherwise, and never AWS by accident."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inservice.cli.aws.failures import NotConfigured
from inservice.cli.target import Target, find_target, read_target
from tests.cli.conftest import Run
from tests.cli.recorder import Recorder, Reply
from tests.cli.replies import DESCRIBED

HERE = Target("http://127.0.0.1:7420", "eu-north-1", "AKIDLOCAL", "secret")


def leave_files(directory: Path, url: str = HERE.url) -> Path:
    """What a running server leaves in its data directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "endpoint.json").write_text(json.dumps({"url": url, "region": HERE.region}))
    key = {"access_key_id": HERE.access_key_id, "secret_access_key": HERE.secret_access_key}
    (directory / "credentials.json").write_text(json.dumps({**key, "account_id": "000000000000"}))
    return directory


def test_the_files_of_the_data_directory(tmp_path: Path) -> None:
    assert find_target({}, data_dir=str(leave_files(tmp_path))) == HERE
    assert find_target({"INSERVICE_DATA_DIR": str(tmp_path)}) == HERE


@pytest.mark.parametrize(
    "variable",
    [
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_SAGEMAKER",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_ACCESS_KEY_ID",
    ],
)
def test_the_environment_chooses_another_place(variable: str, tmp_path: Path) -> None:
    environment = {variable: "x", "INSERVICE_DATA_DIR": str(leave_files(tmp_path))}
    assert find_target(environment) is None
    assert find_target(environment, data_dir=str(tmp_path)) == HERE


def test_options_choose_another_place(tmp_path: Path) -> None:
    directory = str(leave_files(tmp_path))
    assert find_target({}, data_dir=directory, endpoint_url="http://x") is None
    assert find_target({}, data_dir=directory, profile="p") is None


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("endpoint.json", None, "No InService is running in"),
        ("endpoint.json", "{", "damaged"),
        ("endpoint.json", "[]", "damaged"),
        ("credentials.json", "{}", "damaged"),
        ("credentials.json", None, "there is no credentials.json"),
    ],
)
def test_missing_and_damaged_files(
    name: str, content: str | None, says: str, tmp_path: Path
) -> None:
    leave_files(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(NotConfigured, match=says):
        read_target(tmp_path)


def test_requests_go_to_the_server_of_the_data_directory(
    inservice: Run, server: Recorder, clean: Path
) -> None:
    server.play([Reply(DESCRIBED)])
    directory = leave_files(clean / "elsewhere", server.url)
    words = ["sagemaker", "describe-endpoint", "--endpoint-name", "e"]
    assert inservice(*words, "--data-dir", str(directory)).code == 0
    assert inservice("--region", "ap-south-1", *words, f"--data-dir={directory}").code == 0
    assert [request["scope"] for request in server.requests] == [
        "eu-north-1/sagemaker",
        "ap-south-1/sagemaker",
    ]


def test_without_a_server_nothing_goes_to_aws(inservice: Run, clean: Path) -> None:
    (clean / ".aws").mkdir()
    (clean / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = AKIDREAL\naws_secret_access_key = s\n"
    )
    ran = inservice("sagemaker", "list-endpoints")
    assert ran.code == 253
    assert "No InService is running in" in ran.err
    assert 'Start one with "inservice up"' in ran.err


def test_data_dir_takes_a_value(inservice: Run) -> None:
    assert inservice("sagemaker", "list-endpoints", "--data-dir").code == 252
