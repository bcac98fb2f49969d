"""Two accounts on one server: made by a command, deployed to under the same name, and closed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from tests.acceptance.server import ECHO, Server, archive, run_here, variant
from tests.waiting import wait_until

OTHER = "444455556666"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("accounts")
    (place / "shared").mkdir()
    environment = {"INSERVICE_MEMBER_FILE_ROOTS": str(place / "shared")}
    server = Server.start(place / "data", "--workers=1", environment=environment)
    yield server
    server.stop()


def made(server: Server, *words: str) -> Server:
    """The server for root of an account that a command makes."""
    told = run_here("account", "create", *words, "--output=json", data_dir=server.data_dir)
    assert told.returncode == 0, told.stderr
    variables = json.loads(told.stdout)
    assert variables["AWS_ENDPOINT_URL"] == server.url
    key = {
        "access_key_id": variables["AWS_ACCESS_KEY_ID"],
        "secret_access_key": variables["AWS_SECRET_ACCESS_KEY"],
    }
    return Server(server.data_dir, server.url, key, variables["AWS_REGION"])


@pytest.fixture(scope="module")
def other(running: Server) -> Server:
    return made(running, "team-a", f"--id={OTHER}")


def model(server: Server, directory: Path, name: str) -> str:
    directory.mkdir(exist_ok=True)
    return archive(directory / f"{name}.tar.gz", {"name.txt": name, "code/inference.py": ECHO})


def deploy(server: Server, url: str) -> None:
    server.create_model("m", url)
    server.create_config("c", variant("m"))
    server.client("sagemaker").create_endpoint(EndpointName="digits", EndpointConfigName="c")


def openai(server: Server, method: str, path: str) -> tuple[int, dict[str, Any]]:
    """What the path for OpenAI's clients answers, signed."""
    url = f"{server.url}/endpoints/digits/openai/v1/{path}"
    request = AWSRequest(method, url, data=b"{}" if method == "POST" else b"")
    key = Credentials(*server.credentials.values())
    SigV4Auth(key, "sagemaker", server.region).add_auth(request)
    answer = URLLib3Session().send(request.prepare())
    return answer.status_code, json.loads(answer.content)


