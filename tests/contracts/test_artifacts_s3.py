"""A storage that fails in every way it can: retried, told apart, never half believed (D4, D6)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from inservice.artifacts.base import Artifact
from inservice.artifacts.errors import (
    ArtifactChanged,
    ArtifactError,
    ArtifactForbidden,
    ArtifactMissing,
    FetchCancelled,
    FetchTimedOut,
    LimitExceeded,
    SourceRefused,
    StorageFailed,
    UnsafeMember,
)
from inservice.artifacts.limits import Limits
from inservice.artifacts.s3_client import s3_client
from inservice.artifacts.store import ArtifactStore
from tests.contracts.archives import model_archive
from tests.contracts.scripted_s3 import Request, ScriptedS3

KEY = "models/model.tar.gz"
URI = f"s3://bucket/{KEY}"
CONTENT = os.urandom(700_000)  # larger than one read and than the socket's buffers


@pytest.fixture(autouse=True)
def only_these_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(monkeypatch)


def isolate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test sets: no profile of the machine, no AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[ScriptedS3, Any]]:
    """One server and one client, since making a client takes 200 ms of CPU."""
    with pytest.MonkeyPatch.context() as monkeypatch, ScriptedS3() as scripted:
        isolate(monkeypatch)
        yield scripted, s3_client(scripted.url)


@pytest.fixture
def s3(shared: tuple[ScriptedS3, Any]) -> ScriptedS3:
    shared[0].begin({KEY: model_archive({"model.joblib": CONTENT})})
    return shared[0]


Fetch = Callable[..., Artifact]


@pytest.fixture
def fetch(tmp_path: Path, s3: ScriptedS3, shared: tuple[ScriptedS3, Any]) -> Fetch:
    limits = Limits(retry_pause_seconds=0.02)
    store = ArtifactStore(tmp_path / "store", limits, s3=lambda: shared[1])

    def fetch(uri: str = URI, *, pin: str = "fleet", **more: object) -> Artifact:
        artifact = store.fetch(uri, pin=pin, **more)  # type: ignore[arg-type]
        assert not list((tmp_path / "store/partial").iterdir())
        return artifact

    return fetch


def is_whole(artifact: Artifact) -> bool:
    return (artifact.path / "model.joblib").read_bytes() == CONTENT


def only(name: str, fault: Callable[[Request], bool]) -> Callable[[Request], bool]:
    return lambda request: request.method == name and fault(request)


def test_an_object_is_fetched_with_progress_and_phases(s3: ScriptedS3, fetch: Fetch) -> None:
    seen: list[tuple[int, int]] = []
    artifact = fetch(progress=lambda *so_far: seen.append(so_far))
    assert is_whole(artifact)
    assert artifact.size_bytes == len(CONTENT)
    assert set(artifact.phases) == {"look", "download", "unpack"}
    assert seen[-1] == (len(s3.objects[KEY]), len(s3.objects[KEY]))
    assert seen == sorted(seen)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("status", [500, 503, 429])
def test_errors_that_pass_are_waited_for(
    s3: ScriptedS3, fetch: Fetch, method: str, status: int
) -> None:
    s3.fault = only(method, lambda request: request.number <= 2 and request.status(status))
    assert is_whole(fetch())
    assert s3.counts[method] == 3


def test_three_errors_and_a_reset_are_survived(s3: ScriptedS3, fetch: Fetch) -> None:
    """D4: 500 × 3."""
    s3.fault = only("GET", lambda request: request.number <= 3 and request.status(500))
    assert is_whole(fetch())


def test_an_error_that_stays_is_told(s3: ScriptedS3, fetch: Fetch) -> None:
    s3.fault = lambda request: request.status(503, "SlowDown")
    with pytest.raises(StorageFailed) as refusal:
        fetch()
    assert refusal.value.reason.startswith(f"Could not access model data at {URI}. ")
    assert "503" in refusal.value.reason
    assert refusal.value.transient


@pytest.mark.parametrize("then", ["reset", "close"])
@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_a_dropped_download_goes_on_where_it_stopped(
    s3: ScriptedS3, fetch: Fetch, size: int, then: str
) -> None:
    s3.fault = only("GET", lambda request: request.number <= 2 and request.partly(size, then=then))
    assert is_whole(fetch())
    first, *others = s3.seen
    assert "range" not in first
    if size and then == "close":  # a reset may overtake bytes on their way
        assert others[0]["range"] == f"bytes={size}-"
    assert all(headers["if-match"] == first["if-match"] for headers in others)


def test_a_download_that_always_stops_short_is_given_up(s3: ScriptedS3, fetch: Fetch) -> None:
    s3.fault = only("GET", lambda request: request.partly(0, then="close"))
    with pytest.raises(StorageFailed) as refusal:
        fetch()
    assert KEY in refusal.value.reason


def test_a_storage_that_ignores_ranges_is_found_out(s3: ScriptedS3, fetch: Fetch) -> None:
    def whole_again(request: Request) -> bool:
        if request.number == 1:
            return request.partly(1000, then="close")
        request.server.send_head(request.wire, KEY, s3.objects[KEY], 0)
        request.wire.wfile.write(s3.objects[KEY])
        return True

    s3.fault = only("GET", whole_again)
    with pytest.raises(StorageFailed) as refusal:
        fetch()
    assert "from byte 1000" in refusal.value.reason


def test_an_object_replaced_in_mid_download_is_fetched_anew(s3: ScriptedS3, fetch: Fetch) -> None:
    """No tree is ever a mixture of two versions."""
    other = model_archive({"model.joblib": CONTENT, "version.txt": b"2"})

    def replace_it(request: Request) -> bool:
        if request.number > 1:
            return False
        request.partly(300_000, then="close")
        s3.objects[KEY] = other
        return True

    s3.fault = only("GET", replace_it)
    artifact = fetch()
    assert is_whole(artifact)
    assert (artifact.path / "version.txt").read_bytes() == b"2"


def test_an_object_that_never_stays_the_same_is_given_up(s3: ScriptedS3, fetch: Fetch) -> None:
    """D4: an ETag that is never the one that was looked up."""
    s3.fault = only("GET", lambda request: request.status(412, "PreconditionFailed"))
    with pytest.raises(ArtifactChanged) as refusal:
        fetch()
    assert "replaced while it was being downloaded" in refusal.value.reason
    assert s3.counts["GET"] == 3


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (404, ArtifactMissing, "Please ensure that the object exists"),
        (403, ArtifactForbidden, '"s3:GetObject"'),
        (301, ArtifactForbidden, "region"),
    ],
)
def test_refusals_are_told_at_once(
    s3: ScriptedS3, fetch: Fetch, status: int, kind: type[ArtifactError], says: str
) -> None:
    s3.fault = lambda request: request.status(status)
    with pytest.raises(kind) as refusal:
        fetch()
    assert refusal.value.reason.startswith(f"Could not access model data at {URI}. ")
    assert says in refusal.value.reason
    assert s3.counts == {"HEAD": 1}


def test_a_redirect_is_not_followed(s3: ScriptedS3, fetch: Fetch) -> None:
    """D6: only the configured endpoint is talked to."""
    with ScriptedS3({KEY: model_archive({"model.joblib": CONTENT})}) as elsewhere:
        target = f"{elsewhere.url}/bucket/{KEY}"
        s3.fault = lambda request: request.status(307, "TemporaryRedirect", Location=target)
        with pytest.raises(ArtifactError):
            fetch()
        assert elsewhere.counts == {}


def test_a_dripping_storage_is_left_at_the_deadline(s3: ScriptedS3, fetch: Fetch) -> None:
    s3.fault = only("GET", lambda r: r.partly(2000, then="drip", pause_seconds=0.01))
    with pytest.raises(FetchTimedOut) as refusal:
        fetch(deadline=time.monotonic() + 0.5)
    assert "ModelDataDownloadTimeoutInSeconds" in refusal.value.reason


def test_a_fetch_can_be_cancelled(s3: ScriptedS3, fetch: Fetch) -> None:
    cancelled = threading.Event()

    def cancel(request: Request) -> bool:
        cancelled.set()
        return request.status(503)

    s3.fault = cancel
    with pytest.raises(FetchCancelled):
        fetch(cancelled=cancelled)


def test_nobody_listening_is_told(tmp_path: Path) -> None:
    limits = Limits(retry_pause_seconds=0.02)
    nobody = lambda: s3_client("http://127.0.0.1:1")  # noqa: E731
    store = ArtifactStore(tmp_path / "store", limits, s3=nobody)
    with pytest.raises(StorageFailed) as refusal:
        store.fetch(URI, pin="fleet")
    assert "Could not connect" in refusal.value.reason


def test_no_credentials_are_told(
    tmp_path: Path, s3: ScriptedS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    store = ArtifactStore(tmp_path / "store", s3=lambda: s3_client(s3.url))
    with pytest.raises(ArtifactForbidden) as refusal:
        store.fetch(URI, pin="fleet")
    assert "no S3 credentials" in refusal.value.reason


def test_a_prefix_is_copied_as_it_is(s3: ScriptedS3, fetch: Fetch) -> None:
    s3.objects = {
        "m/weights/part1": b"1" * 1000,
        "m/weights/part2": b"",
        "m/config.json": b"{}",
        "m/code/inference.py": b"def model_fn(d): ...",
        "models-of-others": b"no",
    }
    artifact = fetch("s3://bucket/m/", data_type="S3Prefix", compression="None")
    found = {str(p.relative_to(artifact.path)): p for p in artifact.path.rglob("*") if p.is_file()}
    assert set(found) == {"weights/part1", "weights/part2", "config.json", "code/inference.py"}
    assert found["weights/part1"].read_bytes() == b"1" * 1000


def test_an_object_without_compression_keeps_its_name(s3: ScriptedS3, fetch: Fetch) -> None:
    s3.objects["a/b/model.onnx"] = CONTENT
    artifact = fetch("s3://bucket/a/b/model.onnx", compression="None")
    assert [p.name for p in artifact.path.iterdir()] == ["model.onnx"]
    assert (artifact.path / "model.onnx").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (["m/weights", "m/weights/part1"], "both a file and a directory"),
        (["m/folder/", "m/folder/part1"], "folder marker"),
        (["m/a//b"], "empty"),
        (["m/./b"], "empty"),
        (["m/a/../../b"], '".."'),
        (["m/ /b"], "blank"),
        ([f"m/{'n' * 256}"], "255"),
    ],
)
def test_keys_that_cannot_be_files_fail(
    s3: ScriptedS3, fetch: Fetch, keys: list[str], says: str
) -> None:
    s3.objects = dict.fromkeys(keys, b"x")
    with pytest.raises((UnsafeMember, LimitExceeded)) as refusal:
        fetch("s3://bucket/m/", data_type="S3Prefix", compression="None")
    assert says in refusal.value.reason


@pytest.mark.parametrize("size", ["<Size>-5</Size>", ""])
def test_a_listing_without_a_size_is_refused_before_a_byte_is_read(
    s3: ScriptedS3, fetch: Fetch, size: str
) -> None:
    """A body that announces -5 bytes is read to the connection's end, which need never come."""
    s3.fault = only("LIST", lambda r: r.listing(f"<Contents><Key>m/a</Key>{size}</Contents>"))
    with pytest.raises(StorageFailed, match="no size"):
        fetch("s3://bucket/m/", data_type="S3Prefix", compression="None")
    assert "GET" not in s3.counts


