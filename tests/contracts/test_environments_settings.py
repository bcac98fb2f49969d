"""Where packages come from: pip's own settings, as pip itself reads them."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from inservice.images.environments import pip_settings
from inservice.images.environments.pip_settings import PipSettings, Secrets

HOSTS, USERS, CHOSEN = "xdg/pip/pip.conf", "home/.config/pip/pip.conf", "chosen.conf"
EVERYTHING = {
    HOSTS: "[global]\nindex-url = https://a/simple\nfind-links =\n    /one\n    /two\nproxy = http://p:1",
    USERS: "[global]\nextra_index_url = https://b/simple https://c/simple\n[install]\n"
    "find-links = /three\npre = yes\n",
    CHOSEN: "[global]\ntrusted-host = a b\nno-binary = :none:,numpy\ntimeout = 7\ncert = /c.pem\n",
}


def laid(place: Path, files: dict[str, str], **variables: str) -> dict[str, str]:
    """A user's world with these configuration files."""
    for name, text in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(place / "home"),
        "XDG_CONFIG_DIRS": str(place / "xdg"),
        **({"PIP_CONFIG_FILE": str(place / CHOSEN)} if CHOSEN in files else {}),
        **variables,
    }


def as_pip_has_them(variables: dict[str, str]) -> dict[str, str]:
    """What pip would do: the last of `global`, `install` and variables that says something."""
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):
        for line in said.splitlines():
            key, _, value = line.partition("=")
            if key.startswith(section):
                found[key.removeprefix(section)] = (
                    value.strip("'\"").encode().decode("unicode_escape")
                )
    return found


@pytest.mark.parametrize(
    ("files", "variables"),
    [
        ({}, {}),
        (EVERYTHING, {}),
        (EVERYTHING, {"PIP_FIND_LINKS": "/four /five", "PIP_INDEX_URL": "https://d/simple"}),
        ({USERS: EVERYTHING[USERS], HOSTS: EVERYTHING[HOSTS]}, {"PIP_NO_INDEX": "1"}),
        ({HOSTS: "nonsense"}, {"PIP_DEFAULT_TIMEOUT": "9"}),
    ],
)
def test_they_are_those_that_pip_has(
    tmp_path: Path, files: dict[str, str], variables: dict[str, str]
) -> None:
    world = laid(tmp_path, files, **variables)
    if "nonsense" in files.values():
        assert pip_settings.read(world).timeout == "9", "pip itself would read nothing at all"
        return
    pips, ours = as_pip_has_them(world), pip_settings.read(world)
    assert ours.index_url == pips.get("index-url", "")
    assert ours.extra_index_urls == tuple(pips.get("extra-index-url", "").split())
    assert ours.find_links == tuple(pips.get("find-links", "").split())
    assert ours.trusted_hosts == tuple(pips.get("trusted-host", "").split())
    assert ours.no_binary == tuple(filter(None, pips.get("no-binary", "").split(",")))
    cert = pips.get("cert", "")
    assert (ours.proxy, ours.cert) == (pips.get("proxy", ""), cert)
    assert ours.timeout == pips.get("timeout", pips.get("default-timeout", ""))
    assert ours.no_index == ("no-index" in pips)
    assert ours.pre == ("pre" in pips)


def test_no_file_is_read_where_pip_reads_none(tmp_path: Path) -> None:
    world = laid(tmp_path, {HOSTS: EVERYTHING[HOSTS]}, PIP_CONFIG_FILE=os.devnull)
    assert pip_settings.read(world) == PipSettings()


def test_they_are_said_again_in_the_words_of_each_installer(tmp_path: Path) -> None:
    settings = PipSettings(
        index_url='https://u:p"w\\@a/simple',
        extra_index_urls=("file:///b", "https://c/simple"),
        find_links=("/wheels",),
        no_index=True,
        trusted_hosts=("a",),
        constraints=("/c.txt",),
        pre=True,
    )
    toml = tomllib.loads(pip_settings.as_toml(pip_settings.uv_document(settings)))
    assert toml == {
        "index-strategy": "unsafe-best-match",
        "index-url": settings.index_url,
        "extra-index-url": ["file:///b", "https://c/simple"],
        "find-links": ["/wheels"],
        "no-index": True,
        "allow-insecure-host": ["a"],
        "prerelease": "allow",
    }
    (tmp_path / "pip.conf").write_text(pip_settings.as_pip_conf(settings))
    again = pip_settings.read({"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "HOME": "/nowhere"})
    changed = {name: getattr(again, name) for name in PipSettings.__struct_fields__}
    asked = {name: getattr(settings, name) for name in PipSettings.__struct_fields__}
    assert {name: changed[name] for name, value in asked.items() if value} == {
        name: value for name, value in asked.items() if value
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("at https://me:pass@host/simple", "at https://****@host/simple"),
        ("at https://token-of-mine@host/x", "at https://****@host/x"),
        ("the password s3cr3t! alone", "the password **** alone"),
        ("and quoted s3cr3t%21", "and quoted ****"),
        ("https://host/simple has no user", "https://host/simple has no user"),
        ("torch==2.1 @ file:///wheels", "torch==2.1 @ file:///wheels"),
    ],
)
def test_passwords_are_taken_out(text: str, told: str) -> None:
    assert Secrets(["https://somebody:s3cr3t%21@index.example/simple"]).hidden(text) == told
