"""A server with credentials of every kind on it: good ones, and those that were taken away."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from inservice.operations.iam.made import new_secret
from inservice.store.drivers.database import open_store
from tests.acceptance.server import ECHO, PLAIN, Server, archive, variant
from tests.issuers import AUDIENCE, Issuer
from tests.waiting import wait_until

OWN, OTHER = "000000000000", "444455556666"
ENDPOINT = "e"


@dataclass(frozen=True)
class Credentials:
    """What somebody signs with."""

    kind: str
    key_id: str
    secret: str
    token: str | None = None
    account: str = OWN


@dataclass
class There:
    """The server, who may, and who may not any more."""

    server: Server
    good: list[Credentials]
    bad: list[Credentials]
    """Revoked, expired or switched off: right in every letter."""
    foreign: list[Credentials]
    """Of another account: whatever they sign is theirs, and never the first account's."""
    issuer: Issuer
    role: str
    """Which takes the issuer's tokens."""


def _document(**statement: Any) -> str:
    whole = {"Effect": "Allow", **statement}
    return json.dumps({"Version": "2012-10-17", "Statement": [whole]})


MAY = _document(Action=["sagemaker:ListModels", "sagemaker:InvokeEndpoint", "sts:*"], Resource="*")
TRUST = _document(Principal={"AWS": OWN}, Action="sts:AssumeRole")


class _Making:
    """Makes credentials on a server."""

    def __init__(self, server: Server, issuer: Issuer) -> None:
        self.server, self.issuer = server, issuer
        self.iam = server.client("iam")
        self.provider = self.iam.create_open_id_connect_provider(
            Url=issuer.url, ClientIDList=[AUDIENCE]
        )["OpenIDConnectProviderArn"]

    def user(self, name: str) -> Credentials:
        self.iam.create_user(UserName=name)
        self.iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=MAY)
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(f"user {name}", key["AccessKeyId"], key["SecretAccessKey"])

    def role(self, name: str, trust: str = TRUST) -> str:
        made = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]
        self.iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=MAY)
        arn: str = made["Arn"]
        return arn

    def as_(self, who: Credentials) -> Any:
        """STS, as somebody."""
        session = Server(self.server.data_dir, self.server.url, {})
        session.credentials = {"access_key_id": who.key_id, "secret_access_key": who.secret}
        made = session.new_client("sts")
        if who.token is not None:
            made._request_signer._credentials.token = who.token
        return made

    def given(self, kind: str, answer: Mapping[str, Any]) -> Credentials:
        told = answer["Credentials"]
        return Credentials(kind, told["AccessKeyId"], told["SecretAccessKey"], told["SessionToken"])

    def session(self, kind: str, who: Credentials, role: str) -> Credentials:
        answer = self.as_(who).assume_role(RoleArn=role, RoleSessionName="s1")
        return self.given(kind, answer)

    def by_token(self, role: str) -> Credentials:
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": role,
            "RoleSessionName": "s1",
            "WebIdentityToken": self.issuer.token(),
        }
        body = urllib.parse.urlencode(form).encode()
        with urllib.request.urlopen(self.server.url + "/", body) as answer:
            said = answer.read().decode()
        key_id, secret, token = (
            said.partition(f"<{name}>")[2].partition("<")[0]
            for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")
        )
        return Credentials("web identity", key_id, secret, token)

    def forget(self, name: str, key: Credentials) -> None:
        self.iam.delete_access_key(UserName=name, AccessKeyId=key.key_id)
        self.iam.delete_user_policy(UserName=name, PolicyName="p")
        self.iam.delete_user(UserName=name)


def build(data: Path, directory: Path, issuer: Issuer) -> There:
    """Start a server and make them all. The caller stops it."""
    server = Server.start(data)
    try:
        return _build(server, directory, issuer)
    except BaseException:
        Server.found(data).stop()
        raise


