"""One download for everybody, kept by digest, pinned by fleet, whole after any crash (D5, A17)."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inservice.artifacts.base import Artifact, ChangedTree
from inservice.artifacts.errors import (
    ArtifactChanged,
    ArtifactForbidden,
    ArtifactMissing,
    FetchTimedOut,
    StorageFailed,
    UnsafeMember,
)
from inservice.artifacts.limits import Limits
from inservice.artifacts.s3_client import s3_client
from inservice.artifacts.shelf import SET_ASIDE_MAX
from inservice.artifacts.store import ArtifactStore
from inservice.artifacts.tree import Entry
from tests.contracts.archives import model_archive
from tests.contracts.scripted_s3 import Request, ScriptedS3

KEY = "model.tar.gz"
URI = f"s3://bucket/{KEY}"
FIRST = model_archive({"model.joblib": b"first" * 100_000})
SECOND = model_archive({"model.joblib": b"second" * 100_000})


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedS3]:
    with pytest.MonkeyPatch.context() as monkeypatch, ScriptedS3() as scripted:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield scripted


@pytest.fixture
def s3(server: ScriptedS3) -> ScriptedS3:
    server.begin({KEY: FIRST})
    return server


@cache
def client_of(url: str) -> Any:
    """Making one takes 200 ms of CPU."""
    return s3_client(url)


def open_store(root: Path, s3: ScriptedS3, limits: Limits | None = None) -> ArtifactStore:
    """What a control process does when it starts."""
    limits = limits or Limits(retry_pause_seconds=0.02)
    return ArtifactStore(root / "store", limits, s3=lambda: client_of(s3.url))


def names(root: Path, directory: str) -> list[str]:
    return sorted(path.name for path in (root / "store" / directory).iterdir())


def test_twenty_fleets_at_once_cost_one_download(tmp_path: Path, s3: ScriptedS3) -> None:
    """D5. The first download is held until all others wait for it."""
    store = open_store(tmp_path, s3)
    waiting = threading.Barrier(20)

    def one(number: int) -> str:
        waiting.wait(10)
        return store.fetch(URI, pin=f"fleet {number}").digest

    with ThreadPoolExecutor(20) as threads:
        digests = set(threads.map(one, range(20)))
    assert len(digests) == 1
    assert s3.counts["GET"] == 1
    assert names(tmp_path, "partial") == []
    assert len(names(tmp_path, "pins")) == 20


def test_those_who_wait_get_the_failure_too(tmp_path: Path, s3: ScriptedS3) -> None:
    """Twenty fleets must not ask a storage that is down twenty times in turn."""
    store = open_store(tmp_path, s3)
    holding = threading.Event()

    def fail(request: Request) -> bool:
        holding.wait(10)
        return request.status(404)

    s3.fault = fail
    with ThreadPoolExecutor(5) as threads:
        fetches = [threads.submit(store.fetch, URI, pin=f"fleet {n}") for n in range(5)]
        deadline = time.monotonic() + 5
        while not s3.counts and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)  # the other four have nothing to show that they wait; a late one asks anew
        holding.set()
        errors = [fetch.exception() for fetch in fetches]
    assert all(isinstance(error, ArtifactMissing) for error in errors)
    assert len({id(error) for error in errors}) == 5, "threads share no traceback"
    assert s3.counts["HEAD"] <= 2


def test_a_leader_out_of_time_does_not_fail_those_who_wait(tmp_path: Path, s3: ScriptedS3) -> None:
    store = open_store(tmp_path, s3)
    holding = threading.Event()
    s3.fault = lambda request: request.number == 1 and (not holding.wait(10) or request.status(503))
    with ThreadPoolExecutor(2) as threads:
        hasty = threads.submit(store.fetch, URI, pin="a", deadline=time.monotonic() + 0.3)
        deadline = time.monotonic() + 5
        while not s3.counts and time.monotonic() < deadline:
            time.sleep(0.01)
        patient = threads.submit(store.fetch, URI, pin="b")
        time.sleep(0.4)  # past the deadline of the first
        holding.set()
        assert isinstance(hasty.exception(), FetchTimedOut)
        assert patient.result().size_bytes == 500_000


def test_a_fleet_keeps_what_it_began_with(tmp_path: Path, s3: ScriptedS3) -> None:
    """A17: the object changes, then vanishes, then the storage does; control restarts between."""
    first = open_store(tmp_path, s3).fetch(URI, pin="old fleet")
    s3.objects[KEY] = SECOND
    store = open_store(tmp_path, s3)
    assert store.fetch(URI, pin="old fleet").digest == first.digest
    second = store.fetch(URI, pin="new fleet")
    assert second.digest != first.digest
    del s3.objects[KEY]
    assert store.fetch(URI, pin="old fleet").digest == first.digest
    with pytest.raises(ArtifactMissing):
        store.fetch(URI, pin="third fleet")
    s3.fault = lambda request: request.status(500)
    store = open_store(tmp_path, s3)
    assert store.fetch(URI, pin="new fleet").path == second.path
    assert first.path.joinpath("model.joblib").read_bytes().startswith(b"first")


def test_an_unchanged_object_is_not_downloaded_for_the_next_fleet(
    tmp_path: Path, s3: ScriptedS3
) -> None:
    open_store(tmp_path, s3).fetch(URI, pin="a")
    artifact = open_store(tmp_path, s3).fetch(URI, pin="b")
    assert s3.counts == {"HEAD": 2, "GET": 1}
    assert set(artifact.phases) == {"look"}


def test_equal_files_are_one_tree(tmp_path: Path, s3: ScriptedS3) -> None:
    s3.objects["other.tar.gz"] = model_archive({"model.joblib": b"first" * 100_000})[:]
    store = open_store(tmp_path, s3)
    one, other = store.fetch(URI, pin="a"), store.fetch("s3://bucket/other.tar.gz", pin="a")
    assert one.path == other.path
    assert len(names(tmp_path, "trees")) == 1


def test_a_lost_tree_is_fetched_again_and_compared(tmp_path: Path, s3: ScriptedS3) -> None:
    store = open_store(tmp_path, s3)
    first = store.fetch(URI, pin="fleet")
    damage(first.path / "model.joblib", b"")
    again = open_store(tmp_path, s3)
    assert again.fetch(URI, pin="fleet").digest == first.digest
    assert (first.path / "model.joblib").stat().st_size == 500_000
    damage(first.path / "model.joblib", b"")
    s3.objects[KEY] = SECOND
    with pytest.raises(ArtifactChanged) as refusal:
        open_store(tmp_path, s3).fetch(URI, pin="fleet")
    assert "not what this fleet began with" in refusal.value.reason


def test_each_process_reads_what_it_hands_out(tmp_path: Path, s3: ScriptedS3) -> None:
    """A host that lost power may keep a file's name, size and times and lose its bytes."""
    path = open_store(tmp_path, s3).fetch(URI, pin="fleet").path / "model.joblib"
    times = path.stat()
    damage(path, b"\0" * 500_000)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    open_store(tmp_path, s3).fetch(URI, pin="fleet")
    assert path.read_bytes().startswith(b"first")


