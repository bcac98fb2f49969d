"""One server for the tests that can share one, and a factory for those that kill theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.server import ECHO, Server, archive


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server.start(tmp_path_factory.mktemp("server") / "data")
    yield started
    started.stop()


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A module's own, for tests that kill parts of it and leave it whole."""
    started = Server.start(tmp_path_factory.mktemp("own") / "data")
    yield started
    started.stop()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(*options: str, **environment: str) -> Server:
        server = Server.start(tmp_path / f"data{len(started)}", *options, environment=environment)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def echo(tmp_path: Path) -> Callable[[str], str]:
    """Makes an artifact whose model answers with its own name; gives back the URL."""

    def make(name: str) -> str:
        return archive(tmp_path / f"{name}.tar.gz", {"name.txt": name, "code/inference.py": ECHO})

    return make
