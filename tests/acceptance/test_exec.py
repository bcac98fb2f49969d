"""`inservice exec`, `inservice credentials` and the profiles of `inservice env`: real programs,
processes and signals, against a real server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from inservice.cli.exec.authority import FILE
from inservice.cli.exec.companion import Renewed
from inservice.cli.role_keys import FILE as SESSIONS
from inservice.cli.role_keys import RoleKeys
from tests.acceptance.server import Server, run_cli
from tests.waiting import PATIENCE_SECONDS, wait_until

ACCOUNT = "000000000000"
ROLE = "AmazonSageMaker-ExecutionRole"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/inservice"

WHO = """
import boto3
print(boto3.client("sts").get_caller_identity()["Arn"])
"""

ITS_OWN_HOSTS = """
import boto3, json, urllib.request
from botocore.exceptions import ClientError
def said(call):
    try:
        return call()
    except ClientError as error:
        return error.response["Error"]["Message"]
    except OSError as error:
        return str(error) + (error.read().decode() if hasattr(error, "read") else "")
regional = "https://sts.us-east-1.amazonaws.com"
print(json.dumps({
    "named": said(lambda: boto3.client("sts", endpoint_url=regional).get_caller_identity()["Arn"]),
    "elsewhere": said(lambda: boto3.client(
        "sqs", endpoint_url="https://sqs.eu-west-3.amazonaws.com").list_queues()),
    "prefixed": said(lambda: boto3.client("logs").start_live_tail(logGroupIdentifiers=["g"])),
    "plain": said(lambda: urllib.request.urlopen("http://sts.amazonaws.com/ping").read().decode()),
    "bucket": said(lambda: urllib.request.urlopen("https://b.s3.amazonaws.com/ping").read().decode()),
    "stranger": said(lambda: urllib.request.urlopen("https://example.com/").read().decode()),
    "metadata": said(lambda: urllib.request.urlopen("http://169.254.169.254/").read().decode()),
}))
"""


def command(server: Server, *words: str) -> list[str]:
    inservice = [sys.executable, "-m", "inservice.cli.main", "exec"]
    return [*inservice, f"--data-dir={server.data_dir}", *words]


def environment(home: Path, **more: str) -> dict[str, str]:
    """Of a user with an account of AWS's, in whose temporary directory it is seen what is left."""
    (home / "tmp").mkdir(exist_ok=True)
    (home / ".aws").mkdir(exist_ok=True)
    theirs = "[default]\naws_access_key_id = THEIRS\naws_secret_access_key = theirs\n"
    (home / ".aws" / "credentials").write_text(theirs)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "INSERVICE_"))}
    return {**clean, "HOME": str(home), "TMPDIR": str(home / "tmp"), **more}


