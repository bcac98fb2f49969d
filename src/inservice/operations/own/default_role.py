"""The default execution role: what each account has from the beginning, so that code finds a role.

    arn:aws:iam::<account>:role/service-role/AmazonSageMaker-ExecutionRole

On AWS the console makes one of this name in front of everybody's first notebook, and SDKs look for
it: `get_execution_role()` falls back to its path. It trusts SageMaker; it has the managed policy
and, in a policy of its own, what a notebook needs beside that: the objects of its own account, the
log groups of endpoints, and a look at itself, by which SDKs check it.

It is made once, with the account, and is then the account's like any other role: who changes it has
changed it, who deletes it has none. So that no restart brings it back, the server's own account,
which its settings name, has a record from the moment in which its role was made.
"""

from __future__ import annotations

import json
import time
from typing import Any, Final

from inservice.identity import unique_ids
from inservice.identity.accounts import MemberAccount
from inservice.identity.iam.arns import entity_arn
from inservice.identity.iam.entities import InlinePolicy, Role
from inservice.operations.iam.made import new_id
from inservice.store.base import Reading, Store, Transaction

NAME: Final = "AmazonSageMaker-ExecutionRole"
PATH: Final = "/service-role/"

_MANAGED_POLICY: Final = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
_POLICY_NAME: Final = "AmazonSageMaker-ExecutionPolicy"
_DESCRIPTION: Final = "The default execution role, made with the account."

_TRUST: Final = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def make_default_role(tx: Transaction, account_id: str, now: float) -> None:
    """Make the role of an account; one of this name that is there is left as it is."""
    if tx.roles.named(account_id, NAME) is not None:
        return
    tx.roles.save(
        Role(
            account=account_id,
            name=NAME,
            path=PATH,
            id=new_id(unique_ids.ROLE),
            created_at=now,
            trust=json.dumps(_TRUST),
            description=_DESCRIPTION,
            attached=(_MANAGED_POLICY,),
            inline=(InlinePolicy(_POLICY_NAME, json.dumps(_policy(account_id), indent=4)),),
        )
    )


def take_default_role(tx: Transaction, account_id: str) -> None:
    """Take the role away, with its sessions: the account goes."""
    role = tx.roles.named(account_id, NAME)
    if role is not None and role.path == PATH:
        tx.roles.delete(role)
        tx.sessions.end(role.account, role.id)


def ensure_default_role(store: Store, account_id: str) -> None:
    """Make the role of the server's own account, unless that was done before. Raises
    InsufficientStorage where there is no room for it."""
    with store.reading() as records:
        if _was_made(records, account_id):
            return
    with store.transaction() as tx:
        now = time.time()
        make_default_role(tx, account_id, now)
        tx.accounts.save(MemberAccount(account_id, account_id, now))


def _was_made(records: Reading, account_id: str) -> bool:
    """Whether the account has a record, be it one that was damaged and set aside."""
    aside = (each for each in records.set_aside.all() if each.table == "accounts")
    return records.accounts.find(account_id) is not None or any(
        each.name == account_id for each in aside
    )


def _policy(account_id: str) -> dict[str, Any]:
    """What it may beside the managed policy. Objects are those of buckets of the account: the ARN
    of a bucket does not say whose it is."""
    role = entity_arn(account_id, "role", PATH, NAME)
    objects = [
        *("s3:AbortMultipartUpload", "s3:DeleteObject*", "s3:GetBucket*", "s3:GetObject*"),
        *("s3:ListBucket*", "s3:ListMultipartUploadParts", "s3:PutBucketAcl", "s3:PutObject*"),
    ]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ObjectsOfItsAccount",
                "Effect": "Allow",
                "Action": objects,
                "Resource": "arn:aws:s3:::*",
                "Condition": {"StringEquals": {"aws:ResourceAccount": account_id}},
            },
            {
                "Sid": "LogsOfEndpoints",
                "Effect": "Allow",
                "Action": ["logs:FilterLogEvents"],
                "Resource": "arn:*:logs:*:*:log-group:/aws/sagemaker/*",
            },
            {
                "Sid": "ItsOwnRights",
                "Effect": "Allow",
                "Action": ["iam:GetRole", "iam:SimulatePrincipalPolicy"],
                "Resource": role,
            },
        ],
    }
