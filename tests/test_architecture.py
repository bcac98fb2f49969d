"""The architecture, held against the source: who may import whom, and how large things may get."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from inservice.contract import MODEL_FILES

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "inservice"
TESTS = ROOT / "tests"

CORE = (
    "errors",
    "s3_errors",
    "partitions",
    "ids",
    "values",
    "hosting",
    "workload",
    "placement",
    "deployment",
    "routing",
    "cloudwatch",
    "identity",
    "objects",
)
STORE = (
    *("store.base", "store.collections", "store.entities", "store.errors", "store.feed"),
    *("store.held", "store.listing"),
)
"""What others see of the store: what can be asked, noun by noun; not what it is kept in."""

TELEMETRY = ("telemetry.base", "telemetry.names")
LOGS = ("instance_logs.base", "instance_logs.search")
ARTIFACTS = ("artifacts.base", "artifacts.errors")
COUNTS = ("channel.counts", "channel.storage_counts")
SEAM_BASES = (
    *(*STORE, *TELEMETRY, *LOGS, *ARTIFACTS, "runtimes.base", "blobs.base"),
    *("channel.base", "channel.storage_counts", "clock", "images.base"),
)
"""What others see of the seams: what can be asked of each and the values that say it, without what
answers."""

ALLOWED: dict[str, tuple[str, ...]] = {
    # ground
    "errors": (),
    "s3_errors": ("errors",),
    "partitions": (),
    "ids": (),
    "values": (),
    "clock": ("values",),
    "threads": (),
    "turns": (),
    "starting": (),
    "seal": (),
    "seals": ("seal",),
    "mark": (),
    "disk": (),
    "engines": (),
    "linux": (),
    "contract": (),
    "config": ("linux",),
    "reserve": (),
    "log_lines": (),
    "checksums": (),
    # core
    "routing": ("ids",),
    "identity": ("errors", "s3_errors"),
    "cloudwatch": ("errors", "partitions", "values"),
    "hosting": ("errors", "partitions", "ids", "values"),
    "deployment": ("errors", "ids", "values", "hosting", "routing"),
    "workload": ("ids", "contract", "hosting"),
    "placement": ("hosting",),
    "objects": ("errors", "s3_errors", "checksums"),
    # seams
    "store": (*CORE, "seal", "seals", "mark", "reserve", "disk", "engines"),
    "images": (*CORE, "contract", "clock", "threads", "linux", "disk", "runtimes.base"),
    "runtimes": (
        *CORE,
        "images.base",
        "contract",
        "clock",
        "threads",
        "linux",
        "instance_logs",
        "disk",
    ),
    "artifacts": (*CORE, "contract", "disk", "linux", "blobs.base"),
    "channel": ("errors", "ids", "routing", "clock", "threads", "linux", "reserve", "disk"),
    "telemetry": (*CORE, "seals", "mark", "reserve", "engines", "linux", *COUNTS),
    "instance_logs": CORE,
    "transport": (*CORE, "reserve", "disk"),
    "audit": ("errors", "reserve", "disk"),
    "blobs": ("errors", "s3_errors", "checksums", "objects", "seal", "mark", "reserve", "disk"),
    # the wire, and what AWS can ask
    "aws": ("errors", "s3_errors"),
    "operations": (*CORE, *STORE, *TELEMETRY, *LOGS, "images.base"),
    # processes
    "api": (
        *CORE,
        "aws",
        "operations",
        "transport",
        *STORE,
        *TELEMETRY,
        "audit",
        "clock",
        "threads",
        "turns",
    ),
    "controller": (*CORE, *SEAM_BASES, "reserve", "threads", "turns", "disk"),
    "gateway": (
        "channel.counts",
        "channel.denials",
        "channel.messages",
        "channel.tables",
        "channel.table_file",
        "channel.following",
        "partitions",
        "ids",
        "routing",
        "identity",
        "transport",
        "cloudwatch.metrics",
        "errors",
        "clock",
        "threads",
        "disk",
        "aws.eventstream",
        "objects.addressing",
        "log_lines",
        "linux",
    ),
    "storage": (
        *CORE,
        *("aws", "blobs", "checksums", "transport", "audit", "channel", "clock", "threads"),
        *("reserve", "config", "log_lines", "linux"),
    ),
    "modelserver": ("transport", "contract"),
    "cli": (
        *("config", "reserve", "supervision", "artifacts", "audit", "demo", "disk", "threads"),
        *("images.base", "images.resolve"),  # what an image is, by its name alone
        *("store.backup", "store.errors", "store.recovery", "runtimes.logins"),
    ),
    "demo": (),
    "supervision": ("config", "reserve", "disk", "transport.census", "transport.heartbeat"),
    "testing": ("clock", "runtimes.base", "blobs.base", "checksums", "objects", "s3_errors"),
    "app": ("",),
}
"""Package or module of `inservice` → what of `inservice` it may import, itself always included."""

ROOMS = ("endpoints", "alarms", "grants", "keys", "provider_keys", "upkeep")
"""Of the controller: each sees the kit that lies beneath them, and no other room."""

IMPURE = {"asyncio", "time", "random", "os", "logging", "sqlite3", "threading", "socket", "secrets"}
"""What the core may not import: it decides, it neither acts nor reads a clock."""

BANNED_NAMES = re.compile(
    r"(?i:manager|helper|utils?|common|info)$|^Base[A-Z]|^(process|handle|do)$"
)
"""`Handle` is a noun of the glossary; the verb says nothing."""


def modules() -> list[Path]:
    return sorted(p for p in SOURCE.rglob("*.py") if "__pycache__" not in p.parts)


@functools.cache
def parsed(path: Path) -> ast.Module:
    """A module's tree: every rule looks at all of them."""
    return ast.parse(path.read_text())


