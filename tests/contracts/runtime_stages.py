"""The runtimes that the contract is held against, each with instances that behave in known ways."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Protocol
from urllib.parse import unquote

from inservice.clock import Due
from inservice.hosting.model import ArtifactSource, CompressionType, S3DataType
from inservice.images.base import Images
from inservice.images.resolve import Catalogue
from inservice.runtimes.base import (
    AssetUnavailable,
    Environments,
    Handle,
    LaunchSpec,
    Sight,
    WatchedRuntime,
)
from inservice.runtimes.process.protocol import TMP_BYTES
from inservice.runtimes.process.runtime import ProcessRuntime
from inservice.testing.runtime import FakeHost, FakeRuntime, Script
from inservice.workload.asset import Asset
from inservice.workload.container import Container, Workload
from tests import waiting

PATIENCE_SECONDS = waiting.PATIENCE_SECONDS
"""How long a test waits for what has to come. Only a failing test waits so long."""

BEHAVIOURS = {
    "good": "",
    "import fails": "import a_module_that_nobody_has",
    "exits": "import os, sys\nprint('out of luck', flush=True)\nos._exit(3)",
    "hangs": "import time\nprint('thinking', flush=True)\ntime.sleep(600)",
    "garbage": """
        import os, socket, stat
        numbers = [n for n in range(3, 256) if os.path.exists(f"/proc/self/fd/{n}")]
        number, = (n for n in numbers if stat.S_ISSOCK(os.fstat(n).st_mode))
        listener = socket.socket(fileno=number)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.sendall(b"\\x16\\x03\\x01 this is not HTTP\\r\\n\\r\\n")
            connection.close()
    """,
    "unavailable": """
        import os, socket, stat
        numbers = [n for n in range(3, 256) if os.path.exists(f"/proc/self/fd/{n}")]
        number, = (n for n in numbers if stat.S_ISSOCK(os.fstat(n).st_mode))
        listener = socket.socket(fileno=number)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 503 Busy\\r\\ncontent-length: 0\\r\\n\\r\\n")
            connection.close()
    """,
    "ignores SIGTERM": "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "import time\ntime.sleep(600)",
}
"""What a model's code/inference.py does before its handlers."""

HANDLERS = """
def model_fn(model_dir):
    return model_dir

def transform_fn(model, body, content_type, accept):
    return body, content_type
"""


class Shelves:
    """Assets that are directories of this host already, and whatever may become of them."""

    def __init__(self) -> None:
        self.fetched: list[Asset] = []
        self.gone = False
        self.open = asyncio.Event()  # until then nothing arrives
        self.open.set()
        self.asked = asyncio.Event()
        self.given_up = 0

    async def fetch(self, asset: Asset, seconds: float) -> Path:
        self.fetched.append(asset)
        self.asked.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        if self.gone:
            raise AssetUnavailable(f"Could not access model data at {asset.source.uri}.")
        return directory_of(asset)


def asset_of(directory: Path, pin: str) -> Asset:
    """A directory of this host, as an asset."""
    source = ArtifactSource(f"{directory.as_uri()}/", S3DataType.S3_PREFIX, CompressionType.NONE)
    return Asset(source, pin)


def directory_of(asset: Asset) -> Path:
    """The same, back."""
    return Path(unquote(asset.source.uri.removeprefix("file://").rstrip("/")))


def files_of(spec: LaunchSpec) -> Path:
    """Where the model of a spec is."""
    (container,) = spec.workload.containers
    assert container.model is not None
    return directory_of(container.model)


def changed(spec: LaunchSpec, **changes: Any) -> LaunchSpec:
    """The same, with another container: another image, environment, …"""
    (container,) = spec.workload.containers
    workload = replace(spec.workload, containers=(replace(container, **changes),))
    return replace(spec, workload=workload)


class Stage(Protocol):
    """A runtime and the world it runs instances in."""

    @property
    def runtime(self) -> WatchedRuntime: ...

    assets: Shelves

    def spec(self, behaviour: str = "good") -> LaunchSpec:
        """A spec, with an id of its own, of an instance that behaves so."""
        ...

    def again(self) -> None:
        """Control has crashed: `runtime` is another object that knows nothing."""
        ...

    def kill(self, handle: Handle) -> None:
        """SIGKILL from outside."""
        ...

    def ail(self, handle: Handle) -> None:
        """From now on /ping times out."""
        ...

    async def pass_time(self) -> None:
        """Let a little time pass."""
        ...


