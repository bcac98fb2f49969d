"""The process beside a program: its proxy, its keys, and the end of both with it.

`inservice exec` becomes the program that it starts: same process, same terminal, so signals and the
exit code need nobody to pass them on. What the program needs is in a companion that was forked
before, is nobody's child, and ends when the kernel says that the program has ended, however it did.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import SplitResult, urlsplit

from inservice.cli.exec import proxy
from inservice.cli.exec.authority import Authority
from inservice.cli.exec.environment import Place, lay_out
from inservice.cli.exec.user_keys import UserKey
from inservice.cli.role_keys import LEFT_SECONDS, RoleKeys, role_keys
from inservice.cli.target import read_target
from inservice.threads import Threads

_PREFIX: Final = "inservice-exec-"


@dataclass(frozen=True, slots=True)
class Task:
    """What a companion is for."""

    data_dir: Path
    role: str | None  # None: the default execution role
    allow_internet: bool
    user: UserKey | None = None  # which is deleted when the program has ended


class NotStarted(Exception):
    """There is no companion; the message says why."""


def begin(task: Task, keys: RoleKeys | None) -> Place:
    """Start the companion of this process, which ends with it. `keys` are those it has at first.
    Raises NotStarted."""
    here, there = os.pipe()
    program = os.pidfd_open(os.getpid())
    middle = os.fork()
    if middle == 0:
        os.close(here)
        os.setsid()  # a Ctrl-C is the program's
        if os.fork():
            os._exit(0)
        _be(task, keys, program, there)
    os.close(there)
    os.close(program)
    os.waitpid(middle, 0)
    with os.fdopen(here, "rb") as told:
        said = json.loads(told.read() or b'{"why": "it has ended at once"}')
    if "why" in said:
        raise NotStarted(said["why"])
    return Place(**{**said, "directory": Path(said["directory"])})


def _be(task: Task, keys: RoleKeys | None, program: int, there: int) -> NoReturn:
    """The companion's life. Nothing of the process that it was forked from goes on in it."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it ends with the program, and not before
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        asyncio.run(_accompany(task, keys, program, there))
    except BaseException as error:  # noqa: BLE001 - whoever waits is told, whatever it is
        with contextlib.suppress(OSError):
            os.write(there, json.dumps({"why": str(error) or repr(error)}).encode())
    finally:
        os._exit(0)


async def _accompany(task: Task, keys: RoleKeys | None, program: int, there: int) -> None:
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        authority = Authority.of(task.data_dir)
        renewed = Renewed(task.data_dir, task.role, keys)
        ways = proxy.Ways(
            server=lambda: _server(task.data_dir),
            server_context=authority.server_context,
            credentials=renewed.told,
            token=secrets.token_urlsafe(32),
            allow_internet=task.allow_internet,
            outer_proxy=_outer_proxy,
        )
        server, port = await proxy.serve(ways)
        address = f"http://127.0.0.1:{port}"
        place = Place(directory, address, f"{address}{proxy.CREDENTIALS_PATH}", ways.token)
        lay_out(place, authority.pem, os.environ)
        said = {**asdict(place), "directory": str(directory)}
        os.write(there, json.dumps(said).encode())
        os.close(there)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(program, ended.set)
        await ended.wait()
        server.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        if task.user is not None:
            task.user.forget()


class Renewed:
    """Keys of a session that never ends, as far as the program can tell."""

    def __init__(self, data_dir: Path, role: str | None, keys: RoleKeys | None) -> None:
        self._data_dir, self._role, self._keys = data_dir, role, keys
        self._threads = Threads("keys")
        self._renewing = asyncio.Lock()

    async def told(self) -> Mapping[str, str]:
        """As a container's agent tells them. Raises OSError."""
        async with self._renewing:
            if self._keys is None or self._keys.seconds_left() < LEFT_SECONDS:
                self._keys = await self._threads.run(self._renew)
        keys = self._keys
        return {
            "AccessKeyId": keys.access_key_id,
            "SecretAccessKey": keys.secret_access_key,
            "Token": keys.session_token,
            "Expiration": keys.expires_at,
            "RoleArn": keys.role_arn,
        }

    def _renew(self) -> RoleKeys:
        from botocore.exceptions import BotoCoreError, ClientError

        from inservice.cli.aws.failures import CommandLineError

        try:
            return role_keys(self._data_dir, read_target(self._data_dir), self._role)
        except (ClientError, BotoCoreError, CommandLineError) as error:
            raise OSError(f"there are no keys to be had: {error}") from error


def _server(data_dir: Path) -> proxy.Place:
    """Where the server is now: it may have been restarted, on another port. Raises OSError."""
    from inservice.cli.aws.failures import NotConfigured

    try:
        url = urlsplit(read_target(data_dir).url)
    except NotConfigured as missing:
        raise OSError(f"no InService runs on {data_dir}") from missing
    return url.hostname or "127.0.0.1", url.port or 80


def _outer_proxy(scheme: str, host: str) -> SplitResult | None:
    """The proxy that the environment of this process names for a host, if it does."""
    proxies = urllib.request.getproxies_environment()
    named = proxies.get(scheme)
    if not named or urllib.request.proxy_bypass(host, proxies):
        return None
    parts = urlsplit(named if "://" in named else f"http://{named}")
    return parts if parts.scheme == "http" else None
