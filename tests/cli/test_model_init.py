"""`inservice model init`: each folder is whole, is never written over another, and works."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inservice.artifacts.lint import lint
from inservice.cli import model as models
from inservice.cli.model import init
from inservice.images.base import EnvironmentImage
from inservice.images.resolve import Catalogue


def begin(directory: Path, framework: str) -> Path:
    """A folder of this framework."""
    assert models.run(["init", str(directory), "--framework", framework]) == 0
    return directory


def passes(directory: Path, data_dir: Path) -> None:
    """Run its own test, as somebody does who has just made it."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(directory)],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "INSERVICE_DATA_DIR": str(data_dir),
        },
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout


@pytest.mark.parametrize("framework", ["python", "sklearn"])
def test_a_folder_works(tmp_path: Path, framework: str) -> None:
    """Those of other frameworks need environments: tests/images/test_starters.py."""
    folder = begin(tmp_path / "folder", framework)
    if (folder / "train.py").exists():
        subprocess.run([sys.executable, "train.py"], cwd=folder, check=True)
    report = lint(
        folder / "model", framework="sklearn", environment=dict(init.starter(framework).environment)
    )
    assert report.deployable, report.findings
    passes(folder, tmp_path / "data")


@pytest.mark.parametrize("framework", init.frameworks())
def test_a_folder_is_whole(tmp_path: Path, framework: str) -> None:
    folder = begin(tmp_path, framework)
    begun = init.starter(framework)
    assert isinstance(Catalogue().resolve(begun.image), EnvironmentImage)
    for program in folder.rglob("*.py"):
        ast.parse(program.read_text(), program.name)
        assert max(map(len, program.read_text().splitlines())) <= 100, program
    readme = (folder / "README.md").read_text()
    assert f"--image {begun.image}" in readme
    assert (folder / "test_model.py").is_file()
    assert (folder / "train.py").is_file() or any((folder / "model").iterdir())
    request = next(line.split("@")[1].split()[0] for line in readme.splitlines() if "@" in line)
    assert (folder / request).read_text().strip() == begun.request["body"]


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text("mine")
    assert models.run(["init", str(tmp_path), "--framework", "python"]) == 1
    assert "README.md" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_place_that_cannot_be_written_to_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert models.run(["init", str(tmp_path / "file"), "--framework", "python"]) == 1
    assert "file" in capsys.readouterr().err
