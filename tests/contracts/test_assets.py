"""Where instances get their files: the artifacts that a host keeps, as `runtimes.base.Assets`."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from inservice.app.assets import FETCHES_MAX, KeptAssets
from inservice.artifacts.errors import ArtifactForbidden, StoreFull
from inservice.artifacts.shelf import source_key
from inservice.artifacts.sources import parse
from inservice.artifacts.store import ArtifactStore
from inservice.config import Settings
from inservice.controller.endpoints.shortages import shortage
from inservice.hosting.model import ArtifactSource, CompressionType, S3DataType
from inservice.runtimes.base import AssetUnavailable
from inservice.workload.asset import Asset
from tests.contracts.archives import model_archive
from tests.waiting import until

ACCOUNT, OTHER = "111122223333", "444455556666"
PROGRAM = b"def model_fn(model_dir): return 1\n"


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "kept", s3=lambda: None, file_roots=[tmp_path])


def fetched(store: Any, asset: Asset, seconds: float = 60) -> Path:
    return asyncio.run(KeptAssets(store).fetch(asset, seconds))


def archive(place: Path | str, pin: str = "g-1-v", **options: Any) -> Asset:
    uri = place if isinstance(place, str) else place.as_uri()
    source = ArtifactSource(uri, S3DataType.S3_OBJECT, CompressionType.GZIP)
    return Asset(source, pin, **options)


def test_an_asset_is_a_directory_of_this_host(store: ArtifactStore, tmp_path: Path) -> None:
    place = tmp_path / "model.tar.gz"
    place.write_bytes(model_archive({"code/inference.py": PROGRAM}))
    here = fetched(store, archive(place))
    assert (here / "code" / "inference.py").read_bytes() == PROGRAM
    assert here.is_relative_to(tmp_path / "kept")


def test_one_pin_gives_one_directory_whatever_became_of_the_object(
    store: ArtifactStore, tmp_path: Path
) -> None:
    """Each launch of a fleet asks for itself, and every one gets what the first one got."""
    place = tmp_path / "model.tar.gz"
    place.write_bytes(model_archive({"v": b"1"}))
    first = fetched(store, archive(place))
    place.write_bytes(model_archive({"v": b"2"}))
    assert fetched(store, archive(place)) == first
    other = fetched(store, archive(place, pin="g-2-v"))
    assert (other / "v").read_bytes() == b"2"
    place.unlink()
    assert fetched(store, archive(place)) == first


@pytest.mark.parametrize("named", ["code", "a code", "ärger", "100%", "code/", "code.tar.gz"])
def test_code_of_a_host_is_a_directory_or_an_archive_as_is_seen_there(
    store: ArtifactStore, tmp_path: Path, named: str
) -> None:
    directory = tmp_path / named.rstrip("/")
    directory.mkdir()
    (directory / "inference.py").write_bytes(PROGRAM)
    place = directory.as_uri() + ("/" if named.endswith("/") else "")
    here = fetched(store, archive(place, "g-1-v+code", or_directory=True))
    assert (here / "inference.py").read_bytes() == PROGRAM
    assert here.is_relative_to(tmp_path / "kept"), "kept like an archive, not served in place"
    packed = tmp_path / "packed" / named.rstrip("/")
    packed.parent.mkdir()
    packed.write_bytes(model_archive({"inference.py": PROGRAM}))
    assert fetched(store, archive(packed, "g-2-v+code", or_directory=True)) == here


class Hanging:
    """A store whose downloads of one account never come."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self.asked = 0
        self.over = threading.Event()

    def fetch(self, uri: str, **options: Any) -> Any:
        if "slow" in uri:
            self.asked += 1
            self.over.wait(60)
            raise ArtifactForbidden("no")
        return self._store.fetch(uri, **options)


def test_an_account_whose_downloads_hang_keeps_no_other_waiting(
    store: ArtifactStore, tmp_path: Path
) -> None:
    place = tmp_path / "model.tar.gz"
    place.write_bytes(model_archive({"code/inference.py": PROGRAM}))
    hanging = Hanging(store)

    async def fetch() -> Path:
        assets = KeptAssets(hanging)  # type: ignore[arg-type]
        slow = [
            asyncio.create_task(
                assets.fetch(archive(f"s3://slow/{n}.tar.gz", f"g-{n}", account=OTHER), 60)
            )
            for n in range(2 * FETCHES_MAX)
        ]
        await until(lambda: hanging.asked == FETCHES_MAX)
        here = await assets.fetch(archive(place, account=ACCOUNT), 60)
        hanging.over.set()
        await asyncio.gather(*slow, return_exceptions=True)
        return here

    assert (asyncio.run(fetch()) / "code" / "inference.py").read_bytes() == PROGRAM


def test_a_model_that_is_a_directory_is_no_archive(store: ArtifactStore, tmp_path: Path) -> None:
    """Only code may be either."""
    (tmp_path / "model").mkdir()
    with pytest.raises(AssetUnavailable, match="Could not access model data at file:///"):
        fetched(store, archive(tmp_path / "model"))


