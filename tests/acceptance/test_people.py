"""`inservice user`, `policy` and `whoami`, as people type them, against a real server."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from inservice.cli import exports
from tests.acceptance.server import Server, run_here

FULL_ACCESS = "AmazonSageMakerFullAccess"

Ran = subprocess.CompletedProcess[str]


class Typed:
    """Command lines for a server, and names that nobody else has."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.iam: Any = server.client("iam")
        self.made: list[str] = []

    def name(self, word: str = "ana") -> str:
        self.made.append(f"{word}-{uuid.uuid4().hex[:8]}")
        return self.made[-1]

    def __call__(self, *words: str, code: int = 0, **environment: Any) -> Ran:
        ran = run_here(*words, data_dir=self.server.data_dir, **environment)
        assert ran.returncode == code, (ran.stdout, ran.stderr)
        return ran

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--output=json", code=code).stdout)

    def users(self) -> set[str]:
        return set(self("user", "list", "--output=name").stdout.split())

    def seen_by(self, variables: dict[str, str]) -> Server:
        """The server, as whoever has these variables sees it."""
        return replace(
            self.server,
            url=variables["AWS_ENDPOINT_URL"],
            region=variables["AWS_REGION"],
            credentials={
                "access_key_id": variables["AWS_ACCESS_KEY_ID"],
                "secret_access_key": variables["AWS_SECRET_ACCESS_KEY"],
            },
            _clients={},
        )


@pytest.fixture
def typed(server: Server) -> Iterator[Typed]:
    it = Typed(server)
    yield it
    for name in it.users() & set(it.made):
        it("user", "delete", name, "--yes")


def who(server: Server) -> str:
    return str(server.client("sts").get_caller_identity()["Arn"])


# ── user create ─────────────────────────────────────────────────────────────────────────────────
def test_a_user_is_made_with_a_key_that_works(typed: Typed) -> None:
    name = typed.name()
    ran = typed("user", "create", name, "--policy", FULL_ACCESS, "--output=json")
    ana = typed.seen_by(json.loads(ran.stdout))
    assert who(ana).endswith(f":user/{name}")
    assert ran.stderr == f"{who(ana)}\n"
    ana.client("sagemaker").list_models()
    with pytest.raises(ClientError, match="iam:ListUsers"):
        ana.client("iam").list_users()


@pytest.mark.parametrize("form", exports.FORMS)
def test_the_key_is_told_in_every_form_that_env_has(form: str, typed: Typed) -> None:
    name = typed.name()
    ran = typed("user", "create", name, f"--output={form}")
    (key,) = typed.json("user", "show", name)["AccessKeys"]
    assert key["AccessKeyId"] in ran.stdout
    assert "AWS_SECRET_ACCESS_KEY" in ran.stdout
    assert typed.server.credentials["secret_access_key"] not in ran.stdout
    assert "No policy allows them anything yet" in ran.stderr
    if form == "shell":
        evaluated = subprocess.run(
            ["bash", "-c", f'{ran.stdout}\necho "$AWS_ACCESS_KEY_ID $AWS_ENDPOINT_URL"'],
            capture_output=True,
            text=True,
            check=True,
        )
        assert evaluated.stdout == f"{key['AccessKeyId']} {typed.server.url}\n"


def test_a_profile_is_written_and_no_secret_is_printed(typed: Typed, tmp_path: Path) -> None:
    name = typed.name()
    files: dict[str, Any] = {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }
    ran = typed("user", "create", name, "--save-profile", "team", "--host", "models.test", **files)
    secrets = configparser.ConfigParser()
    secrets.read(tmp_path / "credentials")
    config = configparser.ConfigParser()
    config.read(tmp_path / "config")
    port = typed.server.url.rpartition(":")[2]
    assert config["profile team"]["endpoint_url"] == f"http://models.test:{port}"
    assert secrets["team"]["aws_secret_access_key"] not in ran.stdout + ran.stderr
    assert secrets["team"]["aws_access_key_id"] in ran.stdout


