"""`inservice demo`: train a model, deploy it with boto3, invoke it, and leave nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import inservice
from inservice.cli.server import supervisor_pid
from inservice.cli.spelling import OwnParser
from inservice.demo import digits
from inservice.demo.hosting import DeploymentFailed, Hosting
from inservice.demo.server import DemoServer, ServerFailed, point_at
from inservice.demo.story import Story

LOAD_SECONDS = 3.0

TMPDIR_CHARACTERS_MAX = 32
"""UNIX socket paths have 107 bytes; the names below the temporary directory take some 70."""


def run(argv: list[str]) -> int:
    """0 when everything did what it should and nothing is left running, else 1."""
    parser = OwnParser(
        prog="inservice demo",
        description="Train a scikit-learn model, deploy it on a server of its own through boto3, "
        "invoke it, and clean up. Takes half a minute and touches no other server.",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="keep the demo server's records here, for a look at them afterwards; "
        "no server may be running on it (default: a temporary directory, removed at the end)",
    )
    kept: Path | None = parser.parse_args(argv).data_dir
    if kept is not None and supervisor_pid(kept):
        sys.stderr.write(f"inservice demo: a server runs on {kept}; choose another --data-dir\n")
        return 1
    story = Story()
    # mkdtemp makes it with mode 0700, so nobody else reads the server's key in it. A deep TMPDIR
    # would make the server keep its sockets elsewhere, and the demo could not remove them.
    deep = len(tempfile.gettempdir()) > TMPDIR_CHARACTERS_MAX
    parent = "/tmp" if deep else None  # noqa: S108 - mkdtemp makes a directory that is ours alone
    place = Path(tempfile.mkdtemp(prefix="inservice-demo-", dir=parent))
    before = dict(os.environ)
    try:
        with _terminable():
            return _show(story, place, kept or place / "data")
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(place, ignore_errors=True)


def _show(story: Story, place: Path, data_dir: Path) -> int:
    """The demo between an empty directory and its removal."""
    from botocore.exceptions import BotoCoreError, ClientError

    story.opening(f"InService {inservice.__version__}: a real model, real processes, plain boto3")
    server = DemoServer(data_dir.expanduser().absolute())
    failure = ""
    try:
        _deploy_and_invoke(story, place, server)
    except (ServerFailed, DeploymentFailed, _Wrong) as error:
        failure = str(error)
    except (BotoCoreError, ClientError) as error:
        failure = f"boto3 says: {error}"
    except digits.NoFramework as error:
        story.bad(str(error))
        return 1
    except KeyboardInterrupt:
        story.plain("Interrupted: stopping the server.")
        _stop(story, server)
        raise
    if failure:
        story.bad(failure)
        story.plain(server.last_log_lines())
    stopped = _stop(story, server)
    if failure or not stopped:
        return 1
    program = this_program()
    story.good(f'It works. Next: {program} up, then eval "$({program} env)", and deploy your own.')
    return 0


def _deploy_and_invoke(story: Story, place: Path, server: DemoServer) -> None:
    with story.step("Train", "importing scikit-learn") as step:
        trained = digits.train()
        step.tell(
            f"a support vector classifier on {trained.trained_on:,} handwritten digits, "
            f"{len(trained.rows)} held out  {trained.seconds:.2f} s"
        )
        size_bytes = digits.pack(trained.model, place / "model.tar.gz")
        step.tell(f"packed as model.tar.gz, {size_bytes / 1024:.0f} KB")
    with story.step("Start", "inservice up --detach") as step:
        exports = server.up()
        step.tell(f"inservice up --detach --port 0 → {exports['AWS_ENDPOINT_URL']}", timed=True)
    point_at(exports)
    with story.step("Connect", "importing boto3") as step:
        hosting = Hosting()
        step.tell("boto3 with SigV4, configured by the environment alone", timed=True)
    with story.step("Deploy", "CreateModel, CreateEndpointConfig, CreateEndpoint") as step:
        hosting.create(place / "model.tar.gz")
        step.tell("CreateModel, CreateEndpointConfig, CreateEndpoint", timed=True)
        for status in hosting.statuses():
            step.tell(f"{status:<10}", timed=True)
    _invoke(story, hosting, trained)
    with story.step("Delete", "DeleteEndpoint, DeleteEndpointConfig, DeleteModel") as step:
        hosting.delete()
        step.tell("DeleteEndpoint, DeleteEndpointConfig, DeleteModel", timed=True)


def _invoke(story: Story, hosting: Hosting, trained: digits.Digits) -> None:
    with story.step("Invoke", "classifying the held-out digits") as step:
        as_json, as_csv = hosting.classify_json(trained.rows), hosting.classify_csv(trained.rows)
        if as_json != trained.predicted or as_csv != trained.predicted:
            raise _Wrong("The endpoint answers otherwise than the model does in this process.")
        step.tell(
            f"{len(as_json)} held-out digits as JSON and as CSV: "
            f"{trained.accuracy(as_json):.1%} right, as predict() says in this process"
        )
        load = hosting.load(trained.rows[0], seconds=LOAD_SECONDS)
        step.tell(
            f"{load.requests:,} invocations from one boto3 client, one after the other: "
            f"{load.per_second:,.0f}/s, p50 {load.p50_ms:.1f} ms, p99 {load.p99_ms:.1f} ms"
        )


def _stop(story: Story, server: DemoServer) -> bool:
    """Stop the server, whatever happened before; whether nothing of it is left."""
    with _uninterrupted(), story.step("Stop", "inservice down") as step:
        started = len(server.processes())
        try:
            server.down()
        except ServerFailed as error:
            step.tell(str(error))
        left = server.left_behind()
        for process in left:
            step.tell(f"still running: pid {process.pid} {' '.join(process.cmdline())[:80]}")
            process.kill()
        if not left:
            gone = f"all {started} processes are gone" if started else "nothing was running"
            step.tell(f"inservice down: {gone}", timed=True)
        return not left


def this_program() -> str:
    """How this shell can call InService: after `make demo` its environment is not on the PATH."""
    if shutil.which("inservice"):
        return "inservice"
    beside = Path(sys.executable).with_name("inservice")
    if not beside.exists():
        return f"{sys.executable} -m inservice.cli.main"
    here = Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)


class _Wrong(Exception):
    """The demo saw something that must not be; the message says what."""


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: in order."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not leave processes behind: stopping takes a few seconds at most."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, former in zip(numbers, before, strict=True):
            signal.signal(number, former)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