def test_what_a_fleet_began_with_under_an_earlier_version_is_what_it_gets(
    store: ArtifactStore, tmp_path: Path
) -> None:
    """That kept a directory of code as a prefix, and an archive as an object."""
    place = tmp_path / "model.tar.gz"
    place.write_bytes(model_archive({"v": b"1"}))
    code = tmp_path / "code"
    code.mkdir()
    (code / "inference.py").write_bytes(PROGRAM)
    before = [
        store.fetch(place.as_uri(), pin="g-1-v").path,
        store.fetch(
            f"{code.as_uri()}/", pin="g-1-v+code", data_type="S3Prefix", compression="None"
        ).path,
    ]
    place.write_bytes(model_archive({"v": b"2"}))
    (code / "inference.py").write_bytes(b"raise SystemExit\n")
    assert [
        fetched(store, archive(place)),
        fetched(store, archive(code, "g-1-v+code", or_directory=True)),
    ] == before


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("file:///nowhere/model.tar.gz", "Could not access model data at file:///nowhere/model"),
        ("s3://b/", "An S3Object URI names one object"),
        ("ftp://host/model.tar.gz", '"ftp" is not a scheme that artifacts are read from'),
        ("file://host/srv/code", "A file URI has an absolute path and no host"),
        ("file:///a%00b", "The URI holds a control character"),
        ("file:///a%ffb", "The path of a file URI is UTF-8"),
    ],
)
def test_what_cannot_be_had_is_said_in_the_words_of_a_failure_reason(
    store: ArtifactStore, uri: str, words: str
) -> None:
    for or_directory in {False, uri.startswith("file://")}:
        with pytest.raises(AssetUnavailable) as raised:
            fetched(store, archive(uri, or_directory=or_directory))
        assert words in str(raised.value)
        assert str(raised.value).startswith("Could not access model data at ")
        assert shortage(raised.value) is None


def test_the_time_for_it_ends(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "kept", s3=lambda: None, file_roots=[tmp_path])
    place = tmp_path / "model.tar.gz"
    place.write_bytes(model_archive({"v": b"1"}))
    with pytest.raises(AssetUnavailable, match="Raise ModelDataDownloadTimeoutInSeconds"):
        fetched(store, archive(place), seconds=0)


def test_a_full_disk_is_still_known_for_one(store: ArtifactStore) -> None:
    """It passes, and fails no endpoint; so what stood in the way is told along."""

    class Full:
        def fetch(self, uri: str, **_: Any) -> Any:
            error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise StoreFull("There is no room.", uri=uri) from error

    with pytest.raises(AssetUnavailable, match="There is no room") as raised:
        fetched(Full(), archive("s3://b/k.tar.gz"))
    assert shortage(raised.value) == "the host is out of disk space (ENOSPC)"


class TestOfWhom:
    """An account's models may be files of this host below some directories, or nowhere."""

    OWN, OTHER = "000000000000", "444455556666"

    @pytest.fixture
    def assets(self, store: ArtifactStore, tmp_path: Path) -> KeptAssets:
        settings = Settings(tmp_path / "data", member_file_roots=f"{tmp_path / 'shared'}")
        (tmp_path / "shared").mkdir()
        return KeptAssets(store, settings.file_roots_of)

    def refusal(self, assets: KeptAssets, asset: Asset) -> str:
        with pytest.raises(AssetUnavailable) as refused:
            asyncio.run(assets.fetch(asset, 60))
        return str(refused.value)

    def test_another_account_reads_below_what_the_operator_names(
        self, assets: KeptAssets, tmp_path: Path
    ) -> None:
        for directory in ("shared", "private"):
            place = tmp_path / directory / "model.tar.gz"
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(model_archive({"v": directory.encode()}))
            here = asyncio.run(
                assets.fetch(archive(place, f"{directory}-own", account=self.OWN), 60)
            )
            assert (here / "v").read_bytes() == directory.encode()
        shared, private = (tmp_path / each / "model.tar.gz" for each in ("shared", "private"))
        here = asyncio.run(assets.fetch(archive(shared, "s", account=self.OTHER), 60))
        assert (here / "v").read_bytes() == b"shared"
        for account in (self.OTHER, ""):
            words = self.refusal(assets, archive(private, "p", account=account))
            assert "are read only from directories that the operator" in words
        link = tmp_path / "shared" / "link.tar.gz"
        link.symlink_to(private)
        assert "only from directories" in self.refusal(
            assets, archive(link, "l", account=self.OTHER)
        )

    def test_nothing_is_shared_unless_it_is_said(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        assets = KeptAssets(store, Settings(tmp_path / "data").file_roots_of)
        place = tmp_path / "model.tar.gz"
        place.write_bytes(model_archive({"v": b"1"}))
        words = self.refusal(assets, archive(place, account=self.OTHER))
        assert "(none are allowed)" in words

    @pytest.mark.parametrize("named", ["there.tar.gz", "nothing.tar.gz", "directory", "data/x"])
    def test_a_refusal_does_not_tell_what_is_there(
        self, assets: KeptAssets, tmp_path: Path, named: str
    ) -> None:
        (tmp_path / "there.tar.gz").touch()
        (tmp_path / "directory").mkdir()
        for code in (False, True):
            place = tmp_path / named
            asset = archive(place, "p", account=self.OTHER, or_directory=code)
            words = self.refusal(assets, asset)
            assert words == (
                f"Could not access model data at {place.as_uri()}. file:// artifacts are read only "
                "from directories that the operator of this server allowed "
                f"({tmp_path / 'shared'}). Move the file there, or allow its directory."
            )

    def test_who_may_not_does_not_get_it_by_waiting_for_who_may(
        self, store: ArtifactStore, tmp_path: Path
    ) -> None:
        """Callers of one artifact share one fetch: one that is under way must not let in others."""
        place = tmp_path / "model.tar.gz"
        place.write_bytes(model_archive({"v": b"1"}))
        request = parse(place.as_uri(), data_type="S3Object", compression="Gzip")
        flights: dict[str, Any] = store._flights
        flights[source_key(request)] = None  # whoever looks for it would fail otherwise
        with pytest.raises(ArtifactForbidden):
            store.fetch(place.as_uri(), pin="p", file_roots=[])
