"""The reserve on a real volume, and on volumes that only a number makes full."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from inservice.reserve import (
    HALF,
    INODES_MIN,
    OPENING_BYTES,
    OPENING_FILES,
    RESERVE,
    SLICES,
    SPARE_FILES,
    SPARES,
    WHOLE_BYTES,
    Reserve,
    is_full,
)


def named(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("as SQLite has it")
    error.sqlite_errorname = name
    return error


SLICE = WHOLE_BYTES // SLICES
BLOCK = 4096


class Volume:
    """A volume of which `taken` bytes are somebody else's; the reserve takes its own."""

    def __init__(self, directory: Path, size: int = 1 << 30) -> None:
        self.directory = directory
        self.size = size
        self.taken = 0
        self.inodes = 1_000_000

    @property
    def held(self) -> int:
        path = self.directory / RESERVE
        return path.stat().st_size if path.exists() else 0

    @property
    def spares(self) -> list[Path]:
        directory = self.directory / SPARES
        return list(directory.iterdir()) if directory.exists() else []

    @property
    def free(self) -> int:
        return self.size - self.taken - self.held

    def fill(self, left: int = 0) -> None:
        self.taken = self.size - self.held - left

    def statvfs(self, _: Path) -> os.statvfs_result:
        blocks, free = self.size // BLOCK, self.free // BLOCK
        files = 1_000_000
        numbers = (BLOCK, BLOCK, blocks, free, free, files, self.inodes, self.inodes, 0, 255)
        return os.statvfs_result(numbers)


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    made = Volume(tmp_path)
    monkeypatch.setattr("os.statvfs", made.statvfs)
    return made


def test_a_reserve_is_made_where_there_is_room_and_is_nobody_else_s(volume: Volume) -> None:
    kept = Reserve(volume.directory)
    kept.hold()
    assert volume.held == WHOLE_BYTES
    path = volume.directory / RESERVE
    assert path.stat().st_blocks * 512 >= WHOLE_BYTES, "allocated, not a hole"
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_is_given_up_by_the_slice_and_only_as_far_as_room_is_missing(volume: Volume) -> None:
    kept = Reserve(volume.directory)
    kept.hold()
    kept.give()
    assert volume.held == WHOLE_BYTES, "there was room without it"
    for slices_left in range(SLICES - 1, -1, -1):
        volume.fill()  # whoever fills the volume takes each slice too
        kept.give()
        assert volume.free == SLICE
        assert volume.held == slices_left * SLICE
        kept.give()
        assert volume.held == slices_left * SLICE
    volume.fill()
    kept.give()
    assert volume.free == 0


def test_short_says_the_same_before_and_after_the_reserve_is_given_up(volume: Volume) -> None:
    kept = Reserve(volume.directory)
    kept.hold()
    volume.fill(left=SLICE)
    assert kept.short() == ""
    volume.fill(left=SLICE - BLOCK)
    before = kept.short()
    assert before == (
        f"The volume of {volume.directory} has {(SLICE - BLOCK) // 1024} KiB left beside its "
        "reserve."
    )
    kept.give()
    assert kept.short() == before
    volume.fill()
    assert "has 0 KiB left" in kept.short()


def test_it_is_made_again_as_there_is_room_and_leaves_the_working_bytes(volume: Volume) -> None:
    kept = Reserve(volume.directory)
    for left in (0, SLICE, SLICE + BLOCK, *[2 * SLICE] * (SLICES - 1), 2 * SLICE - BLOCK):
        volume.fill(left)
        kept.hold()
        assert volume.free == min(left, SLICE)
    assert volume.held == WHOLE_BYTES
    assert kept.short() == ""


def test_a_small_volume_has_a_small_one(volume: Volume) -> None:
    volume.size = 16 << 20
    kept = Reserve(volume.directory)
    kept.hold()
    assert volume.held == 1 << 20
    assert kept.short() == ""