def execute(
    server: Server, home: Path, *words: str, **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(server, *words),
        env=environment(home, **more),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def said_by(server: Server, home: Path, *words: str, **more: str) -> str:
    ran = execute(server, home, *words, **more)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout.strip()


@contextmanager
def running(server: Server, home: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A program that is there: it has printed a line."""
    program = subprocess.Popen(
        command(server, *words),
        env=environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    with program:
        try:
            assert program.stdout.readline() == "there\n"
            yield program
        finally:
            program.kill()


def nothing_is_left(server: Server, home: Path) -> bool:
    """No companion, none of its files."""
    return not list((home / "tmp").iterdir()) and not [
        pid for pid in server.pids() if b"\0exec\0" in _cmdline(pid)
    ]


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


# ── where a program comes to ────────────────────────────────────────────────────────────────────
def test_hosts_that_a_program_names_itself_are_this_server(server: Server, tmp_path: Path) -> None:
    """Whatever the user's own account, profile and proxies are."""
    theirs = {
        "AWS_PROFILE": "theirs",
        "AWS_ENDPOINT_URL_STS": "https://sts.theirs.example",
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "NO_PROXY": ".amazonaws.com",
    }
    said = json.loads(
        said_by(server, tmp_path, "--", sys.executable, "-c", ITS_OWN_HOSTS, **theirs)
    )
    assert said["named"] == SESSION
    assert "InService does not support sqs:ListQueues" in said["elsewhere"]
    assert "InService does not support logs:StartLiveTail" in said["prefixed"]
    assert said["plain"] == "alive\n"
    assert "<Code>AccessDenied</Code>" in said["bucket"], "by S3, whose host that is"
    for name in ("stranger", "metadata"):
        assert "inservice exec lets a program reach nobody else" in said[name]
    assert wait_until(lambda: nothing_is_left(server, tmp_path))


def test_the_authority_is_the_data_directory_s(server: Server, tmp_path: Path) -> None:
    show = "cat $NODE_EXTRA_CA_CERTS; tail -c 300 $AWS_CA_BUNDLE"
    first = said_by(server, tmp_path, "sh", "-c", show)
    path = server.data_dir / FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE KEY" not in first
    assert first.splitlines()[1] in path.read_text()
    assert said_by(server, tmp_path, "sh", "-c", show) == first


# ── as whom ─────────────────────────────────────────────────────────────────────────────────────
def test_root_a_user_or_a_role(server: Server, tmp_path: Path) -> None:
    iam = server.client("iam")
    iam.create_user(UserName="exec-ana")
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
    iam.create_role(RoleName="exec-role", AssumeRolePolicyDocument=json.dumps(trust))
    who = (sys.executable, "-c", WHO)
    assert said_by(server, tmp_path, *who) == SESSION
    assert said_by(server, tmp_path, "--root", *who) == f"arn:aws:iam::{ACCOUNT}:root"
    as_role = said_by(server, tmp_path, "--role", "exec-role", *who)
    assert as_role == f"arn:aws:sts::{ACCOUNT}:assumed-role/exec-role/inservice"
    as_user = said_by(server, tmp_path, "--user=exec-ana", "--", *who)
    assert as_user == f"arn:aws:iam::{ACCOUNT}:user/exec-ana"

    def keys() -> list[Any]:
        return list(iam.list_access_keys(UserName="exec-ana")["AccessKeyMetadata"])

    assert wait_until(lambda: not keys()), "the key that was made for it is gone"
    for words, why in (
        (("--role=nobody",), "NoSuchEntity"),
        (("--user=nobody",), "NoSuchEntity"),
        (("--role=a", "--root"), "not allowed with"),
    ):
        ran = execute(server, tmp_path, *words, "--", *who)
        assert ran.returncode in (1, 2)
        assert why in ran.stderr
    iam.delete_role(RoleName="exec-role")
    iam.delete_user(UserName="exec-ana")


def test_keys_are_renewed_before_they_end(server: Server) -> None:
    """botocore asks again when 15 minutes are left; whoever asks then is told others."""
    ending = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 15 * 60))
    old = RoleKeys("ASIAOLD", "secret", "token", ending, "arn")

    async def told() -> list[str]:
        renewed = Renewed(server.data_dir, None, old)
        both = await asyncio.gather(renewed.told(), renewed.told())
        return [str(each["AccessKeyId"]) for each in both]

    first, second = asyncio.run(told())
    assert first == second != old.access_key_id


def test_a_session_is_begun_once_and_anew_when_it_was_ended(server: Server, tmp_path: Path) -> None:
    def told() -> dict[str, Any]:
        ran = run_cli("credentials", data_dir=server.data_dir)
        assert ran.returncode == 0, ran.stderr
        document: dict[str, Any] = json.loads(ran.stdout)
        return document

    first = told()
    assert told() == first
    assert (server.data_dir / SESSIONS).stat().st_mode & 0o777 == 0o600
    kept = json.loads((server.data_dir / SESSIONS).read_text())
    kept[""]["session_token"] = "of a session that was ended"
    (server.data_dir / SESSIONS).write_text(json.dumps(kept))
    second = told()
    assert second["AccessKeyId"] != first["AccessKeyId"]
    for damage in ("", "[]", '{"": {}}', '{"": {"expires_at": 1}}'):
        (server.data_dir / SESSIONS).write_text(damage)
        assert told()["Version"] == 1
    root = json.loads(run_cli("credentials", "--root", data_dir=server.data_dir).stdout)
    assert root["AccessKeyId"] == server.credentials["access_key_id"]