def rewrite(tree: Path) -> None:
    """As a model would that has something to hide: the same size, the same times, the same mode."""
    path = tree / "model.joblib"
    before = path.stat()
    damage(path, b"evil!" * 100_000)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_link(tree: Path) -> None:
    """Today it reads as it did; tomorrow it need not."""
    outside = tree.parents[3] / "outside"
    outside.write_bytes((tree / "model.joblib").read_bytes())
    tree.chmod(0o755)
    (tree / "model.joblib").unlink()
    (tree / "model.joblib").symlink_to(outside)


def replace_the_tree_by_a_link(tree: Path) -> None:
    tree.rename(tree.parents[3] / "moved")
    tree.symlink_to(tree.parents[3] / "moved")


def add_code(tree: Path) -> None:
    tree.chmod(0o755)
    (tree / "code").mkdir()
    (tree / "code/inference.py").write_text("evil")
    tree.chmod(0o555)


def add_an_empty_directory(tree: Path) -> None:
    tree.chmod(0o755)
    (tree / "code").mkdir()


def add_a_link_to_a_directory(tree: Path) -> None:
    tree.chmod(0o755)
    (tree / "code").symlink_to("/etc")


def remove(tree: Path) -> None:
    tree.chmod(0o755)
    (tree / "model.joblib").unlink()


