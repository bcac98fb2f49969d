"""A user's inference.py, read without being run: which handlers it defines, and what would fail."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

HANDLERS = {
    "model_fn": 1,
    "input_fn": 2,
    "predict_fn": 2,
    "output_fn": 2,
    "transform_fn": 4,
    "predict_batch_fn": 2,
}
"""SageMaker's handlers, and predict_batch_fn, with the arguments of each less the context."""


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
        return "transform_fn" in self.handlers or "predict_fn" in self.handlers


def inspect_program(
    source: bytes, *, beside: Collection[str], is_installed: Callable[[str], bool]
) -> Inspected:
    """Judge the text of code/inference.py; `beside` are the paths of the artifact."""
    try:
        tree = ast.parse(source, "code/inference.py")
    except (SyntaxError, ValueError) as error:
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        return Inspected((), (Trouble(f"It is not Python{line}: {reason}.", fatal=True),))
    defined = _defined(tree)
    handlers = tuple(name for name in HANDLERS if name in defined)
    troubles = [
        *_about_handlers(defined, handlers),
        *_about_imports(tree, beside, is_installed),
    ]
    return Inspected(handlers, tuple(troubles))


def _defined(tree: ast.Module) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef | None]:
    """Names at the top of the module; a function's definition where it is one."""
    names: dict[str, ast.FunctionDef | ast.AsyncFunctionDef | None] = {}
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                names[node.name] = node
            case ast.Assign():
                names.update({t.id: None for t in node.targets if isinstance(t, ast.Name)})
            case ast.Import() | ast.ImportFrom():
                names.update({alias.asname or alias.name: None for alias in node.names})
    return names


def _about_handlers(
    defined: dict[str, ast.FunctionDef | ast.AsyncFunctionDef | None],
    handlers: tuple[str, ...],
) -> Iterator[Trouble]:
    three = [name for name in ("input_fn", "predict_fn", "output_fn") if name in handlers]
    if "transform_fn" in handlers and three:
        yield Trouble(
            f"It defines transform_fn, which is all of an invocation, and also {', '.join(three)}, "
            "which would never be called. Keep one or the other.",
            fatal=True,
        )
    if not handlers and "*" not in defined:
        yield Trouble(
            f"It defines none of {', '.join(HANDLERS)}, so it changes nothing.", fatal=False
        )
    for name in handlers:
        function, count = defined[name], HANDLERS[name]
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and not any(
            _takes(function.args, given) for given in (count, count + 1)
        ):
            yield Trouble(
                f"{name} in line {function.lineno} has to take {count} arguments, or {count + 1} "
                "with the context.",
                fatal=True,
            )


def _takes(arguments: ast.arguments, count: int) -> bool:
    """Whether a call with `count` positional arguments binds."""
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    keyword_only = sum(default is None for default in arguments.kw_defaults)
    enough = count <= positional or arguments.vararg is not None
    return required <= count and enough and not keyword_only


def _about_imports(
    tree: ast.Module, beside: Collection[str], is_installed: Callable[[str], bool]
) -> Iterator[Trouble]:
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
                f"{place}/{root}.py" in beside
                or any(path.startswith(f"{place}/{root}/") for path in beside)
                for place in ("code", "code/lib")
            )
            if not own and root not in sys.stdlib_module_names and not is_installed(root):
                yield Trouble(
                    f"Line {node.lineno} imports {root}, which is not installed in the environment "
                    "that InService runs in. Install it there, or pack it into code/lib.",
                    fatal=True,
                )
