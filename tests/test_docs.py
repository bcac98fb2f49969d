"""The documentation, held against the code: what is documented exists, what exists is documented.

Every page is followed as it stands, from an empty directory, and then once more in the same one. A
block that cannot be run says why in a comment above it.
"""

from __future__ import annotations

import ast
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError, UnknownServiceError

from inservice import config
from inservice.cli.aws.globals import GLOBAL_OPTIONS
from inservice.cli.main import COMMANDS, SERVICES
from inservice.cli.server import supervisor_pid
from inservice.hosting.fields import SHAPES, Standing
from inservice.operations import registry
from inservice.telemetry.names import METRICS
from tests.acceptance.server import Server
from tests.cli.reference import NOUNS, verbs_of
from tests.docs_blocks import Block, as_script, blocks, commands, written_by
from tests.docs_pages import REFUSED_BY_CODE, ROOT, error_classes, options_of, pages

DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
BLOCKS = [block for page in PAGES for block in blocks(page)]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


# ── the generated pages ─────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("path", pages(), ids=name_of)
def test_generated_pages_are_current(path: Path) -> None:
    """After a change: make docs"""
    assert path.read_text(encoding="utf-8") == pages()[path]()


def test_every_operation_has_a_section_and_every_member_a_row() -> None:
    reference = text_of("reference/operations.md")
    for operation in registry.operations():
        assert f"### {operation.name}\n" in reference
    for shape, members in SHAPES.items():
        for member, field in members.items():
            row = re.compile(rf"\| (\*\*)?{member}(\*\*)? \| {field.standing.value} \|")
            assert row.search(reference), f"{shape}.{member}"


def test_every_setting_metric_and_error_has_a_row() -> None:
    settings, metrics = text_of("reference/settings.md"), text_of("reference/metrics.md")
    errors = text_of("reference/errors.md")
    for setting in fields(config.Settings):
        row = re.search(rf"^\| {setting.name} \|.*\| (.+) \|$", settings, re.MULTILINE)
        assert row, f"{setting.name} needs a comment in config.py that says what it does"
    assert all(f"| `{name}` |" in metrics for name in METRICS)
    for error in error_classes():
        assert f"| `{error.code}` | {error.status} |" in errors


def test_every_command_is_in_the_reference() -> None:
    reference = text_of("reference/cli.md")
    for command in (*COMMANDS, *SERVICES):
        assert f"| `{command}` |" in reference
    for noun in NOUNS:
        for verb in verbs_of(noun):
            assert f"### `inservice {noun} {verb}`" in reference


def test_what_models_may_be_told_is_documented() -> None:
    source = (ROOT / "src/inservice/modelserver/settings.py").read_text(encoding="utf-8")
    page = text_of("howto/write-a-model.md")
    names = set(re.findall(r'"((?:SAGEMAKER|INSERVICE)_[A-Z_]+)"', source))
    assert names
    assert not {name for name in names if f"`{name}`" not in page}


# ── names ───────────────────────────────────────────────────────────────────────────────────────
def test_variables_that_docs_name_exist() -> None:
    settings = {f"INSERVICE_{field.name.upper()}" for field in fields(config.Settings)}
    source = (ROOT / "src/inservice/modelserver/settings.py").read_text(encoding="utf-8")
    known = settings | set(re.findall(r"INSERVICE_[A-Z_]+", source))
    for page in PAGES:
        named = set(re.findall(r"INSERVICE_[A-Z_]+[A-Z]", page.read_text(encoding="utf-8")))
        assert named <= known, name_of(page)


def test_make_targets_that_docs_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = set(re.findall(r"(?:^|`|&& )make ([a-z-]+)", text, re.MULTILINE))
        assert named <= targets, name_of(page)


