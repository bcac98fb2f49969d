"""The images of a host: what users have added survives, and a build is followed from any thread."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from inservice import disk
from inservice.images.added import AddedImages
from inservice.images.base import (
    AddedImage,
    AddedImagesUnreadable,
    Environment,
    EnvironmentImage,
    Housekeeping,
    ImageExists,
    ImageState,
    NotRunnable,
    OciImage,
    UnknownEnvironment,
    UnknownImage,
)
from inservice.images.host import HostImages
from inservice.runtimes.base import EnvironmentUnavailable
from tests.kept_images import environment_of
from tests.waiting import wait_until

MINE = AddedImage("mine", ("a-package-that-nobody-has>=1",), "", "sklearn", ("a",), 1_000.0)


# ── the file ──────────────────────────────────────────────────────────────────────────────────────


def test_what_was_added_is_there_for_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "images.json"
    AddedImages(path).add(MINE)
    found = AddedImages(path).find("mine")
    assert found == EnvironmentImage("mine", "mine", MINE.requirements, "", "sklearn", ("a",))
    assert AddedImages(path).all() == [MINE]
    assert oct(path.stat().st_mode)[-3:] == "600"
    AddedImages(path).remove("mine")
    assert AddedImages(path).all() == []
    with pytest.raises(UnknownImage, match="mine"):
        AddedImages(path).remove("mine")


def test_a_name_is_added_once(tmp_path: Path) -> None:
    added = AddedImages(tmp_path / "images.json")
    added.add(MINE)
    with pytest.raises(ImageExists):
        added.add(MINE)


@pytest.mark.parametrize("content", [b"", b"{", b'{"images": 3}', b'{"images": [{}]}', b"\xff"])
def test_a_damaged_file_stays_as_it_is_and_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "images.json"
    path.write_bytes(content)
    images = HostImages(path, Builder(), lambda: 0.0)
    with pytest.raises(AddedImagesUnreadable, match=r"images\.json cannot be read"):
        images.add(MINE)
    assert path.read_bytes() == content
    lost = images.resolve("mine")
    assert isinstance(lost, NotRunnable)
    assert "images.json" in lost.why
    assert lost.why.startswith("The image 'mine' cannot run here: ")
    assert isinstance(images.resolve("sklearn"), EnvironmentImage)
    assert isinstance(images.resolve("registry.example/mine"), OciImage)


def test_a_write_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = AddedImages(tmp_path / "images.json")
    added.add(MINE)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "write", full)
    with pytest.raises(OSError, match="No space"):
        added.remove("mine")
    assert added.kept("mine") == MINE


def test_many_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "images.json"
    added = AddedImages(path)
    each = [AddedImage(f"i{n}", (), "", "", (), 0.0) for n in range(20)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(added.add, each))
    assert {image["name"] for image in json.loads(path.read_bytes())["images"]} == {
        image.name for image in each
    }


# ── the host ──────────────────────────────────────────────────────────────────────────────────────


class Builder:
    """Builds when it is let go on, or fails then; the server's own Python has what plain Python
    needs. Implements `Housekeeping`."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.go_on = asyncio.Event()
        self.there: dict[str, Environment] = {}
        self.fails = ""

    def is_met(self, image: EnvironmentImage) -> bool:
        return image.family == "python"

    async def built(self, image: EnvironmentImage) -> Environment | None:
        return self.there.get(image.family)

    async def build(
        self, image: EnvironmentImage, tell: Callable[[str], None]
    ) -> Environment | None:
        self.began.append(image.family)
        tell("fetching a==1.0")
        await self.go_on.wait()
        if self.fails:
            raise EnvironmentUnavailable(self.fails)
        tell("installing")
        self.there[image.family] = environment_of(image.uri)
        return self.there[image.family]

    async def environments(self) -> Sequence[Environment]:
        return [*self.there.values()]

    async def remove(self, name: str) -> Environment:
        family, found = next((f, e) for f, e in self.there.items() if e.name == name)
        del self.there[family]
        return found

    async def prune(self, unused_seconds: float) -> Sequence[Environment]:
        removed = [*self.there.values()]
        self.there.clear()
        return removed


