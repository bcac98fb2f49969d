"""GetSessionToken and GetFederationToken: on which terms, and what such sessions may not call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from inservice.errors import AwsError
from inservice.identity.principal import (
    AccessKey,
    Account,
    Principal,
    Session,
    federated_user,
    role_session,
)
from inservice.identity.principal import user as user_of
from inservice.identity.sts.limits import check_session
from inservice.operations import registry
from inservice.operations.sts import given as giving
from inservice.operations.sts import session_tokens
from tests.core.operations.conftest import ACCOUNT
from tests.core.operations.sts.conftest import NOW, ROOT, Place, allows, policy

assert session_tokens  # registers them

ALLOWED = policy(allows("sagemaker:*"))


def kept(place: Place, answer: Mapping[str, Any]) -> AccessKey:
    with place.store.reading() as records:
        found = records.sessions.find(answer["Credentials"]["AccessKeyId"])
    assert found is not None
    return found


def refused(place: Place, name: str, key: AccessKey, **members: Any) -> tuple[str, str]:
    with pytest.raises(AwsError) as caught:
        place.ask("sts", name, key, **members)
    with place.store.reading() as records:
        assert list(records.sessions.all()) == []
    return caught.value.code, caught.value.message


@pytest.mark.parametrize("name", ["GetSessionToken", "GetFederationToken"])
@pytest.mark.parametrize(
    ("asked", "of_user", "of_root"),
    [(None, 43_200, 3_600), (900, 900, 900), (129_600, 129_600, 3_600)],
)
def test_how_long_they_last(
    place: Place, name: str, asked: int | None, of_user: int, of_root: int
) -> None:
    more: dict[str, Any] = {} if asked is None else {"DurationSeconds": asked}
    more |= {"Name": "bob"} if name == "GetFederationToken" else {}
    ana = place.user("ana", allows("sts:GetFederationToken"))
    for key, seconds in ((ana, of_user), (ROOT, of_root)):
        answer = place.ask("sts", name, key, **more)
        assert answer["Credentials"]["Expiration"] == NOW + seconds
        session = kept(place, answer).session
        assert session is not None
        assert session.holder == key.principal.arn
        assert session.owner == key.principal.id
        assert session == Session.from_plain(session.to_plain())


def test_nobody_needs_to_be_allowed_a_token_of_their_own(place: Place) -> None:
    ana = place.user("ana", allows("sts:*", Effect="Deny"))
    session = kept(place, place.ask("sts", "GetSessionToken", ana))
    assert session.principal == ana.principal
    assert refused_words(place, ana) == (
        f"User: {ana.principal.arn} is not authorized to perform: sts:GetFederationToken on "
        f"resource: arn:aws:sts::{ACCOUNT}:federated-user/bob with an explicit deny in an "
        "identity-based policy"
    )


def refused_words(place: Place, key: AccessKey) -> str:
    with pytest.raises(AwsError) as caught:
        place.ask("sts", "GetFederationToken", key, Name="bob")
    return caught.value.message


def test_no_device_and_no_code_is_right(place: Place) -> None:
    ana = place.user("ana")
    for members in (
        {"SerialNumber": f"arn:aws:iam::{ACCOUNT}:mfa/ana", "TokenCode": "123456"},
        {"SerialNumber": "GAHT12345678"},
        {"TokenCode": "000000"},
    ):
        assert refused(place, "GetSessionToken", ana, **members) == (
            "AccessDeniedException",
            "MultiFactorAuthentication failed with invalid MFA one time pass code.",
        )


def test_what_is_passed_to_who_is_vouched_for_is_bounded(place: Place) -> None:
    ana = place.user("ana", allows("sts:*"))

    def code(**members: Any) -> str:
        return refused(place, "GetFederationToken", ana, Name="bob", **members)[0]

    assert code(Policy="{") == "MalformedPolicyDocument"
    arn = f"arn:aws:iam::{ACCOUNT}:policy/nobody"
    assert code(PolicyArns=[{"arn": arn}]) == "MalformedPolicyDocument"
    assert code(PolicyArns=[{"arn": f"arn:aws:iam::aws:policy/{name}"} for name in MANAGED]) == (
        "ValidationError"
    )
    tag = {"Key": "k", "Value": "v"}
    assert code(Tags=[tag, {"Key": "K", "Value": "w"}]) == "InvalidParameterValue"
    assert code(Tags=[{"Key": "aws:k", "Value": "v"}]) == "InvalidParameterValue"
    answer = place.ask("sts", "GetFederationToken", ana, Name="bob", Policy=ALLOWED, Tags=[tag])
    assert 0 < answer["PackedPolicySize"] <= 100
    assert answer["FederatedUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:federated-user/bob"


MANAGED = (
    *("AdministratorAccess", "PowerUserAccess", "ReadOnlyAccess", "AmazonSageMakerFullAccess"),
    *("AmazonSageMakerReadOnly", "AmazonS3FullAccess", "AmazonS3ReadOnlyAccess"),
    *("CloudWatchFullAccess", "CloudWatchReadOnlyAccess", "CloudWatchLogsFullAccess"),
    "IAMFullAccess",
)


def test_a_user_has_so_many_and_an_account(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(giving, "SESSIONS_PER_HOLDER_MAX", 2)
    ana = place.user("ana")
    for _ in range(2):
        place.ask("sts", "GetSessionToken", ana)
    with pytest.raises(AwsError, match="Cannot exceed quota for SessionsPerUser: 2"):
        place.ask("sts", "GetSessionToken", ana)
    place.ask("sts", "GetSessionToken", place.user("bea"))


def test_they_go_with_their_user_and_follow_a_new_name(place: Place) -> None:
    ana = place.user("ana", allows("sts:GetFederationToken"))
    own = kept(place, place.ask("sts", "GetSessionToken", ana))
    other = kept(place, place.ask("sts", "GetFederationToken", ana, Name="bob"))
    place.ask("iam", "UpdateUser", ROOT, UserName="ana", NewUserName="anna", NewPath="/x/")
    arn = f"arn:aws:iam::{ACCOUNT}:user/x/anna"
    with place.store.reading() as records:
        moved = {key.id: key for key in records.sessions.all()}
    assert moved[own.id].principal.arn == arn
    assert moved[other.id].principal == other.principal
    assert {key.session and key.session.holder for key in moved.values()} == {arn}
    assert {key.secret for key in moved.values()} == {own.secret, other.secret}
    place.ask("iam", "DeleteUserPolicy", ROOT, UserName="anna", PolicyName="own")
    place.ask("iam", "DeleteUser", ROOT, UserName="anna")
    with place.store.reading() as records:
        assert list(records.sessions.all()) == []
    with pytest.raises(AwsError, match="security token included in the request is invalid"):
        place.ask("sts", "GetSessionToken", ana)


ANA = user_of(ACCOUNT, "ana", id="AIDAANA")
SESSIONS: Mapping[str, Principal] = {
    "role": role_session(ACCOUNT, "r", "s", role_id="AROAR"),
    "user": ANA,
    "root": Account(ACCOUNT).root,
    "federated": federated_user(ACCOUNT, "bob"),
}
MAY: Mapping[str, set[str]] = {
    "role": {"AssumeRole", "GetCallerIdentity", "GetAccessKeyInfo", "DecodeAuthorizationMessage"},
    "user": {"AssumeRole", "GetCallerIdentity"},
    "root": {"AssumeRole", "GetCallerIdentity"},
    "federated": {"GetCallerIdentity"},
}
"""Of STS, by AWS's table of what each way of getting credentials allows."""