# ── links ───────────────────────────────────────────────────────────────────────────────────────
def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"(?ms)^ *```.*?^ *```", "", page.read_text(encoding="utf-8"))


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ +(.+)$", prose(page), re.MULTILINE)
    found: list[str] = []
    for heading in headings:
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        again = sum(re.fullmatch(rf"{re.escape(slug)}(-\d+)?", one) is not None for one in found)
        found.append(f"{slug}-{again}" if slug in found else slug)
    return frozenset(found)


def links(page: Path) -> Iterator[str]:
    yield from re.findall(r"(?<!`)\[[^]]*\]\(([^)\s]+)\)", prose(page))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_can_be_found_from_the_first() -> None:
    found, waiting = set(), [DOCS / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in found or page.suffix != ".md" or not page.is_file():
            continue
        found.add(page)
        places = (link.partition("#")[0] for link in links(page) if ":" not in link)
        waiting += [(page.parent / place).resolve() for place in places if place]
    assert not [name_of(page) for page in DOCS.rglob("*.md") if page not in found]


# ── code blocks ─────────────────────────────────────────────────────────────────────────────────
def in_language(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


@pytest.mark.parametrize("block", in_language("python"), ids=str)
def test_python_compiles(block: Block) -> None:
    assert ast.parse(block.text, str(block)).body, "a block that says something"


@pytest.mark.parametrize("block", in_language("bash", "sh", "console", ""), ids=str)
def test_commands_exist_and_take_their_options(block: Block) -> None:
    for words in commands(block.text):
        given = options_in(words)
        known = known_options(words)
        assert given <= known, f"{' '.join(words)}: no option {sorted(given - known)}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_within_a_sentence_exist_too(page: Path) -> None:
    """`inservice endpoint wait` and the like; not what has a `<place>` or an … to fill in."""
    for span in re.findall(r"`((?:inservice|aws)\s[^`<…]+)`", prose(page)):
        words = span.split()
        given = options_in(words)
        assert given <= known_options(words), span


def options_in(words: list[str]) -> set[str]:
    """The options that a command is given; what comes after `--` is another command's."""
    own = itertools.takewhile(lambda word: word != "--", words)
    return {word.partition("=")[0] for word in own if word.startswith("--")}


def known_options(words: list[str]) -> set[str]:
    """The options of a command line. Raises AssertionError for a command that is none."""
    program, *rest = words
    plain = [word for word in rest if not word.startswith("-")]
    first = plain[0] if plain else ""
    if program == "inservice" and first in NOUNS and len(plain) > 1:
        assert plain[1] in verbs_of(first), f"no verb {plain[1]}"
        return options_of(first, plain[1])
    if program == "inservice" and (first in COMMANDS or not plain):
        return {"--version", "--help"} | (options_of(first) if plain else set())
    return {f"--{name}" for name in _aws_options(*plain)} | {"--data-dir"}


def _aws_options(*words: str) -> Iterator[str]:
    yield from (option.name for option in GLOBAL_OPTIONS)
    yield from ("cli-input-json", "cli-input-yaml", "generate-cli-skeleton")
    service, operation, *more = [*words, "help", "help"]
    if "help" in (service, operation) or service == "configure":
        return
    if service == "s3":  # AWS's own commands over the API
        assert operation in ("mb", "rb", "cp", "sync", "ls", "rm", "mv", "presign"), operation
        yield from ("recursive", "force", "quiet", "expires-in", "exclude", "include")
        return
    try:
        model = botocore.session.get_session().get_service_model(service)
    except UnknownServiceError:
        raise AssertionError(f"no command {service}") from None
    if operation == "wait":
        waiters = botocore.session.get_session().get_waiter_model(service)
        names = {xform_name(name, "-"): name for name in waiters.waiter_names}
        assert more[0] in names, f"no waiter {more[0]}"
        called = waiters.get_waiter(names[more[0]]).operation
    elif (service, operation) == ("logs", "tail"):
        yield from ("since", "follow", "format", "filter-pattern", "log-stream-names")
        return
    else:
        names = {xform_name(name, "-"): name for name in model.operation_names}
        assert operation in names, f"no operation {service} {operation}"
        called = names[operation]
    shape = model.operation_model(called).input_shape
    for member, of in (shape.members if shape else {}).items():
        yield xform_name(member, "-")
        if of.type_name == "boolean":
            yield f"no-{xform_name(member, '-')}"
    yield from ("max-items", "page-size", "starting-token")


# ── against a server ────────────────────────────────────────────────────────────────────────────
RUNNING = [page for page in PAGES if any(b.runs for b in blocks(page) if b.language == "bash")]

SAYS = {
    "README.md": ("setosa", "Stopped the server"),
    "tutorial.md": (
        "model.tar.gz would work",
        "[0]",
        "Update succeeded.",
        "exit code 3",
        'alarm "digits-3-errors" is in ALARM',
        "Stopped the server",
    ),
    "write-a-model.md": ('["welt", "?"]',),
    "curl.md": ("[0]", "200"),
    "openai.md": ("hello world", "data: [DONE]"),
    "behind-a-proxy.md": ("[0]", "InService"),
    "run-in-ci.md": ("1 passed",),
    "share-a-server.md": (
        ":user/ana",
        "HELLO",
        "no identity-based policy allows the sagemaker:DeleteEndpoint action",
        "exit code 254: not allowed",
        "user/bo sagemaker:DeleteEndpoint AccessDeniedException endpoint/search-1",
        "root iam:AttachGroupPolicy OK group/search policy/search-team",
    ),
    "test-a-policy.md": (
        'by policy.json, line 4, Sid "Deploy"',
        'by policy.json, line 10, Sid "NothingLarge"',
        "sagemaker:DeleteEndpoint implicitDeny",
    ),
}
"""What pages promise that one sees."""


@pytest.mark.long
@pytest.mark.parametrize("page", RUNNING, ids=name_of)
def test_a_page_works_as_written_and_once_more(page: Path, tmp_path: Path) -> None:
    if page.name == "behind-a-proxy.md" and not shutil.which("nginx", path=_PROGRAMS):
        pytest.skip("nginx is not installed")
    home = tmp_path / "home"
    home.mkdir()
    for time in ("the first time", "the second time"):
        said = followed(page, home, tmp_path / "data")
        assert not [promised for promised in SAYS.get(page.name, ()) if promised not in said], time
    assert _running_on(tmp_path / "data") == []


_PROGRAMS = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}{os.pathsep}/usr/sbin"


def followed(page: Path, home: Path, data_dir: Path) -> str:
    """What a page shows to whoever follows it in one shell."""
    try:
        finished = subprocess.run(
            ["bash", "-c", as_script(page)],
            cwd=home,
            env=_environment(home, data_dir),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        if _running_on(data_dir):  # it stopped half-way
            subprocess.run(["inservice", "down"], env=_environment(home, data_dir), check=False)
    said = f"{finished.stdout}\n{finished.stderr}"
    assert finished.returncode == 0, said
    return said


def _running_on(data_dir: Path) -> list[int]:
    pid = supervisor_pid(data_dir)
    return [] if pid is None else [pid]


def _environment(home: Path, data_dir: Path) -> dict[str, str]:
    """A user's shell in the venv that runs the tests, with nothing of AWS's or ours in it."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "INSERVICE_"))}
    return {
        **clean,
        "PATH": _PROGRAMS,
        "HOME": str(home),
        "AWS_EC2_METADATA_DISABLED": "true",
        "INSERVICE_DATA_DIR": str(data_dir),
        "INSERVICE_PORT": "0",
    }


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_not_run_says_why(page: Path) -> None:
    """Commands are run, and so is every file that a page has one write."""
    shell = "\n".join(block.text for block in blocks(page) if block.language == "bash")
    for block in blocks(page):
        assert block.language not in ("", "sh", "shell", "console"), f"{block}: bash, or text"
        if block.language == "python" and block.runs:
            name = written_by(block)
            assert name, f"{block}: neither a file nor a reason why it is not run"
            used = name.removesuffix(".py") in shell or name in ("conftest.py", "test_hosting.py")
            assert used, f"{block}: {name} is never used"


def test_names_of_pages_do_not_collide() -> None:
    """Who follows one page after another in one server meets no name that is taken."""
    made: dict[str, set[str]] = {}
    for page in RUNNING:
        text = "\n".join(block.text for block in blocks(page) if block.runs)
        names = re.findall(r"(?:ModelName|EndpointConfigName|EndpointName)=\"([\w-]+)\"", text)
        names += re.findall(r"inservice (?:model|config|endpoint) create ([\w-]+)", text)
        made[name_of(page)] = set(names)
    for (one, ours), (other, theirs) in itertools.combinations(made.items(), 2):
        if not _goes_on(one) and not _goes_on(other):
            assert not ours & theirs, f"{one} and {other}"


def _goes_on(page: str) -> bool:
    """Whether a page works on what another one has made."""
    return "<!-- goes on after: " in (ROOT / page).read_text(encoding="utf-8")


REFUSED: Mapping[tuple[str, str, str], dict[str, Any]] = {
    ("cloudwatch", "PutMetricData", "EntityMetricData"): {
        "Namespace": "n",
        "EntityMetricData": [{"MetricData": []}],
    },
    ("cloudwatch", "PutMetricData", "StrictEntityValidation"): {
        "Namespace": "n",
        "MetricData": [{"MetricName": "m", "Value": 1}],
        "StrictEntityValidation": True,
    },
    ("cloudwatch", "GetMetricData", "LabelOptions"): {
        "MetricDataQueries": [],
        "StartTime": 1,
        "EndTime": 2,
        "LabelOptions": {"Timezone": "+0000"},
    },
    ("cloudwatch", "DescribeAlarmHistory", "AlarmContributorId"): {"AlarmContributorId": "c"},
    ("cloudwatch", "ListMetrics", "IncludeLinkedAccounts"): {"IncludeLinkedAccounts": True},
    ("cloudwatch", "ListMetrics", "OwningAccount"): {"OwningAccount": "111111111111"},
    ("cloudwatch", "PutDashboard", "Tags"): {
        "DashboardName": "d",
        "DashboardBody": '{"widgets": []}',
        "Tags": [{"Key": "k", "Value": "v"}],
    },
    ("logs", "CreateLogGroup", "kmsKeyId"): {"logGroupName": "g", "kmsKeyId": "k"},
    ("logs", "CreateLogGroup", "logGroupClass"): {
        "logGroupName": "g",
        "logGroupClass": "DELIVERY",
    },
    ("logs", "CreateLogGroup", "deletionProtectionEnabled"): {
        "logGroupName": "g",
        "deletionProtectionEnabled": True,
    },
    ("logs", "DescribeLogGroups", "includeLinkedAccounts"): {"includeLinkedAccounts": True},
    ("logs", "DescribeLogGroups", "accountIdentifiers"): {"accountIdentifiers": ["111111111111"]},
    ("logs", "FilterLogEvents", "startFromHead"): {"logGroupName": "g", "startFromHead": False},
}
"""A request for each member that the reference says is refused, and no table of ours has."""


def test_what_the_reference_says_is_refused_is_refused(tmp_path: Path) -> None:
    assert REFUSED.keys() == REFUSED_BY_CODE.keys()
    server = Server.start(tmp_path / "data")
    try:
        for (service, operation, member), request in REFUSED.items():
            call = getattr(server.client(service), xform_name(operation))
            with pytest.raises(ClientError) as refusal:
                call(**request)
            status = refusal.value.response["ResponseMetadata"]["HTTPStatusCode"]
            assert status == 400, (operation, member, refusal.value)
    finally:
        server.stop()


def test_fields_that_are_refused_say_why() -> None:
    for shape, members in SHAPES.items():
        for member, field in members.items():
            assert field.says or field.shape or field.standing is Standing.HONOURED, (shape, member)
