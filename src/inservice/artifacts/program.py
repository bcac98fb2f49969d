"""A user's program, read without being run: which handlers it defines, and what would fail."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from inservice.contract import HANDLERS, STEPS

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing about a program."""

    says: str
    fatal: bool  # the model server would not start


@dataclass(frozen=True, slots=True)
class Inspected:
    """A program as far as its text tells."""

    handlers: tuple[str, ...]
    troubles: tuple[Trouble, ...]

    @property
    def may_do_without_model(self) -> bool:
        """Whether its handlers can answer although nothing was loaded."""
        predicting = ("transform_fn", "predict_fn", "predict_batch_fn")
        return any(name in self.handlers for name in predicting)


def inspect_program(
    source: bytes,
    path: str = "code/inference.py",
    *,
    places: Sequence[str] = ("code",),
    beside: Collection[str],
    is_installed: Callable[[str], bool],
) -> Inspected:
    """Judge the text of the program at `path`; `places` are the directories from which it can
    import, beside their `lib`, and `beside` are the paths of the artifact."""
    try:
        tree = ast.parse(source, path)
    except (SyntaxError, ValueError) as error:
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        return Inspected((), (Trouble(f"It is not Python{line}: {reason}.", fatal=True),))
    defined = _defined(tree)
    handlers = tuple(name for name in HANDLERS if name in defined)
    troubles = [
        *_about_handlers(defined, handlers),
        *_about_imports(tree, places, beside, is_installed),
    ]
    return Inspected(handlers, tuple(troubles))


def functions_of(source: bytes) -> dict[str, int]:
    """The plain functions at the top of a program, with how many parameters each has."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return {}
    found = {name: function for name, function in _defined(tree).items() if function is not None}
    return {name: len(f.args.posonlyargs) + len(f.args.args) for name, f in found.items()}


def _defined(tree: ast.Module) -> dict[str, _Function | None]:
    """Names that the module may have; a function's definition where it is just one, undecorated."""
    names: dict[str, _Function | None] = {}
    for node in _statements(tree.body):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                plain = node.name not in names and not node.decorator_list
                names[node.name] = node if plain else None
            case ast.ClassDef():
                names[node.name] = None
            case ast.Assign():
                targets = [t for target in node.targets for t in ast.walk(target)]
                names.update({t.id: None for t in targets if isinstance(t, ast.Name)})
            case ast.AnnAssign(target=ast.Name(id=name)):
                names[name] = None
            case ast.Import() | ast.ImportFrom():
                names.update({alias.asname or alias.name: None for alias in node.names})
    return names


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Those that run when the module is imported, also inside `if`, `try` and `with`."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            for name in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, name, ()))
            for handler in getattr(node, "handlers", ()):
                yield from _statements(handler.body)


def _about_handlers(
    defined: dict[str, _Function | None], handlers: tuple[str, ...]
) -> Iterator[Trouble]:
    steps = [name for name in STEPS if name in handlers]
    if "transform_fn" in handlers and steps:
        yield Trouble(
            f"It defines transform_fn, which is all of an invocation, and also {', '.join(steps)}, "
            "which would never be called. Keep one or the other.",
            fatal=True,
        )
    if not handlers and "*" not in defined:
        yield Trouble(
            f"It defines none of {', '.join(HANDLERS)}, so it changes nothing.", fatal=False
        )
    for name in handlers:
        function, count = defined[name], HANDLERS[name]
        if function is not None and not _takes(function.args, count):
            yield Trouble(
                f"{name} in line {function.lineno} has to take {count} arguments, or {count + 1} "
                "with the context.",
                fatal=True,
            )


def _takes(arguments: ast.arguments, count: int) -> bool:
    """Whether the model server would call it. Parameters are counted as SageMaker's toolkits do,
    whatever their kind: one more than `count` gets the context."""
    positional = len(arguments.posonlyargs) + len(arguments.args)
    others = len(arguments.kwonlyargs) + bool(arguments.vararg) + bool(arguments.kwarg)
    counted = positional + others
    required = positional - len(arguments.defaults)
    keyword_only = sum(default is None for default in arguments.kw_defaults)
    enough = counted <= positional or arguments.vararg is not None
    binds = required <= counted and enough and not keyword_only
    return counted in (count, count + 1) and binds


def _about_imports(
    tree: ast.Module,
    places: Sequence[str],
    beside: Collection[str],
    is_installed: Callable[[str], bool],
) -> Iterator[Trouble]:
    roots_of = [f"{place}/" if place else "" for place in places]
    importable = [*roots_of, *(f"{root}lib/" for root in roots_of)]
    for node in tree.body:  # imports inside try or functions are guarded, or may never run
        match node:
            case ast.Import():
                roots = [alias.name.split(".")[0] for alias in node.names]
            case ast.ImportFrom(level=0, module=str(module)):
                roots = [module.split(".")[0]]
            case _:
                continue
        for root in roots:
            own = any(
                f"{place}{root}.py" in beside
                or any(path.startswith(f"{place}{root}/") for path in beside)
                for place in importable
            )
            if not own and root not in sys.stdlib_module_names and not is_installed(root):
                yield Trouble(
                    f"Line {node.lineno} imports {root}, which is not installed in the environment "
                    "that InService runs in. Install it there, or pack it into code/lib.",
                    fatal=True,
                )
