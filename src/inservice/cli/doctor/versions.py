"""Which clients are installed, and what the older ones do not know."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping

from inservice.cli.doctor.finding import Finding, note, ok, problem
from inservice.cli.doctor.scene import Scene

_Version = tuple[int, ...]

KNOWS_ADDRESS: Mapping[str, _Version] = {"boto3": (1, 28), "botocore": (1, 31)}
"""The first version of each package that heeds AWS_ENDPOINT_URL."""

CLI_KNOWS_ADDRESS: Mapping[int, _Version] = {1: (1, 29), 2: (2, 13)}
"""The same of the AWS CLI, by its major version."""

_PACKAGES = ("boto3", "botocore", "sagemaker", "mlflow")

_ASK = f"""
import json
from importlib.metadata import PackageNotFoundError, version
found = {{}}
for name in {_PACKAGES!r}:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""

ANSWER_SECONDS = 20.0
"""How long a program may take to say its version: the AWS CLI takes one on a busy machine."""


def packages(scene: Scene, python: str | None) -> Iterator[Finding]:
    """What the Python that a program would run with has."""
    found = python or shutil.which("python") or shutil.which("python3")
    if found is None:
        yield note("python", "there is none on the PATH")
        return
    said = _said([found, "-c", _ASK])
    try:
        versions = json.loads(said or "")
    except ValueError:
        yield problem("python", f"{found} does not run", "name another one with --python")
        return
    for name, first in KNOWS_ADDRESS.items():
        if name in versions and version_of(versions[name]) < first:
            yield problem(
                name,
                f"{versions[name]} of {found} does not know AWS_ENDPOINT_URL: it goes to AWS",
                f"pip install '{name}>={dotted(first)}', or run it by `inservice exec -- COMMAND`",
            )
            return
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    yield ok("python", f"{found}: {listed or 'no client of AWS'}")
    if version_of(versions.get("sagemaker", "9"))[:1] < (3,) and not scene.is_inside_exec():
        yield note(
            "sagemaker",
            f"{versions['sagemaker']} asks AWS's STS by its own name for the role and the bucket",
            "run it by `inservice exec -- COMMAND`",
        )


def aws_cli() -> Iterator[Finding]:
    """The `aws` on the PATH, if there is one."""
    found = shutil.which("aws")
    if found is None:
        return
    said = _said([found, "--version"]) or ""
    told = re.match(r"aws-cli/(\S+)", said)
    if told is None:
        yield note("aws", f"{found} does not tell its version")
        return
    version = version_of(told[1])
    first = CLI_KNOWS_ADDRESS.get(version[0] if version else 0)
    if first is not None and version < first:
        yield problem(
            "aws",
            f"{told[1]} does not know AWS_ENDPOINT_URL: it goes to AWS",
            f"install {dotted(first)} or newer, or say --endpoint-url",
        )
    else:
        yield ok("aws", f"{found}: {told[1]}")


def version_of(text: str) -> _Version:
    """The numbers that a version begins with."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def dotted(version: _Version) -> str:
    """As people write it."""
    return ".".join(map(str, version))


def _said(command: list[str]) -> str | None:
    """What a program prints; None if it fails."""
    try:
        ran = subprocess.run(  # noqa: S603 - a program of the user's PATH, and no shell
            command,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=ANSWER_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return ran.stdout
