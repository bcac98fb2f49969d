"""What an artifact would do, told before it is deployed: what is in it, what loads it, what fails.

The archive is read by the reader that deployment uses and judged by the same rules, so what passes
here is unpacked there. Nothing is written and none of the user's code is run: the program is
parsed, not imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from inservice.artifacts.code_place import CodePlace, code_place
from inservice.artifacts.errors import ArchiveRefused, ArtifactError, shown
from inservice.artifacts.families import (
    CONFIG,
    FAMILIES,
    Files,
    Finding,
    Severity,
    is_without_code,
    remarks,
)
from inservice.artifacts.gunzip import Gunzip
from inservice.artifacts.limits import Limits, Watch
from inservice.artifacts.paths import Outline, Parts, parts_of_key, parts_of_member
from inservice.artifacts.program import functions_of, inspect_program
from inservice.artifacts.requirements import mistakes
from inservice.artifacts.tar import Kind, TarReader
from inservice.artifacts.unpack import refuse_unsafe
from inservice.contract import (
    CODE_DIRECTORY,
    MODEL_FILES,
    MODEL_NAMES,
    PROGRAM,
    is_litter,
    model_files,
)

SOURCE_BYTES_MAX = 1024 * 1024
"""A program larger than this is not written by hand; it is not parsed."""

FINDINGS_MAX = 50

_NEEDS_CODE = {
    ".safetensors": "safetensors",
    ".pb": "Protocol Buffers",
    ".h5": "Keras",
    ".keras": "Keras",
}
"""Formats that are recognised, to say that they are, and that code has to load them."""

_USUAL = f"{CODE_DIRECTORY}/{PROGRAM}"

_NAMED = " or ".join(f"a {its.framework} model {its.names[0]}" for its in MODEL_FILES.values())


@dataclass(frozen=True, slots=True)
class File:
    """One file of the artifact."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found, worst first."""

    files: tuple[File, ...]  # in the order of their paths
    size_bytes: int  # unpacked
    loader: str  # what would load the model, in words; empty if nothing would
    findings: tuple[Finding, ...]

    @property
    def deployable(self) -> bool:
        """Whether nothing was found that would make the endpoint fail."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)


def lint(
    path: Path,
    *,
    environment: Mapping[str, str] = {},
    framework: str | None = "",
    limits: Limits | None = None,
    is_installed: Callable[[str], bool] = lambda name: find_spec(name) is not None,
) -> Report:
    """Judge a model.tar.gz, or the directory that would be packed into one.

    `environment` are the variables of the container, which may name another program than
    code/inference.py. `framework` is the plug of its image; "" if its files decide, None for a
    container of which only its maker knows what it does with them. `is_installed` says of a
    top-level module whether the model's environment has it; without it, ours is meant. Raises
    OSError for a path that cannot be read.
    """
    contents = _Contents(limits or Limits(), code_place(environment), environment)
    if path.is_dir():
        contents.take_directory(path)
    else:
        contents.take_archive(path)
    if contents.requirements in contents.sizes:
        is_installed = lambda _: True  # noqa: E731 - or will be, as far as names tell
    loader, troubles = _judged(contents, framework, is_installed)
    findings = [*contents.findings, *troubles, *_remarks(contents)]
    if framework is not None:
        findings += remarks(framework, contents.files)
    order = list(Severity)
    findings.sort(key=lambda finding: order.index(finding.severity))
    files = tuple(File(name, size) for name, size in sorted(contents.sizes.items()))
    size_bytes = sum(contents.sizes.values())
    return Report(files, size_bytes, loader, tuple(findings[:FINDINGS_MAX]))


class _Contents:
    """The files of an artifact, and what made some of them unfit."""

    def __init__(self, limits: Limits, code: CodePlace, environment: Mapping[str, str]) -> None:
        self._limits = limits
        self._environment = environment
        self.code = code
        self.requirements = str(PurePosixPath(code.directory, "requirements.txt"))
        self._read = {*code.candidates, self.requirements, CONFIG}
        self._outline = Outline(limits)
        self.sizes: dict[str, int] = {}
        self.sources: dict[str, bytes] = {}
        """The text of what may be the program, and of what else has to be read."""
        self.findings: list[Finding] = []

    def take_archive(self, path: Path) -> None:
        with path.open("rb") as file:
            archive = TarReader(Gunzip(file, self._limits, Watch()))
            try:
                for member in archive.members():
                    with self._judging(member.name):
                        refuse_unsafe(member)
                        is_directory = member.kind is Kind.DIRECTORY
                        parts = parts_of_member(member.name, directory=is_directory)
                        if is_directory:
                            self._outline.add_directory(parts)
                        else:
                            self._take(parts, member.size_bytes, archive.content())
            except ArtifactError as refused:
                self.findings.append(Finding(Severity.ERROR, "", refused.detail))

    def take_directory(self, root: Path) -> None:
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            with self._judging(name):
                if path.is_symlink() or not (path.is_file() or path.is_dir()):
                    says = 'It is not a plain file. Pack it with "tar --dereference" (-h).'
                    self.findings.append(Finding(Severity.WARNING, name, says))
                elif path.is_file():
                    wanted = name in self._read
                    content = iter((path.read_bytes(),) if wanted else ())
                    self._take(parts_of_key(name, name), path.stat().st_size, content)

    def _take(self, parts: Parts, size_bytes: int, content: Iterator[bytes]) -> None:
        self._outline.add_file(parts)
        name = "/".join(parts)
        self.sizes[name] = size_bytes
        if name in self._read and size_bytes <= SOURCE_BYTES_MAX:
            self.sources[name] = b"".join(content)

    @property
    def program(self) -> str | None:
        """The path of the program that would be imported; None if there is none."""
        return next((name for name in self.code.candidates if name in self.sizes), None)

    @property
    def files(self) -> Files:
        """As families judge them."""
        source = self.sources.get(self.program or "", b"")
        return Files(
            self.sizes,
            self._environment,
            config=self.sources.get(CONFIG),
            functions=functions_of(source),
            program=self.program,
        )

    @contextmanager
    def _judging(self, name: str) -> Iterator[None]:
        """A refused member is a finding, and the next one is looked at too."""
        try:
            yield
        except ArchiveRefused as refused:
            self.findings.append(Finding(Severity.ERROR, shown(name), refused.detail))


def _judged(
    contents: _Contents, framework: str | None, is_installed: Callable[[str], bool]
) -> tuple[str, Iterable[Finding]]:
    """What loads the model, as its image decides it, and what is wrong with that."""
    if framework is None:
        return "its container", []
    if framework in FAMILIES and is_without_code(framework, contents.files.environment):
        return FAMILIES[framework](contents.files)
    if framework in FAMILIES:
        return _loader(contents, *FAMILIES[framework](contents.files), is_installed)
    return _loader(contents, *_default(contents), is_installed)


def _loader(
    contents: _Contents,
    default: str,
    findings: list[Finding],
    is_installed: Callable[[str], bool],
) -> tuple[str, Iterable[Finding]]:
    """With what loads it where no code does."""
    code, program = contents.code, contents.program
    if code.elsewhere:
        says = "The code is not in the artifact, and was not looked into."
        return f"the program in {code.elsewhere}", [Finding(Severity.NOTE, code.elsewhere, says)]
    if program is None and code.named:
        says = f"SAGEMAKER_PROGRAM is '{code.named}', and there is no {code.usual}."
        return "", [Finding(Severity.ERROR, code.usual, says)]
    if program is None:
        return default, findings
    if program not in contents.sources:
        return program, [Finding(Severity.NOTE, program, "It is too large to be inspected.")]
    return _with_program(contents, program, default, findings, is_installed)


def _with_program(
    contents: _Contents,
    path: str,
    default: str,
    findings: list[Finding],
    is_installed: Callable[[str], bool],
) -> tuple[str, Iterable[Finding]]:
    """What loads the model where there is a program."""
    places = {contents.code.directory, str(PurePosixPath(path).parent)}
    program = inspect_program(
        contents.sources[path],
        path,
        places=sorted(places),
        beside=contents.sizes,
        is_installed=is_installed,
    )
    troubles = [
        Finding(Severity.ERROR if trouble.fatal else Severity.WARNING, path, trouble.says)
        for trouble in program.troubles
    ]
    if "model_fn" in program.handlers:
        return f"model_fn of {path} ({', '.join(program.handlers)})", troubles
    if program.handlers and not default and program.may_do_without_model:
        says = "No model_fn and no model file: the handlers are given None as the model."
        return f"{path} ({', '.join(program.handlers)})", [
            *troubles,
            Finding(Severity.NOTE, path, says),
        ]
    if default:
        handlers = f", with {', '.join(program.handlers)} of {path}" if program.handlers else ""
        return f"{default}{handlers}", [*troubles, *findings]
    return "", [*troubles, *findings]


def _default(contents: _Contents) -> tuple[str, list[Finding]]:
    """How the model would be loaded that no code loads, or why there is none."""
    top = [name for name in contents.sizes if "/" not in name]
    match model_files(top):
        case [(framework, file)]:
            if not contents.sizes[file]:
                return "", [Finding(Severity.ERROR, file, "It is empty.")]
            its = MODEL_FILES[framework]
            return f"{its.framework}: {its.loader} of {file}", []
        case []:
            return "", [Finding(Severity.ERROR, "", _why_nothing_loads(contents))]
        case several:
            files = ", ".join(file for _, file in several)
            says = f"Which of {files} is the model? Name one {MODEL_FILES[several[0][0]].names[0]}."
            return "", [Finding(Severity.ERROR, "", says)]


def _why_nothing_loads(contents: _Contents) -> str:
    """The usual mistakes, by what is there instead."""
    sizes = [name for name in contents.sizes if not is_litter(name)]
    known = (*MODEL_NAMES, PROGRAM)
    deeper = next((n for n in sizes if PurePosixPath(n).name in known), None)
    if deeper == PROGRAM:
        return f"{PROGRAM} is beside {CODE_DIRECTORY}/, not in it. Move it to {_USUAL}."
    if deeper and deeper.count("/") and not deeper.startswith(f"{CODE_DIRECTORY}/"):
        first = deeper.split("/")[0]
        return (
            f'Everything is inside "{first}/". Pack from inside that directory: '
            f'"tar -czf model.tar.gz -C {first} .".'
        )
    kind = next((k for n in sizes if (k := _NEEDS_CODE.get(PurePosixPath(n).suffix))), None)
    model = f"The model looks like {kind}, which is loaded by code. " if kind else ""
    return (
        f"{model}Nothing would load this: add {contents.code.usual} with a model_fn, or name "
        f"{_NAMED}."
    )


def _remarks(contents: _Contents) -> Iterator[Finding]:
    for line, says in mistakes(
        contents.sources.get(contents.requirements, b""), contents.code.directory, contents.sizes
    ):
        where = f"{contents.requirements}, line {line}"
        yield Finding(Severity.ERROR, where, says)
    for name in contents.sizes:
        parts = PurePosixPath(name).parts
        if parts[-1].startswith("._") or {".DS_Store", "__MACOSX"} & set(parts):
            says = "macOS added it. Pack with COPYFILE_DISABLE=1 to leave it out."
            yield Finding(Severity.NOTE, name, says)
        elif {".git", ".ipynb_checkpoints", "__pycache__", ".venv"} & set(parts):
            yield Finding(
                Severity.NOTE, name, "No model reads it; it only makes the artifact larger."
            )
