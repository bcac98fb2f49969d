"""Profiles whose keys a command gives: they replace those with keys, and the other way round."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import boto3
import pytest

from inservice.cli import profiles
from inservice.cli.profiles import Files
from inservice.cli.target import Target

TARGET = Target("http://127.0.0.1:7420", "eu-central-1", "AKIAOURS", "s3cret")

GIVEN = {"Version": 1, "AccessKeyId": "ASIAGIVEN", "SecretAccessKey": "given", "SessionToken": "t"}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    found = Files(tmp_path / "aws" / "config", tmp_path / "aws" / "credentials")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(found.config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(found.credentials))
    return found


@pytest.fixture
def process(tmp_path: Path) -> str:
    script = tmp_path / "with a space" / "gives.py"
    script.parent.mkdir()
    script.write_text(f"print({json.dumps(GIVEN)!r})")
    return shlex.join([sys.executable, str(script)])


def key_of(name: str) -> str:
    key = boto3.Session(profile_name=name).get_credentials()
    assert key is not None
    return str(key.access_key)


def test_a_profile_asks_a_command_and_has_no_secret(files: Files, process: str) -> None:
    profiles.write("here", TARGET, files, process=process)
    assert key_of("here") == GIVEN["AccessKeyId"]
    assert not files.credentials.exists()
    assert "s3cret" not in files.config.read_text()
    assert boto3.Session(profile_name="here").region_name == TARGET.region


def test_one_that_had_keys_asks_from_now_on(files: Files, process: str) -> None:
    """Keys in the credentials file would win over the command."""
    files.config.parent.mkdir()
    theirs = "[default]\naws_access_key_id = THEIRS\naws_secret_access_key = theirs\n"
    files.credentials.write_text(theirs)
    profiles.write("here", TARGET, files)
    assert key_of("here") == TARGET.access_key_id
    profiles.write("here", TARGET, files, process=process)
    assert key_of("here") == GIVEN["AccessKeyId"]
    assert "s3cret" not in files.credentials.read_text()
    assert files.credentials.read_text().startswith(theirs)
    assert key_of("default") == "THEIRS"


def test_one_that_asked_has_keys_from_now_on(files: Files, process: str) -> None:
    profiles.write("here", TARGET, files, process=process)
    profiles.write("here", TARGET, files)
    assert key_of("here") == TARGET.access_key_id
    assert "credential_process" not in files.config.read_text()


def test_saying_it_again_changes_nothing(files: Files, process: str) -> None:
    profiles.write("here", TARGET, files, process=process)
    once = files.config.read_bytes(), files.config.stat().st_ino
    profiles.write("here", TARGET, files, process=process)
    assert (files.config.read_bytes(), files.config.stat().st_ino) == once
