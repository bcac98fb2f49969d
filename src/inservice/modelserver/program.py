"""The user's program: which file it is, how it is imported, which handlers it defines.

It is imported by its file and not by its name, so that a program may be called `my-model.v2.py`,
lie in a folder, or share its name with a module that is imported already (`code.py`, `json.py`).
Still it is in `sys.modules` under the names that pickles and its own imports know it by: `serve`
and `src.serve` for `src/serve.py`.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from inservice.contract import HANDLERS, PROGRAM, STEPS, program_spellings
from inservice.modelserver.settings import Settings

Handler = Callable[..., Any]


class BadProgram(Exception):
    """The user's program cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Program:
    """The user's handlers, checked; those that are absent are not in it."""

    handlers: dict[str, Handler]
    with_context: frozenset[str] = frozenset()
    """Those that are given the context."""

    def has(self, name: str) -> bool:
        """Whether the user defines it."""
        return name in self.handlers

    @property
    def predicts(self) -> bool:
        """Whether a handler of the user's stands in for the default predict_fn."""
        return any(map(self.has, ("transform_fn", "predict_fn", "predict_batch_fn")))

    def call(self, name: str, context: Any, *arguments: Any) -> Any:
        """Call a handler of the user's, with the context if it takes one."""
        if name in self.with_context:
            return self.handlers[name](*arguments, context)
        return self.handlers[name](*arguments)


def import_program(settings: Settings, handlers: Mapping[str, int] = HANDLERS) -> Program:
    """Import the user's module, if there is one, and take these functions of it.

    Raises BadProgram for a named program that is not there and for handlers that cannot be;
    anything else that is raised is the user's own.
    """
    path = _find(settings)
    _make_importable(settings.code_dir, path)
    if path is None:
        return Program({})
    try:
        module = _import(path, settings.code_dir)
    except ModuleNotFoundError as error:
        if (settings.code_dir / "requirements.txt").is_file():
            error.add_note(
                "code/requirements.txt does not name the package that has it, or was not "
                "installed: run by hand, the model server installs nothing."
            )
        raise
    return checked(module, path.name, handlers)


def _find(settings: Settings) -> Path | None:
    named = settings.program
    if named is None:
        path = settings.code_dir / PROGRAM
        return path if path.is_file() else None
    for name in program_spellings(named):
        if (settings.code_dir / name).is_file():
            return settings.code_dir / name
    raise BadProgram(f"SAGEMAKER_PROGRAM is '{named}', which is not in {settings.code_dir}")


def _make_importable(code_dir: Path, program: Path | None) -> None:
    """What lies in the code directory can be imported: by the program, by the pickle of a model
    without a program, and by the processes that either starts."""
    # The artifact is shared by all instances and is read-only to them.
    sys.dont_write_bytecode = True
    places = [code_dir, code_dir / "lib"]
    if program is not None and program.name != "__init__.py" and program.parent not in places:
        places.append(program.parent)
    paths = [str(place) for place in places]
    sys.path[:0] = paths
    inherited = [p for p in (os.environ.get("PYTHONPATH"),) if p]
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, *inherited])


def _import(path: Path, code_dir: Path) -> ModuleType:
    names = _names(path, code_dir)
    package = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(
        names[0], path, submodule_search_locations=package
    )
    if spec is None or spec.loader is None:
        raise BadProgram(f"{path.name} is no Python source")
    module = importlib.util.module_from_spec(spec)
    for name in names:
        sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        for name in names:
            sys.modules.pop(name, None)
        raise
    return module


def _names(path: Path, code_dir: Path) -> list[str]:
    """What the module is called, its `__name__` first: never the name of one that is there."""
    file = path.parent if path.name == "__init__.py" else path.with_suffix("")
    inside = file.is_relative_to(code_dir)
    parts = file.relative_to(code_dir).parts if inside else (file.name,)
    dotted = ".".join(parts) if all(part.isidentifier() for part in parts) else file.name
    wanted = dict.fromkeys((dotted, file.name))
    free = [n for n in wanted if n not in sys.modules and n not in sys.stdlib_module_names]
    return free or [f"{file.name}_program"]


def checked(module: ModuleType, file: str, meant: Mapping[str, int] = HANDLERS) -> Program:
    """The handlers of a module. Raises BadProgram for those that could never be called."""
    handlers: dict[str, Handler] = {}
    with_context: set[str] = set()
    for name, count in meant.items():
        function = getattr(module, name, None)
        if function is None:
            continue
        if not callable(function):
            raise BadProgram(f"{name} of {file} is not a function")
        handlers[name] = function
        if _takes_context(name, function, count):
            with_context.add(name)
    overruled = [name for name in STEPS if name in handlers]
    if "transform_fn" in handlers and overruled:
        raise BadProgram(
            f"{file} defines transform_fn, which is all of an invocation, and also "
            f"{', '.join(overruled)}, which would never be called"
        )
    return Program(handlers, frozenset(with_context))


def _takes_context(name: str, function: Handler, count: int) -> bool:
    """Whether a handler is to be given the context: whether it has one parameter more.

    Parameters are counted as SageMaker's toolkits count them, whatever their kind and whether or
    not they have a default. What they refuse at every invocation is refused here once; the sentence
    is theirs.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise BadProgram(f"{name} cannot be used: its parameters cannot be counted, {error}") from (
            None
        )
    counted = len(signature.parameters)
    words = f"{name}{signature} has to take {count} arguments, or {count + 1} with the context"
    if counted not in (count, count + 1):
        raise BadProgram(f"{name} takes {counted} arguments but {count} were given: {words}")
    try:
        signature.bind(*[None] * counted)
    except TypeError as error:
        raise BadProgram(
            f"{name} cannot be called with {counted} arguments, {error}: {words}"
        ) from (None)
    return counted > count