def test_where_the_key_cannot_be_told_nothing_is_left(typed: Typed, tmp_path: Path) -> None:
    """A secret that nobody has seen is worth nothing, and a user in the way is worth less."""
    name = typed.name()
    (tmp_path / "config").write_text("[profile mine]\nregion = eu-west-1\n")
    files: dict[str, Any] = {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }
    words = ["--policy", FULL_ACCESS, "--save-profile", "mine"]
    ran = typed("user", "create", name, *words, code=1, **files)
    assert "that InService did not write" in ran.stderr
    assert name not in typed.users()
    typed("user", "create", name)
    ran = typed("user", "key", "create", name, "--save-profile", "mine", code=1, **files)
    assert len(typed.json("user", "show", name)["AccessKeys"]) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--policy", "AmazonSageMakerFulAccess"], 'did you mean "AmazonSageMakerFullAccess"?'),
        (["--policy", "arn:aws:iam::aws:policy/Nothing"], "NoSuchEntity"),
        (["--group", "no-such-group"], "NoSuchEntity"),
        (["--path", "nowhere"], "ValidationError"),
        (["--save-profile", "a b"], "is no name for a profile"),
    ],
)
def test_what_is_asked_for_and_not_there_makes_nobody(
    words: list[str], says: str, typed: Typed
) -> None:
    name = typed.name()
    ran = typed("user", "create", name, *words, code=1)
    assert says in ran.stderr
    assert ran.stdout == ""
    assert name not in typed.users()


def test_whoever_is_there_stays_as_they_are(typed: Typed) -> None:
    name = typed.name()
    typed("user", "create", name)
    before = typed.json("user", "show", name)
    ran = typed("user", "create", name, "--policy", FULL_ACCESS, code=1)
    assert "EntityAlreadyExists" in ran.stderr
    assert typed.json("user", "show", name) == before


# ── show, list, keys, delete ────────────────────────────────────────────────────────────────────
def test_a_user_is_shown_with_all_that_they_have(typed: Typed) -> None:
    name, team = typed.name(), f"team-{uuid.uuid4().hex[:8]}"
    typed.iam.create_group(GroupName=team)
    typed.iam.attach_group_policy(
        GroupName=team, PolicyArn="arn:aws:iam::aws:policy/CloudWatchReadOnlyAccess"
    )
    typed("user", "create", name, "--group", team, "--policy", FULL_ACCESS, "--path", "/ml/")
    statement = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    typed.iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(document))
    told = typed("user", "show", name).stdout
    (key,) = typed.json("user", "show", name)["AccessKeys"]
    for said in (
        f":user/ml/{name}\n",
        f"policy   {FULL_ACCESS}\n",
        "policy   own (inline)\n",
        f"group    {team}: CloudWatchReadOnlyAccess\n",
        f"key      {key['AccessKeyId']} Active, made 2",
        "never used",
    ):
        assert said in told
    assert f"\n{name}" in typed("user", "list").stdout
    assert name in typed("user", "list", "--path=/ml/", "--output=name").stdout.split()
    assert name not in typed("user", "list", "--path=/other/", "--output=name").stdout.split()
    ran = typed("user", "delete", name, code=1)
    assert "Nobody can be asked here, and nothing was deleted" in ran.stderr
    assert name in typed.users()
    ran = typed("user", "delete", name, "--yes")
    for said in ("access key AKIA", f"member of group {team}", "inline policy own", FULL_ACCESS):
        assert said in ran.stderr
    assert name not in typed.users()
    typed.iam.detach_group_policy(
        GroupName=team, PolicyArn="arn:aws:iam::aws:policy/CloudWatchReadOnlyAccess"
    )
    typed.iam.delete_group(GroupName=team)


def test_keys_take_each_others_place(typed: Typed) -> None:
    name = typed.name()
    old = json.loads(typed("user", "create", name, "--output=json").stdout)
    new = json.loads(typed("user", "key", "create", name, "--output=json").stdout)
    assert who(typed.seen_by(old)) == who(typed.seen_by(new))
    ran = typed("user", "key", "create", name, code=1)
    assert "LimitExceeded" in ran.stderr
    old_id = old["AWS_ACCESS_KEY_ID"]
    typed("user", "key", "disable", name, old_id)
    assert f"{old_id}  Inactive" in typed("user", "key", "list", name).stdout
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        who(typed.seen_by(old))
    typed("user", "key", "enable", name, old_id)
    assert who(typed.seen_by(old))
    typed("user", "key", "delete", name, old_id)
    assert old_id not in typed("user", "key", "list", name).stdout
    assert who(typed.seen_by(new))


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["key", "disable", "ana"], 1, "needs the id of a key"),
        (["key", "list", "ana", "AKIA"], 1, "takes no id of a key"),
        (["key", "dsable", "ana", "AKIA"], 2, 'did you mean "disable"?'),
        (["attach", "ana"], 2, "--policy"),
        (["delet", "ana"], 2, 'did you mean "delete"?'),
        (["show", "no-such-user"], 1, "NoSuchEntity"),
        (["delete", "no-such-user", "--yes"], 1, "NoSuchEntity"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], code: int, says: str, typed: Typed) -> None:
    assert says in typed("user", *words, code=code).stderr


