"""The one way in which a file is replaced: killed or failing at any point, it is old or new."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inservice import disk

OLD, NEW = b"old" * 10_000, b"new!" * 10_000


def _interposed(monkeypatch: pytest.MonkeyPatch, at: Callable[[str], None]) -> None:
    """Have `at` called with the name of each step before it is taken."""

    def before(step: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            at(step)
            return real(*args, **kwargs)

        return call

    for step in ("open", "fchmod", "ftruncate", "fsync", "close"):
        monkeypatch.setattr(os, step, before(step, getattr(os, step)))
    monkeypatch.setattr(fcntl, "flock", before("flock", fcntl.flock))
    monkeypatch.setattr(Path, "replace", before("replace", Path.replace))


def _steps_of_a_write(path: Path) -> list[str]:
    taken: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        _interposed(patched, taken.append)
        disk.write(path, NEW)
    return taken


def test_the_content_is_on_the_platter_before_it_has_the_name_and_then_the_name_is(
    tmp_path: Path,
) -> None:
    taken = _steps_of_a_write(tmp_path / "file")
    assert taken.index("fsync") < taken.index("replace")
    assert "fsync" in taken[taken.index("replace") :], "the directory's"


def test_what_need_not_survive_the_host_costs_no_sync(tmp_path: Path) -> None:
    taken: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        _interposed(patched, taken.append)
        disk.write(tmp_path / "file", NEW, synced=False)
    assert "fsync" not in taken
    assert (tmp_path / "file").read_bytes() == NEW


@pytest.mark.parametrize("there", [True, False])
def test_a_disk_that_fails_at_any_step_leaves_the_old_file_and_no_draft(
    tmp_path: Path, there: bool
) -> None:
    path = tmp_path / "file"
    steps = _steps_of_a_write(tmp_path / "probe")
    for number, step in enumerate(steps):
        path.unlink(missing_ok=True)
        if there:
            path.write_bytes(OLD)
        left = iter(range(number + 1))

        def fail(_: str, left: Any = left, step: str = step) -> None:
            if next(left, None) == number:  # noqa: B023 - used up before the next round
                raise OSError(28, "No space left on device", step)

        with pytest.MonkeyPatch.context() as patched:
            _interposed(patched, fail)
            with pytest.raises(OSError, match="No space"):
                disk.write(path, NEW)
        replaced = "replace" in steps[:number]  # what fails then is the syncing of the name
        expected = NEW if replaced else OLD if there else None
        assert (path.read_bytes() if path.exists() else None) == expected, (number, step)
        # Whose the draft is can only be told once it is locked: the next write takes it.
        assert not path.with_name("file.new").exists() or step == "flock", step


@pytest.mark.parametrize("synced", [True, False])
def test_killed_at_any_step_it_is_old_or_new_and_the_next_write_is_whole(
    tmp_path: Path, synced: bool
) -> None:
    path = tmp_path / "file"
    fork = multiprocessing.get_context("fork")
    seen = set()
    for number in range(len(_steps_of_a_write(tmp_path / "probe")) + 1):
        path.write_bytes(OLD)
        killed = fork.Process(target=_write_and_die, args=(path, number, synced))
        killed.start()
        killed.join()
        content = path.read_bytes()
        assert content in (OLD, NEW), number
        seen.add((content, killed.exitcode))
        assert {each.name for each in tmp_path.iterdir()} <= {"file", "file.new", "probe"}
        disk.write(path, b"next")
        assert path.read_bytes() == b"next"
        assert {each.name for each in tmp_path.iterdir()} == {"file", "probe"}
    assert (OLD, -signal.SIGKILL) in seen
    assert (NEW, 0) in seen


def _write_and_die(path: Path, step: int, synced: bool) -> None:
    left = iter(range(step))

    def at(_: str) -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    _interposed(pytest.MonkeyPatch(), at)
    disk.write(path, NEW, synced=synced)


def test_those_who_write_at_the_same_time_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "file"
    disk.write(path, b"0" * 50_000)
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_write_often, args=(path, letter)) for letter in b"abc"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        content = path.read_bytes()
        assert len(content) == 50_000
        assert len(set(content)) == 1, "a file of two writers"
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def _write_often(path: Path, letter: int) -> None:
    for _ in range(100):
        disk.write(path, bytes([letter]) * 50_000, synced=False)


def test_the_mode_is_the_one_asked_for_whatever_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    path.chmod(0o666)
    path.with_name("file.new").write_bytes(OLD * 2)  # of one that was killed, by another mode
    path.with_name("file.new").chmod(0o666)
    disk.write(path, NEW)
    assert path.read_bytes() == NEW
    assert path.stat().st_mode & 0o777 == 0o600
    before = os.umask(0o077)
    try:
        disk.write(path, NEW, mode=0o644)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_link_in_the_place_of_the_draft_leads_nowhere(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "file.new").symlink_to(victim)
    with pytest.raises(OSError):  # noqa: PT011 - ELOOP
        disk.write(tmp_path / "file", NEW)
    assert victim.read_bytes() == b"precious"


def test_a_block_that_raises_has_written_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)

    def half() -> None:
        with disk.replacing(path) as file:
            file.write(NEW)
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError):
        half()
    assert path.read_bytes() == OLD
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