def test_a_profile_is_the_default_role_and_holds_no_key(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    for words, arn in (((), SESSION), (("--root",), f"arn:aws:iam::{ACCOUNT}:root")):
        ran = run_cli("env", "--profile=here", *words, data_dir=server.data_dir)
        assert ran.returncode == 0, ran.stderr
        client = boto3.Session(profile_name="here").client("sts")
        assert client.get_caller_identity()["Arn"] == arn
        assert server.credentials["secret_access_key"] not in (
            (tmp_path / ".aws" / "config").read_text()
        )
    refused = run_cli("env", "--profile=here", "--role=nobody", data_dir=server.data_dir)
    assert refused.returncode == 1
    assert "NoSuchEntity" in refused.stderr
    assert run_cli("env", "--role=x", data_dir=server.data_dir).returncode == 2


# ── processes ───────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("sh", "-c", "exit 7"), 7),
        (("--", "sh", "-c", "exit 0"), 0),
        (("sh", "-c", "kill -9 $$"), -signal.SIGKILL),
        (("sh", "-c", "kill -TERM $$"), -signal.SIGTERM),
        (("no-such-command",), 127),
        (("--", "/"), 126),
        ((), 2),
    ],
)
def test_a_command_ends_as_it_ends(
    server: Server, tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    assert execute(server, tmp_path, *words).returncode == code
    assert wait_until(lambda: nothing_is_left(server, tmp_path))


def test_words_of_the_command_are_its_own(server: Server, tmp_path: Path) -> None:
    echo = ("printf", "[%s]")
    for before in ((), ("--",)):
        said = said_by(server, tmp_path, *before, *echo, "--role", "a b", "--", "--root", "")
        assert said == "[--role][a b][--][--root][]"


def test_it_is_the_process_that_was_started(server: Server, tmp_path: Path) -> None:
    """So signals, the terminal and job control are the program's, and nothing that Python changed
    of them is left; nor is there a child that it did not make."""
    show = "echo there; grep -E 'SigIgn|SigBlk' /proc/self/status; wait; echo waited; read _"
    with running(server, tmp_path, "sh", "-c", show) as program:
        assert program.stdout is not None
        told = [program.stdout.readline() for _ in range(3)]
        told_here = Path("/proc/self/status").read_text().splitlines()
        ours = [int(line.split()[1], 16) for line in told_here if line.startswith(("SigB", "SigI"))]
        ours[1] &= ~sum(1 << (each - 1) for each in (signal.SIGPIPE, signal.SIGXFSZ))  # Python's
        assert [int(line.split()[1], 16) for line in told[:2]] == ours
        assert told[2] == "waited\n"
        assert b"\0exec\0" not in _cmdline(program.pid)
        program.send_signal(signal.SIGTERM)
        assert program.wait(PATIENCE_SECONDS) == -signal.SIGTERM
    assert wait_until(lambda: nothing_is_left(server, tmp_path))


OUTLIVES = f"""
import signal
signal.signal(signal.SIGINT, lambda *_: None)
print("there", flush=True)
input()
{WHO}
"""


def test_an_interrupt_is_the_program_s_and_not_its_companion_s(
    server: Server, tmp_path: Path
) -> None:
    with running(server, tmp_path, sys.executable, "-c", OUTLIVES) as program:
        os.killpg(program.pid, signal.SIGINT)  # as a terminal does with Ctrl-C
        out, _ = program.communicate("\n", timeout=PATIENCE_SECONDS)
        assert out.strip() == SESSION
        assert program.returncode == 0
    assert wait_until(lambda: nothing_is_left(server, tmp_path))


def test_nothing_is_left_of_one_that_is_killed(server: Server, tmp_path: Path) -> None:
    with running(server, tmp_path, "sh", "-c", "echo there; read _") as program:
        assert not nothing_is_left(server, tmp_path)
        program.kill()
    assert wait_until(lambda: nothing_is_left(server, tmp_path))


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    ran = run_cli("exec", data_dir=tmp_path / "data")
    assert (ran.returncode, ran.stdout) == (2, "")
    inservice = [sys.executable, "-m", "inservice.cli.main", "exec"]
    ran = subprocess.run(
        [*inservice, f"--data-dir={tmp_path / 'data'}", "true"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "start one with `inservice up`" in ran.stderr
    ran = run_cli("credentials", data_dir=tmp_path / "data")
    assert (ran.returncode, ran.stdout) == (1, "")