async def until(
    stage: Stage | ProcessStage, handle: Handle, good: Callable[[Sight], bool]
) -> Sight:
    """Look until it is as wanted."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not good(sight := await stage.runtime.look(handle)):
            await stage.pass_time()
    return sight


class ProcessStage:
    """Real processes."""

    def __init__(self, root: Path, user: str = "", tmp_bytes: int = TMP_BYTES) -> None:
        self.root = root
        self.user = user
        self.tmp_bytes = tmp_bytes
        self.run_dir = root / "run"
        self.log_dir = root / "log"
        self.environments: Environments | None = None
        self.images: Images = Catalogue()
        self._hidden: list[Path] = []
        self._numbers = itertools.count()
        self.again()

    def hide(self, directory: Path) -> None:
        """From the models that are launched from now on."""
        self._hidden.append(directory)
        self.again()

    def spec(
        self,
        behaviour: str = "good",
        *,
        code: str | None = None,
        image: str = "python",
        isolated: bool = False,
        **environment: str,
    ) -> LaunchSpec:
        number = next(self._numbers)
        model_dir = self.root / f"model{number}"
        (model_dir / "code").mkdir(parents=True)
        program = textwrap.dedent(BEHAVIOURS[behaviour]) + (HANDLERS if code is None else "")
        program += textwrap.dedent(code or "")
        (model_dir / "code" / "inference.py").write_text(program)
        return LaunchSpec(
            instance_id=f"fleet.{os.getpid()}/{number}",
            account="000000000000",
            region="us-east-1",
            endpoint="an-endpoint",
            variant="AllTraffic",
            workload=Workload(
                (Container("primary", image, environment, asset_of(model_dir, "fleet")),),
                network_isolation=isolated,
            ),
            download_timeout_seconds=PATIENCE_SECONDS,
        )

    def again(self) -> None:
        self.assets = Shelves()
        self.runtime = ProcessRuntime(
            self.run_dir,
            self.log_dir,
            images=self.images,
            environments=self.environments,
            tmp_bytes=self.tmp_bytes,
            assets=self.assets,
            user=self.user,
            hidden=self._hidden,
        )

    def kill(self, handle: Handle) -> None:
        os.kill(handle.pid, signal.SIGKILL)

    def ail(self, handle: Handle) -> None:
        os.kill(handle.pid, signal.SIGSTOP)

    async def pass_time(self) -> None:
        await asyncio.sleep(0.01)

    def end(self) -> None:
        """Leave no process behind."""
        asyncio.run(self.runtime.shut_down(grace_seconds=0.0))


@contextmanager
def process_stage(user: str = "", tmp_bytes: int = TMP_BYTES) -> Iterator[ProcessStage]:
    """A run directory of its own, short enough for sockets, and nothing left of it after."""
    root = Path(tempfile.mkdtemp(prefix="is-"))
    stage = ProcessStage(root, user, tmp_bytes)
    try:
        yield stage
    finally:
        stage.end()
        shutil.rmtree(root)


class SteppedClock:
    """Time that passes when a test says so, or waits for it: then at once."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds

    async def wait(self, event: Due, until: float) -> bool:
        await asyncio.sleep(0)  # in which somebody may set it
        if not event.is_set():
            self.time = max(self.time, until)
        return event.is_set()


class FakeStage:
    """Scripts of the same behaviours."""

    SCRIPTS: ClassVar = {
        "good": Script(ready_after_seconds=0.5),
        "import fails": Script(
            ready_after_seconds=None,
            dies_after_seconds=0.2,
            exit_code=1,
            last_lines=("ModuleNotFoundError: No module named 'a_module_that_nobody_has'",),
        ),
        "exits": Script(
            ready_after_seconds=None,
            dies_after_seconds=0.2,
            exit_code=3,
            last_lines=("out of luck",),
        ),
        "hangs": Script(ready_after_seconds=None, last_lines=("thinking",)),
        "garbage": Script(ready_after_seconds=None, not_ready="not HTTP: b'\\x16'"),
        "unavailable": Script(ready_after_seconds=None, not_ready="503"),
        "ignores SIGTERM": Script(ready_after_seconds=None, retires_after_seconds=600),
    }

    def __init__(self) -> None:
        self.clock = SteppedClock()
        self.host = FakeHost(self.clock)
        self._numbers = itertools.count()
        self.again()

    def spec(self, behaviour: str = "good") -> LaunchSpec:
        instance_id = f"fleet/{next(self._numbers)}"
        self.host.script(instance_id, self.SCRIPTS[behaviour])
        return LaunchSpec(
            instance_id=instance_id,
            account="000000000000",
            region="us-east-1",
            endpoint="an-endpoint",
            variant="AllTraffic",
            workload=Workload(
                (Container("primary", "python", {}, asset_of(Path("/models/a b"), "fleet")),)
            ),
            download_timeout_seconds=PATIENCE_SECONDS,
        )

    def again(self) -> None:
        self.assets = Shelves()
        self.runtime = FakeRuntime(self.host, self.assets)

    def kill(self, handle: Handle) -> None:
        self.host.die(handle.instance_id)

    def ail(self, handle: Handle) -> None:
        self.host.ail(handle.instance_id)

    async def pass_time(self) -> None:
        await self.clock.sleep(0.1)
