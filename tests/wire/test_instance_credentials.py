"""Credentials for a model's own code: who gets which, and everybody who gets none."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inservice.api.instance_credentials import PATH, RENEWED_SECONDS, InstanceCredentials
from inservice.clock import SystemClock
from inservice.hosting.arn import ResourceArn, ResourceKind
from inservice.identity.iam.entities import Role
from inservice.store.base import Store
from inservice.store.drivers.database import open_store
from inservice.threads import Threads
from inservice.transport.messages import Request, Response

ACCOUNT, REGION = "111122223333", "us-east-1"
MODEL = ResourceArn(ResourceKind.MODEL, ACCOUNT, REGION, "m")
URL = "http://127.0.0.1:7420"
TRUST: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
    },
}
ROLE = Role(ACCOUNT, "r", "/p/", "AROAR", 1.0, json.dumps(TRUST))
KEY = b"k" * 32


class SetClock(SystemClock):
    """Shows what it is set to."""

    moment = 1_750_000_000.0

    def now(self) -> float:
        return self.moment


class Host:
    """A server and the instances that run on it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = SetClock()
        self.running = {"g-1-v/0", "g-1-v/1"}
        self.threads = Threads("test")
        self.begin_anew()

    def begin_anew(self, key: bytes = KEY, url: str | None = URL) -> None:
        """The next life of control."""
        self.credentials = InstanceCredentials(
            self.store,
            self.clock,
            key=key,
            url=url,
            running=lambda instance_id: instance_id in self.running,
        )

    def environment(
        self, instance: str = "g-1-v/0", role: str | None = ROLE.arn, **own: str
    ) -> Mapping[str, str]:
        return self.credentials.environment(instance, model=MODEL, role_arn=role, own=own)

    def token(self, instance: str = "g-1-v/0") -> str:
        return self.environment(instance)["AWS_CONTAINER_AUTHORIZATION_TOKEN"]

    def ask(
        self, token: str | None, method: str = "GET", source: str | None = "127.0.0.1"
    ) -> tuple[int, dict[str, Any]]:
        headers = [] if token is None else [(b"authorization", token.encode())]
        headers += [] if source is None else [(b"x-inservice-source", source.encode())]
        route = self.credentials.before(lambda _: Response(299, [], b"{}"), self.threads)

        async def answer() -> Response:
            given = route(Request(method, PATH, 1, headers))
            return await given if inspect.isawaitable(given) else given

        response = asyncio.run(answer())
        assert isinstance(response.body, bytes)
        return response.status, json.loads(response.body)

    def save(self, role: Role) -> None:
        with self.store.transaction() as tx:
            tx.roles.save(role)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    store = open_store(f"sqlite:///{tmp_path / 's.db'}", key_file=tmp_path / "secrets.key")
    made = Host(store)
    made.save(ROLE)
    yield made
    store.close()


def test_a_model_gets_nothing_of_a_role_of_another_account(host: Host) -> None:
    """It trusts SageMaker, and never thought of whoever makes models in this account."""
    theirs = replace(ROLE, account="444455556666", id="AROATHEIRS")
    host.save(theirs)
    assert host.environment(role=theirs.arn) == {}
    token = host.token()
    host.save(replace(ROLE, name="renamed"))  # so that the token's role is not there any more
    assert host.ask(token)[0] == 403
    with host.store.reading() as records:
        assert records.sessions.all() == []


def test_an_instance_gets_a_session_of_its_role(host: Host) -> None:
    environment = host.environment()
    assert environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == f"{URL}/instance-credentials"
    assert environment["AWS_ENDPOINT_URL"] == URL
    status, given = host.ask(environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"])
    assert status == 200
    assert given["Expiration"] == "2025-06-15T16:06:40Z"
    with host.store.reading() as records:
        (kept,) = records.sessions.all()
    assert (kept.id, kept.secret, kept.session_token) == (
        given["AccessKeyId"],
        given["SecretAccessKey"],
        given["Token"],
    )
    assert kept.principal.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/r/SageMaker"
    assert kept.principal.role_arn == ROLE.arn


def test_it_gets_others_before_they_end_and_the_same_until_then(host: Host) -> None:
    token = host.token()
    first = host.ask(token)[1]
    host.clock.moment += 3_600 - RENEWED_SECONDS
    assert host.ask(token)[1] == first
    host.clock.moment += 1
    second = host.ask(token)[1]
    assert second["AccessKeyId"] != first["AccessKeyId"]
    assert host.ask(host.token("g-1-v/1"))[1]["AccessKeyId"] != second["AccessKeyId"]
    for _ in range(5):
        host.begin_anew()  # which does not know what it gave, and what it sealed
        assert host.ask(token)[0] == 200
    host.clock.moment += 86_400
    assert host.ask(token)[0] == 200


def test_each_instance_has_a_token_of_its_own(host: Host) -> None:
    one, two = host.token(), host.token("g-1-v/1")
    assert one != two
    assert host.token() == one
    said, _, seal = two.rpartition(".")
    mixed = f"{said}.{one.rpartition('.')[2]}"
    document = json.loads(base64.urlsafe_b64decode(said))
    other = base64.urlsafe_b64encode(json.dumps({**document, "role": f"{ROLE.arn}2"}).encode())
    for forged in (mixed, f"{other.decode()}.{seal}", said, f"{said}.", "", ".", f"{two}0", None):
        assert host.ask(forged)[0] == 403
    host.begin_anew(key=b"x" * 32)
    assert host.ask(one)[0] == 403


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, 300), bit=st.integers(0, 6))
def test_a_token_with_a_bit_turned_is_none(host: Host, at: int, bit: int) -> None:
    token = bytearray(host.token().encode())
    token[at % len(token)] ^= 1 << bit
    status, _ = host.ask(token.decode("latin-1"))
    assert status == 403


