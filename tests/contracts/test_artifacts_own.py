"""Artifacts in this server's own storage: read in place, with the rights of their model (D5)."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inservice.artifacts import unpack as unpacking
from inservice.artifacts.base import Artifact
from inservice.artifacts.errors import ArtifactForbidden, ArtifactMissing, StorageFailed
from inservice.artifacts.s3_client import Storage, s3_client
from inservice.artifacts.sources import Rights
from inservice.artifacts.store import ArtifactStore
from tests.contracts.archives import model_archive
from tests.contracts.own_storage import (
    ACCOUNT,
    OTHER,
    READS,
    OwnStorage,
    allow,
    policy,
    rights,
)
from tests.contracts.scripted_s3 import ScriptedS3

MIB = 1024 * 1024
ARCHIVE = model_archive({"model.joblib": b"weights" * 1000})
URI = "s3://models/m.tar.gz"
BELOW: dict[str, Any] = {"data_type": "S3Prefix", "compression": "None"}
ONE: dict[str, Any] = {"data_type": "S3Object", "compression": "None"}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnStorage]:
    storage = OwnStorage(tmp_path)
    storage.bucket("models")
    yield storage
    storage.close()


def fetch(
    store: ArtifactStore, uri: str = URI, who: Rights | None = None, pin: str = "f", **kind: Any
) -> Artifact:
    return store.fetch(uri, pin=pin, rights=who or rights(), **kind)


def files_of(artifact: Artifact) -> dict[str, bytes]:
    return {
        str(path.relative_to(artifact.path)): path.read_bytes()
        for path in sorted(artifact.path.rglob("*"))
        if path.is_file()
    }


# ── in place ────────────────────────────────────────────────────────────────────────────────────
def test_an_archive_is_unpacked_out_of_the_file_that_holds_it(own: OwnStorage) -> None:
    own.put("models", "m.tar.gz", ARCHIVE)
    own.put_in_parts("models", "parts.tar.gz", os.urandom(0) + ARCHIVE)
    artifact = fetch(own.artifacts())
    assert files_of(artifact) == {"model.joblib": b"weights" * 1000}
    parts = fetch(own.artifacts(), "s3://models/parts.tar.gz", pin="g")
    assert parts.digest == artifact.digest


def written() -> int:
    """Bytes that this thread has given to the kernel to write, to files and to anything else."""
    io = Path(f"/proc/self/task/{threading.get_native_id()}/io").read_text()
    return int(dict(line.split(": ") for line in io.splitlines())["wchar"])


def test_no_byte_moves_but_those_that_are_unpacked(own: OwnStorage) -> None:
    weights = os.urandom(8 * MIB)
    own.put("models", "m.tar.gz", model_archive({"w": weights}))
    own.put("models", "raw/w", weights)
    store = own.artifacts()
    before = written()
    fetch(store)
    unpacked = written()
    fetch(store, "s3://models/raw/", pin="g", **BELOW)
    assert unpacked - before < 9 * MIB
    assert written() - unpacked < MIB // 2


def test_files_under_a_prefix_are_shared_and_read_only(own: OwnStorage) -> None:
    small, large = b"{}", os.urandom(2 * MIB)
    halves = os.urandom(5 * MIB), os.urandom(MIB)
    own.put("models", "llm/config.json", small)
    own.put("models", "llm/deep/weights.bin", large)
    own.put_in_parts("models", "llm/parts.bin", *halves)
    artifact = fetch(own.artifacts(), "s3://models/llm/", **BELOW)
    assert files_of(artifact) == {
        "config.json": small,
        "deep/weights.bin": large,
        "parts.bin": b"".join(halves),
    }
    for path in artifact.path.rglob("*"):
        assert path.stat().st_mode & 0o222 == 0
    shared = artifact.path / "deep/weights.bin"
    if own.blobs.read("models", "llm/deep/weights.bin").path() is not None:
        assert shared.stat().st_nlink == 2  # this file system cannot clone, or it would be 1
    # What is in the tree stays when the objects go, and nobody takes that for a change.
    own.blobs.delete("models", ["llm/config.json", "llm/deep/weights.bin", "llm/parts.bin"])
    again = own.artifacts()
    kept = fetch(again, "s3://models/llm/", **BELOW)
    assert (kept.path, files_of(kept)["deep/weights.bin"]) == (artifact.path, large)
    assert not own.changed
    with pytest.raises(ArtifactMissing):
        fetch(again, "s3://models/llm/", pin="another", **BELOW)


def test_one_object_as_it_is(own: OwnStorage) -> None:
    own.put("models", "deep/model.onnx", b"onnx" * MIB)
    artifact = fetch(own.artifacts(), "s3://models/deep/model.onnx", **ONE)
    assert files_of(artifact) == {"model.onnx": b"onnx" * MIB}


@pytest.mark.parametrize("refuses", ["clone", "link_open"])
def test_where_a_file_system_shares_nothing_it_is_copied(
    own: OwnStorage, monkeypatch: pytest.MonkeyPatch, refuses: str
) -> None:
    from inservice import linux

    def cannot(*_: object) -> None:
        raise OSError("not here")

    monkeypatch.setattr(linux, "clone", cannot)
    if refuses == "link_open":
        monkeypatch.setattr(linux, "link_open", cannot)
    own.put("models", "raw/w", b"weights" * MIB)
    artifact = fetch(own.artifacts(), "s3://models/raw/", **BELOW)
    assert files_of(artifact) == {"w": b"weights" * MIB}
    links = (artifact.path / "w").stat().st_nlink
    assert links == (1 if refuses == "link_open" else 2)
    assert fetch(own.artifacts(), "s3://models/raw/", **BELOW).digest == artifact.digest
    assert not own.changed


def test_a_name_that_comes_or_goes_while_a_tree_is_read_is_no_change(
    own: OwnStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The storage removes its name of a linked file whenever somebody deletes the object."""
    from inservice.artifacts import tree

    own.put("models", "raw/w", b"weights" * MIB)
    artifact = fetch(own.artifacts(), "s3://models/raw/", **BELOW)
    reading = tree._sha256
    own_name = own.blobs.read("models", "raw/w").path()
    if own_name is None or (artifact.path / "w").stat().st_nlink == 1:
        pytest.skip("this file system clones")

    def deleted_meanwhile(path: Path) -> str:
        own.blobs.delete("models", ["raw/w"])
        return reading(path)

    monkeypatch.setattr(tree, "_sha256", deleted_meanwhile)
    assert fetch(own.artifacts(), "s3://models/raw/", **BELOW).path == artifact.path
    assert not own.changed


