"""Archives from strangers: nothing lands outside, nothing unsafe is served, caps hold (D1–D3)."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import resource
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inservice.artifacts.errors import (
    ArchiveDamaged,
    ArchiveRefused,
    ArtifactError,
    FetchTimedOut,
    LimitExceeded,
    StoreFull,
    UnsafeMember,
)
from inservice.artifacts.limits import Limits
from inservice.artifacts.lint import lint
from inservice.artifacts.store import ArtifactStore
from tests.contracts import archives
from tests.contracts.archives import header, member, model_archive, packed, pax
from tests.depth import examples

MIB = 1024 * 1024


class Place:
    """A store, a directory for archives, and one outside that must stay empty."""

    def __init__(self, root: Path, limits: Limits | None = None) -> None:
        self.root = root
        self.inbox = root / "inbox"
        self.outside = root / "outside"
        self.inbox.mkdir(parents=True)
        self.outside.mkdir()
        self.store = ArtifactStore(root / "store", limits, s3=lambda: None, file_roots=[self.inbox])

    def fetch(self, archive: bytes, pin: str = "fleet", **more: object) -> Path:
        path = self.inbox / "model.tar.gz"
        path.write_bytes(archive)
        return self.store.fetch(f"file://{path}", pin=pin, **more).path  # type: ignore[arg-type]

    def is_clean(self) -> bool:
        """Nothing outside, nothing half written, and the store beside its trees holds nothing."""
        names = {path.name for path in self.root.iterdir()}
        return (
            not list(self.outside.iterdir())
            and not list((self.root / "store" / "partial").iterdir())
            and names == {"inbox", "outside", "store"}
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "place")


@pytest.mark.parametrize(
    ("make", "says"),
    [pytest.param(make, says, id=name) for name, make, says in archives.hostile()],
)
def test_a_hostile_archive_is_refused_and_leaves_no_trace(
    place: Place, make: Callable[[Path], bytes], says: str
) -> None:
    with pytest.raises(ArchiveRefused) as refusal:
        place.fetch(make(place.outside))
    assert says in refusal.value.reason
    assert "\x1b" not in refusal.value.reason
    assert "\n" not in refusal.value.reason
    assert len(refusal.value.reason) <= 1024, "FailureReason has room for 1,024 characters"
    assert place.is_clean()
    assert not list((place.root / "store" / "trees").iterdir())


@pytest.mark.parametrize(
    ("archive", "says"),
    [pytest.param(archive, says, id=name) for name, archive, says in archives.damaged()],
)
def test_a_damaged_archive_is_refused(place: Place, archive: bytes, says: str) -> None:
    with pytest.raises(ArchiveDamaged) as refusal:
        place.fetch(archive)
    assert says in refusal.value.reason
    assert place.is_clean()


def test_the_reason_begins_with_the_words_that_tools_match(place: Place) -> None:
    with pytest.raises(ArchiveRefused) as refusal:
        place.fetch(b"PK\x03\x04")
    assert refusal.value.reason.startswith(
        f'Failed to extract model data archive from URL "file://{place.inbox}/model.tar.gz". '
        "Please ensure that the object located at the URL is a valid tar.gz archive. "
    )


def test_permissions_and_owners_of_the_archive_mean_nothing(place: Place) -> None:
    model = place.fetch(
        packed(
            header("code", kind=b"5", mode=0o7777),
            member("code/run", b"#!", mode=0o6777, uid=0o7777777),
        )
    )
    assert stat.S_IMODE((model / "code/run").stat().st_mode) == 0o444
    assert stat.S_IMODE((model / "code").stat().st_mode) == 0o555
    assert stat.S_IMODE(model.stat().st_mode) == 0o555
    assert (model / "code/run").stat().st_nlink == 1


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_tar_programs_write_is_read(place: Place, kind: int) -> None:
    files = {
        "model.joblib": bytes(range(256)) * 5000,
        "code/inference.py": b"def model_fn(d): ...\n",
        f"code/{'long' * 20}/{'name' * 10}.txt": b"long",
        "empty": b"",
        "code/zwölf.txt": b"12",
    }
    if kind == tarfile.USTAR_FORMAT:
        del files["code/zwölf.txt"]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=kind) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size, entry.mtime = len(content), 1_700_000_000.5  # pax writes fractions
            tar.addfile(entry, io.BytesIO(content))
    model = place.fetch(buffer.getvalue())
    found = {
        str(path.relative_to(model)): path.read_bytes()
        for path in model.rglob("*")
        if path.is_file()
    }
    assert found == files


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("root", [os.path.sep, "", ".", "./", "//", "/./"])
def test_what_the_sagemaker_sdk_repacks_is_read(
    place: Place, tmp_path: Path, kind: int, root: str
) -> None:
    """As `sagemaker.utils.create_tar_file` and `repack_model` do it: a directory, under a name that
    is the root in one spelling or another."""
    (tmp_path / "model/code").mkdir(parents=True)
    (tmp_path / "model/model.joblib").write_bytes(b"1")
    (tmp_path / "model/code/inference.py").write_bytes(b"2")
    with tarfile.open(tmp_path / "packed", "w:gz", format=kind) as tar:
        tar.add(tmp_path / "model", arcname=root)
    content = (tmp_path / "packed").read_bytes()
    model = place.fetch(content)
    assert {str(path.relative_to(model)) for path in model.rglob("*")} == {
        "model.joblib",
        "code",
        "code/inference.py",
    }
    assert lint(place.inbox / "model.tar.gz").loader.endswith("of model.joblib")


@pytest.mark.parametrize(
    ("root", "kind"),
    [
        *((root, b"5") for root in ("/", "//", "/.", "/./", "./", ".", "", "./././", "/.//")),
        *((root, b"0") for root in ("/", "//", "/./", "./", "/.//")),  # of 1979: the slash says it
    ],
)
def test_a_directory_that_is_the_root_is_the_root(place: Place, root: str, kind: bytes) -> None:
    for first in (header(root, kind=kind), pax({"path": root}) + header("x/", kind=kind)):
        archive = packed(first, header(root, kind=kind), member("model.joblib", b"1"))
        assert (place.fetch(archive) / "model.joblib").read_bytes() == b"1"


@pytest.mark.parametrize("name", ["/a", "/..", "/../", "//etc/", "/./a/", "/ ", "/.../", "/etc"])
@pytest.mark.parametrize("kind", [b"5", b"0", b"2", b"1"])
def test_every_other_absolute_name_is_refused_as_ever(place: Place, name: str, kind: bytes) -> None:
    with pytest.raises(UnsafeMember):
        place.fetch(packed(header(name, kind=kind), member("model.joblib", b"1")))
    assert not lint(place.inbox / "model.tar.gz").deployable
    assert place.is_clean()


@pytest.mark.parametrize("name", ["/", "//", "/.", "", ".", "/./"])
@pytest.mark.parametrize("kind", [b"2", b"1", b"3", b"6"])
def test_nothing_but_a_directory_is_the_root(place: Place, name: str, kind: bytes) -> None:
    with pytest.raises(UnsafeMember):
        place.fetch(packed(header(name, kind=kind, target="/etc"), member("model.joblib", b"1")))
    with pytest.raises(UnsafeMember):
        place.fetch(packed(member(name.rstrip("/") or ".", b"1")))
    assert place.is_clean()


def test_odd_but_honest_archives_are_read(place: Place) -> None:
    old = gzip.compress(
        header("d/", kind=b"\0") + member("d//n", b"1", kind=b"\0")  # 1979, no end mark
    )
    assert (place.fetch(old, "old") / "d/n").read_bytes() == b"1"
    joined = gzip.compress(member("a", b"1")) + gzip.compress(member("b", b"2") + archives.END)
    assert (place.fetch(joined, "joined") / "b").read_bytes() == b"2"
    blocked = model_archive({"n": b"1"}) + b"\0" * 10_000  # padded to a tape's block
    assert (place.fetch(blocked, "blocked") / "n").read_bytes() == b"1"
    git = packed(pax({"comment": "0123abcd"}, b"g"), member("n", b"1"))
    assert (place.fetch(git, "git") / "n").read_bytes() == b"1"
    twice = packed(header("d", kind=b"5"), header("d", kind=b"5"), member("d/n", b"1"))
    assert (place.fetch(twice, "twice") / "d/n").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("limits", "archive", "says"),
    [
        pytest.param(
            Limits(unpacked_bytes_max=MIB), model_archive({"n": b"\0" * 2 * MIB}), "GiB", id="size"
        ),
        pytest.param(
            Limits(ratio_free_bytes=MIB), model_archive({"n": b"\0" * 4 * MIB}), "bomb", id="ratio"
        ),
        pytest.param(
            Limits(entries_max=50),
            packed(*(member(f"{n}", b"") for n in range(51))),
            "50 files",
            id="files",
        ),
        pytest.param(
            Limits(entries_max=50),
            packed(*(header(f"{n}", kind=b"5") for n in range(51))),
            "50 files",
            id="directories",
        ),
        pytest.param(
            Limits(packed_bytes_max=10), model_archive({"n": b"1"}), "per model", id="packed"
        ),
    ],
)
def test_caps_stop_an_archive(tmp_path: Path, limits: Limits, archive: bytes, says: str) -> None:
    place = Place(tmp_path / "place", limits)
    with pytest.raises(LimitExceeded) as refusal:
        place.fetch(archive)
    assert says in refusal.value.reason
    assert place.is_clean()


def test_the_caps_themselves_are_allowed(tmp_path: Path) -> None:
    place = Place(tmp_path / "place", Limits(entries_max=3, depth_max=2))
    assert (place.fetch(packed(member("a/b", b"1"), member("c", b"2"))) / "a/b").exists()


BOMB = """
import pathlib, re, sys, time
from inservice.artifacts.errors import ArtifactError
from inservice.artifacts.limits import Limits
from inservice.artifacts.store import ArtifactStore
root = pathlib.Path(sys.argv[1])
store = ArtifactStore(root / "store", Limits(unpacked_bytes_max=200 << 20),
                      s3=lambda: None, file_roots=[root])
