"""The front door: the table of commands, help, versions, and what starts no library."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

import inservice as package
from inservice import config
from inservice.cli import demo, down
from inservice.cli import server as server_of
from inservice.cli.main import COMMANDS, SERVICES
from inservice.supervision import replacing
from tests.cli.conftest import Run, on_a_terminal
from tests.cli.recorder import Recorder, Reply
from tests.cli.replies import DESCRIBED


def test_version(inservice: Run) -> None:
    lines = {inservice("--version").out, inservice("version").out}
    lines.add(inservice("--region", "x", "--version").out)
    assert len(lines) == 1
    assert lines.pop().startswith(f"inservice/{package.__version__} Python/")


def test_help_names_every_command(inservice: Run) -> None:
    shown = inservice("help")
    assert shown.code == 0
    assert shown.out == inservice("--help").out
    for name in [*COMMANDS, *SERVICES]:
        assert f"\n  {name} " in shown.out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_that_was_asked_for_is_output(name: str, inservice: Run) -> None:
    shown = inservice(name, "--help")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(f"usage: inservice {name}")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_module_that_runs(name: str) -> None:
    assert callable(import_module(COMMANDS[name].module).run)


def test_version_starts_no_library() -> None:
    """150 ms are spent on Python and one page of ours, not on argparse and botocore."""
    probe = (
        "import sys; from inservice.cli.main import main; main(['--version']);"
        "print([m for m in ('botocore', 'argparse', 'rich', 'typer', 'json') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_describe_loads_no_prompt_table_or_yaml(server: Recorder, keys: None) -> None:
    probe = (
        "import sys; from inservice.cli.main import main;"
        "main(['sagemaker', 'describe-endpoint', '--endpoint-name', 'e', '--endpoint-url',"
        f"{server.url!r}]);"
        "print([m for m in ('rich', 'ruamel', 'prompt_toolkit', 'boto3') if m in sys.modules])"
    )
    server.play([Reply(DESCRIBED)])
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_interrupted(server: Recorder, keys: None) -> None:
    """Ctrl-C ends with 130 and a line break, and no traceback."""
    server.play([Reply({**DESCRIBED, "EndpointStatus": "Creating"})])
    words = ["sagemaker", "wait", "endpoint-in-service", "--endpoint-name", "e"]
    child = subprocess.Popen(
        [sys.executable, "-m", "inservice.cli.main", *words, "--endpoint-url", server.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not server.requests and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out, err) == (130, "\n", "")


def test_a_reader_that_leaves_is_no_failure_worth_a_traceback(server: Recorder, keys: None) -> None:
    server.play([Reply({**DESCRIBED, "FailureReason": "x" * 200_000})])
    words = ["sagemaker", "describe-endpoint", "--endpoint-name", "e", "--endpoint-url", server.url]
    child = subprocess.Popen(
        [sys.executable, "-m", "inservice.cli.main", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    child.wait(timeout=30)


def test_the_pager_is_used_on_a_terminal_only(server: Recorder, keys: None, clean: Path) -> None:
    server.play([Reply({"EndpointArn": "a" * 20})])
    words = ["sagemaker", "create-endpoint", "--endpoint-name", "e", "--endpoint-config-name", "c"]
    words += ["--endpoint-url", server.url]
    shown = on_a_terminal(words, AWS_PAGER="sed 's/^/paged: /'")
    assert (shown.code, shown.out.splitlines()[0]) == (0, "paged: {")
    shown = on_a_terminal([*words, "--no-cli-pager"], AWS_PAGER="sed 's/^/paged: /'")
    assert (shown.code, shown.out.splitlines()[0]) == (0, "{")


def test_a_machine_without_less_does_without(
    server: Recorder, keys: None, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.play([Reply({"EndpointArn": "a" * 20})])
    monkeypatch.setenv("PATH", str(clean))
    words = ["sagemaker", "describe-endpoint", "--endpoint-name", "e", "--endpoint-url", server.url]
    shown = on_a_terminal(words, AWS_PAGER="less")
    assert (shown.code, shown.out.splitlines()[0]) == (0, "{")


def test_a_pager_that_cannot_start(server: Recorder, keys: None) -> None:
    server.play([Reply({"EndpointArn": "a" * 20})])
    words = ["sagemaker", "describe-endpoint", "--endpoint-name", "e", "--endpoint-url", server.url]
    shown = on_a_terminal(words, AWS_PAGER="/nonexistent/pager")
    assert shown.code == 253
    assert "Unable to redirect output to pager" in shown.out


def test_a_stop_is_waited_for_as_long_as_the_server_itself_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drain is what the server was started with, whatever the environment says by now."""
    monkeypatch.delenv("INSERVICE_DRAIN_SECONDS", raising=False)
    settings = config.load(data_dir=tmp_path)
    assert server_of.drain_seconds(settings) == settings.drain_seconds
    settings.run_dir.mkdir()
    started_with = replace(settings, drain_seconds=300.0)
    settings.settings_file.write_text(json.dumps(config.to_document(started_with)))
    assert server_of.drain_seconds(settings) == 300.0
    assert down.STAGE_SECONDS >= replacing.LAST_WORDS_SECONDS


def test_the_demo_names_a_program_that_this_shell_can_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `make demo` the environment that it made is not on the PATH."""
    beside = Path(sys.executable).with_name("inservice")
    assert beside.exists(), "the tests run in an environment that has InService installed"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(beside.parent.parent)
    assert demo.this_program() == "bin/inservice"
    monkeypatch.chdir(tmp_path)
    assert demo.this_program() == str(beside)
    monkeypatch.setenv("PATH", f"{beside.parent}:/usr/bin:/bin")
    assert demo.this_program() == "inservice"