# ── the version that was looked up ──────────────────────────────────────────────────────────────
def test_what_is_replaced_or_deleted_between_look_and_read(
    own: OwnStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.put("models", "m.tar.gz", ARCHIVE)
    newer = model_archive({"model.joblib": b"newer" * 1000})
    unpack = unpacking.unpack
    meanwhile = [
        lambda: own.put("models", "m.tar.gz", newer),  # the same ETag, as a liar would have it
        lambda: own.blobs.delete("models", ["m.tar.gz"]),
    ]

    def late(*given: Any, **options: Any) -> Any:
        if meanwhile:
            meanwhile.pop(0)()
        return unpack(*given, **options)

    monkeypatch.setattr("inservice.artifacts.store.unpack", late)
    with pytest.raises(ArtifactMissing):
        fetch(own.artifacts())
    own.put("models", "m.tar.gz", ARCHIVE)
    meanwhile.append(lambda: own.put("models", "m.tar.gz", newer))
    assert files_of(fetch(own.artifacts())) == {"model.joblib": b"newer" * 1000}


def test_what_is_read_outlives_its_name(own: OwnStorage) -> None:
    from inservice.artifacts.limits import Limits, Watch
    from inservice.artifacts.own import OwnSource
    from inservice.artifacts.sources import parse

    data = os.urandom(3 * MIB)
    own.put("models", "w", data)
    request = parse("s3://models/w", **ONE)
    store = own.artifacts()
    source = store._places.own_source(request, rights(), Limits(), Watch())
    assert isinstance(source, OwnSource)
    (item,) = source.look().objects
    with source.open(item) as reader:
        first = reader.read(MIB)
        own.blobs.delete("models", ["w"])
        rest = b"".join(iter(lambda: reader.read(MIB), b""))
    assert first + rest == data


def test_a_fleet_keeps_what_it_began_with(own: OwnStorage) -> None:
    own.put("models", "m.tar.gz", ARCHIVE)
    began = fetch(own.artifacts())
    own.put("models", "m.tar.gz", model_archive({"other": b""}))
    assert fetch(own.artifacts()).digest == began.digest
    assert fetch(own.artifacts(), pin="next").digest != began.digest


# ── whose rights ────────────────────────────────────────────────────────────────────────────────
ON_KEY = "arn:aws:s3:::models/m.tar.gz"
MAY: list[tuple[str, str, dict[str, Any], bool]] = [
    ("what is allowed", READS, {}, True),
    ("the object alone", policy(allow("s3:GetObject", on=ON_KEY)), {}, True),
    ("nothing", "", {}, False),
    ("another object", policy(allow("s3:GetObject", on=f"{ON_KEY}.old")), {}, False),
    ("listing alone", policy(allow("s3:ListBucket")), {}, False),
    ("denied by the role", policy(allow("s3:*"), {**allow("s3:*"), "Effect": "Deny"}), {}, False),
    (
        "another account's model",
        READS,
        {"Condition": {"StringEquals": {"aws:SourceAccount": OTHER}}},
        False,
    ),
    (
        "this very model",
        READS,
        {"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:sagemaker:*:*:model/m"}}},
        True,
    ),
]


