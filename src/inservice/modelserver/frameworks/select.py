"""Which plug an instance gets: its image's, that of the artifact's files, or that of the model."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

from inservice.contract import MODEL_FILES
from inservice.modelserver.frameworks.base import Framework, Plug, Start, the_model
from inservice.modelserver.program import Program
from inservice.modelserver.settings import BadSetting, Settings

NONE = "python"
"""The INSERVICE_FRAMEWORK of no family: the artifact's files and its models decide."""

PREDICTS = "sklearn"
"""Whose plug predicts with a model that no other knows: it has a `predict`, or its error says what
the model lacks."""


def by_image(settings: Settings) -> Framework | None:
    """What stands in for the image's container. Raises BadSetting for one that there is not."""
    name = settings.framework
    if name is None or name == NONE:
        return None
    if name not in MODEL_FILES:
        known = ", ".join(sorted((NONE, *MODEL_FILES)))
        raise BadSetting(f"INSERVICE_FRAMEWORK is '{name}', not one of {known}")
    return _module(name).plug(Start(settings, by_image=True))


def by_files(program: Program, settings: Settings) -> Framework:
    """The plug for the one model of an artifact. Raises NoModel when there is none, or no saying
    which."""
    name, file = the_model(settings.model_dir, MODEL_FILES)
    start = Start(settings, file=file, coded=bool(program.handlers))
    return _used(_module(name).plug(start), program)


def by_model(model: Any, program: Program, settings: Settings) -> Framework:
    """The plug whose default predict_fn is for a model that code has loaded."""
    packages = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    names = [name for name, its in MODEL_FILES.items() if its.package in packages]
    name = next((name for name in names if _module(name).knows(model)), PREDICTS)
    return _used(_module(name).plug(Start(settings)), program)


def _used(plug: Framework, program: Program) -> Framework:
    plug.use(program)
    return plug


def _module(name: str) -> Plug:
    return cast("Plug", import_module(f"inservice.modelserver.frameworks.{name}"))
