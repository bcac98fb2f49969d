"""`inservice model lint`: the verdict is the exit code, the reasons are the output."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from tests.cli.conftest import Run


def packed(directory: Path, **files: str) -> Path:
    """An artifact with these files; `__` in a name stands for a slash."""
    for name, content in files.items():
        path = directory / "content" / name.replace("__", "/")
        path = path.with_name(path.name + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    artifact = directory / "model.tar.gz"
    with tarfile.open(artifact, "w:gz") as archive:
        archive.add(directory / "content", ".")
    return artifact


def test_an_artifact_that_works(inservice: Run, clean: Path) -> None:
    source = "def model_fn(directory):\n    return 1\n"
    artifact = packed(clean, code__inference=source)
    ran = inservice("model", "lint", str(artifact))
    assert (ran.code, ran.err) == (0, "")
    assert f"{artifact} would work" in ran.out
    assert "code/inference.py" in ran.out
    assert "\x1b" not in ran.out


def test_an_artifact_that_fails(inservice: Run, clean: Path) -> None:
    artifact = packed(clean, code__inference="def model_fn(:\n")
    ran = inservice("model", "lint", str(artifact))
    assert ran.code == 1
    assert "would fail" in ran.out
    assert "error: code/inference.py" in ran.out


def test_an_artifact_named_by_its_url(inservice: Run, clean: Path) -> None:
    (clean / "model").mkdir()
    assert "model would fail" in inservice("model", "lint", f"file://{clean}/model").out
    ran = inservice("model", "lint", "s3://bucket/model.tar.gz")
    assert (ran.code, ran.out) == (2, "")
    assert "fetch it first" in ran.err


def test_as_json(inservice: Run, clean: Path) -> None:
    artifact = packed(clean, notes="x = 1\n")
    ran = inservice("model", "lint", str(artifact), "--output", "json")
    document = json.loads(ran.out)
    assert ran.code == 1
    assert document["Deployable"] is False
    assert document["Files"] == [{"Path": "notes.py", "SizeInBytes": 6}]
    assert document["Findings"][0]["Severity"] == "error"


def test_usage(inservice: Run) -> None:
    assert inservice("model", "lint", "/nowhere/model.tar.gz").code == 1
    assert inservice("model").code == 0
    assert inservice("model", "--help").code == 0
    ran = inservice("model", "lnit")
    assert (ran.code, ran.out) == (2, "")
    assert 'did you mean "lint"?' in ran.err
    assert inservice("model", "lint", "--help").code == 0
