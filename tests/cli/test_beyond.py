"""What AWS CLI 2.9.19 does not have to compare with: newer options, the log, the live display."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run, on_a_terminal
from tests.cli.recorder import Recorder, Reply
from tests.cli.replies import ARN, DESCRIBED

pytestmark = pytest.mark.usefixtures("keys")

DESCRIBE = ("sagemaker", "describe-endpoint", "--endpoint-name", "e")


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SAGEMAKER"])
def test_the_endpoint_of_the_environment(
    variable: str, inservice: Run, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.play([Reply(DESCRIBED)])
    monkeypatch.setenv(variable, server.url)
    assert inservice(*DESCRIBE).code == 0
    assert len(server.requests) == 1


def test_the_endpoint_of_a_profile(
    inservice: Run, server: Recorder, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.play([Reply(DESCRIBED)])
    (clean / "config").write_text(
        f"[profile here]\nendpoint_url = {server.url}\n"
        "aws_access_key_id = AKIDP\naws_secret_access_key = s\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(clean / "config"))
    assert inservice(*DESCRIBE, "--profile", "here").code == 0
    assert len(server.requests) == 1


def test_a_rolling_update(inservice: Run, server: Recorder) -> None:
    server.play([Reply({"EndpointArn": ARN})])
    policy = "RollingUpdatePolicy={MaximumBatchSize={Type=INSTANCE_COUNT,Value=1},"
    policy += "WaitIntervalInSeconds=5}"
    words = ["sagemaker", "update-endpoint", "--endpoint-name", "e", "--endpoint-config-name", "c"]
    ran = inservice(*words, "--deployment-config", policy, "--endpoint-url", server.url)
    assert (ran.code, ran.err) == (0, "")
    assert server.requests[0]["body"]["DeploymentConfig"] == {
        "RollingUpdatePolicy": {
            "MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1},
            "WaitIntervalInSeconds": 5,
        }
    }


def test_a_nested_value_from_a_file(inservice: Run, server: Recorder, clean: Path) -> None:
    server.play([Reply({"EndpointArn": ARN})])
    (clean / "value.txt").write_text("a, b = {c}")
    words = ["sagemaker", "add-tags", "--resource-arn", ARN, "--endpoint-url", server.url]
    assert inservice(*words, "--tags", "Key=k,Value@=file://value.txt").code == 0
    assert server.requests[0]["body"]["Tags"] == [{"Key": "k", "Value": "a, b = {c}"}]
    ran = inservice(*words, "--tags", "Key=k,Value@=file://nowhere.txt")
    assert ran.code == 252
    assert "Unable to load paramfile file://nowhere.txt" in ran.err


def test_the_log_goes_to_stderr_only(server: Recorder) -> None:
    server.play([Reply(DESCRIBED)])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "inservice.cli.main", *DESCRIBE, "--debug"),
            *("--endpoint-url", server.url),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["EndpointName"] == "e"
    assert " - MainThread - botocore.endpoint - DEBUG - " in done.stderr
    assert "Response body" in done.stderr


def _watched(words: list[str], **environment: Any) -> str:
    """What a terminal shows while ours runs."""
    shown = on_a_terminal(words, TERM="xterm-256color", COLUMNS="100", **environment)
    assert shown.code == 0
    return shown.out


def test_the_live_display(server: Recorder) -> None:
    """One line that is rewritten, in colour unless NO_COLOR is set."""
    creating = Reply({**DESCRIBED, "EndpointStatus": "Creating"})
    replies = [Reply({"EndpointArn": ARN}), creating, creating, Reply(DESCRIBED)]
    words = ["endpoint", "create", "e", "--config", "c", "--wait", "--endpoint-url", server.url]
    server.play(replies)
    shown = _watched(words)
    assert "\x1b[32mInService" in shown
    assert "Creating" in shown
    assert "\x1b[?25h" in shown  # the cursor is shown again
    server.play(replies)
    plain = _watched(words, NO_COLOR="1")
    assert not re.search(r"\x1b\[3\dm", plain)
    assert "InService" in plain
