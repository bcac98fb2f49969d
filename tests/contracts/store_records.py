"""Records to put into a store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from inservice.deployment.calls.begin import begin_create
from inservice.deployment.state import Decision, Phase
from inservice.hosting.arn import ResourceArn, ResourceKind
from inservice.hosting.endpoint_config import EndpointConfig
from inservice.hosting.model import Model
from inservice.identity.accounts import MemberAccount
from inservice.identity.iam.entities import (
    CustomerPolicy,
    Group,
    InlinePolicy,
    OidcProvider,
    PolicyVersion,
    Role,
    User,
)
from inservice.identity.principal import AccessKey, Principal, Session, role_session

ACCOUNT = "111122223333"
REGION = "us-east-1"
WHERE = {"account": ACCOUNT, "region": REGION}
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


def model(name: str = "m", *, now: float = 1.0, **environment: str) -> Model:
    container = {
        "Image": "registry/image:1",
        "ModelDataUrl": "s3://bucket/model.tar.gz",
        "Environment": environment,
    }
    document = {"ModelName": name, "PrimaryContainer": container}
    return Model.from_document(document, now=now, **WHERE)


def endpoint_config(name: str = "c", *, now: float = 1.0, variants: int = 2) -> EndpointConfig:
    document: dict[str, Any] = {
        "EndpointConfigName": name,
        "ProductionVariants": [
            {
                "VariantName": f"v{number}",
                "ModelName": "m",
                "InitialInstanceCount": 3,
                "InitialVariantWeight": 0.1,  # no binary fraction: 1/10 must come back as 1/10
            }
            for number in range(variants)
        ],
    }
    return EndpointConfig.from_document(document, now=now, **WHERE)


def creation(name: str = "Demo", *, generation: str = "g1", now: float = 1.0) -> Decision:
    """What CreateEndpoint decides."""
    arn = ResourceArn(ResourceKind.ENDPOINT, ACCOUNT, REGION, name)
    return begin_create(
        endpoint_config(),
        {"m": model()},
        name=name,
        arn=str(arn),
        generation=generation,
        alarms={},
        now=now,
    )


def completed(decision: Decision, *, now: float = 2.0) -> Decision:
    """What the controller decides when it has come true."""
    endpoint = replace(
        decision.endpoint,
        status=Phase.IN_SERVICE.status,
        fleets=decision.deployment.new,
        modified_at=now,
    )
    deployment = replace(decision.deployment, phase=Phase.IN_SERVICE, ended_at=now)
    return Decision(endpoint, deployment, events=decision.events)


def access_key(key_id: str = "AKIA1", secret: str = "secret") -> AccessKey:
    principal = Principal(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")
    return AccessKey(id=key_id, secret=secret, principal=principal)


def session(
    key_id: str = "ASIA1", of: Role | None = None, *, ends: float = 4e9, **more: Any
) -> AccessKey:
    """A temporary key of a role."""
    holder = of or role()
    who = role_session(holder.account, holder.name, "s", holder.path, holder.id)
    terms = Session(who, issued_at=1.0, expires_at=ends, **more)
    return AccessKey(
        key_id, "secret", who, f"token of {key_id}", ends, created_at=1.0, session=terms
    )


def account(account_id: str = "444455556666") -> MemberAccount:
    return MemberAccount(account_id, "team-a", 1.5, closed_at=2.5)


def user(name: str = "Ana", *, path: str = "/", **more: Any) -> User:
    return User(ACCOUNT, name, path, f"AIDA{name.upper()}", 1.5, **more)


def group(name: str = "Ana") -> Group:
    inline = (InlinePolicy("P", '{"a":"ü\\n"}'),)
    return Group(ACCOUNT, name, "/", f"AGPA{name.upper()}", 2.0, (READ_ONLY,), inline)


def role(name: str = "Ana") -> Role:
    bound = {"arn:aws:iam::1:user/ana": "AIDA1"}
    return Role(ACCOUNT, name, "/", f"AROA{name.upper()}", 2.0, "{}", bound, boundary=READ_ONLY)


def oidc_provider(name: str = "Ana") -> OidcProvider:
    return OidcProvider(
        ACCOUNT, name, f"https://{name}", 1.0, ("sts.amazonaws.com",), ("a" * 40,), {"team": name}
    )


def policy(name: str = "Ana") -> CustomerPolicy:
    versions = (PolicyVersion(2, "{}", 1.0), PolicyVersion(9, '{"Version":""}', 2.0))
    return CustomerPolicy(ACCOUNT, name, "/", f"ANPA{name.upper()}", 1.0, 2.0, versions, 9, 11)
