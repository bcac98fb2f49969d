"""One life of the model server in the foreground: what it prints passes through, and the last lines
are kept for the word on why it ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inservice.controller.endpoints import said
from inservice.controller.endpoints.hints import hint
from inservice.runtimes.base import InstanceState, Interpreter, Sight

_LINES_KEPT = 120
_PING_SECONDS = 0.05
_GRACE_SECONDS = 10.0
_LINE_BYTES_MAX = 1 << 20

_VIEW = (sys.executable, "-I", "-m", "inservice.app.foreground.view")


@dataclass(frozen=True, slots=True)
class Address:
    """Where it answers."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"http://{self.host}:{self.port}"


class Served:
    """The process, from its start to its end."""

    def __init__(self, process: asyncio.subprocess.Process, address: Address) -> None:
        self._process = process
        self._address = address
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._output = asyncio.create_task(self._pass_on())

    @classmethod
    async def start(
        cls,
        interpreter: Interpreter,
        model: Path,
        environment: Mapping[str, str],
        address: Address,
        scratch: Path,
    ) -> Served:
        """Raises OSError."""
        python = interpreter.executable or sys.executable
        command = [python, "-P", "-m", "inservice.modelserver"]
        command += ["--host", address.host, "--port", str(address.port)]
        process = await asyncio.create_subprocess_exec(
            *(*_VIEW, str(model), *command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(environment),
            cwd=scratch,
            limit=_LINE_BYTES_MAX,
            start_new_session=True,  # Ctrl-C is for us; we tell it
        )
        return cls(process, address)

    async def _pass_on(self) -> None:
        output = self._process.stdout
        assert output is not None
        kept = b""
        while piece := await output.read(1 << 16):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            *lines, kept = (kept + piece).split(b"\n")
            kept = kept[-_LINE_BYTES_MAX:]
            self._lines.extend(line.decode(errors="replace") for line in lines)
        if kept:
            self._lines.append(kept.decode(errors="replace"))

    async def ready(self) -> bool:
        """Wait until it answers /ping with 200. False: it has ended first."""
        while self._process.returncode is None:
            if await self._is_well():
                return True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _PING_SECONDS)
        return False

    async def _is_well(self) -> bool:
        try:
            async with asyncio.timeout(2.0):
                at = (self._address.host, self._address.port)
                reader, writer = await asyncio.open_connection(*at)
                with contextlib.closing(writer):
                    writer.write(b"GET /ping HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
                    return b" 200 " in await reader.readline()
        except (OSError, TimeoutError):
            return False

    async def ended(self) -> str:
        """Wait for its end; why it ended and what to try, in a few lines."""
        status = await self._process.wait()
        await self._output
        lines = tuple(self._lines)
        name = signal.Signals(-status).name if status < 0 else None
        sight = Sight(
            InstanceState.GONE,
            exit_code=None if status < 0 else status,
            signal=name,
            out_of_memory=any("MemoryError" in line for line in lines[-1:]),
            last_lines=lines,
        )
        heard = said.read(lines)
        how = f"signal {name}" if name else f"exit status {status}"
        where = f" ({heard.place})" if heard.place else ""
        why = f"{heard.error}{where}" if heard.error else f"it ended with {how}{where}"
        return f"The model does not run: {why}\n{hint(sight, heard)}"

    async def stop(self) -> None:
        """End it and whatever it has started: told, and after a while made to."""
        if self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _GRACE_SECONDS)
            except TimeoutError:
                sys.stderr.write(f"It did not end within {_GRACE_SECONDS:g} seconds: killed.\n")
                self._process.kill()
                await self._process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # its session, so nobody else's
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._output, 1.0)