def test_an_object_without_a_size_is_refused_before_a_byte_is_read(
    s3: ScriptedS3, fetch: Fetch
) -> None:
    s3.fault = only("HEAD", lambda r: r.nothing(200, Content_Length="-5"))
    with pytest.raises(StorageFailed, match="no size"):
        fetch()
    assert "GET" not in s3.counts


def test_a_listing_that_cannot_be_gone_on_with_fails(s3: ScriptedS3, fetch: Fetch) -> None:
    found = "<Contents><Key>m/a</Key><Size>1</Size></Contents>"
    s3.fault = only("LIST", lambda r: r.listing(found, truncated="true"))
    with pytest.raises(StorageFailed, match="how to go on"):
        fetch("s3://bucket/m/", data_type="S3Prefix", compression="None")


def test_an_empty_prefix_fails(s3: ScriptedS3, fetch: Fetch) -> None:
    with pytest.raises(ArtifactMissing):
        fetch("s3://bucket/nothing/", data_type="S3Prefix", compression="None")


def test_too_many_objects_are_refused_before_any_is_read(tmp_path: Path, s3: ScriptedS3) -> None:
    s3.objects = {f"m/{n}": b"x" for n in range(8)}
    limits = Limits(entries_max=5)
    store = ArtifactStore(tmp_path / "store", limits, s3=lambda: s3_client(s3.url))
    with pytest.raises(LimitExceeded):
        store.fetch("s3://bucket/m/", data_type="S3Prefix", compression="None", pin="fleet")
    assert "GET" not in s3.counts