def dotted(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def each_module(
    wanted: Callable[[str], bool] = lambda _: True,
) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """One test of a rule that holds for each module: five thousand tests of one module each took
    longer to be counted than to be run. What breaks it is named all the same, module by module."""

    def made(rule: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            broken = {}
            for path in filter(lambda path: wanted(dotted(path)), modules()):
                try:
                    rule(path)
                except AssertionError as error:
                    broken[dotted(path)] = str(error)
            assert not broken

        test.__name__, test.__doc__ = rule.__name__, rule.__doc__
        return test

    return made


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


def ours(name: str) -> str | None:
    """`inservice.store.base.Store` → `store.base.Store`; None for anything that is not ours."""
    return name.removeprefix("inservice.") if name.startswith("inservice.") else None


def within(name: str, place: str) -> bool:
    return place == "" or name == place or name.startswith(place + ".")


def test_the_table_names_what_there_is() -> None:
    there = {dotted(path) for path in modules()}
    named = {
        *ALLOWED,
        *CORE,
        *SEAM_BASES,
        *(place for places in ALLOWED.values() for place in places),
    }
    assert named <= there


@each_module()
def test_imports_point_in_one_direction(path: Path) -> None:
    here = dotted(path)
    package = here.split(".")[0]
    if not package:
        return
    assert package in ALLOWED, f"{package} is not in the architecture's table"
    allowed = (*ALLOWED[package], package)
    tree = parsed(path)
    wrong = [
        name
        for target in imports(tree)
        if (name := ours(target))
        and not any(within(name, place) for place in allowed)
        and name != "__version__"
    ]
    assert not wrong, f"{here} may not import {wrong}"


@functools.cache
def graph() -> Mapping[str, frozenset[str]]:
    """Each module → the modules that it imports, wherever in it: for its types alone, or inside a
    function, it cannot be understood without them either."""
    paths = {dotted(path): path for path in modules()}
    found: dict[str, frozenset[str]] = {}
    for module, path in paths.items():
        names = {name for target in imports(parsed(path)) if (name := ours(target))}
        targets = {name if name in paths else name.rpartition(".")[0] for name in names}
        found[module] = frozenset((targets & paths.keys()) - {module})
    return found


def reached(modules: Iterable[str]) -> Iterator[str]:
    """All that these modules need, over others, and with the packages that it lies in."""
    seen, todo = set[str](), list(modules)
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            yield module
            above = module.rpartition(".")[0]
            todo += [*graph()[module], *([above] if above else [])]


def test_no_module_imports_itself_over_others() -> None:
    left = {name: needs - {""} for name, needs in graph().items()}
    while lowest := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in lowest:
            del left[name]
    circle = {name: sorted(needs & left.keys()) for name, needs in left.items()}
    assert not circle, f"each of these imports, over others, itself: {circle}"


DRIVERS: Mapping[str, tuple[str, ...]] = {
    "store.drivers": ("store.backup", "store.recovery"),  # which work where no server runs
    "runtimes.placed": (),
    "runtimes.claims": ("runtimes.placed",),
    "runtimes.standing": (
        "runtimes.claims",
        "runtimes.process",
        "runtimes.oci",
    ),  # both ends of a launch
    "runtimes.process": (),
    "runtimes.oci": (),
    "images.host": (),
    "images.resolve": ("images", "cli.model.lint"),  # which asks no server
    "images.added": ("images",),
    "images.environments": (),
    "artifacts.store": (),
    "artifacts.s3_client": ("artifacts.s3", "artifacts.places"),
    "artifacts.s3": ("artifacts.places",),
    "artifacts.files": ("artifacts.store",),
    "artifacts.own": ("artifacts.places", "artifacts.store"),
    "artifacts.places": ("artifacts.store",),
    "artifacts.roles": ("artifacts.s3_client",),
    "instance_logs.groups": (),
    "instance_logs.writer": (
        "runtimes.process",
        "runtimes.oci",
    ),  # the instances' end, beside the one that reads
    "telemetry.database": (),
    "telemetry.opening": ("telemetry.database",),
    "telemetry.recorder": (),
    "telemetry.happenings": ("telemetry.prometheus",),
    "telemetry.prometheus": ("telemetry.recorder",),
    "telemetry.utilization": (),
    "telemetry.gpus": ("telemetry.utilization",),
    "channel.publishing": (),
    "channel.following": ("gateway.worker", "storage.__main__"),  # the workers' end
    "blobs.disk": ("storage.__main__",),
}
"""What answers behind the seams → who may know it, beside itself and `app`, which puts it there."""


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_driver_is_imported_by_the_composition_root_alone(driver: str) -> None:
    allowed = (driver, "app", *DRIVERS[driver])
    users = [
        module
        for module, needs in graph().items()
        if any(within(need, driver) for need in needs)
        and not any(within(module, place) for place in allowed)
    ]
    assert not users


@pytest.mark.parametrize("deciders", ["controller", "operations", "api"])
def test_no_driver_is_reached_from_where_it_is_decided(deciders: str) -> None:
    """Over whatever others import either: a base that knows its driver is none."""
    deciding = [module for module in graph() if within(module, deciders)]
    known = [m for m in reached(deciding) if any(within(m, driver) for driver in DRIVERS)]
    assert deciding
    assert not known


@each_module(lambda here: here.startswith("controller."))
def test_rooms_of_the_controller_do_not_know_each_other(path: Path) -> None:
    room = dotted(path).split(".")[1]
    others = {f"controller.{other}" for other in ROOMS if other != room}
    wrong = [
        name
        for target in imports(parsed(path))
        if (name := ours(target)) and any(within(name, other) for other in others)
    ]
    assert not wrong


@each_module(lambda here: here.split(".")[0] in CORE)
def test_the_core_decides_and_never_acts(path: Path) -> None:
    used = {name.split(".")[0] for name in imports(parsed(path))}
    assert not used & IMPURE


@each_module()
def test_nobody_imports_a_private_name_of_another_module(path: Path) -> None:
    private = [
        name
        for name in imports(parsed(path))
        if name.startswith("inservice")
        and name.split(".")[-1].startswith("_")
        and not name.endswith("__version__")
    ]
    assert not private


@each_module()
def test_sizes(path: Path) -> None:
    text = path.read_text()
    lines = text.splitlines()
    assert len(lines) <= 500, f"{dotted(path)} has {len(lines)} lines"
    long = [n for n, line in enumerate(lines, 1) if len(line) > 100]
    assert not long, f"lines over 100 characters: {long}"
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 70, f"{node.name} has {length} lines"


@each_module()
def test_names_say_what_things_are(path: Path) -> None:
    tree = parsed(path)
    bad = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and BANNED_NAMES.search(node.name)
    ]
    assert not bad


@each_module()
def test_nothing_is_left_unfinished_or_printed(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\b(TODO|FIXME|XXX|NotImplementedError)\b|pragma: no cover", text)
    calls = [
        node.lineno
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not calls


@each_module()
def test_everything_public_is_documented(path: Path) -> None:
    tree = parsed(path)
    if not tree.body:
        return
    assert ast.get_docstring(tree), "a module says what it is for"
    bare = [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not bare, f"public and without a docstring: {bare}"


ASSERTS = {"raises", "warns", "fail"}
"""Of pytest: what a test may assert with instead of `assert`."""


def test_every_test_can_fail() -> None:
    """By what it asserts, or what a function of the tests asserts for it. That something does not
    raise is no assertion: say what it gives instead."""
    asserting, tests = set(ASSERTS), dict[str, set[str]]()
    callers: list[tuple[str, set[str]]] = []
    for path in sorted(TESTS.rglob("*.py")):
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if node.name.startswith("test_"):
                tests[f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"] = _relies_on(node)
            else:
                callers.append((node.name, _relies_on(node)))
    while more := {name for name, used in callers if used & asserting} - asserting:
        asserting |= more
    idle = [test for test, used in tests.items() if not used & asserting]
    assert not idle


def _relies_on(function: ast.AST) -> set[str]:
    """The names of what a function calls; `fail`, where it asserts or raises by itself."""
    used: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) or (
            isinstance(node, ast.Assert) and not isinstance(node.test, ast.Constant)
        ):
            used.add("fail")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            used.add(node.func.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            used.add(node.func.id)
    return used


SHARED_THREADS = {"to_thread", "run_in_executor", "set_default_executor", "getaddrinfo"}
"""What waits in asyncio's threads for everybody, or (uvloop's look-ups) in libuv's."""


@each_module()
def test_nobody_waits_in_the_threads_that_everybody_shares(path: Path) -> None:
    """`threads` has a few for each kind of waiting: see there what happened without."""
    if dotted(path) == "threads":
        return
    used = [
        f"{node.attr} at line {node.lineno}"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute)
        and node.attr in SHARED_THREADS
        and not (isinstance(node.value, ast.Name) and node.value.id == "socket")
    ]
    assert not used


NAMES_FRAMEWORKS = {
    "images.environments.built": "whose containers take code/lib for a requirements.txt",
    "contract": "which files are whose models",
    "modelserver.frameworks.select": "which plugs there are",
    "modelserver.devices": "where whose tensors live",
    "modelserver.frameworks.huggingface": "its models are PyTorch's, beside weights of others",
    "images": "which images are whose, and what stands in for them",
    "runtimes.process.files": "the variables that native libraries read",
    "controller.endpoints.hints": "what their errors mean",
    "cli.doctor.versions": "which clients are known not to work, by their versions",
    "cli.model.create": "the image that is meant where none is said",
    "artifacts.families": "says what AWS's container of each makes of an artifact",
    "demo": "trains a model of one",
    "cli.demo": "says so",
}
"""Who names a framework beside its plug, and what for."""


def said(path: Path) -> Iterator[str]:
    """What the code of a module names: identifiers, imports, texts. Not what is told about it."""
    tree = parsed(path)
    told = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in told:
                yield text
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                yield name
            case ast.ImportFrom(module=str(module)):
                yield module


@each_module()
def test_only_its_plug_knows_a_framework(path: Path) -> None:
    here = dotted(path)
    if any(within(here, place) for place in NAMES_FRAMEWORKS):
        return
    text = "\n".join(said(path)).lower()
    named = [
        word
        for plug, its in MODEL_FILES.items()
        if not within(here, f"modelserver.frameworks.{plug}")
        for word in (plug, its.framework, its.loader.partition(".")[0])
        if word in text
    ]
    assert not named


def test_each_framework_has_a_plug() -> None:
    room = SOURCE / "modelserver" / "frameworks"
    plugs = {path.stem for path in (*room.glob("*.py"), *room.glob("[!_]*/"))}
    assert plugs - {"__init__", "base", "select"} == set(MODEL_FILES)


SYNCING = {"disk", "mark", "store.backup", "audit.files", "audit.begun", "blobs.disk.files"}
"""Who writes files that must survive: `disk` replaces them for everybody; a mark is written in its
place, a backup appears beside others, never in the place of one, the audit trail grows, and a file
of data means nothing until a record names it."""


@each_module()
def test_files_are_replaced_in_one_way(path: Path) -> None:
    """`disk` knows how: six who did it by hand differed in what a kill or a full disk left."""
    if dotted(path) in SYNCING:
        return
    used = [
        f"{name} at line {node.lineno}"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute)
        and (name := node.attr) in ("fsync", "fdatasync", "O_TRUNC", "mkstemp")
    ]
    assert not used


def test_nothing_compiled_lies_in_the_source() -> None:
    """It would be imported instead of the module beside it, whatever that says by now."""
    assert not list(SOURCE.parent.rglob("*.so"))


def test_no_helper_is_written_twice() -> None:
    """Functions of modules that do the same, word for word, have one home: the lowest of both.
    What uses a name of its own module is another function, however alike it looks."""
    homes: dict[str, list[str]] = {}
    for path in modules():
        if within(dotted(path), "store.drivers.migrations.versions"):
            continue  # what was written of a version stays as it was then
        tree = parsed(path)
        own = {name for node in tree.body for name in _defined(node)}
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            body = node.body[1:] if ast.get_docstring(node) else node.body
            used = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
            does = "\n".join(map(ast.unparse, body))
            if len(does) >= 40 and not used & (own - {node.name}):
                homes.setdefault(does, []).append(f"{dotted(path)}.{node.name}")
    assert not [each for each in homes.values() if len(each) > 1]


def _defined(node: ast.stmt) -> Iterator[str]:
    """The names that a statement of a module gives to what it makes, imports left aside."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case _:
            pass


GUIDES = ("CONTRIBUTING.md", "ARCHITECTURE.md")


@pytest.mark.parametrize("guide", GUIDES)
def test_guides_name_what_there_is(guide: str) -> None:
    """Each path in a guide is one, or the end of one that the sentence before it begins; and each
    `path::name` is a test in that file."""
    text = re.sub(r"```.*?```", "", (ROOT / guide).read_text(), flags=re.DOTALL)
    named = set(re.findall(r"`([\w./-]+(?:\.py|\.md|\.json|\.toml|/))(?:::(\w+))?`", text))
    trees = [path for top in ("src", "tests", "docs") for path in (ROOT / top).rglob("*")]
    there = {f"/{path.relative_to(ROOT)}": path for path in (*trees, *ROOT.iterdir())}
    absent = []
    for path, test in sorted(named):
        places = [there[each] for each in there if each.endswith(f"/{path.rstrip('/')}")]
        if not any(not test or f"def {test}(" in place.read_text() for place in places):
            absent.append(f"{path}::{test}" if test else path)
    assert named
    assert not absent
