"""What the request path tells the audit trail, and what it does not do without."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import pytest

from inservice.audit.entry import Entry
from inservice.audit.reading import Reader
from inservice.audit.trail import Trail
from inservice.operations import registry
from tests.wire.calls import NOBODY_KEY, Caller, application
from tests.wire.test_request_path import MODEL


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[Trail]:
    opened = Trail(tmp_path / "audit", kept=2)
    yield opened
    opened.close()


@pytest.fixture
def caller(tmp_path: Path, trail: Trail) -> Iterator[Caller]:
    with application(tmp_path, trail=trail) as app:
        yield Caller(app)


def told(tmp_path: Path) -> list[Entry]:
    return list(Reader(tmp_path / "audit").new())


def outcomes(tmp_path: Path) -> list[tuple[str, str]]:
    return [(entry.action.partition(":")[2], entry.outcome) for entry in told(tmp_path)]


def test_changes_are_told_with_their_outcome_and_reads_are_not(
    caller: Caller, tmp_path: Path
) -> None:
    named = {"ModelName": "m"}
    assert caller.call("CreateModel", MODEL)[0] == 200
    assert caller.call("CreateModel", MODEL)[0] == 400
    assert caller.call("DescribeModel", named)[0] == 200
    assert caller.call("ListModels")[0] == 200
    assert caller.call("DeleteModel", named)[0] == 200
    assert caller.call("DeleteModel", named)[0] == 400
    assert outcomes(tmp_path) == [
        ("CreateModel", "OK"),
        ("CreateModel", "ValidationException"),
        ("DeleteModel", "OK"),
        ("DeleteModel", "ValidationException"),
    ]


def test_what_never_was_a_request_is_not_told(caller: Caller, tmp_path: Path) -> None:
    """It breaks AWS's model, is signed by nobody we know, or asks for what is not here."""
    assert caller.call("CreateModel", {"ModelName": "-"})[0] == 400
    assert caller.call("Nonsense")[0] == 404
    stranger = replace(caller, key=replace(caller.key, secret="another"))
    assert stranger.call("CreateModel", MODEL)[0] == 403
    assert outcomes(tmp_path) == []


def test_who_is_refused_is_told_with_all_that_was_touched(caller: Caller, tmp_path: Path) -> None:
    nobody = replace(caller, key=NOBODY_KEY)
    assert nobody.call("CreateModel", MODEL)[1]["__type"].endswith("AccessDeniedException")
    assert nobody.call("DescribeModel", {"ModelName": "m"})[0] == 400
    refused = told(tmp_path)
    assert outcomes(tmp_path) == [
        ("CreateModel", "AccessDeniedException"),
        ("DescribeModel", "AccessDeniedException"),
    ]
    assert all(entry.is_denial for entry in refused)
    assert refused[0].principal == NOBODY_KEY.principal.arn
    assert refused[0].access_key_id == NOBODY_KEY.id
    assert set(refused[0].resources) == {
        "arn:aws:sagemaker:us-east-1:000000000000:model/m",
        MODEL["ExecutionRoleArn"],
    }


def form(caller: Caller, service: str, version: str, **fields: str) -> str:
    """What a query service answers."""
    body = urlencode({"Version": version, **fields}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = caller.application.answer(caller.request(body, headers, service=service))
    assert answer.status == 200, answer.body
    return cast(bytes, answer.body).decode()


def test_a_key_that_is_given_or_changed_is_named_by_its_id(caller: Caller, tmp_path: Path) -> None:
    def iam(action: str, **fields: str) -> str:
        return form(caller, "iam", "2010-05-08", Action=action, **fields)

    def id_in(answer: str) -> str:
        return answer.partition("<AccessKeyId>")[2].partition("<")[0]

    iam("CreateUser", UserName="ana")
    made = iam("CreateAccessKey", UserName="ana")
    key = id_in(made)
    iam("UpdateAccessKey", UserName="ana", AccessKeyId=key, Status="Inactive")
    iam("DeleteAccessKey", UserName="ana", AccessKeyId=key)
    session = form(caller, "sts", "2011-06-15", Action="GetSessionToken")
    ana = "arn:aws:iam::000000000000:user/ana"
    assert [(one.action.partition(":")[2], one.resources) for one in told(tmp_path)] == [
        ("CreateUser", (ana,)),
        ("CreateAccessKey", (ana, key)),
        ("UpdateAccessKey", (ana, key)),
        ("DeleteAccessKey", (ana, key)),
        ("GetSessionToken", (id_in(session),)),
    ]
    written = b"".join(file.read_bytes() for file in (tmp_path / "audit").iterdir()).decode()
    for secret in ("SecretAccessKey", "SessionToken"):
        for answer in (made, session):
            said = answer.partition(f"<{secret}>")[2].partition("<")[0]
            assert not said or said not in written


def test_nothing_is_changed_that_cannot_be_told_of(
    caller: Caller, trail: Trail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change whose line has no room is answered: it was made. The next one is not begun."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    assert caller.call("CreateModel", MODEL)[0] == 200
    status, answer = caller.call("CreateModel", {**MODEL, "ModelName": "another"})
    assert (status, answer["__type"].rpartition("#")[2]) == (503, "InsufficientStorage")
    status, answer = caller.call("DeleteModel", {"ModelName": "m"})
    assert (status, answer["__type"].rpartition("#")[2]) == (503, "InsufficientStorage")
    assert [one["ModelName"] for one in caller.call("ListModels")[1]["Models"]] == ["m"]
    nobody = replace(caller, key=NOBODY_KEY)
    assert nobody.call("ListModels")[0] == 400
    monkeypatch.undo()
    assert caller.call("DeleteModel", {"ModelName": "m"})[0] == 200
    made = [entry for entry in told(tmp_path) if entry.outcome == "OK"]
    assert {entry.action for entry in made} == {"sagemaker:CreateModel", "sagemaker:DeleteModel"}


def test_a_bug_in_an_operation_is_told_as_one(
    caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = registry.find("sagemaker", "CreateModel")
    assert operation is not None

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(type(operation), "perform", broken)
    assert caller.call("CreateModel", MODEL)[0] == 500
    assert outcomes(tmp_path) == [("CreateModel", "InternalFailure")]


def test_no_member_of_a_request_is_told(caller: Caller, trail: Trail, tmp_path: Path) -> None:
    container = {"Image": "sklearn", "Environment": {"K": "planted-in-environment"}}
    caller.call(
        "CreateModel",
        {
            **MODEL,
            "PrimaryContainer": container,
            "Tags": [{"Key": "planted-key", "Value": "planted-value"}],
        },
    )
    arn = "arn:aws:sagemaker:us-east-1:000000000000:model/m"
    caller.call("AddTags", {"ResourceArn": arn, "Tags": [{"Key": "k", "Value": "planted"}]})
    assert len(told(tmp_path)) == 2
    for path in (tmp_path / "audit").iterdir():
        assert b"planted" not in path.read_bytes()