def _build(server: Server, directory: Path, issuer: Issuer) -> There:
    url = archive(directory / "m.tar.gz", {"code/inference.py": ECHO, "name.txt": "m"})
    server.client("sagemaker").create_model(
        ModelName="m",
        PrimaryContainer={"Image": PLAIN, "ModelDataUrl": url},
        ExecutionRoleArn=f"arn:aws:iam::{OWN}:role/r",
    )
    server.create_config("c", variant("m"))
    server.client("sagemaker").create_endpoint(EndpointName=ENDPOINT, EndpointConfigName="c")
    assert server.settled(ENDPOINT)["EndpointStatus"] == "InService"
    make = _Making(server, issuer)
    ana, role = make.user("ana"), make.role("deployer")
    trust = _document(
        Principal={"Federated": make.provider}, Action="sts:AssumeRoleWithWebIdentity"
    )
    ci = make.role("ci", trust)
    sts = make.as_(ana)
    session = make.session("role session", ana, role)
    good = [
        Credentials(
            "root", *(server.credentials[k] for k in ("access_key_id", "secret_access_key"))
        ),
        ana,
        session,
        make.session("chained session", session, make.role("next")),
        make.given("session token", sts.get_session_token()),
        make.given("federated user", sts.get_federation_token(Name="bob", Policy=MAY)),
        make.by_token(ci),
    ]
    bad = _taken_away(make, role)
    account = server.client("inservice").create_account(AccountId=OTHER)
    foreign = Credentials(
        "another account's root", account["AccessKeyId"], account["SecretAccessKey"], account=OTHER
    )
    gone = server.client("inservice").create_account(AccountId="777788889999")
    server.client("inservice").delete_account(AccountId="777788889999")
    bad.append(Credentials("closed account's root", gone["AccessKeyId"], gone["SecretAccessKey"]))
    _end(server, bad, good[2:])
    there = There(Server.found(server.data_dir), good, bad, [foreign], issuer, ci)
    wait_until(lambda: _answers(there.server))
    return there


def _taken_away(make: _Making, role: str) -> list[Credentials]:
    """What is right in every letter, and counts no more."""
    bad = []
    deleted = make.user("deleted-key")
    make.iam.delete_access_key(UserName="deleted-key", AccessKeyId=deleted.key_id)
    bad.append(replace(deleted, kind="deleted key"))
    inactive = make.user("inactive")
    make.iam.update_access_key(UserName="inactive", AccessKeyId=inactive.key_id, Status="Inactive")
    bad.append(replace(inactive, kind="inactive key"))
    leaver = make.user("leaver")
    sts = make.as_(leaver)
    bad.append(make.given("session of a deleted user", sts.get_session_token()))
    bad.append(
        make.given("vouched for by a deleted user", sts.get_federation_token(Name="xx", Policy=MAY))
    )
    make.forget("leaver", leaver)
    bad.append(replace(leaver, kind="deleted user"))
    brief = make.role("brief")
    helper = make.user("helper")
    bad.append(make.session("session of a deleted role", helper, brief))
    make.iam.delete_role_policy(RoleName="brief", PolicyName="p")
    make.iam.delete_role(RoleName="brief")
    made_up = Credentials("made up", "AKIA" + "A" * 16, new_secret())
    return [*bad, made_up]


def _end(server: Server, bad: list[Credentials], sessions: list[Credentials]) -> None:
    """Beside each session one that has ended, by hand, since nobody waits a quarter of an hour."""
    server.stop()
    data = server.data_dir
    store = open_store(f"sqlite:///{data / 'inservice.db'}", key_file=data / "secrets.key")
    with store.transaction() as tx:
        for number, each in enumerate(sessions):
            kept = tx.sessions.find(each.key_id)
            assert kept is not None
            assert kept.session is not None
            ended, key_id = time.time() - 1, f"ASIAENDED{number:011}"
            session = replace(kept.session, expires_at=ended)
            tx.sessions.add(replace(kept, id=key_id, expires_at=ended, session=session))
            bad.append(replace(each, kind=f"expired {each.kind}", key_id=key_id))
    store.close()
    Server.start(data)


def _answers(server: Server) -> bool:
    """Whether both planes do again."""
    try:
        return server.answers() and server.invoke(ENDPOINT, "hello")["said"] == "hello"
    except (BotoCoreError, ClientError):
        return False