@contextmanager
def serving(
    path: Path, environments: Housekeeping
) -> Iterator[tuple[HostImages, Callable[[Awaitable[Any]], Any]]]:
    """The images of a host whose event loop runs in a thread, as control's does for its API."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()

    def run(asked: Awaitable[Any]) -> Any:
        async def waiting() -> Any:
            return await asked

        return asyncio.run_coroutine_threadsafe(waiting(), loop).result(20)

    images = HostImages(path / "images.json", environments, lambda: 5.0)

    async def begin() -> None:
        images.begin()

    try:
        run(begin())
        yield images, run
    finally:
        run(images.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _set(event: asyncio.Event) -> None:
    event.set()


def test_everything_is_told_of_before_anything_is_created(tmp_path: Path) -> None:
    with serving(tmp_path, Builder()) as (images, _):
        images.add(MINE)
        seen = {each.name: each for each in images.all()}
        for name, each in seen.items():
            assert images.look(each.found.uri) == each, name
        states = {name: each.state for name, each in seen.items()}
    assert states["python"] is ImageState.READY
    assert states["pytorch"] is ImageState.TO_BUILD
    assert states["tgi"] is ImageState.NEEDS_ENGINE
    assert states["training"] is ImageState.NOT_RUNNABLE
    assert (states["mine"], seen["mine"].added_at) == (ImageState.TO_BUILD, 1_000.0)
    assert [*states] == sorted(states)
    assert "pytorch-inference" in seen["pytorch"].repositories


def test_a_build_is_followed_to_its_end_and_begun_once(tmp_path: Path) -> None:
    builder = Builder()
    with serving(tmp_path, builder) as (images, run):
        images.add(MINE)
        assert images.look("mine").build is None
        for _ in range(3):
            assert images.build("mine").state is ImageState.BUILDING
        assert wait_until(lambda: images.look("mine").build)
        wait_until(lambda: (b := images.look("inservice/mine").build) is not None and b.told)
        going = images.look("mine").build
        assert going is not None
        assert (going.told, going.ended_at, going.failure) == (("fetching a==1.0",), None, "")
        run(_set(builder.go_on))
        wait_until(lambda: images.look("mine").state is ImageState.BUILT)
        done = images.look("mine")
        assert done.build is not None
        assert (done.build.told_count, done.build.ended_at, done.build.failure) == (2, 5.0, "")
        assert done.environment == environment_of("mine")
        assert images.build("mine").state is ImageState.BUILT
        assert builder.began == ["mine"]
        assert images.environments() == [environment_of("mine")]
        assert images.remove_environment("mine") == environment_of("mine")
        assert images.prune(0.0) == []
        assert images.look("mine").state is ImageState.TO_BUILD
        with pytest.raises(UnknownEnvironment, match="Nothing is built"):
            images.remove_environment("mine")


def test_a_build_that_fails_says_why_and_may_be_tried_again(tmp_path: Path) -> None:
    builder = Builder()
    builder.go_on.set()
    builder.fails = "no such package"
    with serving(tmp_path, builder) as (images, _):
        images.build("lightgbm")
        wait_until(lambda: images.look("lightgbm").state is ImageState.BUILD_FAILED)
        failed = images.look("lightgbm").build
        assert failed is not None
        assert (failed.failure, failed.ended_at) == ("no such package", 5.0)
        builder.fails = ""
        images.build("lightgbm")
        wait_until(lambda: images.look("lightgbm").state is ImageState.BUILT)


def test_what_no_environment_stands_in_for_is_not_built(tmp_path: Path) -> None:
    builder = Builder()
    with serving(tmp_path, builder) as (images, _):
        assert images.build("nginx").state is ImageState.NEEDS_ENGINE
        assert images.build("-v").state is ImageState.NOT_RUNNABLE
        assert images.build("python").state is ImageState.READY
    assert not builder.began


def test_the_end_of_control_ends_a_build(tmp_path: Path) -> None:
    builder = Builder()
    with serving(tmp_path, builder) as (images, run):
        images.build("pytorch")
        wait_until(lambda: builder.began)
        run(images.close())
        with pytest.raises(RuntimeError):
            images.look("pytorch")


@pytest.mark.parametrize("name", ["pytorch", "sklearn", "scikit-learn", "xgboost-0.72", "tgi"])
def test_no_name_of_the_catalogue_can_be_added(tmp_path: Path, name: str) -> None:
    images = HostImages(tmp_path / "images.json", Builder(), lambda: 0.0)
    with pytest.raises(ImageExists, match=f'"{name}": the catalogue has it'):
        images.add(AddedImage(name, (), "", "", (), 0.0))