@pytest.mark.parametrize(
    ("uri", "data_type", "compression"),
    [
        ("http://169.254.169.254/latest/meta-data", "S3Object", "Gzip"),
        ("https://bucket.s3.amazonaws.com/model.tar.gz", "S3Object", "Gzip"),
        ("ftp://host/x", "S3Object", "Gzip"),
        ("s3://169.254.169.254@x/k", "S3Object", "Gzip"),
        ("s3://user:secret@bucket/k", "S3Object", "Gzip"),
        ("s3://[::1]/k", "S3Object", "Gzip"),
        ("s3://host:80/k", "S3Object", "Gzip"),
        ("s3://bucket%2f..%2f/k", "S3Object", "Gzip"),
        ("s3://arn:aws:s3:us-east-1:1:accesspoint/x/k", "S3Object", "Gzip"),
        ("s3://bucket", "S3Object", "Gzip"),
        ("s3:///k", "S3Object", "Gzip"),
        ("s3://bucket/k\r\nHost: evil", "S3Object", "Gzip"),
        ("s3://bucket/prefix/", "S3Object", "Gzip"),
        ("s3://bucket/prefix", "S3Prefix", "None"),
        ("s3://bucket/prefix/", "S3Prefix", "Gzip"),
        ("s3://bucket/k", "S3Object", "Zstd"),
        ("/etc/passwd", "S3Object", "None"),
        ("", "S3Object", "Gzip"),
        ("file://host/etc/passwd", "S3Object", "None"),
        ("file://etc/passwd", "S3Object", "None"),
        ("file:///srv/../etc/passwd", "S3Object", "None"),
        ("file:///srv/%2e%2e/etc/passwd", "S3Object", "None"),
        ("file:///srv//passwd", "S3Object", "None"),
        ("file:///srv/%ff", "S3Object", "None"),
        ("file:///srv/%00", "S3Object", "None"),
    ],
)
def test_other_sources_are_refused_unasked(
    s3: ScriptedS3, fetch: Fetch, uri: str, data_type: str, compression: str
) -> None:
    """D6: nothing but s3:// through the configured endpoint, and file:// where it is allowed."""
    with pytest.raises(SourceRefused) as refusal:
        fetch(uri, data_type=data_type, compression=compression)
    assert "\n" not in refusal.value.reason
    assert s3.counts == {}


