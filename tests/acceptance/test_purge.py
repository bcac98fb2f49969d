"""`inservice down --purge` removes what a server has kept, asks before, and takes nothing else."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from inservice.cli import purge
from tests.acceptance.server import ECHO, Server, archive, run_cli, run_here, variant


def used(tmp_path: Path) -> Server:
    """A server that has served, so that everything it makes is there."""
    server = Server.start(tmp_path / "data")
    server.create_model(
        "echo", archive(tmp_path / "m.tar.gz", {"code/inference.py": ECHO, "name.txt": "e"})
    )
    server.create_config("echo", variant("echo"))
    server.client("sagemaker").create_endpoint(EndpointName="echo", EndpointConfigName="echo")
    assert server.settled("echo")["EndpointStatus"] == "InService"
    server.invoke("echo")
    return server


def answered(data_dir: Path, answer: str) -> tuple[int, str]:
    """`down --purge` on a terminal at which somebody types `answer`."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "inservice.cli.main", "down", "--purge"]
    os.write(ours, answer.encode())
    done = subprocess.run(
        [*command, f"--data-dir={data_dir}"],
        stdin=theirs,
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    return done.returncode, done.stderr


def test_asked_and_done(tmp_path: Path) -> None:
    server = used(tmp_path)
    try:
        code, said = answered(server.data_dir, "no\n")
        assert code == 1
        assert "nothing was stopped or removed" in said
        assert run_here("status", data_dir=server.data_dir).returncode == 0
        unasked = run_cli("down", "--purge", data_dir=server.data_dir)
        assert unasked.returncode == 1
        assert "--yes" in unasked.stderr
        (server.data_dir / "thesis.txt").write_text("mine")
        strange = run_cli("down", "--purge", "--yes", data_dir=server.data_dir)
        assert strange.returncode == 1
        assert "thesis.txt" in strange.stderr
        assert run_here("status", data_dir=server.data_dir).returncode == 0
        (server.data_dir / "thesis.txt").unlink()
        code, said = answered(server.data_dir, "yes\n")
        assert code == 0, said
    finally:
        if server.data_dir.exists():
            server.stop()
    assert not server.data_dir.exists()
    assert server.pids() == []
    assert (tmp_path / "m.tar.gz").exists()
    again = run_cli("down", "--purge", "--yes", data_dir=server.data_dir)
    assert again.returncode == 0
    fresh = Server.start(server.data_dir)
    try:
        assert fresh.client("sagemaker").list_models()["Models"] == []
    finally:
        fresh.stop()


@pytest.mark.parametrize("kind", ["a home", "a link", "empty"])
def test_what_is_no_data_directory(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    if kind == "a link":
        (tmp_path / "real").mkdir()
        (tmp_path / "real" / "inservice.db").write_text("x")
        place.symlink_to(tmp_path / "real")
    else:
        place.mkdir()
    if kind == "a home":
        (place / "logs").mkdir()
    done = run_cli("down", "--purge", "--yes", data_dir=place)
    assert done.returncode == 1
    assert "is no data directory" in done.stderr
    assert place.exists()


def test_every_file_that_is_documented_is_known() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "files.md").read_text()
    table = page[: page.index("in the run directory")]
    named = re.findall(r"^\| `([^`/]+)", table, re.MULTILINE)
    assert len(named) > 8
    assert [name for name in named if not purge.is_ours(name.replace("*", "x"))] == []
    strangers = ["run.sh", "metrics.csv", "endpoint.py", "logs2", "inservice"]
    assert [name for name in strangers if purge.is_ours(name)] == []


def test_yes_alone_means_nothing(tmp_path: Path) -> None:
    done = run_cli("down", "--yes", data_dir=tmp_path)
    assert done.returncode == 2
