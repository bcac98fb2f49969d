"""Model servers as they really run: forked by the process runtime."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inservice.runtimes.base import Handle, InstanceState, Sight
from tests.contracts.runtime_stages import ProcessStage, files_of, process_stage, until

Serve = Callable[..., Handle]
Launch = Callable[..., tuple[Handle, Sight]]


@pytest.fixture(scope="session")
def stage() -> Iterator[ProcessStage]:
    with process_stage() as stage:
        yield stage


def settle(stage: ProcessStage, handle: Handle) -> Sight:
    """Wait until it is ready, or gone."""

    async def test() -> Sight:
        stage.again()  # a runtime belongs to one loop
        return await until(stage, handle, lambda s: s.state is not InstanceState.STARTING)

    return asyncio.run(test())


@pytest.fixture
def launch(stage: ProcessStage) -> Iterator[Callable[..., tuple[Handle, Sight]]]:
    """Launch a model with this code, these files and this Environment; wait for what becomes."""
    handles: list[Handle] = []

    def launch(
        code: str = "", *, image: str = "python", files: dict[str, Path] | None = None, **env: str
    ) -> tuple[Handle, Sight]:
        spec = stage.spec(code=code, image=image, isolated=False, **env)
        if not code:
            (files_of(spec) / "code" / "inference.py").unlink()
        for name, file in (files or {}).items():
            (files_of(spec) / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, files_of(spec) / name)
        stage.again()
        handle = asyncio.run(stage.runtime.launch(spec))
        handles.append(handle)
        return handle, settle(stage, handle)

    yield launch

    async def retire() -> None:
        stage.again()
        await asyncio.gather(*(stage.runtime.retire(handle, 2) for handle in handles))

    asyncio.run(retire())


@pytest.fixture
def serve(launch: Callable[..., tuple[Handle, Sight]]) -> Serve:
    """The same, for a model that has to become ready."""

    def serve(code: str = "", **how: object) -> Handle:
        handle, sight = launch(code, **how)
        assert sight.state is InstanceState.READY, sight
        return handle

    return serve