def replace_by_pipe(tree: Path) -> None:
    remove(tree)
    os.mkfifo(tree / "model.joblib")


def open_to_all(tree: Path) -> None:
    """Nothing is changed yet, and everybody could."""
    (tree / "model.joblib").chmod(0o666)


def rewrite_with_the_manifest(tree: Path) -> None:
    """The record of what is in it is beside it, for whoever can write there."""
    rewrite(tree)
    entry = Entry("model.joblib", 500_000, hashlib.sha256(b"evil!" * 100_000).hexdigest())
    document = {"size_bytes": 500_000, "entries": [entry]}
    (tree.parent / "manifest.json").write_bytes(msgspec.json.encode(document))


TAMPERINGS = [
    rewrite,
    replace_by_link,
    replace_the_tree_by_a_link,
    add_code,
    add_an_empty_directory,
    add_a_link_to_a_directory,
    remove,
    replace_by_pipe,
    open_to_all,
    rewrite_with_the_manifest,
]


def seen_by_a_model(artifact: Artifact) -> dict[str, bytes]:
    return {
        str(path.relative_to(artifact.path)): path.read_bytes() if path.is_file() else b""
        for path in artifact.path.rglob("*")
    }


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: str(tamper.__name__))
@pytest.mark.parametrize("who", ["replacement", "other fleet", "fresh upload"])
@pytest.mark.parametrize("again", [False, True], ids=["same process", "new process"])
def test_a_tree_that_somebody_changed_is_handed_to_nobody(
    tmp_path: Path,
    s3: ScriptedS3,
    caplog: pytest.LogCaptureFixture,
    tamper: Callable[[Path], None],
    who: str,
    again: bool,
) -> None:
    """Neither to a replacement in the same fleet, nor to another endpoint with the same content,
    nor to whoever uploads the same content anew."""
    store = open_store(tmp_path, s3)
    first = store.fetch(URI, pin="fleet")
    tamper(first.path)
    if again:
        store = open_store(tmp_path, s3)
    s3.objects["fresh.tar.gz"] = model_archive({"model.joblib": b"first" * 100_000})
    uri = "s3://bucket/fresh.tar.gz" if who == "fresh upload" else URI
    artifact = store.fetch(uri, pin="fleet" if who == "replacement" else "another")
    assert artifact.digest == first.digest
    assert seen_by_a_model(artifact) == {"model.joblib": b"first" * 100_000}
    assert artifact.path.lstat().st_mode == 0o40555
    (aside,) = names(tmp_path, "set-aside")
    assert first.digest in caplog.text
    assert aside in caplog.text
    assert store.fetch(URI, pin="fleet").path == artifact.path
    assert names(tmp_path, "set-aside") == [aside]


def test_whoever_began_with_a_changed_tree_is_named(tmp_path: Path, s3: ScriptedS3) -> None:
    told: list[ChangedTree] = []
    store = ArtifactStore(tmp_path / "store", s3=lambda: client_of(s3.url), on_changed=told.append)
    s3.objects["other.tar.gz"] = model_archive({"other": b"other"})
    first = store.fetch(URI, pin="one")
    assert store.fetch(URI, pin="two").digest == first.digest
    store.fetch("s3://bucket/other.tar.gz", pin="three")
    assert told == []
    rewrite(first.path)
    store.fetch(URI, pin="four")
    (changed,) = told
    assert changed.digest == first.digest
    assert changed.pins == {"one", "two"}
    assert (changed.place / "model").is_dir()


def test_a_changed_tree_whose_source_is_gone_is_not_served(tmp_path: Path, s3: ScriptedS3) -> None:
    store = open_store(tmp_path, s3)
    rewrite(store.fetch(URI, pin="fleet").path)
    s3.objects.clear()
    with pytest.raises(ArtifactMissing):
        store.fetch(URI, pin="fleet")


def test_only_the_latest_changed_trees_are_kept(tmp_path: Path, s3: ScriptedS3) -> None:
    store = open_store(tmp_path, s3)
    for tamper in (add_a_link_to_a_directory, *TAMPERINGS):
        tamper(store.fetch(URI, pin="fleet").path)
    assert len(names(tmp_path, "set-aside")) == SET_ASIDE_MAX
    assert Path("/etc").is_dir()


