"""The storage process by itself: what it waits for, how it steps aside, what it tells control."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from inservice import config
from inservice.channel.publishing import Gateways
from inservice.clock import SystemClock
from inservice.config import Settings
from inservice.gateway.carried import Places
from inservice.gateway.storage import PLACES, SignedForStorage
from tests.gateway.rig import KEY, REGION, Rig, gateway, run

MEMORY_KB_MAX = 40 * 1024
"""What it may hold while it has nothing to do."""


@dataclass
class Alone:
    """A data directory, the socket that a supervisor would have, and a control to follow."""

    settings: Settings
    listening: socket.socket
    front: Rig

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "inservice.starting", "inservice.storage.__main__"),
                f"--settings={self.settings.settings_file}",
                f"--listen-fd={self.listening.fileno()}",
            ],
            pass_fds=[self.listening.fileno()],
            stderr=subprocess.DEVNULL,
        )

    def s3(self) -> Any:
        make: Any = boto3.client
        return make(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.front.port}",
            region_name=REGION,
            aws_access_key_id=KEY.id,
            aws_secret_access_key=KEY.secret,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def control(self) -> Gateways:
        return Gateways(
            self.settings.run_dir,
            SystemClock(),
            on_acknowledged=lambda: None,
            on_metrics=lambda *_: None,
        )


@contextlib.asynccontextmanager
async def alone() -> AsyncIterator[Alone]:
    async with gateway() as front:
        settings = Settings(data_dir=front.directory / "data")
        settings.run_dir.mkdir(parents=True)
        settings.settings_file.write_text(json.dumps(config.to_document(settings)))
        path = settings.run_dir / "storage.sock"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen(64)
            pool = front.gateway.client.pool(f"unix:{path}")
            plane = SignedForStorage(pool, Places(PLACES), front.gateway.request_ids)
            front.planes = (plane, *front.planes)
            yield Alone(settings, listening, front)


async def until(question: Callable[[], Any]) -> Any:
    async with asyncio.timeout(25):
        while not (answer := question()):
            await asyncio.sleep(0.02)
        return answer


def holds_the_lock(process: subprocess.Popen[bytes], settings: Settings) -> bool:
    """Whether it has the objects open."""
    descriptors = Path(f"/proc/{process.pid}/fd")
    wanted = str(settings.storage_dir / "objects.db")
    with contextlib.suppress(OSError):
        return any(str(each.readlink()) == wanted for each in descriptors.iterdir())
    return False


async def end(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    return await asyncio.to_thread(process.wait, 20)


def test_it_brings_along_no_library_that_others_need() -> None:
    """It has 40 MB. What control and clients stand on would take them: SQLAlchemy, botocore, a
    logger, TLS's certificates. Of botocore it reads a file."""
    heavy = ("sqlalchemy", "alembic", "boto3", "botocore", "structlog", "cryptography", "pydantic")
    probe = (
        "import sys; import inservice.storage.__main__;"
        f"print([m for m in {heavy!r} if m in sys.modules],"
        "sorted({m.split('.')[1] for m in sys.modules if m.startswith('inservice.')}"
        " & {'store', 'controller', 'operations', 'api', 'app', 'cli', 'runtimes'}))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n"


def test_nobody_is_refused_before_control_has_said_who_may_and_nothing_waits_for_it() -> None:
    """And it is heard what was counted, while control waits for no word of it."""

    async def test() -> None:
        async with alone() as rig:
            process = rig.start()
            try:
                await until(lambda: holds_the_lock(process, rig.settings))
                asked = asyncio.create_task(asyncio.to_thread(rig.s3().list_buckets))
                control = rig.control()
                await control.start(serving=False)
                try:
                    await until(lambda: control._end._workers)  # it follows, and is told nothing
                    assert not asked.done()
                    control.publish_keys({KEY.id: KEY})
                    assert (await asked)["Buckets"] == []
                    counts = await until(
                        lambda: control.storage and control.storage.operations and control.storage
                    )
                    assert [(c.operation, c.code_class, c.count) for c in counts.operations] == [
                        ("ListBuckets", "2xx", 1)
                    ]
                    assert control.acknowledged() == -1
                    assert memory_kb(process.pid) < MEMORY_KB_MAX
                finally:
                    await control.close()
                # What was told last counts while control is gone.
                assert (await asyncio.to_thread(rig.s3().list_buckets))["Buckets"] == []
            finally:
                assert await end(process) == 0

    run(test)


def test_objects_that_cannot_be_opened_are_no_silence() -> None:
    """Each life of the process says so before it ends, and nothing of the store is touched."""

    async def test() -> None:
        async with alone() as rig:
            rig.settings.storage_dir.mkdir(parents=True)
            database = rig.settings.storage_dir / "objects.db"
            database.write_bytes(b"of somebody else" * 1_000)
            process = rig.start()
            try:
                with pytest.raises(ClientError) as raised:
                    await asyncio.to_thread(rig.s3().list_buckets)
                error = raised.value.response
                assert error["ResponseMetadata"]["HTTPStatusCode"] == 503
                assert "cannot be opened just now" in error["Error"]["Message"]
                assert await asyncio.to_thread(process.wait, 60) == 1
                assert database.read_bytes() == b"of somebody else" * 1_000
            finally:
                process.kill()
                process.wait()

    run(test)


def memory_kb(pid: int) -> int:
    """What it holds, what it shares with others shared out."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_one_steps_aside_for_another_and_comes_back_when_that_one_is_gone() -> None:
    async def test() -> None:
        async with alone() as rig:
            control = rig.control()
            await control.start(serving=False)
            control.publish_keys({KEY.id: KEY})
            first = rig.start()
            second = None
            try:
                s3 = rig.s3()
                await asyncio.to_thread(lambda: s3.create_bucket(Bucket="mine"))
                second = rig.start()
                first.send_signal(signal.SIGUSR1)
                await until(lambda: second is not None and holds_the_lock(second, rig.settings))
                assert not holds_the_lock(first, rig.settings)
                await asyncio.to_thread(lambda: s3.put_object(Bucket="mine", Key="k", Body=b"x"))
                second.kill()
                await asyncio.to_thread(second.wait, 20)
                first.send_signal(signal.SIGUSR2)
                got = await asyncio.to_thread(lambda: s3.get_object(Bucket="mine", Key="k"))
                assert await asyncio.to_thread(got["Body"].read) == b"x"
                assert holds_the_lock(first, rig.settings)
            finally:
                if second is not None:
                    second.kill()
                    second.wait()
                assert await end(first) == 0
                await control.close()

    run(test)
