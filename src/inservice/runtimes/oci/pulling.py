"""Images, brought here before anything of an instance is started.

What is here already is taken as it is; else it is pulled, once for all that want it, and given up
when nobody does any more. It has no time limit of its own: neither the time for downloading a model
nor the one for starting is spent on it, and the engine may only be silent so long.
"""

from __future__ import annotations

import asyncio
import platform
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from inservice.runtimes.base import ImageNotRunnable, LaunchFailed, Tell
from inservice.runtimes.logins import DOCKER_HUB, Login, Logins, LoginsUnreadable, registry_of
from inservice.runtimes.oci.engine import Engine, EngineRefused, EngineTrouble
from inservice.runtimes.oci.pins import Pin, Pins

if TYPE_CHECKING:
    from docker import APIClient

RegistryLogin = Callable[[str], Awaitable[Login | None]]
"""Who asks a registry, where nobody has said: for AWS's, a token for the AWS credentials here."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
_MEGABYTE = 1_000_000
_REFUSED = 400


@dataclass(frozen=True, slots=True)
class Here:
    """An image that this host has."""

    image_id: str
    digest: str


@dataclass(eq=False)
class _Pull:
    """One under way, and who hears of it."""

    tells: list[Tell] = field(default_factory=list)
    unwanted: threading.Event = field(default_factory=threading.Event)
    task: asyncio.Task[None] | None = None


class Pulling:
    """The images of a server's engine."""

    def __init__(
        self, engine: Engine, pins: Pins, logins: Logins, other_logins: RegistryLogin | None
    ) -> None:
        self._engine = engine
        self._pins = pins
        self._logins = logins
        self._other_logins = other_logins
        self._pulls: dict[str, _Pull] = {}
        self._settling: dict[str, asyncio.Lock] = {}

    async def settled(self, fleet: str, image: str, tell: Tell) -> str:
        """The engine's id of what a fleet runs, here and settled for good. Raises
        ImageNotRunnable, LaunchFailed, EngineTrouble, EngineUnavailable."""
        async with self._settling.setdefault(fleet, asyncio.Lock()):
            pin = self._pins.read(fleet, image)
            if pin is not None:
                return await self._again(pin, tell)
            here = await self._here(image)
            if here is None:
                here = await self._pulled(image, tell)
            self._pins.settle(
                Pin(fleet=fleet, image=image, image_id=here.image_id, digest=here.digest)
            )
            return here.image_id

    async def _again(self, pin: Pin, tell: Tell) -> str:
        here = await self._here(pin.image_id)
        if here is None and pin.digest:
            here = await self._here(pin.digest) or await self._pulled(pin.digest, tell)
        if here is None:
            raise ImageNotRunnable(
                f"The image '{pin.image}' that this endpoint was made with ({pin.image_id}) is not "
                "on this host any more, and came from no registry to pull it from again. Load it, "
                "or create the endpoint anew with an image that is there."
            )
        return here.image_id

    async def _here(self, image: str) -> Here | None:
        """An image that is here, under its name or, if that has no registry, as a local one."""
        local = [f"localhost/{image}"] if registry_of(image) == DOCKER_HUB else []
        for name in (image, *local):
            try:
                seen = await self._engine.ask(_inspecting(name))
            except EngineRefused as refused:
                if refused.status == 404:
                    continue
                raise
            _check_platform(image, seen)
            return Here(str(seen["Id"]), digest_of(image, seen.get("RepoDigests") or ()))
        return None

    async def _pulled(self, image: str, tell: Tell) -> Here:
        pull = self._pulls.get(image)
        if pull is None or pull.unwanted.is_set():
            pull = self._pulls[image] = _Pull()
            pull.task = asyncio.create_task(self._pull(image, pull))
            pull.task.add_done_callback(_heard)  # also where nobody waits any more
        assert pull.task is not None
        pull.tells.append(tell)
        try:
            await asyncio.shield(pull.task)
        finally:
            pull.tells.remove(tell)
            if not pull.tells and not pull.task.done():
                pull.unwanted.set()
        here = await self._here(image)
        if here is None:
            raise LaunchFailed(f"The image '{image}' was pulled and is not there.")
        return here

    async def _pull(self, image: str, pull: _Pull) -> None:
        login, why_not = await self._login(registry_of(image))

        def tell(words: str) -> None:
            for each in tuple(pull.tells):
                each(words)

        try:
            await self._engine.ask_long(
                lambda client: _pull_with(client, image, login, pull.unwanted, tell)
            )
        except EngineTrouble as error:
            raise ImageNotRunnable(not_pulled(image, str(error), why_not)) from error
        finally:
            if self._pulls.get(image) is pull:
                del self._pulls[image]

    async def _login(self, registry: str) -> tuple[Login | None, str]:
        """Who asks, and if nobody, why. Whoever the engine knows by itself is asked then."""
        try:
            login = self._logins.find(registry)
        except (LoginsUnreadable, OSError) as error:
            return None, str(error)
        if login is not None or self._other_logins is None:
            return login, ""
        try:
            return await self._other_logins(registry), ""
        except LaunchFailed as error:
            return None, str(error)