def test_an_untouched_tree_is_not_read_again(
    tmp_path: Path, s3: ScriptedS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launch must not cost a pass over gigabytes."""
    store = open_store(tmp_path, s3)
    path = store.fetch(URI, pin="fleet").path
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert store.fetch(URI, pin="fleet").path == path
    assert store.fetch(URI, pin="another").path == path


def damage(path: Path, content: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(content)


FETCHING = """
import sys
from pathlib import Path
from inservice.artifacts.store import ArtifactStore
from inservice.artifacts.s3_client import s3_client
store = ArtifactStore(Path(sys.argv[1]) / "store", s3=lambda: s3_client(sys.argv[2]))
store.fetch(sys.argv[3], pin="fleet")
"""


def test_kill_9_in_mid_download_leaves_nothing_corrupt(tmp_path: Path, s3: ScriptedS3) -> None:
    """D5. Killed at several depths of the download; then the artifact is whole or absent."""
    big = os.urandom(400_000)
    s3.objects[KEY] = model_archive({"a": big, "b": big})
    for size in (1, 100_000, 500_000):
        held = threading.Event()

        def hold(request: Request, size: int = size, held: threading.Event = held) -> bool:
            if request.method != "GET":
                return False
            content = s3.objects[KEY]
            s3.send_head(request.wire, KEY, content, 0)
            request.wire.wfile.write(content[:size])
            request.wire.wfile.flush()
            held.set()
            s3.closing.wait(0.5)
            return True

        s3.fault = hold
        victim = subprocess.Popen([sys.executable, "-c", FETCHING, tmp_path, s3.url, URI])
        assert held.wait(20)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        assert names(tmp_path, "trees") == []
        assert names(tmp_path, "pins") == []
    s3.fault = None
    artifact = open_store(tmp_path, s3).fetch(URI, pin="fleet")
    assert names(tmp_path, "partial") == []
    assert (artifact.path / "b").read_bytes() == big


def test_release_keeps_what_fleets_need_and_evicts_the_least_recently_used(
    tmp_path: Path, s3: ScriptedS3
) -> None:
    limits = Limits(cache_bytes_max=250_000)
    store = open_store(tmp_path, s3, limits)
    paths = {}
    for number, fleet in enumerate(["live", "oldest", "older", "newest"]):
        s3.objects[f"{fleet}.tar.gz"] = model_archive(
            {"m": fleet.encode() * (100_000 // len(fleet))}
        )
        paths[fleet] = store.fetch(f"s3://bucket/{fleet}.tar.gz", pin=fleet).path
        used_at = time.time() - 1000 + number
        os.utime(paths[fleet].parent, (used_at, used_at))
    store.release(["live"])
    assert all(path.exists() for path in paths.values()), "fresh pins are kept"
    store.release(["live"], grace_seconds=0)
    assert [fleet for fleet, path in paths.items() if path.exists()] == ["live", "newest"]
    assert len(names(tmp_path, "pins")) == 1
    assert len(names(tmp_path, "sources")) == 2
    assert names(tmp_path, "partial") == []
    assert store.fetch("s3://bucket/oldest.tar.gz", pin="again").path == paths["oldest"]


def test_on_a_full_disk_nothing_is_kept_that_no_fleet_needs(tmp_path: Path, s3: ScriptedS3) -> None:
    store = open_store(tmp_path, s3)
    paths = {}
    for fleet in ("live", "gone"):
        s3.objects[f"{fleet}.tar.gz"] = model_archive({"m": fleet.encode()})
        paths[fleet] = store.fetch(f"s3://bucket/{fleet}.tar.gz", pin=fleet).path
    store.release(["live"], grace_seconds=0)
    assert all(path.exists() for path in paths.values()), "below the cap"
    store.release(["live"], grace_seconds=0, keep_idle=False)
    assert [fleet for fleet, path in paths.items() if path.exists()] == ["live"]


def test_damaged_records_are_made_anew(tmp_path: Path, s3: ScriptedS3) -> None:
    first = open_store(tmp_path, s3).fetch(URI, pin="fleet")
    for path in [*(tmp_path / "store/pins").iterdir(), *(tmp_path / "store/sources").iterdir()]:
        path.write_bytes(b"{garbage")
    damage(first.path.parent / "manifest.json", b"")
    again = open_store(tmp_path, s3).fetch(URI, pin="fleet")
    assert again.digest == first.digest
    assert s3.counts["GET"] == 2


class TestFiles:
    """file:// reads below allowed directories, and follows no link."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        (tmp_path / "allowed").mkdir()
        (tmp_path / "allowed-evil").mkdir()
        return ArtifactStore(
            tmp_path / "store",
            s3=lambda: None,
            file_roots=[tmp_path / "allowed"],
            private=[tmp_path / "allowed/deep/data"],
        )

    def test_an_archive_is_unpacked_and_pinned(self, tmp_path: Path, store: ArtifactStore) -> None:
        path = tmp_path / "allowed" / "my model.tar.gz"
        path.write_bytes(FIRST)
        uri = f"file://{tmp_path}/allowed/my%20model.tar.gz"
        first = store.fetch(uri, pin="a")
        path.write_bytes(SECOND)
        assert store.fetch(uri, pin="a").digest == first.digest
        assert store.fetch(uri, pin="b").digest != first.digest

    def test_a_directory_is_copied(self, tmp_path: Path, store: ArtifactStore) -> None:
        (tmp_path / "allowed/m/code").mkdir(parents=True)
        (tmp_path / "allowed/m/code/inference.py").write_text("def model_fn(d): ...")
        (tmp_path / "allowed/m/weights").write_bytes(b"w")
        copied = store.fetch(
            f"file://{tmp_path}/allowed/m/", data_type="S3Prefix", compression="None", pin="a"
        )
        assert (copied.path / "code/inference.py").exists()
        assert (copied.path / "weights").stat().st_nlink == 1

    @pytest.mark.parametrize("place", ["allowed-evil/m.tar.gz", "m.tar.gz", "allowed"])
    def test_other_places_are_refused(
        self, tmp_path: Path, store: ArtifactStore, place: str
    ) -> None:
        with pytest.raises(ArtifactForbidden) as refusal:
            store.fetch(f"file://{tmp_path}/{place}", pin="a")
        assert str(tmp_path / "allowed") in refusal.value.reason

    @pytest.mark.parametrize("place", ["deep/data/credentials.json", "deep/data/", "deep/"])
    def test_the_servers_own_files_are_refused(
        self, tmp_path: Path, store: ArtifactStore, place: str
    ) -> None:
        (tmp_path / "allowed/deep/data").mkdir(parents=True)
        (tmp_path / "allowed/deep/data/credentials.json").write_text("secret")
        kind = "S3Prefix" if place.endswith("/") else "S3Object"
        with pytest.raises(ArtifactForbidden) as refusal:
            store.fetch(
                f"file://{tmp_path}/allowed/{place}", data_type=kind, compression="None", pin="a"
            )
        assert "own data directory" in refusal.value.reason

    def test_links_out_are_not_followed(self, tmp_path: Path, store: ArtifactStore) -> None:
        (tmp_path / "secret").write_bytes(FIRST)
        (tmp_path / "allowed/link").symlink_to(tmp_path / "secret")
        with pytest.raises(ArtifactForbidden):
            store.fetch(f"file://{tmp_path}/allowed/link", compression="None", pin="a")
        (tmp_path / "allowed/m").mkdir()
        (tmp_path / "allowed/m/link").symlink_to(tmp_path / "secret")
        with pytest.raises(UnsafeMember):
            store.fetch(
                f"file://{tmp_path}/allowed/m/", data_type="S3Prefix", compression="None", pin="a"
            )

    def test_pipes_and_missing_files_do_not_hang(
        self, tmp_path: Path, store: ArtifactStore
    ) -> None:
        os.mkfifo(tmp_path / "allowed/pipe")
        for name in ("pipe", "missing", "missing/deeper"):
            with pytest.raises((ArtifactMissing, StorageFailed)):
                store.fetch(f"file://{tmp_path}/allowed/{name}", pin="a")
