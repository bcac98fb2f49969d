"""BuiltEnvironments: the Pythons that stand in for images, found or built on this host.

An environment is named by the digest of all that it is made from (`order.name_of`), so whoever asks
for the same gets the same, and none is ever changed. What is built is an image's requirements, or a
model's requirements.txt as a layer on top of them; an image whose requirements the server's own
Python meets has that one, and nothing is built.

However many ask for an environment at once, one builds it, in a process of its own, and when none
of them wants it any more that process is ended. One that cannot be built is not tried again for a
while: an endpoint asks once for each of its instances.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inservice.images.base import Environment, EnvironmentImage
from inservice.images.environments import (
    installers,
    keeping,
    pip_settings,
    pythons,
    requirements_file,
    server,
)
from inservice.images.environments.building import Broken, Listeners, follow
from inservice.images.environments.order import Done, Failed, Order, name_of, normal
from inservice.images.environments.places import Places
from inservice.images.environments.pythons import Python
from inservice.images.environments.requirements_file import BadRequirements, Wanted
from inservice.images.met import met
from inservice.runtimes.base import EnvironmentUnavailable, Interpreter, Tell, tell_nobody
from inservice.threads import Threads

INSTALL, REFUSE = "install", "refuse"
"""Of a requirements.txt that a model brings."""

LIBRARY_INSTEAD = ("tensorflow",)
"""Frameworks whose containers take `code/lib` where there is one, and no requirements.txt then."""

_FAILED_SECONDS = 60.0
_SHORT_SECONDS = 10.0
"""How long one that failed is not tried again; where the host was short of something, which
passes."""

_HANDED_OUT_SECONDS = 600.0
"""For a process to be started in an environment that was handed out: until then nothing else tells
that it is in use."""

_TRIES = 3


@dataclass(slots=True)
class _Build:
    task: asyncio.Task[Done | Failed]
    listeners: Listeners = field(default_factory=Listeners)


class BuiltEnvironments:
    """`runtimes.base.Environments`, and `images.base.Housekeeping`."""

    def __init__(
        self,
        directory: Path,
        *,
        requirements: str = INSTALL,
        timeout_seconds: float = 1800.0,
        variables: Mapping[str, str] = os.environ,
        apart: Sequence[str] = (),
        hidden: Sequence[Path] = (),
    ) -> None:
        """`directory` is ours alone, and made when it is first needed; `requirements` says whether
        a model's requirements.txt is installed or refused; `variables` is where pip's settings are
        looked for, beside its files. `apart` is a command that runs another with less rights, for
        code of packages that has to be run to build them; `hidden` is what that does not see."""
        self._store = Places(directory.resolve())
        self._refuses = requirements == REFUSE
        self._seconds = timeout_seconds
        self._variables = variables
        self._apart = tuple(apart)
        self._hidden = tuple(map(str, hidden))
        self._threads = Threads("environments", 2)
        self._building: dict[str, _Build] = {}
        self._failed: dict[str, tuple[float, Failed]] = {}
        self._handed_out: dict[str, float] = {}
        self._is_swept = False

    async def interpreter(
        self, image: EnvironmentImage, code: Path | None, tell: Tell = tell_nobody
    ) -> Interpreter:
        """See `runtimes.base.Environments`. Raises EnvironmentUnavailable."""
        wanted = None
        if code is not None:
            wanted = await self._threads.run(self._wanted, image, code)
        if wanted is None and self.is_met(image):
            return Interpreter(preimports=image.preimports, variables=image.variables)
        for _ in range(_TRIES):  # somebody may remove it before we have it
            name = await self._have_base(image, tell)
            if wanted is not None:
                name = await self._have_layer(image, name, wanted, code, tell)
            found = await self._threads.run(self._handed, name, image)
            if found is not None:
                return found
        raise EnvironmentUnavailable(
            f"The environment of the image '{image.uri}' was removed each time it was built."
        )

    async def environments(self) -> Sequence[Environment]:
        """See `images.base.Housekeeping`."""
        return await self._threads.run(keeping.listed, self._store, self._wanted_now())

    async def built(self, image: EnvironmentImage) -> Environment | None:
        """See `images.base.Housekeeping`."""
        python = await self._threads.run(pythons.find, image.python, self._variables)
        if python is None:
            return None
        name = name_of(python, image.requirements, server.requirements())
        return next((each for each in await self.environments() if each.name == name), None)

    def is_met(self, image: EnvironmentImage) -> bool:
        """See `images.base.Housekeeping`."""
        own = not image.python or pythons.own().is_asked(image.python)
        return own and not met(image.requirements)

    async def build(self, image: EnvironmentImage, tell: Tell) -> Environment | None:
        """See `images.base.Housekeeping`. Raises EnvironmentUnavailable."""
        if self.is_met(image):
            return None
        self._failed.clear()  # who asks himself wants it to be tried
        name = await self._have_base(image, tell)
        del self._handed_out[name]
        return next((each for each in await self.environments() if each.name == name), None)

    async def remove(self, name: str) -> Environment:
        """See `images.base.Housekeeping`. Raises UnknownEnvironment, EnvironmentInUse, OSError."""
        return await self._threads.run(keeping.remove, self._store, name, self._wanted_now())

    async def prune(self, unused_seconds: float) -> Sequence[Environment]:
        """See `images.base.Housekeeping`. Raises OSError."""
        before = time.time() - unused_seconds
        return await self._threads.run(self._pruned, before)

    async def close(self) -> None:
        """End what is being built."""
        tasks = [build.task for build in self._building.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.close()

    # What is wanted.

    def _wanted(self, image: EnvironmentImage, code: Path) -> Wanted | None:
        """What the code of a model asks for on top of its image."""
        if image.framework in LIBRARY_INSTEAD and (code / "lib").is_dir():
            return None
        try:
            wanted = requirements_file.read(code)
        except BadRequirements as bad:
            hidden = pip_settings.Secrets(()).hidden(str(bad))
            raise EnvironmentUnavailable(hidden) from None
        except OSError as error:
            words = f"The model's {requirements_file.NAME} cannot be read: {error}"
            raise EnvironmentUnavailable(words) from error
        if wanted is not None and self._refuses:
            raise EnvironmentUnavailable(
                f"The model brings a {requirements_file.NAME}, and this server installs none "
                "(INSERVICE_REQUIREMENTS=refuse). Add an image that has these packages with "
                "`inservice image add`, or carry them in code/lib."
            )
        return wanted

    async def _python(self, image: EnvironmentImage) -> Python:
        python = await self._threads.run(pythons.find, image.python, self._variables)
        asked = f"The image '{image.uri}' wants Python {image.python}"
        if python is None:
            there = await self._threads.run(pythons.there, self._variables)
            versions = ", ".join(dict.fromkeys(each.version for each in there))
            raise EnvironmentUnavailable(
                f"{asked}, which is not on this host: there is {versions or 'no other'}. Install "
                f"it by the packages of your distribution (python{image.python} with its venv), "
                f"`pyenv install {image.python}` or `uv python install {image.python}`."
            )
        if python.is_older_than(server.OLDEST):
            raise EnvironmentUnavailable(
                f"{asked}, and the model server runs on {server.OLDEST} and newer."
            )
        return python

    async def _have_base(self, image: EnvironmentImage, tell: Tell) -> str:
        """The name of the image's environment, once it is there."""
        python = await self._python(image)
        own = server.requirements()
        order = Order(
            name=name_of(python, image.requirements, own),
            directory=str(self._store.root),
            python=python,
            own=own,
            requirements=normal(image.requirements),
        )
        await self._have(order, f"The environment of the image '{image.uri}'", tell)
        self._handed_out[order.name] = time.monotonic()  # also where it is only to be built on
        with contextlib.suppress(OSError):
            await self._threads.run(self._store.note_use, order.name, image.uri)
        return order.name

    async def _have_layer(
        self, image: EnvironmentImage, base: str, wanted: Wanted, code: Path | None, tell: Tell
    ) -> str:
        """The name of the environment with what the code asks for, once it is there."""
        python, own = await self._python(image), server.requirements()
        order = Order(
            name=name_of(python, (), own, base, wanted.digest),
            directory=str(self._store.root),
            python=python,
            own=own,
            base=base,
            wanted=wanted,
            code=str(code),
        )
        await self._have(order, f"What the model's {requirements_file.NAME} asks for", tell)
        return order.name

    # Who waits for what.

    async def _have(self, order: Order, title: str, tell: Tell) -> None:
        """Return when it is there. Raises EnvironmentUnavailable."""
        if await self._threads.run(self._store.record, order.name) is not None:
            return
        until, failed = self._failed.get(order.name, (0.0, Failed("")))
        if until <= time.monotonic():
            self._failed.pop(order.name, None)
            ended = await self._waited_for(order, tell)
            if isinstance(ended, Done):
                return
            failed = ended
        message = f"{title} cannot be had: {failed.why}"
        if failed.errno:
            short = OSError(failed.errno, os.strerror(failed.errno))
            raise EnvironmentUnavailable(message) from short
        raise EnvironmentUnavailable(message)

    async def _waited_for(self, order: Order, tell: Tell) -> Done | Failed:
        build = self._building.get(order.name)
        if build is None:
            listeners = Listeners()
            task = asyncio.ensure_future(self._build(order, listeners))
            build = self._building[order.name] = _Build(task, listeners)
        number = build.listeners.join(tell)
        try:
            return await asyncio.shield(build.task)
        finally:
            build.listeners.leave(number)
            if not build.listeners or build.task.done():
                build.listeners.close()
                if self._building.get(order.name) is build:
                    del self._building[order.name]  # who comes now begins anew
                if not build.task.done():
                    build.task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.wait([build.task])

    async def _build(self, order: Order, listeners: Listeners) -> Done | Failed:
        try:
            await self._threads.run(self._prepare)
            settled = await self._threads.run(self._settled, order)
            for _ in range(_TRIES - 1):
                try:
                    ended = await follow(settled, listeners.progress)
                    break
                except Broken:  # killed, as by a host that is out of memory: it may pass
                    await self._threads.run(self._store.sweep)
            else:
                ended = await follow(settled, listeners.progress)
        except Broken as broken:
            await self._threads.run(self._store.sweep)
            ended = Failed(str(broken))
        except OSError as error:
            ended = Failed(str(error), error.errno or 0)
        if isinstance(ended, Failed):
            seconds = _SHORT_SECONDS if ended.errno else _FAILED_SECONDS
            now = time.monotonic()
            self._failed = {n: kept for n, kept in self._failed.items() if kept[0] > now}
            self._failed[order.name] = (now + seconds, ended)
        return ended

    def _prepare(self) -> None:
        self._store.make()
        if not self._is_swept:
            self._store.sweep()
            self._is_swept = True

    def _settled(self, order: Order) -> Order:
        """The order with what this host says of how it is to be carried out, as of now."""
        netrc = self._variables.get("NETRC") or str(Path("~/.netrc").expanduser())
        is_a_base_of_ours = not order.base and _is_like_ours(order.python)
        return order.settled(
            # Here, in a thread and for a build alone: every launch asks, and this takes a while.
            preferred=server.versions() if is_a_base_of_ours else {},
            settings=pip_settings.read(self._variables),
            netrc=netrc if Path(netrc).is_file() else "",
            uv=installers.find_uv(),
            apart=self._apart,
            hidden=(*self._hidden, str(self._store.root)),
            seconds=self._seconds,
        )

    # What is handed out, and kept.

    def _handed(self, name: str, image: EnvironmentImage) -> Interpreter | None:
        """The Python of an environment; None if it, or what it is a layer on, is not there any
        more."""
        directory = self._store.environment(name)
        try:
            with self._store.held(name, shared=True):
                record = self._store.record(name)
                if record is None:
                    return None
                server.link(directory / record.python.site_packages)
                self._handed_out[name] = time.monotonic()
                with contextlib.suppress(OSError):  # on a full disk what is there still serves
                    self._store.note_use(name, image.uri)
        except OSError as error:
            words = f"The environment of the image '{image.uri}' cannot be used: {error}"
            raise EnvironmentUnavailable(words) from error
        beneath = self._handed(record.base, image) if record.base else None
        if record.base and beneath is None:
            return None
        return Interpreter(
            executable=str(directory / "bin" / "python"),
            preimports=image.preimports,
            variables=image.variables,
            roots=(str(directory), record.python.prefix),
            beneath=beneath,
        )

    def _wanted_now(self) -> set[str]:
        """What is about to be used."""
        late = time.monotonic() - _HANDED_OUT_SECONDS
        return {name for name, at in self._handed_out.copy().items() if at > late}

    def _pruned(self, before: float) -> list[Environment]:
        self._prepare()
        return keeping.prune(self._store, before, self._wanted_now())


def _is_like_ours(python: Python) -> bool:
    return python.is_asked(".".join(pythons.own().version.split(".")[:2]))
