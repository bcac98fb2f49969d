"""Which plug loads an artifact, and which predicts with a model that is there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from inservice.contract import (
    CODE_DIRECTORY,
    MODEL_FILES,
    MODEL_NAMES,
    PROGRAM,
    is_litter,
    model_files,
)
from inservice.modelserver.frameworks import sklearn
from inservice.modelserver.frameworks.base import Framework, NoModel

PLUGS: Mapping[str, Framework] = MappingProxyType({"sklearn": sklearn})
"""By their names in `contract.MODEL_FILES`, in the order in which they are asked."""


def load(model_dir: Path) -> Any:
    """The one model of an artifact. Raises NoModel when there is none, or no saying which."""
    found = model_files(path.name for path in model_dir.glob("*") if path.is_file())
    if not found:
        raise NoModel(
            f"the artifact has no {CODE_DIRECTORY}/{PROGRAM} with a model_fn and none of "
            f"{', '.join(MODEL_NAMES)}; it holds {_contents(model_dir)}"
        )
    framework, file = found[0]
    if len(found) > 1:
        files = ", ".join(file for _, file in found)
        name = MODEL_FILES[framework].names[0]
        raise NoModel(f"which of {files} is the model? Name one {name}")
    return PLUGS[framework].load(model_dir / file)


def framework_of(model: Any) -> Framework:
    """The first that knows a model, whoever loaded it; else the last, whose error says what the
    model lacks."""
    *others, last = PLUGS.values()
    return next((plug for plug in others if plug.knows(model)), last)


def _contents(model_dir: Path) -> str:
    """What an artifact holds, for who looks for the model in it."""
    names = sorted(path.name for path in model_dir.glob("*") if not is_litter(path.name))
    return ", ".join(names[:10]) or "nothing"
