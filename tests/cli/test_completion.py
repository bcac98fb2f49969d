"""Completion, in a real shell where one is installed, and the prompt that shares its words."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from inservice.cli.aws.failures import Refused
from inservice.cli.aws.prompt import ask
from inservice.cli.candidates import candidates
from inservice.cli.completion import SCRIPTS
from tests.cli.conftest import Run
from tests.cli.recorder import Recorder, Reply
from tests.cli.replies import REPLIES
from tests.cli.test_target import leave_files


@pytest.fixture
def here(server: Recorder, clean: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """The recording server, as the InService of the data directory, with two endpoints."""
    monkeypatch.setenv("INSERVICE_DATA_DIR", str(leave_files(clean / "share", server.url)))
    server.play(REPLIES["one page"])
    return server


def offered(line: str) -> list[str]:
    """What may complete the last word of a line."""
    *words, current = line.split(" ")
    return [candidate.word for candidate in candidates(words, current)]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sagemaker", ["sagemaker", "sagemaker-runtime"]),
        ("comp", ["completion"]),
        ("conf", ["config"]),
        ("--out", ["--output"]),
        ("--output ya", ["yaml", "yaml-stream"]),
        ("sagemaker create-endp", ["create-endpoint", "create-endpoint-config"]),
        ("--region r sagemaker wait endpoint-", ["endpoint-deleted", "endpoint-in-service"]),
        ("sagemaker create-endpoint --endpoint-c", ["--endpoint-config-name"]),
        ("sagemaker delete-endpoint --endpoint-name ", ["a", "b"]),
        ("sagemaker delete-endpoint --endpoint-name b", ["b"]),
        ("sagemaker wait endpoint-deleted --endpoint-name ", ["a", "b"]),
        ("sagemaker list-endpoints --sort-order ", ["Ascending", "Descending"]),
        ("sagemaker create-endpoint --generate-cli-skeleton y", ["yaml-input"]),
        ("sagemaker-runtime inv", ["invoke-endpoint", "invoke-endpoint-async"]),
        ("logs ta", ["tag-log-group", "tag-resource", "tail"]),
        ("logs b", ["b"]),
        ("logs b --f", ["--follow"]),
        ("logs get-log-events --log-group-n", ["--log-group-name"]),
        ("endpoint s", ["show"]),
        ("endpoint show ", ["a", "b"]),
        ("endpoint create ", []),
        ("endpoint create e --wa", ["--wait"]),
        ("model ", ["list", "show", "create", "delete", "init", "run", "lint"]),
        ("config d", ["delete"]),
        ("config create c --mod", ["--model"]),
        ("model create m --no", ["--no-lint"]),
        ("endpoint logs b --ta", ["--tail"]),
        ("user k", ["key"]),
        ("user key ", ["create", "list", "disable", "enable", "delete"]),
        ("user create ", []),
        ("user create ana --pol", ["--policy"]),
        ("user create ana --output d", ["dotenv"]),
        ("policy ", ["list", "show", "test"]),
        ("policy list --scope ", ["all", "aws", "own"]),
        ("who", ["whoami"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("completion bash ", []),
        ("sagemaker create-endpoint --tags ", []),
        ("sagemaker nope-", []),
    ],
)
def test_what_is_offered(line: str, words: list[str]) -> None:
    assert offered(line) == words


_USERS = (
    "<ListUsersResponse><ListUsersResult><Users>"
    "<member><UserName>ana</UserName></member><member><UserName>bob</UserName></member>"
    "</Users></ListUsersResult></ListUsersResponse>"
)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("user show ", ["ana", "bob"]),
        ("user attach a", ["ana"]),
        ("user key create ", ["ana", "bob"]),
        ("user key create ana ", []),
        ("policy test ", ["ana", "bob"]),
        ("policy test ana ", []),
        ("iam delete-user --user-name ", ["ana", "bob"]),
    ],
)
def test_users_are_offered(line: str, words: list[str], here: Recorder) -> None:
    here.play([Reply(_USERS.encode())])
    assert offered(line) == words


def test_a_server_that_is_not_there_offers_nothing(clean: Path) -> None:
    assert offered("endpoint show ") == []
    assert offered("logs ta") == ["tag-log-group", "tag-resource", "tail"]


def test_the_words_for_the_shells(inservice: Run, here: Recorder) -> None:
    ran = inservice("completion", "--words", "endpoint", "show", "--current", "")
    assert (ran.code, ran.out) == (0, "a\t\nb\t\n")
    assert inservice("completion", "--words", "--current", "vers").out.startswith("version\t")
    assert inservice("completion").code == 2
    wrong = inservice("completion", "bsh")
    assert (wrong.code, wrong.out) == (2, "")
    assert 'did you mean "bash"?' in wrong.err
    assert inservice("completion", "--help").code == 0


@pytest.mark.parametrize("shell", SCRIPTS)
def test_every_shell_reads_its_script(shell: str, inservice: Run, clean: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = clean / "completion"
    script.write_text(inservice("completion", shell).out)
    subprocess.run([shell, "-n", str(script)], check=True)


def test_bash_completes(here: Recorder, clean: Path) -> None:
    """A name of a live endpoint, through the script, as bash runs it."""
    probe = (
        'eval "$(inservice completion bash)"; '
        'COMP_WORDS=(inservice sagemaker delete-endpoint --endpoint-name ""); COMP_CWORD=4; '
        '_inservice_completion; echo "${COMPREPLY[@]}"'
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", probe],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "a b\n"


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_offers_files_only_where_nothing_else_belongs(here: Recorder, clean: Path) -> None:
    """It offered every file of the directory beside the names."""
    (clean / "a-file").touch()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def offered(line: str) -> list[str]:
        done = subprocess.run(
            ["fish", "-c", f"inservice completion fish | source; complete -C '{line}'"],
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        return [word.split("\t")[0] for word in done.stdout.splitlines()]

    assert offered("inservice endpoint show ") == ["a", "b"]
    assert offered("inservice model lint a-") == ["a-file"]


@contextmanager
def typed(keys: str) -> Iterator[PipeInput]:
    """A keyboard on which these keys are pressed."""
    with create_pipe_input() as keyboard:
        keyboard.send_text(keys)
        yield keyboard


def test_the_prompt_finishes_a_line() -> None:
    with typed("--endpoint-name 'my endpoint'\r") as keyboard:
        words = ask(["sagemaker", "describe-endpoint"], keyboard, DummyOutput())
    assert words == ["sagemaker", "describe-endpoint", "--endpoint-name", "my endpoint"]


def test_the_prompt_can_be_left() -> None:
    with typed("\x03") as keyboard, pytest.raises(KeyboardInterrupt):
        ask([], keyboard, DummyOutput())


def test_the_prompt_needs_a_terminal(inservice: Run) -> None:
    ran = inservice("sagemaker", "--cli-auto-prompt")
    assert (ran.code, ran.err) == (252, "\n--cli-auto-prompt needs a terminal.\n")
    with pytest.raises(Refused):
        ask([])


def test_auto_prompt_of_the_profile(
    inservice: Run, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clean / "config").write_text(
        "[default]\ncli_auto_prompt = on\n[profile calm]\ncli_auto_prompt = off\n"
        "[profile half]\ncli_auto_prompt = on-partial\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(clean / "config"))
    prompted = "--cli-auto-prompt needs a terminal."
    assert prompted in inservice("sagemaker", "nope").err
    assert prompted not in inservice("sagemaker", "nope", "--profile", "calm").err
    # on-partial asks only when the line does not parse, and then instead of complaining.
    half = inservice("sagemaker", "nope", "--profile", "half").err
    assert prompted in half
    assert "Invalid choice" not in half
    monkeypatch.setenv("AWS_CLI_AUTO_PROMPT", "off")
    assert prompted not in inservice("sagemaker", "nope").err
