"""`inservice model lint ARTIFACT`: what is in an artifact, what would load it, what would fail."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from inservice.cli.printing import console
from inservice.cli.spelling import OwnParser

if TYPE_CHECKING:
    from rich.console import Console

    from inservice.artifacts.lint import Report

DONE: Final = 0
FOUND: Final = 1
"""The artifact would fail, or cannot be read."""

_FILES_SHOWN_MAX: Final = 20
_STYLES: Final = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `model lint`."""
    options = OwnParser(
        prog=prog,
        description="Say what is in an artifact, what would load it, and what would fail. "
        "Exit codes: 0 it would work, 1 it would not, 2 wrong usage.",
    )
    options.add_argument(
        "artifact", type=local, help="a model.tar.gz or a directory; file:// may stand before it"
    )
    options.add_argument(
        "--env",
        action="append",
        type=variable,
        default=[],
        metavar="NAME=VALUE",
        help="a variable of the model's environment: SAGEMAKER_PROGRAM names another program",
    )
    options.add_argument(
        "--image",
        default="",
        help="what would run it, by any name or URI that a model may have; without it, its files "
        "decide",
    )
    options.add_argument("--output", choices=("text", "json"), default="text")
    return options


def local(written: str) -> Path:
    """An artifact's path. Of the URLs that a model may have, only file:// is here to look into."""
    scheme, mark, rest = written.partition("://")
    if mark and scheme != "file":
        raise argparse.ArgumentTypeError(
            f"{written!r} is not on this machine; fetch it first and name the file"
        )
    return Path(rest if mark else written)


def variable(written: str) -> tuple[str, str]:
    """The name and value of `NAME=VALUE`."""
    name, mark, value = written.partition("=")
    if not name or not mark:
        raise argparse.ArgumentTypeError(f"{written!r} is not NAME=VALUE")
    return name, value


def judged_as(image: str) -> dict[str, Any]:
    """What `artifacts.lint.lint` has to know of an image. One that a server's users have added is
    known to that server alone: here it is any container."""
    from inservice.images.base import EnvironmentImage
    from inservice.images.resolve import Catalogue

    found = Catalogue().resolve(image) if image else None
    if found is None:
        return {}
    if not isinstance(found, EnvironmentImage):
        return {"framework": None}
    if all(map(_is_here, found.requirements)):
        return {"framework": found.framework}
    # Its packages are in an environment that may not be built yet.
    return {"framework": found.framework, "is_installed": lambda _: True}


def _is_here(requirement: str) -> bool:
    """Whether this Python has a package that an image asks for."""
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import Requirement

    try:
        return version(Requirement(requirement).name) != ""
    except PackageNotFoundError:
        return False


def run(options: argparse.Namespace) -> int:
    """Print what was found."""
    from inservice.artifacts.lint import lint

    try:
        report = lint(options.artifact, environment=dict(options.env), **judged_as(options.image))
    except OSError as error:
        sys.stderr.write(f"inservice model lint: {error}\n")
        return FOUND
    if options.output == "json":
        sys.stdout.write(json.dumps(_document(report), indent=4, ensure_ascii=False) + "\n")
    else:
        _write(report, options.artifact)
    return DONE if report.deployable else FOUND


def _document(report: Report) -> dict[str, object]:
    return {
        "Deployable": report.deployable,
        "Loader": report.loader,
        "SizeInBytes": report.size_bytes,
        "Files": [{"Path": file.path, "SizeInBytes": file.size_bytes} for file in report.files],
        "Findings": [
            {"Severity": finding.severity.value, "Where": finding.where, "Says": finding.says}
            for finding in report.findings
        ],
    }


def _write(report: Report, artifact: Path) -> None:
    out = console()
    verdict = ("would work", "bold green") if report.deployable else ("would fail", "bold red")
    out.print(str(artifact), style="bold", markup=False, end=" ")
    out.print(verdict[0], style=verdict[1])
    if report.loader:
        out.print(f"  loaded by  {report.loader}", markup=False)
    out.print(f"  {len(report.files)} files, {size(report.size_bytes)} unpacked")
    for file in report.files[:_FILES_SHOWN_MAX]:
        out.print(f"  {size(file.size_bytes):>10}  {file.path}", markup=False)
    if len(report.files) > _FILES_SHOWN_MAX:
        out.print(f"  {'…':>10}  and {len(report.files) - _FILES_SHOWN_MAX} more")
    write_findings(report, out)


def write_findings(report: Report, out: Console) -> None:
    """Everything that was found, a line each."""
    for finding in report.findings:
        out.print(f"{finding.severity.value}:", style=_STYLES[finding.severity.value], end=" ")
        where = f"{finding.where}: " if finding.where else ""
        out.print(f"{where}{finding.says}", markup=False)


def size(size_bytes: int) -> str:
    """A size as people say it: 1.5 MB is 1,500,000 bytes."""
    amount = float(size_bytes)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
