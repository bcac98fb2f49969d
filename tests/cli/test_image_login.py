"""`inservice image login` and `logout`: what is kept, where, and that it is never shown."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from inservice.cli.main import main
from inservice.runtimes.logins import Login, Logins


def said(
    monkeypatch: pytest.MonkeyPatch, data_dir: Path, *words: str, typed: str = ""
) -> int | None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    return main(["image", *words, f"--data-dir={data_dir}"])


def test_who_pulls_from_where_is_kept_and_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    login = ("login", "https://Registry.example:5000/v2/", "--username", "me", "--password-stdin")
    assert said(monkeypatch, tmp_path, *login, typed="the secret\n") == 0
    kept = Logins(tmp_path / "containers")
    assert kept.all() == {"registry.example:5000": Login("me", "the secret")}
    told = capsys.readouterr()
    assert "me at registry.example:5000" in told.out
    assert "the secret" not in told.out + told.err
    assert said(monkeypatch, tmp_path, "logout", "registry.example:5000") == 0
    assert kept.all() == {}
    assert said(monkeypatch, tmp_path, "logout", "registry.example:5000") == 1
    assert "nobody is kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "typed", "why"),
    [
        (("login", "a.b", "-u", "me", "--password-stdin"), "\n", "the password is empty"),
        (("login", "a.b", "-u", "me"), "x\n", "nobody can be asked here"),
        (("login", "", "-u", "me", "--password-stdin"), "x\n", "is no host"),
    ],
)
def test_what_cannot_be_kept_changes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    typed: str,
    why: str,
) -> None:
    assert said(monkeypatch, tmp_path, *words, typed=typed) == 1
    assert why in capsys.readouterr().err
    assert not (tmp_path / "containers").exists()
