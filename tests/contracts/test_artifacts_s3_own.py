"""The server's own key reaches no storage, and the server asks no storage that is itself.

Every way is walked in which `inservice env`, or a profile made from it, may have left a key of ours
where boto3 looks; a storage on a real socket then shows which keys arrived.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inservice.artifacts.base import Artifact
from inservice.artifacts.errors import ArtifactForbidden
from inservice.artifacts.limits import Limits
from inservice.artifacts.s3_client import OwnServer, s3_client
from inservice.artifacts.store import ArtifactStore
from tests.contracts.archives import model_archive
from tests.contracts.scripted_s3 import ScriptedS3

KEY = "model.tar.gz"
URI = f"s3://bucket/{KEY}"
OURS = "AKIAOURROOTKEY234567"
THEIRS = "AKIATHEIRSTOREKEY234"
HERE = OwnServer(lambda key_id: key_id == OURS, "127.0.0.1", 7420)


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def s3() -> Iterator[ScriptedS3]:
    with ScriptedS3({KEY: model_archive({"model.joblib": b"1"})}) as scripted:
        yield scripted


@pytest.fixture
def fetch(tmp_path: Path, s3: ScriptedS3) -> Callable[..., Artifact]:
    def fetch(url: str = s3.url, *, profile: str = "", own: OwnServer = HERE) -> Artifact:
        limits = Limits(retry_pause_seconds=0.02)
        store = ArtifactStore(
            tmp_path / "store", limits, s3=lambda: s3_client(url, profile=profile, own=own)
        )
        return store.fetch(URI, pin="fleet")

    return fetch


Fetch = Callable[..., Artifact]


def keys_seen(s3: ScriptedS3) -> str:
    return " ".join(headers.get("authorization", "") for headers in s3.seen)


def exported(monkeypatch: pytest.MonkeyPatch, **more: str) -> None:
    """What `eval "$(inservice env)"` leaves in a shell."""
    variables = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:7420",
        "AWS_ACCESS_KEY_ID": OURS,
        "AWS_SECRET_ACCESS_KEY": "our-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in (variables | more).items():
        monkeypatch.setenv(name, value)


def credentials(tmp_path: Path, profile: str, key_id: str) -> None:
    with (tmp_path / "credentials").open("a") as file:
        file.write(f"[{profile}]\naws_access_key_id = {key_id}\naws_secret_access_key = x\n")


def test_keys_of_inservice_env_stay_here(
    fetch: Fetch, s3: ScriptedS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(monkeypatch)
    with pytest.raises(ArtifactForbidden) as refusal:
        fetch()
    assert s3.counts == {}
    assert OURS in refusal.value.reason
    assert "inservice env" in refusal.value.reason
    assert s3.url in refusal.value.reason
    assert "our-secret" not in refusal.value.reason


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.1:7420",
        "http://localhost:7420/",
        "http://[::1]:7420",
        "http://127.1.2.3:7420",
    ],
)
def test_a_shell_that_points_here_has_no_key_for_elsewhere(
    fetch: Fetch, s3: ScriptedS3, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A key that was rotated, or of the server that was here before, is in no record any more."""
    exported(monkeypatch, AWS_ACCESS_KEY_ID="AKIAOURKEYOFLASTYEAR", AWS_ENDPOINT_URL=place)
    with pytest.raises(ArtifactForbidden, match="AKIAOURKEYOFLASTYEAR"):
        fetch()
    assert s3.counts == {}


