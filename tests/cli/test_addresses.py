"""Where a server is reached from another machine."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from inservice.app.whereabouts import for_this_host
from inservice.cli import env, server
from inservice.cli.addresses import listens_everywhere, url_from_elsewhere


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "0:0:0:0:0:0:0:0"])
def test_everywhere(host: str) -> None:
    assert listens_everywhere(host)
    url = "http://[::1]:7420" if ":" in host else "http://127.0.0.1:7420"
    told = urlsplit(url_from_elsewhere(url, host))
    assert told.port == 7420
    assert told.hostname is not None
    assert not ipaddress.ip_address(told.hostname).is_unspecified


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "192.168.1.5", "::1", "gpu.lan"])
def test_one_address_is_told_as_it_is(host: str) -> None:
    assert not listens_everywhere(host)
    assert url_from_elsewhere("http://it:1", host) == "http://it:1"


def test_a_name_that_was_given_wins() -> None:
    assert url_from_elsewhere("http://127.0.0.1:7", "0.0.0.0", "gpu.lan") == "http://gpu.lan:7"
    assert url_from_elsewhere("http://127.0.0.1:7", "::", "fe80::1") == "http://[fe80::1]:7"


@pytest.mark.parametrize(
    ("host", "here"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("gpu.lan", "gpu.lan")],
)
def test_what_is_on_this_host_goes_to_an_address_that_exists(host: str, here: str) -> None:
    assert for_this_host(host) == here


@pytest.mark.parametrize("option", [[], ["--host=gpu.lan"]])
def test_env_of_a_server_that_listens_everywhere(
    option: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """(Tests bind no address but loopback, so what the server has written is played.)"""
    running = server.Running(
        "http://127.0.0.1:7420", "us-east-1", "AKIA", "s", 1, "000000000000", "0.0.0.0"
    )
    monkeypatch.setattr(server, "wait_until_it_answers", lambda *_, **__: running)
    assert env.run([f"--data-dir={tmp_path}", "--output=json", *option]) == 0
    told = urlsplit(json.loads(capsys.readouterr().out)["AWS_ENDPOINT_URL"])
    assert told.port == 7420
    assert told.hostname not in ("0.0.0.0", None)
    assert not option or told.hostname == "gpu.lan"
