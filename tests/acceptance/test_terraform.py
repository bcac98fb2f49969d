"""Terraform's own AWS provider on a server: made, unchanged, updated by a canary, taken down.

It needs `terraform` and a directory with the provider, as `terraform providers mirror` makes one:
`TERRAFORM_PLUGIN_DIR`, or one of those in which Terraform itself looks.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.server import ECHO, Server, archive
from tests.waiting import wait_until

pytestmark = pytest.mark.long

STACK = Path(__file__).parent / "terraform"
PLUGIN_DIRS = (
    os.environ.get("TERRAFORM_PLUGIN_DIR", ""),
    str(Path.home() / ".terraform.d/plugins"),
    "/usr/local/share/terraform/plugins",
    "/usr/share/terraform/plugins",
)
NO_CHANGES, CHANGES = 0, 2


def plugins() -> Path:
    """Where the provider is; skips where it is nowhere."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not on PATH")
    for place in filter(None, PLUGIN_DIRS):
        if (Path(place) / "registry.terraform.io" / "hashicorp" / "aws").is_dir():
            return Path(place)
    pytest.skip("there is no mirror of Terraform's AWS provider: see TERRAFORM_PLUGIN_DIR")


class Stack:
    """One working directory of Terraform, on one server."""

    def __init__(self, server: Server, place: Path, artifact: Path, plugin_dir: Path) -> None:
        self._place = place
        shutil.copytree(STACK, place)
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "AWS_ENDPOINT_URL": server.url,
            "AWS_ACCESS_KEY_ID": server.credentials["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": server.credentials["secret_access_key"],
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "TF_IN_AUTOMATION": "1",
            "TF_VAR_artifact": str(artifact),
            "TF_VAR_prefix": "stack",
        }
        self.terraform("init", f"-plugin-dir={plugin_dir}")

    def terraform(self, *arguments: str, status: int = 0, revision: str = "one") -> str:
        """What a command printed; it ends with the given status."""
        finished = subprocess.run(
            ["terraform", arguments[0], "-no-color", *arguments[1:]],
            cwd=self._place,
            env={**self._environment, "TF_VAR_revision": revision},
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == status, finished.stdout + finished.stderr
        return finished.stdout

    def apply(self, revision: str) -> str:
        return self.terraform("apply", "-auto-approve", revision=revision)

    def plan(self, revision: str, status: int) -> str:
        return self.terraform("plan", "-detailed-exitcode", status=status, revision=revision)

    def attributes(self) -> dict[str, dict[str, Any]]:
        """Of everything that Terraform thinks is there, by its address."""
        state = json.loads((self._place / "terraform.tfstate").read_text())
        return {
            f"{each['type']}.{each['name']}": each["instances"][0]["attributes"]
            for each in state["resources"]
        }


@pytest.fixture
def stack(own_server: Server, tmp_path: Path) -> Iterator[Stack]:
    plugin_dir = plugins()
    artifact = tmp_path / "model.tar.gz"
    archive(artifact, {"name.txt": "terraformed", "code/inference.py": ECHO})
    made = Stack(own_server, tmp_path / "stack", artifact, plugin_dir)
    yield made
    made.terraform("destroy", "-auto-approve")


def test_a_stack_is_made_and_stays_as_it_is_and_is_updated_by_a_canary(
    own_server: Server, stack: Stack
) -> None:
    stack.apply("one")
    stack.plan("one", NO_CHANGES)
    runtime = own_server.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(EndpointName="stack-endpoint", Body=b"hello")
    assert json.loads(answer["Body"].read())["model"] == "terraformed"

    told = stack.plan("two", CHANGES)
    assert "aws_sagemaker_endpoint.served will be updated in-place" in told
    told = stack.apply("two")
    assert re.search(r"aws_sagemaker_endpoint\.served: Modifications complete", told)
    stack.plan("two", NO_CHANGES)
    described = own_server.client("sagemaker").describe_endpoint(EndpointName="stack-endpoint")
    assert described["EndpointStatus"] == "InService"
    assert described["EndpointConfigName"] == "stack-two"
    policy = described["LastDeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"]["Type"] == "CANARY"

    served = stack.attributes()["aws_sagemaker_endpoint_configuration.served"]
    assert served["name"] == "stack-two"
    stack.terraform("destroy", "-auto-approve", revision="two")
    sagemaker = own_server.client("sagemaker")
    wait_until(lambda: not sagemaker.list_endpoints(NameContains="stack")["Endpoints"])
    assert own_server.client("s3").list_buckets()["Buckets"] == []