@pytest.mark.parametrize(
    ("document", "trust", "may"), [row[1:] for row in MAY], ids=[r[0] for r in MAY]
)
def test_a_role_reads_what_it_may(
    own: OwnStorage, document: str, trust: dict[str, Any], may: bool
) -> None:
    own.put("models", "m.tar.gz", ARCHIVE)
    who = rights(own.role("r", document, **trust))
    store = own.artifacts()
    glance: dict[str, Any] = {"data_type": "S3Object", "compression": "Gzip", "rights": who}
    if may:
        assert store.glance(URI, **glance)
        assert files_of(fetch(store, who=who))
        return
    with pytest.raises(ArtifactForbidden):
        store.glance(URI, **glance)
    with pytest.raises(ArtifactForbidden) as refused:
        fetch(store, who=who)
    assert refused.value.reason.startswith(f"Could not access model data at {URI}.")
    assert "role/r" in refused.value.reason


DENIALS: dict[str, dict[str, Any]] = {
    "everybody": {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"},
    "roles": {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::models/*",
        "Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}},
    },
}


@pytest.mark.parametrize("denied", DENIALS)
def test_the_policy_of_the_bucket_has_its_say(own: OwnStorage, denied: str) -> None:
    own.bucket("guarded", policy=policy(DENIALS[denied]).replace(":::models", ":::guarded"))
    own.put("guarded", "m.tar.gz", ARCHIVE)
    role = own.role("r", policy(allow("*")))
    with pytest.raises(ArtifactForbidden, match="explicit deny in a resource-based policy"):
        fetch(own.artifacts(), "s3://guarded/m.tar.gz", rights(role))


def test_a_bucket_for_encrypted_transport_alone_can_be_read(own: OwnStorage) -> None:
    """What everybody's Terraform puts on buckets; nothing crosses a network here."""
    statement = {
        **DENIALS["everybody"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    own.bucket("tls", policy=policy(statement))
    own.put("tls", "m.tar.gz", ARCHIVE)
    assert files_of(fetch(own.artifacts(), "s3://tls/m.tar.gz", rights(own.role("r"))))
    assert files_of(fetch(own.artifacts(), "s3://tls/m.tar.gz", rights(), pin="g"))


def test_a_prefix_wants_the_right_to_list_it_and_to_each_object(own: OwnStorage) -> None:
    own.put("models", "llm/a", b"a")
    own.put("models", "llm/secret", b"s")
    lists = allow(
        "s3:ListBucket",
        on="arn:aws:s3:::models",
        Condition={"StringLike": {"s3:prefix": "llm/*"}},
    )
    reads = allow("s3:GetObject", on="arn:aws:s3:::models/llm/*")
    some = allow("s3:GetObject", on="arn:aws:s3:::models/llm/a")
    for name, statements, may in (
        ("both", (lists, reads), True),
        ("unlisted", (reads,), False),
        ("unread", (lists,), False),
        ("some", (lists, some), False),
    ):
        who = rights(own.role(name, policy(*statements)))
        if may:
            assert files_of(fetch(own.artifacts(), "s3://models/llm/", who, name, **BELOW))
        else:
            with pytest.raises(ArtifactForbidden):
                fetch(own.artifacts(), "s3://models/llm/", who, name, **BELOW)


def test_what_is_not_there_is_told_to_who_may_list(own: OwnStorage) -> None:
    store = own.artifacts()
    may = rights(own.role("lists"))
    may_not = rights(own.role("reads", policy(allow("s3:GetObject"))))
    for who, error in (
        (rights(), ArtifactMissing),
        (may, ArtifactMissing),
        (may_not, ArtifactForbidden),
    ):
        with pytest.raises(error):
            store.glance(URI, data_type="S3Object", compression="Gzip", rights=who)


def test_rights_are_looked_at_again_when_it_is_fetched(own: OwnStorage) -> None:
    own.put("models", "m.tar.gz", ARCHIVE)
    who, store = rights(own.role("r")), own.artifacts()
    assert store.glance(URI, data_type="S3Object", compression="Gzip", rights=who)
    fetch(store, who=who, pin="before")
    own.perform("DeleteRolePolicy", RoleName="r", PolicyName="p")
    with pytest.raises(ArtifactForbidden):  # though this host has the files by now
        fetch(store, who=who, pin="after")
    assert fetch(store, who=who, pin="before")  # a fleet keeps what it began with


def test_a_boundary_bounds(own: OwnStorage) -> None:
    own.put("models", "m.tar.gz", ARCHIVE)
    made = own.perform("CreatePolicy", PolicyName="b", PolicyDocument=policy(allow("logs:*")))
    role = own.role("r")
    own.perform(
        "PutRolePermissionsBoundary", RoleName="r", PermissionsBoundary=made["Policy"]["Arn"]
    )
    with pytest.raises(ArtifactForbidden, match="permissions boundary"):
        fetch(own.artifacts(), who=rights(role))


@pytest.mark.parametrize("role", [None, f"arn:aws:iam::{ACCOUNT}:role/unknown"])
def test_without_a_role_that_is_known_the_account_reads_its_own(
    own: OwnStorage, role: str | None
) -> None:
    own.put("models", "m.tar.gz", ARCHIVE)
    own.bucket("theirs", OTHER)
    own.put("theirs", "m.tar.gz", ARCHIVE)
    assert files_of(fetch(own.artifacts(), who=rights(role)))
    with pytest.raises(ArtifactForbidden) as refused:
        fetch(own.artifacts(), "s3://theirs/m.tar.gz", rights(role))
    assert "no resource-based policy" not in refused.value.reason  # nothing of another's policies
    # A role of another account is none that is known.
    with pytest.raises(ArtifactForbidden):
        fetch(own.artifacts(), "s3://theirs/m.tar.gz", rights(own.role("r", account=OTHER)))


def test_where_roles_have_to_exist_nothing_is_read_without_one(tmp_path: Path) -> None:
    own = OwnStorage(tmp_path, takes_unknown_roles=False)
    try:
        own.bucket("models")
        own.put("models", "m.tar.gz", ARCHIVE)
        for role in (None, f"arn:aws:iam::{ACCOUNT}:role/deleted"):
            with pytest.raises(ArtifactForbidden):
                fetch(own.artifacts(), who=rights(role))
        assert files_of(fetch(own.artifacts(), who=rights(own.role("r"))))
    finally:
        own.close()


def test_another_account_lets_by_the_policy_of_its_bucket(own: OwnStorage) -> None:
    grant = allow("s3:GetObject", on="arn:aws:s3:::shared/*", Principal={"AWS": ACCOUNT})
    own.bucket("shared", OTHER, policy(grant))
    own.put("shared", "m.tar.gz", ARCHIVE)
    assert files_of(fetch(own.artifacts(), "s3://shared/m.tar.gz", rights(own.role("r"))))
    with pytest.raises(ArtifactForbidden):  # the account does not give its role the right
        fetch(own.artifacts(), "s3://shared/m.tar.gz", rights(own.role("s", "")), pin="g")


def test_nobody_gets_by_a_fetch_of_others_what_is_not_for_them(
    own: OwnStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who wants the same at once shares one fetch: but only those with the same rights."""
    own.put("models", "m.tar.gz", ARCHIVE)
    store, under_way, go_on = own.artifacts(), threading.Event(), threading.Event()
    unpack = unpacking.unpack

    def slow(*given: Any, **options: Any) -> Any:
        under_way.set()
        assert go_on.wait(60)
        return unpack(*given, **options)

    monkeypatch.setattr("inservice.artifacts.store.unpack", slow)
    got: list[Artifact] = []
    mine = threading.Thread(target=lambda: got.append(fetch(store)))
    mine.start()
    assert under_way.wait(60)
    try:
        for who in (rights(account=OTHER), rights(own.role("r", ""))):
            with pytest.raises(ArtifactForbidden):
                fetch(store, who=who, pin="theirs")
    finally:
        go_on.set()
        mine.join()
    assert got


# ── here or elsewhere ───────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def elsewhere() -> Iterator[ScriptedS3]:
    with pytest.MonkeyPatch.context() as monkeypatch, ScriptedS3() as scripted:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield scripted


FOREIGN = model_archive({"from": b"elsewhere"})


def test_own_buckets_first_and_then_the_store_that_was_named(
    own: OwnStorage, elsewhere: ScriptedS3
) -> None:
    elsewhere.begin({"m.tar.gz": FOREIGN})
    public = allow("s3:*", on="*", Principal="*")
    own.bucket("squatted", OTHER, policy(public))
    own.put("models", "m.tar.gz", ARCHIVE)
    own.put("squatted", "m.tar.gz", ARCHIVE)
    named = s3_client(elsewhere.url)
    store = own.artifacts(lambda: named)
    assert set(files_of(fetch(store))) == {"model.joblib"}
    assert set(files_of(fetch(store, "s3://nowhere-here/m.tar.gz", pin="a"))) == {"from"}
    # What the operator named is meant by a name that another account has taken here.
    assert set(files_of(fetch(store, "s3://squatted/m.tar.gz", pin="b"))) == {"from"}
    assert not store.glance(
        "s3://squatted/m.tar.gz", data_type="S3Object", compression="Gzip", rights=rights()
    )


def test_where_no_store_was_named_other_accounts_buckets_are_meant(
    own: OwnStorage, elsewhere: ScriptedS3
) -> None:
    elsewhere.begin({"m.tar.gz": FOREIGN})
    own.bucket("shared", OTHER, policy(allow("s3:*", on="*", Principal={"AWS": ACCOUNT})))
    own.put("shared", "m.tar.gz", ARCHIVE)
    merely_aws: Storage = s3_client(elsewhere.url)
    merely_aws.is_named = False
    store = own.artifacts(lambda: merely_aws)
    assert set(files_of(fetch(store, "s3://shared/m.tar.gz"))) == {"model.joblib"}
    assert set(files_of(fetch(store, "s3://aws-only/m.tar.gz", pin="a"))) == {"from"}


def test_who_finds_it_nowhere_is_told_how_to_have_it_here(
    own: OwnStorage, elsewhere: ScriptedS3
) -> None:
    elsewhere.begin({})
    for store in (own.artifacts(), own.artifacts(lambda: s3_client(elsewhere.url))):
        with pytest.raises((ArtifactMissing, ArtifactForbidden)) as refused:
            fetch(store, "s3://nowhere/m.tar.gz")
        assert 'has no bucket "nowhere" on this server' in refused.value.reason
        assert "aws s3 mb s3://nowhere" in refused.value.reason


def test_a_storage_that_was_never_begun_has_no_bucket(
    tmp_path: Path, elsewhere: ScriptedS3
) -> None:
    elsewhere.begin({"m.tar.gz": FOREIGN})
    own = OwnStorage(tmp_path)
    own.close()
    for path in (tmp_path / "storage").iterdir():
        if path.is_file():
            path.unlink()
    own = OwnStorage.__new__(OwnStorage)
    own.place, own.takes_unknown_roles, own.changed = tmp_path, True, []
    from inservice.store.drivers.database import open_store

    own.records = open_store(f"sqlite:///{tmp_path / 'store.db'}", key_file=tmp_path / "store.key")
    try:
        store = own.artifacts(lambda: s3_client(elsewhere.url))
        assert set(files_of(fetch(store))) == {"from"}
        (tmp_path / "storage/objects.db").write_bytes(b"no database at all" * 100)
        with pytest.raises(StorageFailed, match="cannot be read"):
            fetch(store, pin="g")
    finally:
        own.records.close()