@pytest.mark.parametrize("kind", SESSIONS)
def test_what_a_session_may_call_of_every_operation_there_is(kind: str) -> None:
    session = Session(SESSIONS[kind], 0.0, 1.0, issuer_arn=ANA.arn if kind != "role" else "")
    refusals: dict[str, set[str]] = {"iam": set(), "sts": set(), "": set()}
    codes: dict[str, set[str]] = {"iam": set(), "sts": set(), "": set()}
    every: dict[str, set[str]] = {"iam": set(), "sts": set(), "": set()}
    for operation in registry.operations():
        service = operation.service if operation.service in refusals else ""
        every[service].add(operation.name)
        try:
            check_session(session, operation.service, operation.name)
        except AwsError as error:
            refusals[service].add(operation.name)
            codes[service].add(error.code)
    assert codes["iam"] <= {"UnrecognizedClientException"}
    assert codes["sts"] | codes[""] == {"AccessDeniedException"}
    assert refusals["iam"] == (set() if kind == "role" else every["iam"])
    assert every["sts"] - refusals["sts"] - {"AssumeRoleWithWebIdentity"} == MAY[kind]
    assert refusals[""] == {"CreateAccount", "DeleteAccount", "RotateRootAccessKey"}
    check_session(None, "iam", "CreateUser")
