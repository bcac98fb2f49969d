"""The images of this host: what they are found to be, what is built of them, and those that users
have added.

They are the host's, not an account's: what is installed for one is there for all. So every account
sees them, and only the server's own account changes them, as its policies allow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement

from inservice.errors import AwsError, InsufficientStorage, ServiceUnavailable, ValidationException
from inservice.images.base import (
    AddedImage,
    AddedImagesUnreadable,
    Environment,
    EnvironmentImage,
    EnvironmentInUse,
    ImageBuild,
    ImageExists,
    ImageSeen,
    ImageState,
    NotRunnable,
    OciImage,
    UnknownEnvironment,
    UnknownImage,
)
from inservice.operations.live import EngineSeen
from inservice.operations.own import touches
from inservice.operations.own.operator import only_own_account
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything
from inservice.store.collections.endpoints import EndpointRecord

OLDEST_PYTHON: Final = 11
"""Of 3: what the model server in the environment needs."""

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_PYTHON = re.compile(r"3\.(\d{1,2})(\.\d{1,2})?")
_USERS_NAMED: Final = 5
"""Endpoints in a refusal: the sentence is for people."""


@operation("inservice", "ListImages", on=(anything,))
def list_images(call: Call) -> Document:
    """Every family of the catalogue and every image that was added, by name."""
    engine = _engine(call.live.engine())
    return {"Images": [_with_engine(_picture(each), engine) for each in call.live.images.all()]}


@operation("inservice", "DescribeImage", on=(touches.image,))
def describe_image(call: Call, *, image: str) -> Document:
    """One image, as a container definition names it, whatever it is."""
    return _with_engine(_picture(call.live.images.look(image)), _engine(call.live.engine()))


@operation("inservice", "ListEnvironments", on=(anything,))
def list_environments(call: Call) -> Document:
    """What is built on this host, the one that was used last first."""
    return {"Environments": [_environment(each) for each in call.live.images.environments()]}


@operation("inservice", "AddImage", on=(touches.image,))
def add_image(
    call: Call,
    *,
    image: str,
    requirements: Sequence[str],
    python_version: str = "",
    framework: str = "",
    preimports: Sequence[str] = (),
) -> None:
    """Add an image: an environment under a name. It is built when it is first needed, or by
    BuildImage."""
    only_own_account(call)
    added = AddedImage(
        name=image,
        requirements=tuple(sorted({_requirement(each) for each in requirements})),
        python=_python(python_version),
        framework=_framework(call, framework),
        preimports=tuple(_module(each) for each in preimports),
        added_at=call.now,
    )
    try:
        call.live.images.add(added)
    except ImageExists as taken:
        raise ValidationException(str(taken)) from taken
    except (AddedImagesUnreadable, OSError) as error:
        raise _not_written(error) from error


@operation("inservice", "BuildImage", on=(touches.image,))
def build_image(call: Call, *, image: str) -> Document:
    """Have an image's environment built, unless it is there or under way; DescribeImage tells how
    far it is. One that nothing here can stand in for is refused."""
    only_own_account(call)
    seen = call.live.images.build(image)
    match seen.found:
        case NotRunnable(why=why, help=help_):
            raise ValidationException(f"{why} {help_}".strip())
        case OciImage(why=why):
            raise ValidationException(
                f"The image '{image}' is not built here: a container engine runs it. {why}".strip()
            )
        case _:
            return _picture(seen)


@operation("inservice", "RemoveImage", on=(touches.image,))
def remove_image(call: Call, *, image: str) -> Document:
    """Forget an image that was added; of one of the catalogue, remove what is built for it. Not
    while an endpoint runs it."""
    only_own_account(call)
    images = call.live.images
    seen = images.look(image)
    if isinstance(seen.found, EnvironmentImage):
        _check_unused(call, seen.found)
    try:
        if seen.added_at is not None:
            images.remove(seen.name)
            return {}
        return {"Environments": [_environment(images.remove_environment(image))]}
    except (UnknownEnvironment, UnknownImage) as unknown:
        raise ValidationException(str(unknown)) from unknown
    except EnvironmentInUse as used:
        raise ValidationException(f'Cannot delete image "{image}": {used}') from used
    except (AddedImagesUnreadable, OSError) as error:
        raise _not_written(error) from error


@operation("inservice", "PruneImages", on=(anything,))
def prune_images(call: Call, *, unused_for_seconds: int = 0) -> Document:
    """Remove the environments that nobody asked for since so long, but none that is in use."""
    only_own_account(call)
    try:
        removed = call.live.images.prune(float(unused_for_seconds))
    except OSError as error:
        raise _not_written(error) from error
    return {"Environments": [_environment(each) for each in removed]}


# ── what is asked ────────────────────────────────────────────────────────────────────────────────
def _requirement(text: str) -> str:
    try:
        return str(Requirement(text))
    except InvalidRequirement as error:
        why = str(error).splitlines()[0]
        raise ValidationException(f"'{text}' is no requirement of a package: {why}") from error


def _python(version: str) -> str:
    found = _PYTHON.fullmatch(version)
    if version and (found is None or int(found[1]) < OLDEST_PYTHON):
        raise ValidationException(
            f"'{version}' is no version of Python that the model server runs on: "
            f"3.{OLDEST_PYTHON} or newer, as in 3.12."
        )
    return version


def _framework(call: Call, framework: str) -> str:
    there = call.live.images.frameworks()
    if framework and framework not in there:
        raise ValidationException(
            f"'{framework}' is no framework that models are served by: {', '.join(sorted(there))}."
        )
    return framework


def _module(name: str) -> str:
    if not _MODULE.fullmatch(name):
        raise ValidationException(f"'{name}' is no name of a module of Python.")
    return name


def _check_unused(call: Call, image: EnvironmentImage) -> None:
    """Raises ValidationException while an endpoint runs it, under any of its names."""
    with call.store.reading() as records:
        users = sorted(
            f'"{record.endpoint.name}" of account {record.endpoint.account} in '
            f"{record.endpoint.region}"
            for record in records.endpoints.all()
            if any(_is_same(call, uri, image) for uri in _run_by(record))
        )
    if users:
        more = len(users) - _USERS_NAMED
        named = ", ".join(users[:_USERS_NAMED]) + (f" and {more} more" if more > 0 else "")
        word = "endpoint" if len(users) == 1 else "endpoints"
        raise ValidationException(
            f'Cannot delete image "{image.uri}": it is in use by {word} {named}.'
        )


def _run_by(record: EndpointRecord) -> set[str]:
    """The images that an endpoint runs, or is about to."""
    coming = record.deployment.new if record.deployment.ended_at is None else ()
    fleets = (*record.endpoint.fleets, *coming)
    return {c.image for fleet in fleets if fleet.model for c in fleet.model.containers}


def _is_same(call: Call, uri: str, image: EnvironmentImage) -> bool:
    found = call.live.images.resolve(uri)
    return (
        isinstance(found, EnvironmentImage)
        and found.family == image.family
        and (found.requirements, found.python) == (image.requirements, image.python)
    )


def _not_written(error: Exception) -> AwsError:
    if isinstance(error, AddedImagesUnreadable):
        return ServiceUnavailable(str(error))
    return InsufficientStorage(f"What images there are could not be written down: {error}.")


# ── what is answered ─────────────────────────────────────────────────────────────────────────────
def _picture(seen: ImageSeen) -> Document:
    found = seen.found
    picture: dict[str, object] = {
        "Image": found.uri,
        "State": seen.state.value,
        "Names": [*seen.names],
        "Repositories": [*seen.repositories],
        "Requirements": [],
        "Preimports": [],
    }
    match found:
        case EnvironmentImage():
            picture |= {
                "Requirements": [*found.requirements],
                "Preimports": [*found.preimports],
                "PythonVersion": found.python,
                "Framework": found.framework,
                "Variables": dict(found.variables),
            }
        case OciImage(why=why, help=help_) | NotRunnable(why=why, help=help_):
            picture |= {"Reason": why, "Help": help_}
    if seen.added_at is not None:
        picture["AddedAt"] = seen.added_at
    if seen.environment is not None:
        picture["Environment"] = _environment(seen.environment)
    if seen.build is not None:
        picture["Build"] = _build(seen.build)
    texts = {"Name": seen.name, "About": seen.about}
    return {key: value for key, value in {**texts, **picture}.items() if value != ""}


def _with_engine(picture: Document, engine: Document) -> Document:
    """With what would run it, of an image that needs an engine."""
    needs = picture["State"] == ImageState.NEEDS_ENGINE.value
    return {**picture, "ContainerEngine": engine} if needs else picture


def _engine(seen: EngineSeen) -> Document:
    """What anybody may know of it who has images run."""
    return {"Name": seen.name, "Version": seen.version} if seen.name else {"Note": seen.note}


def _build(build: ImageBuild) -> Mapping[str, object]:
    return {
        "StartedAt": build.began_at,
        "Progress": [*build.told],
        "ProgressCount": build.told_count,
        **({} if build.ended_at is None else {"EndedAt": build.ended_at}),
        **({"FailureReason": build.failure} if build.failure else {}),
    }


def _environment(environment: Environment) -> Mapping[str, object]:
    return {
        "EnvironmentName": environment.name,
        "Images": [*environment.images],
        "Requirements": [*environment.requirements],
        "Packages": [*environment.packages],
        "PythonVersion": environment.python,
        "Bytes": environment.size_bytes,
        "BuiltAt": environment.built_at,
        "UsedAt": environment.used_at,
        "InUse": environment.in_use,
        **({"BaseEnvironmentName": environment.base} if environment.base else {}),
    }