def refusal(ask: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        ask()
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def test_each_account_has_an_endpoint_of_one_name(running: Server, other: Server) -> None:
    place = running.data_dir.parent
    assert other.client("sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{OTHER}:root"
    deploy(running, model(running, place, "own"))
    running.settled("digits")
    assert running.invoke("digits")["model"] == "own"
    nobody = ("ValidationError", f"Endpoint digits of account {OTHER} not found.")
    assert refusal(lambda: other.invoke("digits")) == nobody
    stream = other.client("sagemaker-runtime").invoke_endpoint_with_response_stream
    assert refusal(lambda: stream(EndpointName="digits", Body=b"x")) == nobody
    for method, path in (("GET", "models"), ("GET", "models/digits"), ("POST", "chat/completions")):
        code, told = openai(other, method, path)
        assert (code, told.get("error", {}).get("message")) == (400, nobody[1])
    assert other.client("sagemaker").list_endpoints()["Endpoints"] == []
    seen = other.client("inservice").describe_server()
    assert (seen["Instances"], seen["Endpoints"], seen["Processes"]) == ([], [], [])
    deploy(other, model(other, place / "shared", "others"))
    assert other.settled("digits")["EndpointStatus"] == "InService"
    assert [each.invoke("digits")["model"] for each in (running, other)] == ["own", "others"]
    (instance,) = other.client("inservice").describe_server()["Instances"]
    assert (instance["EndpointName"], instance["AccountId"]) == ("digits", OTHER)
    status = running.status()
    assert len(status["instances"]) == 1
    assert status["other_accounts"] == {"endpoints": 1, "instances": 1}
    text = run_here("status", data_dir=running.data_dir).stdout
    assert "Other accounts: 1 endpoints, 1 instances" in text


def test_files_of_the_host_are_not_another_account_s_models(running: Server, other: Server) -> None:
    place = model(running, running.data_dir.parent, "own")
    other.create_model("theirs", place)
    other.create_config("theirs", variant("theirs"))
    client = other.client("sagemaker")
    client.create_endpoint(EndpointName="theirs", EndpointConfigName="theirs")
    failed = other.settled("theirs")
    assert failed["EndpointStatus"] == "Failed"
    assert f"Could not access model data at {place}." in failed["FailureReason"]
    assert "only from directories that the operator" in failed["FailureReason"]
    client.delete_endpoint(EndpointName="theirs")
    client.delete_endpoint_config(EndpointConfigName="theirs")
    client.delete_model(ModelName="theirs")


def test_accounts_by_command(running: Server, other: Server) -> None:
    def cli(*words: str) -> tuple[int, str, str]:
        done = run_here(*words, data_dir=running.data_dir)
        return done.returncode, done.stdout, done.stderr

    code, table, _ = cli("account", "list")
    assert code == 0
    assert "(the server's own)" in table
    assert f"{OTHER}  team-a" in table
    listed = json.loads(cli("account", "list", "--output=json")[1])["Accounts"]
    assert [each["AccountId"] for each in listed] == ["000000000000", OTHER]
    code, _, words = cli("account", "create", "team-a")
    assert code == 1
    assert 'Cannot create already existing account "team-a".' in words
    code, _, words = cli("account", "create", "Team_A")
    assert code == 1
    assert "ValidationException" in words
    assert cli("account", "delete", "nobody")[0] == 2
    assert 'There is no account "nobody"' in cli("account", "delete", "nobody")[2]
    code, told, _ = cli("key", "rotate", "--account=team-a")
    assert code == 0
    old = other.credentials["access_key_id"]
    assert told.startswith(f"{old} is no key any more; ")
    new = {
        "access_key_id": told.split(" is.")[0].rpartition(" ")[2],
        "secret_access_key": told.split("this once: ")[1].strip(),
    }
    stale = Server(running.data_dir, running.url, dict(other.credentials))
    assert refusal(stale.client("sts").get_caller_identity)[0] == "InvalidClientTokenId"
    other.credentials.update(new)
    other._clients.clear()
    assert other.client("sts").get_caller_identity()["Account"] == OTHER


def test_a_key_goes_into_a_profile(running: Server, tmp_path: Path) -> None:
    files = {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }
    words = ("account", "create", "team-b", "--save-profile=team-b")
    told = run_here(*words, data_dir=running.data_dir, **files)
    assert told.returncode == 0, told.stderr
    assert "Profile team-b leads to" in told.stdout
    assert "[team-b]" in (tmp_path / "credentials").read_text()
    (tmp_path / "credentials").write_text("[team-c]\naws_access_key_id = AKIAMINE\n")
    words = ("account", "create", "team-c", "--save-profile=team-c")
    told = run_here(*words, data_dir=running.data_dir, **files)
    assert told.returncode == 1
    assert "inservice key rotate --account" in told.stderr
    for name in ("team-b", "team-c"):
        assert run_here("account", "delete", name, data_dir=running.data_dir).returncode == 0


def test_an_account_is_deleted_when_it_is_empty(running: Server, other: Server) -> None:
    done = run_here("account", "delete", "team-a", data_dir=running.data_dir)
    assert done.returncode == 1
    assert "must delete its endpoint configs (1), endpoints (1), models (1) first" in done.stderr
    assert other.invoke("digits")["model"] == "others"
    client = other.client("sagemaker")
    client.delete_endpoint(EndpointName="digits")
    client.delete_endpoint_config(EndpointConfigName="c")
    client.delete_model(ModelName="m")
    wait_until(lambda: client.list_endpoints()["Endpoints"] == [])
    other.client("s3").create_bucket(Bucket="of-team-a")
    done = run_here("account", "delete", "team-a", data_dir=running.data_dir)
    assert done.returncode == 1
    assert "must delete its buckets (1) first" in done.stderr
    other.client("s3").delete_bucket(Bucket="of-team-a")
    done = run_here("account", "delete", "team-a", data_dir=running.data_dir)
    assert done.returncode == 0, done.stderr
    assert refusal(client.list_endpoints)[0] == "UnrecognizedClientException"
    wait_until(lambda: refusal(lambda: other.invoke("digits"))[0] == "UnrecognizedClientException")
    done = run_here("account", "create", f"--id={OTHER}", data_dir=running.data_dir)
    assert done.returncode == 1
    assert f'Cannot create already existing account "{OTHER}".' in done.stderr
    assert running.invoke("digits")["model"] == "own"