def test_what_does_not_run_gets_nothing(host: Host) -> None:
    token = host.token()
    assert host.ask(token)[0] == 200
    host.running.clear()
    assert host.ask(token)[0] == 403


@pytest.mark.parametrize("source", ["192.0.2.7", "10.0.0.1", "2001:db8::1", None])
def test_who_asks_from_elsewhere_gets_nothing(host: Host, source: str | None) -> None:
    assert host.ask(host.token(), source=source)[0] == 403


def test_only_the_question_is_answered(host: Host) -> None:
    assert host.ask(host.token(), method="POST")[0] == 403
    assert host.ask(host.token(), source="::1")[0] == 200


def test_a_role_that_changes_counts_at_once(host: Host) -> None:
    token = host.token()
    before = host.ask(token)[1]["AccessKeyId"]
    distrusting = json.loads(json.dumps(TRUST).replace("sagemaker", "ec2"))
    host.save(replace(ROLE, trust=json.dumps(distrusting)))
    assert host.ask(token)[0] == 403
    host.save(ROLE)
    assert host.ask(token)[1]["AccessKeyId"] == before
    with host.store.transaction() as tx:
        tx.roles.delete(ROLE)
        tx.sessions.end(ACCOUNT, ROLE.id)
    assert host.ask(token)[0] == 403
    host.save(replace(ROLE, id="AROAANOTHER"))  # whom the model names now
    status, given = host.ask(token)
    assert (status, given["AccessKeyId"] != before) == (200, True)


def test_the_trust_policy_hears_for_which_model_it_is(host: Host) -> None:
    statement = {**TRUST["Statement"], "Condition": {"ArnEquals": {"aws:SourceArn": str(MODEL)}}}
    host.save(replace(ROLE, trust=json.dumps({**TRUST, "Statement": statement})))
    assert host.ask(host.token())[0] == 200
    other = replace(MODEL, name="n")
    environment = host.credentials.environment("g-1-v/1", model=other, role_arn=ROLE.arn, own={})
    assert host.ask(environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"])[0] == 403


OWN = [
    {"AWS_ACCESS_KEY_ID": "AKIA"},
    {"AWS_PROFILE": "prod"},
    {"AWS_SHARED_CREDENTIALS_FILE": "/x"},
    {"AWS_WEB_IDENTITY_TOKEN_FILE": "/x"},
    {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"},
    {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"},
    {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9000"},
    {"AWS_ENDPOINT_URL": ""},
]


@pytest.mark.parametrize("own", OWN, ids=lambda own: next(iter(own)))
def test_a_model_that_has_decided_by_itself_is_left_alone(host: Host, own: dict[str, str]) -> None:
    assert host.environment(**own) == {}


def test_only_a_role_that_is_here_is_served(host: Host) -> None:
    assert host.environment(LOG_LEVEL="10", AWS_REGION="eu-west-1").keys() == {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_ENDPOINT_URL",
    }
    for role in (None, f"{ROLE.arn}x", "arn:aws:iam::444455556666:role/p/r", "r"):
        assert host.environment(role=role) == {}
    host.begin_anew(url=None)  # a server that no SDK would take credentials from
    assert host.environment() == {}


def test_secrets_are_in_no_repr(host: Host) -> None:
    given = host.ask(host.token())[1]
    with host.store.reading() as records:
        text = repr(records.sessions.all())
    assert given["SecretAccessKey"] not in text
    assert given["Token"] not in text