def test_policies_are_attached_and_detached_by_name(typed: Typed) -> None:
    name = typed.name()
    ana = typed.seen_by(json.loads(typed("user", "create", name, "--output=json").stdout))
    typed("user", "attach", name, "--policy", FULL_ACCESS, "--policy", "IAMReadOnlyAccess")
    assert ana.client("sagemaker").list_models()
    assert ana.client("iam").list_users()
    typed("user", "detach", name, "--policy", f"arn:aws:iam::aws:policy/{FULL_ACCESS}")
    with pytest.raises(ClientError, match="sagemaker:ListModels"):
        ana.client("sagemaker").list_models()


# ── whoami ──────────────────────────────────────────────────────────────────────────────────────
def test_root_is_told_where_its_key_is_from(typed: Typed) -> None:
    told = typed.json("whoami")
    assert told == {
        "Arn": "arn:aws:iam::000000000000:root",
        "Account": "000000000000",
        "UserId": "000000000000",
        "Kind": "root",
        "AccessKeyId": typed.server.credentials["access_key_id"],
        "Source": str(typed.server.data_dir / "credentials.json"),
        "EndpointUrl": typed.server.url,
    }


def test_a_user_is_told_what_they_have_if_they_may_see_it(typed: Typed) -> None:
    name = typed.name()
    words = ["user", "create", name, "--policy", FULL_ACCESS, "--output=json"]
    variables = {key: value for key, value in json.loads(typed(*words).stdout).items() if value}

    def whoami() -> str:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "INSERVICE_"))}
        ran = subprocess.run(
            ["inservice", "whoami"],
            capture_output=True,
            text=True,
            check=True,
            env={**clean, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
            | variables,
        )
        return ran.stdout

    told = whoami()
    assert told.startswith(f"arn:aws:iam::000000000000:user/{name}\n")
    assert "AWS_ACCESS_KEY_ID of this shell" in told
    assert "policy   may not be seen" in told
    typed("user", "attach", name, "--policy", "IAMReadOnlyAccess")
    told = whoami()
    assert "group    none" in told
    assert f"policy   {FULL_ACCESS}, IAMReadOnlyAccess" in told


# ── policy ──────────────────────────────────────────────────────────────────────────────────────
DOCUMENT = """{
  "Version": "2012-10-17",
  "Statement": [
    {"Sid": "Invoke", "Effect": "Allow", "Action": "sagemaker:InvokeEndpoint",
     "Resource": "arn:aws:sagemaker:us-east-1:000000000000:endpoint/mine-*"},
    {"Effect": "Deny", "Action": "*", "Resource": "*",
     "Condition": {"NotIpAddress": {"aws:SourceIp": ["192.0.2.0/24"]}}}
  ]
}
"""


def test_a_file_is_tested_before_anybody_has_it(typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(DOCUMENT)
    near = "--context=aws:SourceIp=192.0.2.7"
    invoke = ["policy", "test", str(path), "sagemaker:InvokeEndpoint"]
    told = typed(*invoke, "endpoint/mine-1", near).stdout
    assert told.startswith(
        "allowed  sagemaker:InvokeEndpoint on "
        "arn:aws:sagemaker:us-east-1:000000000000:endpoint/mine-1\n"
        f'  by {path}, line 4, Sid "Invoke":\n'
    )
    assert '"Resource": "arn:aws:sagemaker:us-east-1:000000000000:endpoint/mine-*"' in told
    told = typed(*invoke, "endpoint/other", near, code=1).stdout
    assert told.splitlines()[1] == "  no identity-based policy allows it"
    far = "--context=aws:SourceIp=198.51.100.7"
    told = typed(*invoke, "endpoint/mine-1", far, code=1).stdout
    assert told.startswith("denied ")
    assert f"  by {path}, line 6:\n" in told
    told = typed(*invoke, "endpoint/mine-1", code=1).stdout
    assert "not told, and asked for by a condition: aws:SourceIp (--context)" in told
    both = typed(*invoke, "endpoint/mine-1", "endpoint/other", near, code=1).stdout
    assert [line.split()[0] for line in both.splitlines() if " on arn:" in line] == [
        "allowed",
        "denied",
    ]


def test_somebody_is_tested_by_all_that_they_have(typed: Typed) -> None:
    name, team = typed.name(), f"team-{uuid.uuid4().hex[:8]}"
    typed.iam.create_group(GroupName=team)
    typed.iam.put_group_policy(GroupName=team, PolicyName="own", PolicyDocument=DOCUMENT)
    typed("user", "create", name, "--group", team)
    words = ["policy", "test", name, "sagemaker:InvokeEndpoint", "endpoint/mine-1"]
    near = "--context=aws:SourceIp=192.0.2.7"
    told = typed(*words, near).stdout
    assert f'  by own of group/{team}, line 4, Sid "Invoke":' in told
    assert typed(*words[:2], f"user/{name}", *words[3:], near).stdout == told
    assert typed(*words[:2], f"arn:aws:iam::000000000000:user/{name}", *words[3:], near)
    assert typed(*words[:2], f"group/{team}", *words[3:], near)
    logs_only = "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess"
    typed.iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=logs_only)
    assert "  no permissions boundary allows it\n" in typed(*words, near, code=1).stdout
    (result,) = typed.json(*words, near, code=1)["EvaluationResults"]
    assert result["EvalDecision"] == "implicitDeny"
    typed("user", "delete", name, "--yes")
    typed.iam.delete_group_policy(GroupName=team, PolicyName="own")
    typed.iam.delete_group(GroupName=team)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["nobody", "sagemaker:ListModels"], 3, 'There is no user, role or group "nobody".'),
        (["user/nobody", "sagemaker:ListModels"], 3, "There is no user, role or group"),
        (["./no-such-file", "sagemaker:ListModels"], 3, "No such file"),
        (["policy.json", "sagemaker:ListModels"], 3, "No such file"),
        (["arn:aws:s3:::bucket", "s3:GetObject"], 3, "is no user, role or group"),
        (["nobody", "sagemaker:ListModels", "--context", "a=b"], 2, "is no KEY=VALUE"),
        (["nobody"], 2, "ACTION"),
    ],
)
def test_what_cannot_be_found_out_is_no_denial(
    words: list[str], code: int, says: str, typed: Typed
) -> None:
    ran = typed("policy", "test", *words, code=code)
    assert says in ran.stderr
    assert ran.stdout == ""