def test_the_endpoint_is_found_as_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_ENDPOINT_URL is InService itself for whoever uses it, so it is not where models are."""
    config = tmp_path / "config"
    config.write_text(
        "[default]\nregion = eu-central-1\nendpoint_url = http://general.example\n"
        "services = local\n[services local]\ns3 =\n  endpoint_url = http://profile.example\n"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://inservice.example")
    plain = s3_client().client.meta
    assert plain.endpoint_url == "https://s3.amazonaws.com"
    assert plain.region_name == "us-east-1"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    assert s3_client().client.meta.endpoint_url == "http://profile.example"
    assert s3_client().client.meta.region_name == "eu-central-1"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://environment.example")
    assert s3_client().client.meta.endpoint_url == "http://environment.example"
    assert s3_client("http://setting.example").client.meta.endpoint_url == "http://setting.example"


def test_it_works_with_somebody_elses_s3(tmp_path: Path) -> None:
    """moto's S3 as the rival that keeps our own fake honest."""
    from moto.server import ThreadedMotoServer

    rival = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    rival.start()
    try:
        host, port = rival.get_host_and_port()
        url = f"http://{host}:{port}"
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
        client.create_bucket(Bucket="bucket")
        client.put_object(Bucket="bucket", Key=KEY, Body=model_archive({"model.joblib": CONTENT}))
        for name in ("a", "b/c", "b/d e+f", "b/ü"):
            client.put_object(Bucket="bucket", Key=f"m/{name}", Body=name.encode())
        store = ArtifactStore(tmp_path / "store", s3=lambda: s3_client(url))
        assert is_whole(store.fetch(URI, pin="fleet"))
        copied = store.fetch(
            "s3://bucket/m/", data_type="S3Prefix", compression="None", pin="fleet"
        )
        found = {str(p.relative_to(copied.path)) for p in copied.path.rglob("*") if p.is_file()}
        assert found == {"a", "b/c", "b/d e+f", "b/ü"}
        with pytest.raises(ArtifactMissing):
            store.fetch("s3://bucket/nothing", pin="fleet")
        with pytest.raises(ArtifactMissing):
            store.fetch(
                "s3://no-such-bucket/nothing/", data_type="S3Prefix", compression="None", pin="p"
            )
    finally:
        rival.stop()
