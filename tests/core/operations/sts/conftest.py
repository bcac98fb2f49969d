"""STS as the api asks it: first whether the caller may, then the operation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import pytest

from inservice.api.allow import allow
from inservice.errors import AwsError
from inservice.identity import unique_ids
from inservice.identity.authority import Authority, in_session
from inservice.identity.iam.entities import InlinePolicy, Role, User
from inservice.identity.principal import AccessKey, Account, Principal
from inservice.operations import registry
from inservice.operations.iam.made import new_id
from inservice.operations.live import Live
from inservice.operations.sts import assume_role
from inservice.store.base import Store
from inservice.store.held import held_by
from inservice.transport.messages import Request
from tests.core.operations.conftest import ACCOUNT, REGION, NothingRuns

assert assume_role  # registers the operations of STS

NOW = 1_750_000_000.0
ROOT = AccessKey("AKIAROOT", "secret", Account(ACCOUNT).root)


class Place:
    """An account, and what is asked in it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOW

    # ── who there is ────────────────────────────────────────────────────────────────────────────
    def user(self, name: str, *statements: Mapping[str, Any]) -> AccessKey:
        """A user; somebody else, if there is one of that name."""
        made = User(ACCOUNT, name, "/", new_id(unique_ids.USER), 1.0, inline=inline(*statements))
        with self.store.transaction() as tx:
            if (before := tx.users.named(ACCOUNT, name)) is not None:
                tx.users.delete(before)
            tx.users.save(made)
        return AccessKey(f"AKIA{name}", "secret", Principal(ACCOUNT, made.arn, made.id))

    def role(self, name: str, trust: Any, *statements: Mapping[str, Any], **more: Any) -> Role:
        """A role, made as IAM makes it: whom its policy names is bound."""
        document = trust if isinstance(trust, str) else policy(trust)
        self.ask(
            "iam", "CreateRole", ROOT, RoleName=name, AssumeRolePolicyDocument=document, **more
        )
        for number, statement in enumerate(statements):
            self.ask(
                "iam",
                "PutRolePolicy",
                ROOT,
                RoleName=name,
                PolicyName=f"p{number}",
                PolicyDocument=policy(statement),
            )
        with self.store.reading() as records:
            made = records.roles.named(ACCOUNT, name)
        assert made is not None
        return made

    # ── asking ──────────────────────────────────────────────────────────────────────────────────
    def ask(
        self, service: str, name: str, key: AccessKey, *, region: str = REGION, **members: Any
    ) -> Mapping[str, Any]:
        operation = registry.find(service, name)
        assert operation is not None
        call = registry.Call(
            account=key.principal.account,
            region=region,
            principal=key.principal.arn,
            request_id="00000000-0000-0000-0000-000000000000",
            now=self.now,
            store=self.store,
            live=cast(Live, NothingRuns()),
            user_id=key.principal.userid,
            session=key.session,
        )
        request = Request("POST", b"/", 1, [(b"user-agent", b"test")])
        allow(self.authority_of, operation, call, members, request, key)
        return operation.perform(call, members)

    def assume(self, key: AccessKey, role: Role | str, **members: Any) -> AccessKey:
        """The key of the session, as the store has it."""
        answer = self.answer(key, role, **members)
        given = answer["Credentials"]
        with self.store.reading() as records:
            kept = records.sessions.find(given["AccessKeyId"])
        assert kept is not None
        assert (kept.secret, kept.session_token, kept.expires_at) == (
            given["SecretAccessKey"],
            given["SessionToken"],
            given["Expiration"],
        )
        return kept

    def answer(self, key: AccessKey, role: Role | str, **members: Any) -> Mapping[str, Any]:
        arn = role if isinstance(role, str) else role.arn
        return self.ask(
            "sts", "AssumeRole", key, **{"RoleArn": arn, "RoleSessionName": "s1", **members}
        )

    def refused(self, key: AccessKey, role: Role | str, **members: Any) -> tuple[str, str]:
        """The code and the words; nothing is kept."""
        with self.store.reading() as records:
            before = list(records.sessions.all())
        with pytest.raises(AwsError) as caught:
            self.answer(key, role, **members)
        with self.store.reading() as records:
            assert list(records.sessions.all()) == before
        return caught.value.code, caught.value.message

    def authority_of(self, key: AccessKey) -> Authority:
        """As `controller.grants` has it, from the records as they are now."""
        principal, session = key.principal, key.session
        with self.store.reading() as records:
            if session is None:
                found = records.users.by_id(principal.account, principal.id)
                if found is None:
                    return Authority(principal)
                held = held_by(records, found)
                return Authority(principal, held.policies, held.boundary, tags=held.tags)
            role = records.roles.by_id(principal.account, principal.id)
            if role is None:
                return Authority(principal)
            held = held_by(records, role)
            assert held.principal is not None
        whole = Authority(held.principal, held.policies, held.boundary, tags=held.tags)
        return in_session(session, whole, {})


def policy(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def inline(*statements: Mapping[str, Any]) -> tuple[InlinePolicy, ...]:
    return (InlinePolicy("own", policy(*statements)),) if statements else ()


def allows(*actions: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*", **more}


def trusts(
    *arns: str, actions: tuple[str, ...] = ("sts:AssumeRole",), **more: Any
) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"AWS": list(arns)}, "Action": list(actions), **more}


@pytest.fixture
def place(store: Store) -> Place:
    return Place(store)