def test_a_malformed_policy_is_no_denial_either(typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text('{"Statement": []}')
    ran = typed("policy", "test", str(path), "sagemaker:ListModels", code=3)
    assert "InvalidInput" in ran.stderr
    elsewhere = ["--endpoint-url", "http://127.0.0.1:1", "--region", "us-east-1"]
    keys = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "x"}
    ran = typed("policy", "test", "ana", "sagemaker:ListModels", *elsewhere, code=3, **keys)
    assert "Could not connect" in ran.stderr


def test_a_policy_is_shown_to_the_letter_with_who_has_it(typed: Typed) -> None:
    name = f"own-{uuid.uuid4().hex[:8]}"
    made = typed.iam.create_policy(PolicyName=name, PolicyDocument=DOCUMENT)["Policy"]
    ana = typed.name()
    typed("user", "create", ana, "--policy", name)
    ran = typed("policy", "show", name)
    assert ran.stdout == DOCUMENT
    assert ran.stderr == f"{made['Arn']} v1\nattached to user/{ana}\n"
    assert typed.json("policy", "show", made["Arn"])["Document"] == json.loads(DOCUMENT)
    assert f"{name}\n" in typed("policy", "list", "--scope=own", "--output=name").stdout
    assert name not in typed("policy", "list", "--scope=aws", "--output=name").stdout
    assert FULL_ACCESS in typed("policy", "list").stdout
    typed("user", "delete", ana, "--yes")
    typed.iam.delete_policy(PolicyArn=made["Arn"])
    assert "There is no policy" in typed("policy", "show", name, code=1).stderr
