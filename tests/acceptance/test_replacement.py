"""Newer code takes the place of the code that serves, or does not: no request is lost either way.

The servers here run from a copy of the package, so that a test can install another version over it
while they serve, as `pip install --upgrade` would.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

import inservice
from inservice.store.drivers.schema import REVISION
from tests.acceptance.clients import Crowd
from tests.acceptance.server import Server, archive, run_cli, variant
from tests.meeting import meeting_place
from tests.waiting import wait_until

Echo = Callable[[str], str]

pytestmark = pytest.mark.long

COMMAND = [sys.executable, "-m", "inservice.cli.main"]

SLEEPER = """
import json, pathlib, time
def model_fn(model_dir):
    return None
def transform_fn(model, data, content_type, accept):
    pathlib.Path(data.decode()).touch()
    time.sleep(3.0)
    return json.dumps("slept well"), "application/json"
"""

MIGRATION = f'''"""What a later version changes.

Revision: later
"""

from alembic import op

revision = "later"
down_revision = "{REVISION}"


def upgrade() -> None:
    """Make a table."""
    op.execute("CREATE TABLE later (id INTEGER)")
'''


@dataclass
class Installed:
    """A copy of the package, and a server that runs from it."""

    package: Path
    server: Server

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run_cli(*words, data_dir=self.server.data_dir, PYTHONPATH=str(self.package.parent))

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """A command that is not waited for."""
        return subprocess.Popen(
            [*COMMAND, *words, f"--data-dir={self.server.data_dir}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(self.package.parent)},
        )

    def change(self, module: str, old: str, new: str) -> None:
        """Install another version of a module."""
        path = self.package / module
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def break_import(self, module: str) -> None:
        future = "from __future__ import annotations\n"
        self.change(module, future, f"{future}raise ImportError('this version has lost a part')\n")

    def mend(self) -> None:
        """Install the version that works."""
        install(self.package)

    def told(self) -> dict[str, int]:
        """Who runs, by what the supervisor tells."""
        return self.server.processes()

    def instances(self) -> set[int]:
        return self.server.ready_pids()

    def serve(self, url: str, count: int = 1) -> str:
        self.server.create_model("m", url)
        self.server.create_config("c", variant("m", count=count))
        self.server.client("sagemaker").create_endpoint(EndpointName="ep", EndpointConfigName="c")
        assert self.server.settled("ep")["EndpointStatus"] == "InService"
        return "ep"


def install(package: Path) -> None:
    source = Path(inservice.__path__[0])
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(source, package, dirs_exist_ok=True, ignore=ignored)


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Installed]:
    package = tmp_path / "lib" / "inservice"
    install(package)
    path = {"PYTHONPATH": str(package.parent), "INSERVICE_DRAIN_SECONDS": "5"}
    server = Server.start(tmp_path / "data", environment=path)
    it = Installed(package, server)
    yield it
    it.mend()
    assert it.cli("down").returncode == 0
    wait_until(lambda: not server.pids())


class Callers:
    """Clients of the API of control, while a block lasts."""

    def __init__(self, server: Server, endpoint: str) -> None:
        self.failures: list[str] = []
        self.answers = 0
        self._server, self._endpoint = server, endpoint
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._call)

    def _call(self) -> None:
        client = self._server.new_client("sagemaker")
        while not self._over.is_set():
            try:
                client.describe_endpoint(EndpointName=self._endpoint)
                self.answers += 1
            except Exception as failure:
                self.failures.append(repr(failure))
            self._over.wait(0.01)

    def __enter__(self) -> Callers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)


# ── reload ──────────────────────────────────────────────────────────────────────────────────────
def test_a_reload_onto_a_version_that_cannot_import_leaves_the_old_workers(
    installed: Installed, echo: Echo
) -> None:
    name = installed.serve(echo("kept"))
    before = installed.told()
    installed.break_import("gateway/routes.py")
    with Crowd(installed.server, name) as crowd:
        reloaded = installed.cli("reload")
        known = len(crowd.answers)
        wait_until(lambda: len(crowd.answers) > known + 20)
    assert reloaded.returncode == 1
    assert "this version has lost a part" in reloaded.stderr
    assert f"the old one (pid {before['gateway-0']}) stays" in reloaded.stderr
    assert "Replaced" not in reloaded.stdout
    wait_until(lambda: installed.told() == before)  # it is said when its end was seen
    assert crowd.failures == []
    installed.mend()
    mended = installed.cli("reload")
    assert mended.returncode == 0, mended.stderr
    assert not set(installed.told().values()) & {before["gateway-0"], before["gateway-1"]}


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ("import time; time.sleep(60)", "did not serve within 3 s"),
        ("import os; os.kill(os.getpid(), 9)", "ended with -9"),
        ("raise SystemExit('no thanks')", "no thanks"),
        ("raise SystemExit(0)", "ended with 0"),
    ],
    ids=["hangs", "killed", "refuses", "leaves"],
)
def test_a_worker_that_does_not_come_up_is_given_up(
    installed: Installed, ends: str, said: str
) -> None:
    """Whatever it does instead of serving, and the round stops at the first."""
    installed.change("supervision/children.py", "START_SECONDS = 30.0", "START_SECONDS = 3.0")
    assert installed.cli("restart").returncode == 0
    before = installed.told()
    installed.change("gateway/worker.py", "    heartbeat.up()", f"    {ends}")
    reloaded = installed.cli("reload")
    assert reloaded.returncode == 1
    assert said in reloaded.stderr
    assert "gateway-1" not in reloaded.stderr
    wait_until(lambda: installed.told() == before)  # it is said when its end was seen


def test_a_reload_returns_when_the_old_workers_are_gone(
    installed: Installed, tmp_path: Path
) -> None:
    url = archive(tmp_path / "sleeper.tar.gz", {"code/inference.py": SLEEPER})
    name = installed.serve(url)
    before = installed.told()
    answers: list[object] = []
    with meeting_place() as place:
        asleep = place / "asleep"
        client = threading.Thread(
            target=lambda: answers.append(installed.server.invoke(name, str(asleep)))
        )
        client.start()
        wait_until(asleep.exists)
    command = installed.begin("reload")
    named = wait_until(lambda: any("leaving" in one for one in installed.told()))
    assert named, "a worker that still has a request counts as one that serves"
    said, _ = command.communicate(timeout=60)
    assert command.returncode == 0, said
    assert answers == ["slept well"]
    assert not any(psutil.pid_exists(before[f"gateway-{n}"]) for n in (0, 1))
    client.join()


# ── restart ─────────────────────────────────────────────────────────────────────────────────────
def test_restarts_under_load_lose_nothing_and_keep_the_instances(
    installed: Installed, echo: Echo
) -> None:
    name = installed.serve(echo("restarted"), count=2)
    instances, before = installed.instances(), installed.told()
    with Crowd(installed.server, name) as crowd, Callers(installed.server, name) as callers:
        for _ in range(3):
            restarted = installed.cli("restart")
            assert restarted.returncode == 0, restarted.stderr
        known = callers.answers
        wait_until(lambda: callers.answers > known + 5)
    assert crowd.failures == []
    assert callers.failures == []
    after = installed.told()
    assert after.keys() == before.keys()
    assert [n for n in before if before[n] == after[n]] == ["supervisor"]
    assert installed.instances() == instances


def test_two_restarts_at_once_are_carried_out_one_after_the_other(
    installed: Installed, echo: Echo
) -> None:
    name = installed.serve(echo("twice"))
    with Crowd(installed.server, name) as crowd:
        commands = [installed.begin(word) for word in ("restart", "restart", "reload")]
        said = [command.communicate(timeout=120)[0] for command in commands]
    assert [command.returncode for command in commands] == [0, 0, 0], said
    assert crowd.failures == []


@pytest.mark.parametrize(
    "module",
    ["supervision/handover.py", "app/control.py", "gateway/front.py"],
    ids=["supervisor", "control", "worker"],
)
def test_a_restart_onto_a_version_that_cannot_import_changes_nothing(
    installed: Installed, echo: Echo, module: str
) -> None:
    name = installed.serve(echo("same"))
    before = installed.told()
    installed.break_import(module)
    with Crowd(installed.server, name) as crowd, Callers(installed.server, name) as callers:
        restarted = installed.cli("restart")
    assert restarted.returncode == 1
    assert "this version has lost a part" in restarted.stderr
    wait_until(lambda: installed.told() == before)  # it is said when its end was seen
    assert crowd.failures == callers.failures == []


def test_a_migration_that_fails_leaves_the_old_control_serving(
    installed: Installed, echo: Echo
) -> None:
    """And one that succeeds changes the records while the old workers serve on."""
    name = installed.serve(echo("records"))
    before = installed.told()
    later = installed.package / "store" / "drivers" / "migrations" / "versions" / "later.py"
    later.write_text(MIGRATION + '    raise RuntimeError("this migration fails")\n')
    installed.change("store/drivers/schema.py", f'REVISION = "{REVISION}"', 'REVISION = "later"')
    with Crowd(installed.server, name) as crowd, Callers(installed.server, name) as callers:
        failed = installed.cli("restart")
        known = callers.answers
        wait_until(lambda: callers.answers > known + 5)
        assert failed.returncode == 1
        assert "this migration fails" in failed.stderr
        wait_until(lambda: installed.told() == before)  # it is said when its end was seen
        later.write_text(MIGRATION)
        restarted = installed.cli("restart")
        assert restarted.returncode == 0, restarted.stderr
        installed.server.create_model("after", echo("after"))
    assert crowd.failures == callers.failures == []
    assert installed.told()["control"] != before["control"]


def test_a_control_that_does_not_serve_after_all_is_given_up(
    installed: Installed, echo: Echo
) -> None:
    name = installed.serve(echo("after all"))
    before = installed.told()
    installed.change(
        "app/control.py", "        await self._keys.follow()", "        raise KeyError('odd')"
    )
    with Crowd(installed.server, name) as crowd, Callers(installed.server, name) as callers:
        assert "odd" in installed.cli("restart").stderr
        known = callers.answers
        wait_until(lambda: callers.answers > known + 5)
    assert crowd.failures == callers.failures == []
    wait_until(lambda: installed.told() == before)  # it is said when its end was seen
    installed.mend()
    assert installed.cli("restart").returncode == 0
    assert installed.server.invoke(name)["model"] == "after all"


# ── killed in the middle ────────────────────────────────────────────────────────────────────────
SLOW_START = ("await self._keys.follow()", "await asyncio.sleep(1.5); await self._keys.follow()")
"""A control that takes its time, so that there is a middle to be killed in."""


def test_a_new_control_that_is_killed_in_the_middle_is_given_up(
    installed: Installed, echo: Echo
) -> None:
    name = installed.serve(echo("middle"))
    before = installed.told()
    installed.change("app/control.py", *SLOW_START)
    with Crowd(installed.server, name) as crowd, Callers(installed.server, name) as callers:
        command = installed.begin("restart")
        wait_until(lambda: "stepped aside" in installed.server.log())
        os.kill(installed.told()["control-starting"], signal.SIGKILL)
        said, _ = command.communicate(timeout=60)
        known = callers.answers
        wait_until(lambda: callers.answers > known + 5)
    assert command.returncode == 1
    assert "ended with -9" in said
    assert crowd.failures == callers.failures == []
    wait_until(lambda: installed.told() == before)  # it is said when its end was seen


def test_an_old_control_that_is_killed_in_the_middle_is_not_missed(
    installed: Installed, echo: Echo
) -> None:
    name = installed.serve(echo("not missed"))
    installed.change("app/control.py", *SLOW_START)
    with Crowd(installed.server, name) as crowd, Callers(installed.server, name) as callers:
        old = installed.told()["control"]
        command = installed.begin("restart")
        wait_until(lambda: "stepped aside" in installed.server.log())
        os.kill(old, signal.SIGKILL)
        said, _ = command.communicate(timeout=60)
    assert command.returncode == 0, said
    assert crowd.failures == callers.failures == []


def test_a_command_that_is_killed_changes_nothing_of_what_it_asked_for(
    installed: Installed, echo: Echo
) -> None:
    name = installed.serve(echo("asked"))
    before = installed.told()
    installed.change("app/control.py", *SLOW_START)
    with Crowd(installed.server, name) as crowd:
        command = installed.begin("restart")
        wait_until(lambda: "stepped aside" in installed.server.log())
        command.kill()
        command.communicate()
        wait_until(lambda: not set(before.values()) - {before["supervisor"]} & pids(installed))
        wait_until(lambda: not any("-" in one[8:] for one in installed.told()))
    assert crowd.failures == []


def pids(installed: Installed) -> set[int]:
    return set(installed.told().values())


def test_a_supervisor_that_is_killed_in_the_middle_leaves_the_instances(
    installed: Installed, echo: Echo
) -> None:
    name = installed.serve(echo("still there"))
    instances = installed.instances()
    installed.change("app/control.py", *SLOW_START)
    command = installed.begin("restart")
    wait_until(lambda: "stepped aside" in installed.server.log())
    os.kill(installed.told()["supervisor"], signal.SIGKILL)
    said, _ = command.communicate(timeout=60)
    assert command.returncode == 1
    assert "the supervisor ended before it was done" in said
    up = installed.cli("up", "--detach", "--port=0")
    assert up.returncode == 0, up.stderr
    installed.server.url = json.loads((installed.server.data_dir / "endpoint.json").read_text())[
        "url"
    ]
    installed.server._clients.clear()
    assert installed.server.invoke(name)["model"] == "still there"
    assert installed.instances() == instances


def test_down_in_the_middle_of_a_restart_stops_everything(installed: Installed, echo: Echo) -> None:
    installed.serve(echo("stopped"))
    installed.change("app/control.py", *SLOW_START)
    command = installed.begin("restart")
    wait_until(lambda: "stepped aside" in installed.server.log())
    down = installed.cli("down")
    assert down.returncode == 0, down.stderr
    said, _ = command.communicate(timeout=60)
    assert command.returncode == 1
    assert "being stopped" in said
    wait_until(lambda: not installed.server.pids())


# ── in a terminal ───────────────────────────────────────────────────────────────────────────────
def test_a_server_in_a_terminal_is_restarted_in_it_and_stopped_by_ctrl_c(
    tmp_path: Path, echo: Echo
) -> None:
    data_dir = tmp_path / "data"
    pid, leader = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [*COMMAND, "up", "--port=0", f"--data-dir={data_dir}"])
    shown = bytearray()
    reading = threading.Thread(target=lambda: _read_all(leader, shown), daemon=True)
    reading.start()
    wait_until((data_dir / "endpoint.json").exists)
    document: Any = json.loads((data_dir / "endpoint.json").read_text())
    credentials = json.loads((data_dir / "credentials.json").read_text())
    server = Server(data_dir, document["url"], credentials)
    name = Installed(Path(), server).serve(echo("terminal"))
    with Crowd(server, name) as crowd:
        restarted = run_cli("restart", data_dir=data_dir)
        assert restarted.returncode == 0, restarted.stderr
    assert crowd.failures == []
    assert server.processes()["supervisor"] == pid
    os.write(leader, b"\x03")
    deadline = time.monotonic() + 60
    ended = 0
    while not ended and time.monotonic() < deadline:
        ended, code = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.02)
    assert (ended, os.waitstatus_to_exitcode(code)) == (pid, 0), shown.decode()
    wait_until(lambda: not server.pids())
    os.close(leader)


def _read_all(leader: int, shown: bytearray) -> None:
    with contextlib.suppress(OSError):
        while piece := os.read(leader, 65_536):
            shown += piece