def test_what_was_given_for_a_moment_is_kept_back_again(volume: Volume) -> None:
    kept = Reserve(volume.directory)
    kept.hold()
    volume.fill()
    with kept.giving():
        assert volume.free == SLICE
        with kept.giving():
            volume.taken += 5 * BLOCK  # what was written; the first to end takes nothing back
        assert volume.free == SLICE - 5 * BLOCK
    assert volume.free == 0
    assert volume.held == WHOLE_BYTES - 5 * BLOCK


def test_what_can_do_without_leaves_half_of_it(volume: Volume) -> None:
    kept = Reserve(volume.directory)
    kept.hold()
    for _ in range(SLICES + 1):
        volume.fill()
        with kept.giving(slices_left=HALF):
            volume.taken += volume.free  # all of it
    assert volume.held == HALF * SLICE
    with kept.giving():
        assert volume.free == SLICE


def test_few_inodes_are_as_short_as_few_bytes(volume: Volume) -> None:
    kept = Reserve(volume.directory)
    kept.hold()
    assert len(volume.spares) == SPARE_FILES
    assert kept.short() == ""
    volume.inodes = INODES_MIN - 1
    assert kept.short().endswith(f"has {INODES_MIN - 1} inodes left beside its reserve.")
    volume.inodes = 0
    assert kept.short().endswith("has 0 inodes left beside its reserve.")
    with kept.giving():
        assert len(volume.spares) == SPARE_FILES - OPENING_FILES
    assert len(volume.spares) == SPARE_FILES
    with kept.giving(slices_left=HALF):
        assert len(volume.spares) == SPARE_FILES
    kept.give()
    assert len(volume.spares) == SPARE_FILES - OPENING_FILES
    volume.inodes = 0
    kept.hold()
    assert len(volume.spares) == SPARE_FILES - OPENING_FILES, "others have nothing either"
    volume.inodes = 1_000_000
    kept.hold()
    assert len(volume.spares) == SPARE_FILES


def test_a_file_system_that_keeps_no_room_for_a_file_is_not_asked_again_and_again(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr("os.posix_fallocate", lambda *_: asked.append(1))
    kept = Reserve(volume.directory)
    for _ in range(3):
        kept.hold()
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (OSError(errno.EDQUOT, "x"), True),
        (OSError(errno.EIO, "x"), False),
        (named("SQLITE_FULL"), True),
        (named("SQLITE_IOERR_SHMSIZE"), True),
        (named("SQLITE_CANTOPEN"), False),
        (ValueError("disk is full"), False),
        (None, False),
    ],
)
def test_what_says_that_a_disk_is_full(error: BaseException | None, full: bool) -> None:
    assert is_full(error) is full


def test_a_copy_that_made_a_hole_of_it_has_none(tmp_path: Path) -> None:
    path = tmp_path / RESERVE
    with path.open("wb") as file:
        file.truncate(WHOLE_BYTES)
    assert path.stat().st_blocks == 0
    Reserve(tmp_path).hold()
    assert path.stat().st_blocks * 512 >= WHOLE_BYTES


def test_what_fits_is_tried_and_leaves_nothing(tmp_path: Path) -> None:
    kept = Reserve(tmp_path)
    assert kept.fits(OPENING_BYTES)
    assert (tmp_path / RESERVE).stat().st_size == 0
    kept.hold()
    assert not kept.fits(1 << 60)
    assert (tmp_path / RESERVE).stat().st_size == WHOLE_BYTES


def test_no_file_behind_a_link_is_touched(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    (tmp_path / RESERVE).symlink_to(other)
    kept = Reserve(tmp_path)
    kept.hold()
    kept.give()
    assert not kept.fits(1)
    assert other.read_bytes() == b"mine"


def test_without_a_directory_nothing_is_short_and_nothing_raised(tmp_path: Path) -> None:
    kept = Reserve(tmp_path / "gone")
    kept.hold()
    kept.give()
    assert kept.short() == ""
    assert not kept.fits(1)
