"""Accounts beside the server's own: who makes them, what they are called, how they end."""

from __future__ import annotations

from typing import Any

import pytest

from inservice.errors import AccessDeniedException, ValidationException
from inservice.identity.iam.errors import DeleteConflict
from inservice.identity.principal import Account
from inservice.operations.iam.made import new_key
from inservice.operations.own.access_keys import ensure_root_key
from inservice.store.base import Store
from tests.core.operations.conftest import ACCOUNT, Perform

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
CONTAINER = {"Image": IMAGE, "ModelDataUrl": "s3://b/model.tar.gz"}
OTHER = "444455556666"


def make_model(perform: Perform, account: str) -> None:
    role = f"arn:aws:iam::{account}:role/r"
    made = {"ModelName": "m", "PrimaryContainer": CONTAINER, "ExecutionRoleArn": role}
    perform("CreateModel", account=account, **made)


def listed(perform: Perform) -> list[dict[str, Any]]:
    return list(perform("ListAccounts")["Accounts"])


def test_an_account_has_an_id_a_name_and_the_key_of_its_root(
    perform: Perform, store: Store
) -> None:
    made = perform("CreateAccount", AccountName="team-a", AccountId=OTHER, now=1_000.0)
    assert (made["AccountId"], made["AccountName"]) == (OTHER, "team-a")
    with store.reading() as records:
        key = records.access_keys.find(made["AccessKeyId"])
    assert key is not None
    assert (key.principal, key.secret) == (Account(OTHER).root, made["SecretAccessKey"])
    own, other = listed(perform)
    assert own == {
        "AccountId": ACCOUNT,
        "AccountName": ACCOUNT,
        "IsManagementAccount": True,
        "EndpointCount": 0,
    }
    assert other == {
        "AccountId": OTHER,
        "AccountName": "team-a",
        "IsManagementAccount": False,
        "EndpointCount": 0,
        "RootAccessKeyId": key.id,
        "CreatedAt": 1_000.0,
    }


def test_an_id_that_is_not_given_is_a_new_one(perform: Perform) -> None:
    ids = {perform("CreateAccount")["AccountId"] for _ in range(20)}
    assert len(ids) == 20
    assert all(len(each) == 12 and each.isdecimal() and each[0] != "0" for each in ids)
    assert [each["AccountName"] for each in listed(perform)] == sorted({ACCOUNT, *ids})


