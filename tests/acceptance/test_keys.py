"""The root key replaced under a running server, the files that tell of it, and what `env` says."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from dotenv import dotenv_values

from tests.acceptance.server import Server, is_running, run_cli
from tests.cli.test_exports import bash_values, github_values
from tests.waiting import wait_until

AWS = Path("/usr/bin/aws")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server.start(tmp_path_factory.mktemp("keys") / "data")
    yield server
    server.stop()


def key_in_file(server: Server) -> dict[str, str]:
    found: dict[str, str] = json.loads((server.data_dir / "credentials.json").read_text())
    return found


def holding(server: Server, key: dict[str, str]) -> Server:
    """The same server for somebody with that key."""
    return Server(server.data_dir, server.url, key, server.region)


def refused_by(server: Server) -> tuple[str, str]:
    """What the API and the data plane say to a caller about an endpoint that is not there."""
    codes = []
    for service, operation in (
        ("sagemaker", "describe_endpoint"),
        ("sagemaker-runtime", "invoke_endpoint"),
    ):
        more: dict[str, Any] = {"Body": b"x"} if "invoke" in operation else {}
        with pytest.raises(ClientError) as refusal:
            getattr(server.client(service), operation)(EndpointName="nobody", **more)
        codes.append(refusal.value.response["Error"]["Code"])
    return codes[0], codes[1]


KNOWN = ("ValidationException", "ValidationError")
"""The signature was right, and there is no such endpoint."""


def settled(server: Server, expected: bool) -> None:
    """Wait until every gateway worker and control say so, several times over."""
    for _ in range(8):
        wait_until(lambda: (refused_by(server) == KNOWN) is expected)


# ── rotation ────────────────────────────────────────────────────────────────────────────────────
def test_rotate_by_command(running: Server) -> None:
    old = key_in_file(running)
    rotated = run_cli("key", "rotate", data_dir=running.data_dir)
    assert rotated.returncode == 0, rotated.stderr
    new = key_in_file(running)
    assert new["access_key_id"] != old["access_key_id"]
    assert new["access_key_id"] in rotated.stdout
    assert new["secret_access_key"] not in rotated.stdout  # it is in the file
    assert (running.data_dir / "credentials.json").stat().st_mode & 0o777 == 0o600
    settled(holding(running, new), True)
    settled(holding(running, old), False)
    assert run_cli("status", data_dir=running.data_dir).returncode == 0


def test_only_the_present_key_can_be_replaced(running: Server) -> None:
    now = holding(running, key_in_file(running))
    with pytest.raises(ClientError, match="is not the access key of"):
        now.client("inservice").rotate_root_access_key(AccessKeyId="AKIASOMEOTHERKEYALTO")
    assert key_in_file(running) == now.credentials
    settled(now, True)


def test_of_many_at_once_one_wins(running: Server) -> None:
    old = key_in_file(running)
    clients = [holding(running, old).new_client("inservice") for _ in range(6)]

    def rotate(client: Any) -> dict[str, str] | None:
        try:
            answer = client.rotate_root_access_key(AccessKeyId=old["access_key_id"])
        except ClientError:
            return None
        return {
            "access_key_id": answer["AccessKeyId"],
            "secret_access_key": answer["SecretAccessKey"],
        }

    with ThreadPoolExecutor(len(clients)) as threads:
        won = [key for key in threads.map(rotate, clients) if key]
    assert len(won) == 1
    wait_until(lambda: key_in_file(running) == won[0])
    settled(holding(running, won[0]), True)


@pytest.mark.parametrize(
    "milliseconds",
    [
        *(pytest.param(one, id=f"{one} ms") for one in (0, 4)),
        *(pytest.param(one, id=f"{one} ms", marks=pytest.mark.long) for one in (1, 2, 8, 16)),
    ],
)
def test_a_kill_in_the_middle_leaves_one_key_and_its_file(
    running: Server, milliseconds: int
) -> None:
    """Control is killed at some moment around the answer: before it and after it, as a rule."""
    old, control = key_in_file(running), running.processes()["control"]
    client = holding(running, old).new_client("inservice")
    client.describe_server()  # the connection is there: what is timed is the rotation
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(client.rotate_root_access_key, AccessKeyId=old["access_key_id"])
        time.sleep(milliseconds / 1000)
        os.kill(control, signal.SIGKILL)
        try:
            answer = asked.result()
        except Exception:
            answer = None
    wait_until(lambda: not is_running(control))
    wait_until(lambda: holding(running, key_in_file(running)).answers())
    key = key_in_file(running)
    if answer is not None:
        assert key["access_key_id"] == answer["AccessKeyId"]
    settled(holding(running, key), True)
    if key != old:
        settled(holding(running, old), False)


# ── the files ───────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("name", ["endpoint.json", "credentials.json"])
@pytest.mark.parametrize("harm", ["deleted", "cut short", "another's", "open to all"])
def test_env_works_whatever_became_of_a_file(name: str, harm: str, running: Server) -> None:
    path = running.data_dir / name
    before = path.read_bytes()
    if harm == "deleted":
        path.unlink()
    elif harm == "open to all":
        path.chmod(0o644)
    else:
        path.write_bytes(before[:9] if harm == "cut short" else before.replace(b'":"', b'":"x'))
    wait_until(lambda: path.exists() and path.read_bytes() == before)
    wait_until(lambda: path.stat().st_mode & 0o777 == 0o600)
    path.unlink()
    told = run_cli("env", "--output=json", data_dir=running.data_dir)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["AWS_ENDPOINT_URL"] == running.url
    assert (
        json.loads(told.stdout)["AWS_ACCESS_KEY_ID"]
        in (running.data_dir / "credentials.json").read_text()
    )


# ── what env says ───────────────────────────────────────────────────────────────────────────────
LIST = (
    "import boto3; print(boto3.client('sagemaker').list_endpoints()['Endpoints'],"
    " boto3.client('s3').meta.endpoint_url)"
)

CALLER = {
    "AWS_SESSION_TOKEN": "theirs",
    "AWS_REGION": "us-west-2",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z",
}


@pytest.mark.parametrize("form", ["shell", "json", "dotenv", "github"])
def test_boto3_by_each_form(form: str, running: Server) -> None:
    told = run_cli("env", f"--output={form}", data_dir=running.data_dir, **CALLER)
    assert told.returncode == 0, told.stderr
    values: dict[str, Any]
    if form == "shell":
        values = bash_values(told.stdout, CALLER)
        assert "AWS_ENDPOINT_URL_S3" in told.stderr  # not taken away without a word
    elif form == "json":
        values = {**CALLER, **json.loads(told.stdout)}
    else:
        read = github_values if form == "github" else _dotenv
        values = {**CALLER, **read(told.stdout)}
        values.pop("AWS_CREDENTIAL_EXPIRATION")  # of a key that a job has no more
    set_ = {name: value for name, value in values.items() if value is not None}
    listed = subprocess.run(
        [sys.executable, "-c", LIST],
        env={**set_, "PATH": os.environ["PATH"], "HOME": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    # A request to S3 with our key must go to nobody but us.
    assert listed.stdout == f"[] {running.url}\n", listed.stderr


def _dotenv(text: str) -> dict[str, str | None]:
    return dotenv_values(stream=io.StringIO(text))


@pytest.mark.skipif(not AWS.exists(), reason="Debian's package awscli is not installed")
def test_aws_itself(running: Server) -> None:
    script = 'eval "$(inservice env)"; aws --endpoint-url "$AWS_ENDPOINT_URL" sagemaker list-models'
    programs = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": programs, "INSERVICE_DATA_DIR": str(running.data_dir), "HOME": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"Models": []}


def test_only_who_chooses_the_profile_comes_here(
    running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    aws = tmp_path / ".aws"
    aws.mkdir()
    (aws / "credentials").write_text(
        "[default]\naws_access_key_id = THEIRS\naws_secret_access_key = theirs\n"
    )
    written = run_cli("env", "--profile=here", data_dir=running.data_dir, HOME=str(tmp_path))
    assert written.returncode == 0, written.stderr
    monkeypatch.setenv("HOME", str(tmp_path))
    ours = boto3.Session(profile_name="here")
    assert ours.client("sagemaker").list_models()["Models"] == []
    theirs = boto3.Session(region_name="us-east-1")
    assert theirs.client("s3").meta.endpoint_url == "https://s3.amazonaws.com"
    credentials = theirs.get_credentials()
    assert credentials is not None
    assert credentials.access_key == "THEIRS"
    again = run_cli("env", "--profile=default", data_dir=running.data_dir, HOME=str(tmp_path))
    assert again.returncode == 1
    assert "did not write" in again.stderr
    warned = run_cli(
        *("env", "--profile=here"),
        data_dir=running.data_dir,
        HOME=str(tmp_path),
        AWS_ENDPOINT_URL="http://x",
    )
    assert "unset AWS_ENDPOINT_URL" in warned.stderr


def test_nothing_runs(tmp_path: Path) -> None:
    told = run_cli("env", data_dir=tmp_path / "data")
    assert (told.returncode, told.stdout) == (1, "")
    assert "start one with `inservice up`" in told.stderr
