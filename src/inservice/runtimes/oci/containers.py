"""What is asked of the engine about containers of ours, and what its answers mean."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inservice.runtimes.oci.engine import Engine, EngineRefused, EngineTrouble, EngineUnavailable
from inservice.runtimes.oci.records import SERVER, Exit, Record, is_alive

if TYPE_CHECKING:
    from docker import APIClient

_log = logging.getLogger(__name__)

SETTLE_SECONDS = 5.0
"""From the end of a process until its engine has noted it: Podman takes a twentieth of a second."""

PAUSE_SECONDS = 0.03
"""Between two looks for what an engine is about to note."""

_BUSY, _GONE = 409, 404


async def create(engine: Engine, body: Mapping[str, Any], name: str) -> str:
    """Its id. A container of that name is one of ours that nobody knows any more: it is removed.
    Raises EngineTrouble."""

    def made(client: APIClient) -> str:
        create: Callable[..., Mapping[str, Any]] = client.create_container_from_config
        return str(create(body, name)["Id"])

    try:
        return await engine.ask(made)
    except EngineRefused as refused:
        if refused.status != _BUSY and "already in use" not in str(refused):
            raise
    await remove(engine, name)
    return await engine.ask(made)


async def inspect(engine: Engine, container: str) -> Mapping[str, Any] | None:
    """How it is; None if there is none. Raises EngineTrouble, EngineUnavailable."""
    try:
        seen: Mapping[str, Any] = await engine.ask(
            lambda client: client.inspect_container(container)
        )
    except EngineRefused as refused:
        if refused.status == _GONE:
            return None
        raise
    return seen


async def send(engine: Engine, record: Record, number: signal.Signals) -> None:
    """Signal its first process; one that has ended is as good as signalled, also before its engine
    has noted that. Raises EngineTrouble."""
    try:
        await engine.ask(lambda client: client.kill(record.container_id, number.name))
    except EngineRefused:
        if is_alive(record):
            raise


async def remove(engine: Engine, container: str) -> None:
    """Kill it and have it no more. One that is gone is as good. Raises EngineTrouble."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        try:
            await engine.ask(lambda client: client.remove_container(container, v=True, force=True))
        except EngineRefused as refused:
            if refused.status == _GONE:
                return
            # Somebody is removing it already, or its end is only just being noted.
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return


async def of_server(engine: Engine, server_id: str) -> Sequence[Mapping[str, Any]]:
    """All with our label, running or not."""
    wanted = {"label": [f"{SERVER}={server_id}"]}
    found: Sequence[Mapping[str, Any]] = await engine.ask(
        lambda client: client.containers(all=True, filters=wanted)
    )
    return found


async def how_it_ended(engine: Engine, record: Record) -> Exit | None:
    """Of one whose process is gone; None if the engine cannot be asked just now."""
    deadline = time.monotonic() + SETTLE_SECONDS
    try:
        while True:
            seen = await inspect(engine, record.container_id)
            if seen is None:
                return Exit(at=time.time())
            if not seen["State"].get("Running") and seen["State"].get("Status") != "stopping":
                return ended(seen["State"])
            if time.monotonic() > deadline:
                return None
            await asyncio.sleep(PAUSE_SECONDS)
    except (EngineTrouble, EngineUnavailable) as error:
        _log.warning("it is not known how a container ended: %s", error)
        return None


def ended(state: Mapping[str, Any]) -> Exit:
    """An engine tells a signal as a shell does: 128 and its number."""
    code = int(state.get("ExitCode") or 0)
    number = code - 128
    if number in set(signal.Signals):
        name = signal.Signals(number).name
        return Exit(at=time.time(), signal=name, out_of_memory=bool(state.get("OOMKilled")))
    return Exit(at=time.time(), exit_code=code, out_of_memory=bool(state.get("OOMKilled")))