@pytest.mark.parametrize(
    "principal",
    [
        *(f"arn:aws:iam::{ACCOUNT}:user/admin", f"arn:aws:iam::{OTHER}:root"),
        *(f"arn:aws:iam::{OTHER}:user/admin", f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s"),
    ],
)
def test_only_root_of_the_server_s_own_account_may(perform: Perform, principal: str) -> None:
    """Whatever policies say: who has passed them gets here."""
    perform("CreateAccount", AccountId=OTHER)
    before = listed(perform)
    account = principal.split(":")[4]
    key = before[1]["RootAccessKeyId"]
    elsewhere = OTHER if account == ACCOUNT else ACCOUNT
    for name, members in (
        ("CreateAccount", {}),
        ("CreateAccount", {"AccountId": OTHER}),
        ("ListAccounts", {}),
        ("DeleteAccount", {"AccountId": OTHER}),
        ("DeleteAccount", {"AccountId": "999999999999"}),
        ("RotateRootAccessKey", {"AccountId": elsewhere, "AccessKeyId": key}),
        ("RotateRootAccessKey", {"AccountId": "999999999999", "AccessKeyId": key}),
    ):
        with pytest.raises(AccessDeniedException) as refused:
            perform(name, account=account, principal=principal, **members)
        assert refused.value.message == (
            f"User: {principal} is not authorized to perform this operation: it is for the root "
            "user of the account that this server is of."
        )
    assert listed(perform) == before


def test_ids_and_names_are_each_one_account_s(perform: Perform) -> None:
    perform("CreateAccount", AccountId=OTHER, AccountName="team-a")
    for members, taken in (
        ({"AccountId": OTHER}, OTHER),
        ({"AccountId": OTHER, "AccountName": "team-b"}, OTHER),
        ({"AccountId": ACCOUNT}, ACCOUNT),
        ({"AccountName": "team-a"}, "team-a"),
        ({"AccountName": "team-a", "AccountId": "777788889999"}, "team-a"),
    ):
        with pytest.raises(ValidationException) as refused:
            perform("CreateAccount", **members)
        assert refused.value.message == f'Cannot create already existing account "{taken}".'
    assert len(listed(perform)) == 2


def test_where_something_is_left_there_is_an_account(perform: Perform) -> None:
    """Of a server whose settings named another account before: its things would become those of
    whoever gets the id."""
    make_model(perform, OTHER)
    with pytest.raises(ValidationException, match="already existing account"):
        perform("CreateAccount", AccountId=OTHER)


def test_the_same_names_in_each(perform: Perform) -> None:
    perform("CreateAccount", AccountId=OTHER)
    for account in (ACCOUNT, OTHER):
        make_model(perform, account)
    for account in (ACCOUNT, OTHER):
        (model,) = perform("ListModels", account=account)["Models"]
        assert model["ModelArn"] == f"arn:aws:sagemaker:us-east-1:{account}:model/m"


def test_an_account_is_deleted_when_nothing_is_left_in_it(perform: Perform, store: Store) -> None:
    made = perform("CreateAccount", AccountId=OTHER, AccountName="team-a")
    make_model(perform, OTHER)
    user = perform("CreateUser", account=OTHER, UserName="ana")["User"]
    perform("CreateAccessKey", account=OTHER, UserName="ana")
    with pytest.raises(DeleteConflict) as refused:
        perform("DeleteAccount", AccountId=OTHER)
    assert refused.value.message == (
        "Cannot delete entity, must delete its users (1), models (1) first. "
        f"Account {OTHER} still has them."
    )
    with store.reading() as records:
        assert records.access_keys.find(made["AccessKeyId"]) is not None
    perform("DeleteModel", account=OTHER, ModelName="m")
    assert user["UserName"] == "ana"
    with store.reading() as records:
        (key,) = records.access_keys.of(OTHER, user["UserId"])
    perform("DeleteAccessKey", account=OTHER, UserName="ana", AccessKeyId=key.id)
    perform("DeleteUser", account=OTHER, UserName="ana")
    perform("DeleteAccount", AccountId=OTHER)
    with store.reading() as records:
        assert [each for each in records.access_keys.all() if each.principal.account == OTHER] == []
    assert [each["AccountId"] for each in listed(perform)] == [ACCOUNT]


def test_what_is_deleted_is_gone_for_good_and_its_name_is_free(perform: Perform) -> None:
    """Metrics and logs of instances outlive it: nobody else must be shown them."""
    perform("CreateAccount", AccountId=OTHER, AccountName="team-a")
    perform("DeleteAccount", AccountId=OTHER)
    with pytest.raises(ValidationException, match="already existing account"):
        perform("CreateAccount", AccountId=OTHER)
    for name, members in (
        ("DeleteAccount", {"AccountId": OTHER}),
        ("DeleteAccount", {"AccountId": "999999999999"}),
        ("RotateRootAccessKey", {"AccountId": OTHER, "AccessKeyId": "AKIA1"}),
    ):
        with pytest.raises(ValidationException) as refused:
            perform(name, **members)
        gone = members["AccountId"]
        assert refused.value.message == f'Could not find account "{gone}".'
    assert perform("CreateAccount", AccountName="team-a")["AccountId"] != OTHER


def test_the_server_s_own_account_stays(perform: Perform) -> None:
    with pytest.raises(ValidationException, match="server is of cannot be deleted"):
        perform("DeleteAccount", AccountId=ACCOUNT)
    assert [each["AccountId"] for each in listed(perform)] == [ACCOUNT]


def test_root_of_another_account_gets_a_new_key(perform: Perform, store: Store) -> None:
    """From itself, or from who runs the server; who names another key than the present one gets
    none."""
    first = perform("CreateAccount", AccountId=OTHER)["AccessKeyId"]
    second = perform("RotateRootAccessKey", AccountId=OTHER, AccessKeyId=first)["AccessKeyId"]
    third = perform("RotateRootAccessKey", account=OTHER, AccessKeyId=second)["AccessKeyId"]
    for stale in (first, second):
        with pytest.raises(ValidationException, match="is not the access key of"):
            perform("RotateRootAccessKey", AccountId=OTHER, AccessKeyId=stale)
    with store.reading() as records:
        assert [key.id for key in records.access_keys.of(OTHER, "")] == [third]


def test_a_server_that_is_of_a_closed_account_has_it_in_use_again(
    perform: Perform, store: Store
) -> None:
    perform("CreateAccount", AccountId=OTHER)
    perform("DeleteAccount", AccountId=OTHER)
    key = ensure_root_key(store, OTHER)
    with store.reading() as records:
        account = records.accounts.find(OTHER)
        assert records.access_keys.of(OTHER, "") == [key]
    assert account is not None
    assert account.is_open
    make_model(perform, OTHER)


def test_an_account_whose_record_was_damaged_is_told_by_the_key_of_its_root(
    perform: Perform, store: Store
) -> None:
    key = new_key(Account(OTHER).root, 5.0)
    with store.transaction() as tx:
        tx.access_keys.add(key)
    _, other = listed(perform)
    assert (other["AccountId"], other["AccountName"]) == (OTHER, OTHER)
    with pytest.raises(ValidationException, match="already existing account"):
        perform("CreateAccount", AccountId=OTHER)
    perform("DeleteAccount", AccountId=OTHER)
    with store.reading() as records:
        assert records.access_keys.find(key.id) is None
    with pytest.raises(ValidationException, match="already existing account"):
        perform("CreateAccount", AccountId=OTHER)
