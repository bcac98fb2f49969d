"""Another storage is asked as the execution role where an STS was named, and as nobody else."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inservice.artifacts.errors import ArtifactForbidden, StorageFailed
from inservice.artifacts.limits import Limits
from inservice.artifacts.roles import KEPT_MAX
from inservice.artifacts.s3_client import OwnServer, s3_client
from inservice.artifacts.sources import Rights
from inservice.artifacts.store import ArtifactStore
from tests.contracts.archives import model_archive
from tests.contracts.scripted_s3 import ScriptedS3
from tests.contracts.scripted_sts import ScriptedSts

KEY = "model.tar.gz"
URI = f"s3://bucket/{KEY}"
SERVERS = "AKIASERVERSKEY234567"
OURS = "AKIAOURROOTKEY234567"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SERVERS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def s3() -> Iterator[ScriptedS3]:
    with ScriptedS3({KEY: model_archive({"model.joblib": b"1"})}) as scripted:
        yield scripted


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedSts]:
    with ScriptedSts() as scripted:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", scripted.url)
        yield scripted


def role(name: str) -> str:
    return f"arn:aws:iam::111122223333:role/path/{name}"


def opened(tmp_path: Path, s3: ScriptedS3, own: OwnServer | None = None) -> ArtifactStore:
    limits = Limits(retry_pause_seconds=0.01)
    return ArtifactStore(tmp_path / "store", limits, s3=lambda: s3_client(s3.url, own=own))


def fetch(store: ArtifactStore, who: str | None, pin: str = "f", uri: str = URI) -> None:
    store.fetch(uri, pin=pin, rights=Rights("111122223333", "us-east-1", who))


def signers(s3: ScriptedS3) -> list[str]:
    """The keys of all GET requests, in their order."""
    return [
        headers["authorization"].partition("Credential=")[2].partition("/")[0]
        for headers in s3.seen
    ]


def test_it_is_fetched_with_the_key_that_the_role_was_given(
    tmp_path: Path, s3: ScriptedS3, sts: ScriptedSts
) -> None:
    fetch(opened(tmp_path, s3), role("reader"))
    assert signers(s3) == ["ASIAreader"]
    assert s3.seen[0]["x-amz-security-token"] == "token-reader"
    (asked,) = sts.asked
    assert (asked["RoleArn"], asked["RoleSessionName"]) == (role("reader"), "SageMaker")
    assert SERVERS in asked["signed"]


def test_a_model_without_a_role_is_fetched_as_the_server(
    tmp_path: Path, s3: ScriptedS3, sts: ScriptedSts
) -> None:
    fetch(opened(tmp_path, s3), None)
    assert signers(s3) == [SERVERS]
    assert sts.asked == []


@pytest.mark.parametrize("named", ["", "here"])
def test_where_no_sts_was_named_no_role_is_assumed(
    tmp_path: Path,
    s3: ScriptedS3,
    sts: ScriptedSts,
    monkeypatch: pytest.MonkeyPatch,
    named: str,
) -> None:
    """Nor where the one that was named is this server, whose roles mean nothing to the store."""
    port = int(sts.url.rpartition(":")[2]) if named else 0
    if not named:
        monkeypatch.delenv("AWS_ENDPOINT_URL_STS")
    own = OwnServer(frozenset[str]().__contains__, "127.0.0.1", port)
    fetch(opened(tmp_path, s3, own), role("reader"))
    assert signers(s3) == [SERVERS]
    assert sts.asked == []


def test_an_sts_is_named_in_a_profile_as_well(
    tmp_path: Path, s3: ScriptedS3, sts: ScriptedSts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_STS")
    (tmp_path / "config").write_text(
        "[profile models]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = s\n"
        f"services = stores\n[services stores]\nsts =\n  endpoint_url = {sts.url}\n"
        f"s3 =\n  endpoint_url = {s3.url}\n"
    )
    store = ArtifactStore(tmp_path / "store", s3=lambda: s3_client(profile="models"))
    fetch(store, role("reader"))
    assert signers(s3) == ["ASIAreader"]
    assert "AKIAPROFILE" in sts.asked[0]["signed"]


def test_a_role_is_assumed_once_and_each_on_its_own(
    tmp_path: Path, s3: ScriptedS3, sts: ScriptedSts
) -> None:
    store = opened(tmp_path, s3)
    names = [f"r{number % 3}" for number in range(9)]
    s3.objects.update({f"{n}/{KEY}": s3.objects[KEY] for n in range(9)})

    def one(number: int) -> None:
        fetch(store, role(names[number]), f"f{number}", f"s3://bucket/{number}/{KEY}")

    with ThreadPoolExecutor(9) as threads:
        list(threads.map(one, range(9)))
    assert sorted(signers(s3)) == sorted(f"ASIA{name}" for name in names)
    assert len(sts.asked) == 3


def test_credentials_that_end_are_renewed(tmp_path: Path, s3: ScriptedS3, sts: ScriptedSts) -> None:
    sts.lifetime_seconds = 30.0
    store = opened(tmp_path, s3)
    fetch(store, role("reader"), "a")
    before = len(sts.asked)
    sts.lifetime_seconds = 3600.0
    s3.objects[KEY] = model_archive({"model.joblib": b"2"})
    fetch(store, role("reader"), "b")
    assert len(sts.asked) == before + 1
    fetch(store, role("reader"), "c")
    assert len(sts.asked) == before + 1


def test_a_role_that_cannot_be_assumed_is_a_failure_that_says_so(
    tmp_path: Path, s3: ScriptedS3, sts: ScriptedSts
) -> None:
    sts.answers = lambda _: (403, "AccessDenied")
    with pytest.raises(ArtifactForbidden) as refused:
        fetch(opened(tmp_path, s3), role("reader"))
    assert refused.value.reason.startswith(f"Could not access model data at {URI}.")
    assert "could not be assumed: STS answered 403 (AccessDenied): scripted words" in (
        refused.value.reason
    )
    assert "sts:AssumeRole" in refused.value.reason
    assert s3.counts == {}  # never with more rights than the role would have


def test_an_sts_that_is_out_of_order_is_asked_again(
    tmp_path: Path, s3: ScriptedS3, sts: ScriptedSts
) -> None:
    ill = threading.Semaphore(2)
    sts.answers = lambda _: (
        (503, "ServiceUnavailable") if ill.acquire(blocking=False) else (200, "")
    )
    fetch(opened(tmp_path, s3), role("reader"))
    assert len(sts.asked) == 3
    sts.answers = lambda _: (503, "ServiceUnavailable")
    s3.objects["other"] = s3.objects[KEY]
    with pytest.raises(StorageFailed, match="STS answered 503"):
        fetch(opened(tmp_path, s3), role("another"), "g", "s3://bucket/other")


def test_a_key_of_this_server_assumes_no_role(
    tmp_path: Path, s3: ScriptedS3, sts: ScriptedSts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", OURS)
    own = OwnServer(lambda key_id: key_id == OURS, "127.0.0.1", 7420)
    with pytest.raises(ArtifactForbidden):
        fetch(opened(tmp_path, s3, own), role("reader"))
    assert sts.asked == []
    assert s3.counts == {}


def test_the_roles_that_are_kept_are_few(s3: ScriptedS3, sts: ScriptedSts) -> None:
    storage = s3_client(s3.url)
    first = storage.as_role(role("r0"))
    assert storage.as_role(role("r0")) is first
    for number in range(KEPT_MAX):
        storage.as_role(role(f"r{number + 1}"))
    assert storage.as_role(role("r0")) is not first
    assert sts.asked == []  # nobody is asked before there is something to fetch