began = time.process_time()
try:
    store.fetch(f"file://{root}/bomb.tar.gz", pin="fleet")
except ArtifactError as error:
    print(error.reason)
# Not ru_maxrss: a child begins with its parent's.
peak = re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())
print(int(peak[1]) * 1024)
print(time.process_time() - began)
"""


def test_a_bomb_costs_neither_memory_nor_time(tmp_path: Path) -> None:
    """D3: stopped while streaming; peak resident size at most 64 MiB, and at most 5 s of CPU."""
    piece = gzip.compress(b"\0" * 64 * MIB, 1)
    bomb = gzip.compress(header("n", size_field=b"\x80" + (1 << 40).to_bytes(11)))
    (tmp_path / "bomb.tar.gz").write_bytes(bomb + piece * 16)
    finished = subprocess.run(
        [sys.executable, "-c", BOMB, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    reason, resident_bytes, cpu_seconds = finished.stdout.splitlines()
    assert "unpacks to more than" in reason
    assert int(resident_bytes) <= 64 * MIB
    assert float(cpu_seconds) <= 5.0
    assert not list((tmp_path / "store/partial").iterdir())


def test_unpacking_ends_at_the_deadline(place: Place) -> None:
    archive = model_archive({"n": b"\0" * 100 * MIB})
    with pytest.raises(FetchTimedOut) as refusal:
        place.fetch(archive, deadline=time.monotonic() + 0.02)
    assert "ModelDataDownloadTimeoutInSeconds" in refusal.value.reason
    assert place.is_clean()


NAMES = st.lists(
    st.sampled_from(["..", ".", "", "a", "b", "c", " ", "x" * 60, "é", "\u202e"]),
    min_size=1,
    max_size=5,
).map("/".join)
MEMBERS = st.tuples(NAMES, st.sampled_from([b"0", b"1", b"2", b"5", b"6", b"L"]), NAMES)


@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(members=st.lists(MEMBERS, max_size=6))
def test_whatever_the_members_are_nothing_leaves_the_directory(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes, str]]
) -> None:
    """`extract(tar) ⊆ dest`, or an ArtifactError; and what is served is files and directories."""
    place = Place(tmp_path_factory.mktemp("any") / "place")
    archive = packed(
        *(
            member(name, b"" if kind in b"1256" else b"x\0", kind, target=target)
            for name, kind, target in members
        )
    )
    try:
        model = place.fetch(archive)
    except ArtifactError:
        assert not list((place.root / "store/trees").iterdir())
    else:
        for path in model.rglob("*"):
            assert stat.S_ISREG(path.lstat().st_mode) or stat.S_ISDIR(path.lstat().st_mode)
    assert place.is_clean()


@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(at=st.integers(0, 4 * 512), value=st.integers(0, 255), drop=st.integers(0, 600))
def test_a_mutated_archive_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: int, drop: int
) -> None:
    place = Place(tmp_path_factory.mktemp("mutant") / "place")
    plain = bytearray(pax({"path": "n/m"}) + member("x", b"content") + archives.END)
    plain[at] = value
    with contextlib.suppress(ArtifactError):
        place.fetch(gzip.compress(bytes(plain[: len(plain) - drop])))
    assert place.is_clean()


@contextlib.contextmanager
def room(size_bytes: int) -> Iterator[None]:
    """No file may grow beyond this: a write fails in its middle, as on a volume that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_leaves_nothing_and_is_got_over(place: Place) -> None:
    """C2."""
    archive = model_archive({"small": b"x" * 1000, "large": os.urandom(700_000)})
    path = place.inbox / "model.tar.gz"
    path.write_bytes(archive)
    with room(300_000), pytest.raises(StoreFull) as refusal:
        place.store.fetch(f"file://{path}", pin="fleet")
    assert "volume that holds artifacts on this host is full" in refusal.value.reason
    assert place.is_clean()
    assert not list((place.root / "store" / "trees").iterdir())
    assert (place.fetch(archive) / "large").stat().st_size == 700_000
    with room(10), pytest.raises(StoreFull):  # the files are here, and the fleet's pin does not fit
        place.store.fetch(f"file://{path}", pin="another")
    assert place.is_clean()