def test_a_shell_that_points_elsewhere_is_believed(
    fetch: Fetch, s3: ScriptedS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(monkeypatch, AWS_ACCESS_KEY_ID=THEIRS, AWS_ENDPOINT_URL="http://127.0.0.1:9000")
    assert fetch().size_bytes == 1
    assert THEIRS in keys_seen(s3)


def test_the_next_place_is_asked_as_if_ours_were_not_there(
    fetch: Fetch, s3: ScriptedS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exported(monkeypatch)
    credentials(tmp_path, "default", THEIRS)
    assert fetch().size_bytes == 1
    assert THEIRS in keys_seen(s3)
    assert OURS not in keys_seen(s3)


@pytest.mark.parametrize("by", ["AWS_PROFILE", "setting"])
def test_a_profile_that_holds_our_key_is_passed_over(
    fetch: Fetch, s3: ScriptedS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by: str
) -> None:
    credentials(tmp_path, "inservice", OURS)
    if by == "AWS_PROFILE":
        monkeypatch.setenv("AWS_PROFILE", "inservice")
    with pytest.raises(ArtifactForbidden, match=OURS):
        fetch(profile="inservice" if by == "setting" else "")
    assert s3.counts == {}


@pytest.mark.parametrize(
    "source", ["source_profile = inservice", "credential_source = Environment"]
)
def test_a_role_is_not_assumed_with_our_key(
    fetch: Fetch, s3: ScriptedS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str
) -> None:
    """STS is the third party here, and it is asked before there are credentials to look at."""
    credentials(tmp_path, "inservice", OURS)
    (tmp_path / "config").write_text(
        f"[profile models]\nrole_arn = arn:aws:iam::123456789012:role/models\n{source}\n"
        "region = us-east-1\n"
    )
    exported(monkeypatch)
    monkeypatch.setenv("AWS_PROFILE", "models")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with ScriptedS3({}) as sts:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        with pytest.raises(ArtifactForbidden, match=OURS):
            fetch()
        assert sts.seen == []
    assert s3.counts == {}


def test_a_profile_for_artifacts_comes_before_what_the_shell_says(
    fetch: Fetch, s3: ScriptedS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exported(monkeypatch, AWS_ENDPOINT_URL_S3="http://127.0.0.1:1")
    credentials(tmp_path, "minio", THEIRS)
    (tmp_path / "config").write_text(f"[profile minio]\nendpoint_url = {s3.url}\n")
    assert fetch("", profile="minio").size_bytes == 1
    assert THEIRS in keys_seen(s3)


def test_a_profile_that_is_not_there_is_named(fetch: Fetch) -> None:
    with pytest.raises(ArtifactForbidden, match="nowhere"):
        fetch(profile="nowhere")


def test_a_key_that_becomes_ours_is_held_back_at_the_door(
    fetch: Fetch, s3: ScriptedS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client keeps the credentials it found first; what is ours is asked with each request."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", THEIRS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    ours: set[str] = set()
    storage = s3_client(s3.url, own=OwnServer(ours.__contains__, "127.0.0.1", 7420))
    storage.client.head_object(Bucket="bucket", Key=KEY)
    ours.add(THEIRS)
    with pytest.raises(ArtifactForbidden, match="was not sent"):
        storage.client.head_object(Bucket="bucket", Key=KEY)
    assert s3.counts == {"HEAD": 1}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.9.9.9"])
@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_store_that_is_this_server_is_not_asked(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch, host: str, bound: str
) -> None:
    """On a real socket that nobody may connect to."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", THEIRS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with socket.create_server(("127.0.0.1", 0)) as ourselves:
        port = ourselves.getsockname()[1]
        own = OwnServer(HERE.is_key, bound, port)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
        with pytest.raises(ArtifactForbidden, match="this server itself"):
            fetch("", own=own)
        ourselves.setblocking(False)
        with pytest.raises(BlockingIOError):
            ourselves.accept()


def test_an_address_of_this_host_is_this_host() -> None:
    own = OwnServer(HERE.is_key, "0.0.0.0", 80)
    assert own.is_at("http://127.0.0.1")
    assert own.is_at("127.0.0.1:80")
    for elsewhere in (
        "http://192.0.2.1",
        "http://127.0.0.1:81",
        "",
        "https://127.0.0.1",
        "http://:80",
    ):
        assert not own.is_at(elsewhere), elsewhere
    for nonsense in ("http://[", "http://x:y", "http://a:99999", "http://" + "a" * 300 + ":80"):
        assert not own.is_at(nonsense), nonsense


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_names_the_key_and_the_store(
    fetch: Fetch, s3: ScriptedS3, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", THEIRS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "their-secret")
    s3.fault = lambda request: request.status(status, "InvalidAccessKeyId")
    with pytest.raises(ArtifactForbidden) as refusal:
        fetch()
    assert f"{s3.url} answered {status} to the access key {THEIRS}." in refusal.value.reason
    assert "their-secret" not in refusal.value.reason