def _inspecting(name: str) -> Callable[[APIClient], Mapping[str, Any]]:
    def inspected(client: APIClient) -> Mapping[str, Any]:
        inspect: Callable[..., Mapping[str, Any]] = client.inspect_image
        return inspect(name)

    return inspected


def _heard(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()


def _pull_with(
    client: APIClient,
    image: str,
    login: Login | None,
    unwanted: threading.Event,
    tell: Tell,
) -> None:
    """In a thread. Raises EngineTrouble."""
    from docker.auth import encode_header, get_config_header  # as in `engine.asked`

    header = get_config_header(client, registry_of(image))
    if login is not None:
        header = encode_header({"username": login.username, "password": login.password})
    repository, tag = split(image)
    progress = Progress(image)
    with client.post(
        f"{client.base_url}/v{client.api_version}/images/create",
        params={"fromImage": repository, "tag": tag},
        headers={"X-Registry-Auth": header} if header else {},
        stream=True,
        timeout=client.timeout,
    ) as response:
        if response.status_code >= _REFUSED:
            words = _said(response.content).get("message", response.reason)
            raise EngineRefused(response.status_code, str(words))
        for line in response.iter_lines():
            said = _said(line)
            if unwanted.is_set():  # the connection is closed, which ends the pull
                raise EngineTrouble("nobody wants it any more")
            if error := said.get("error"):
                raise EngineTrouble(str(error))
            if words := progress.take(said):
                tell(words)


def _said(line: bytes) -> Mapping[str, Any]:
    try:
        said: Mapping[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}
    return said


def split(image: str) -> tuple[str, str]:
    """A name as an engine wants it: the repository, and a tag or a digest."""
    repository, at, digest = image.partition("@")
    if at:
        return split(repository)[0], digest
    head, colon, tag = repository.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (repository, "latest")


class Progress:
    """How far a pull has come, out of what the engine says of each layer."""

    def __init__(self, image: str) -> None:
        self._image = image
        self._layers: dict[str, tuple[int, int]] = {}
        self._told = ""

    def take(self, said: Mapping[str, Any]) -> str:
        """What there is to tell now; empty if that was told before."""
        detail, layer = said.get("progressDetail") or {}, str(said.get("id", ""))
        status = str(said.get("status", ""))
        if detail.get("total") and status == "Downloading":
            self._layers[layer] = (int(detail.get("current", 0)), int(detail["total"]))
        elif layer in self._layers and status in ("Download complete", "Pull complete"):
            self._layers[layer] = (self._layers[layer][1],) * 2
        words = f"pulling image {self._image}"
        if self._layers:
            done = sum(current for current, _ in self._layers.values())
            total = sum(total for _, total in self._layers.values())
            words += f": {done // _MEGABYTE} of {-(-total // _MEGABYTE)} MB"
        if words == self._told:
            return ""
        self._told = words
        return words


def _check_platform(image: str, seen: Mapping[str, Any]) -> None:
    ours = _ARCHITECTURES.get(platform.machine(), platform.machine())
    theirs = str(seen.get("Architecture") or ours)
    if theirs != ours:
        raise ImageNotRunnable(
            f"The image '{image}' is built for {theirs}, and this host is {ours}: build it for "
            f"linux/{ours}."
        )


def digest_of(image: str, digests: Iterable[str]) -> str:
    """By which the same image is pulled again: of the repository that was named, if it is there."""
    repository, _ = split(image)
    known = list(digests)
    same = [each for each in known if each.partition("@")[0].endswith(repository)]
    pulled = [each for each in (*same, *known) if registry_of(each) != "localhost"]
    return pulled[0] if pulled else ""


def not_pulled(image: str, words: str, why_not: str = "") -> str:
    """Why an image could not be had, and what to do about it."""
    low, registry = words.lower(), registry_of(image)
    if any(hint in low for hint in ("unauthorized", "denied", "no basic auth", "authentication")):
        help_ = f"Log in: inservice image login {registry} --username NAME --password-stdin."
    elif any(hint in low for hint in ("not found", "manifest unknown", "name unknown")):
        help_ = "Check the name and the tag: the registry has no such image."
    elif any(
        hint in low
        for hint in ("no such host", "dial tcp", "connection refused", "timeout", "lookup", "tls")
    ):
        help_ = (
            f"This host cannot reach {registry}. Load the image by hand (podman load, docker load) "
            "under this name; what is there is not pulled."
        )
    else:
        help_ = "That is what the container engine says."
    last = words.strip().rpartition("\n")[2].rstrip(".")
    because = f" ({why_not})" if why_not else ""
    return f"The image '{image}' could not be pulled: {last}{because}. {help_}"
