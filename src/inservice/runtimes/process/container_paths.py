"""The paths of SageMaker's container, as an instance finds them in its view of the file system.

    /opt/ml/model   the artifact, read-only
    /opt/ml/code    a code archive that goes with it (SAGEMAKER_SUBMIT_DIRECTORY), read-only
    /opt/ml/input   empty
    /tmp            the instance's own, in memory, and of a bounded size

Code that was written for AWS names them. They are there wherever instances have a mount namespace,
and what is told to a model names them and not where on this host its files are; where there is none
the host's own paths are told, and `Isolation` knows why.

/tmp is memory because nothing else can be bounded by whoever is not root: a quota of a disk needs a
file system that has them. What is large goes to TMPDIR, the instance's own directory on a disk.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from inservice.contract import MODEL_DIR, SUBMIT_DIRECTORY
from inservice.runtimes.process.confinement import Confinement
from inservice.runtimes.process.protocol import Launch

TMP = "/tmp"  # noqa: S108 - what a container calls it
_MODEL, _CODE, _INPUT = "model", "code", "input"
_ROOM = str(Path(MODEL_DIR).parent)


def with_places(bare: Confinement, launch: Launch) -> Confinement:
    """The same, with the files of the instance where a container has them."""
    placed = {_MODEL: launch.model_dir or "", _INPUT: ""}
    if launch.code_dir:
        placed[_CODE] = launch.code_dir
    return msgspec.structs.replace(
        bare,
        read_only=(),
        room=_ROOM,
        placed=tuple(placed.items()),
        scratch=TMP,
        scratch_bytes=launch.tmp_bytes,
    )


def with_model(bare: Confinement, directory: str) -> Confinement:
    """The same, with a directory where a container has its artifact, and nothing else of one."""
    return msgspec.structs.replace(bare, room=_ROOM, placed=((_MODEL, directory), (_INPUT, "")))


def in_the_way(made: Confinement) -> str:
    """What of this host has to be seen where a container has something else; empty if nothing."""
    for path in (*made.shown, *made.own):
        for name, _ in made.placed:
            if Path(path).is_relative_to(Path(made.room, name)):
                return f"{path} has to be seen there"
    return ""


def model_dir(launch: Launch, made: Confinement | None) -> str | None:
    """Where the instance finds its artifact."""
    return MODEL_DIR if made is not None and made.room else launch.model_dir


def variables(launch: Launch, made: Confinement | None) -> dict[str, str]:
    """The environment of the launch, with what names files of the instance naming them as it sees
    them. What a model's own Environment says is left as it is."""
    told = dict(launch.environment)
    if made is None or not made.room:
        return told
    here = {
        "SM_MODEL_DIR": (launch.model_dir, MODEL_DIR),
        SUBMIT_DIRECTORY: (
            launch.code_dir and Path(launch.code_dir).as_uri(),
            Path(_ROOM, _CODE).as_uri(),
        ),
    }
    return told | {
        name: there for name, (host, there) in here.items() if host and told.get(name) == host
    }
