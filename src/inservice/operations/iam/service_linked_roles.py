"""Service-linked roles: made by IAM for one service, which alone becomes them and changes them.

Here that is Application Auto Scaling, whose role for endpoints every account has that scales one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from inservice.errors import NotImplementedYet
from inservice.identity import managed, unique_ids
from inservice.identity.iam.arns import entity_arn, told
from inservice.identity.iam.entities import Role
from inservice.identity.iam.errors import InvalidInput, LimitExceeded, NoSuchEntity
from inservice.identity.iam.limits import ROLES_MAX
from inservice.operations.iam import touches
from inservice.operations.iam.found import role_named
from inservice.operations.iam.made import new_id
from inservice.operations.iam.shown import role_whole
from inservice.operations.registry import Call, Document, Touch, operation
from inservice.operations.touches import ANY
from inservice.partitions import partition_of


@dataclass(frozen=True, slots=True)
class _Template:
    """What a service's own role is called, and what it may do."""

    role_name: str
    policy_arn: str


TEMPLATES: Mapping[str, _Template] = {
    "sagemaker.application-autoscaling.amazonaws.com": _Template(
        "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
        "arn:aws:iam::aws:policy/aws-service-role/AWSApplicationAutoscalingSageMakerEndpointPolicy",
    )
}
"""By the service that AWSServiceName names."""

_SERVICE = re.compile(r"[a-z0-9.-]+\.amazonaws\.com(\.cn)?")
_TASK = re.compile(r"task/aws-service-role/([^/]+)/([\w+=,.@-]+)/([0-9a-f-]{36})", re.ASCII)


def _role_of_service(call: Call, members: Document) -> Iterable[Touch]:
    service = members["AWSServiceName"]
    template = TEMPLATES.get(service)
    name = ANY if template is None else template.role_name
    yield _touch(call, service, name, {"iam:awsservicename": service})


def _role_of_task(call: Call, members: Document) -> Iterable[Touch]:
    found = _TASK.fullmatch(members["DeletionTaskId"])
    yield Touch(ANY) if found is None else _touch(call, found[1], found[2], {})


def _touch(call: Call, service: str, name: str, keys: Mapping[str, str]) -> Touch:
    arn = entity_arn(call.account, "role", f"/aws-service-role/{service}/", name)
    return Touch(told(arn, partition_of(call.region)), keys=keys)


@operation("iam", "CreateServiceLinkedRole", on=(_role_of_service,))
def create_service_linked_role(
    call: Call,
    *,
    aws_service_name: str,
    description: str = "",
    custom_suffix: str | None = None,
) -> Document:
    """Make a service's own role. Raises InvalidInput when it is there already."""
    template = TEMPLATES.get(aws_service_name)
    if template is None:
        if _SERVICE.fullmatch(aws_service_name) is None:
            raise InvalidInput(f"Cannot find Service Linked Role template for {aws_service_name}")
        raise NotImplementedYet(f"a service-linked role for {aws_service_name}")
    if custom_suffix is not None:
        raise InvalidInput(f"Custom suffix is not allowed for {aws_service_name}")
    with call.store.transaction() as tx:
        if tx.roles.named(call.account, template.role_name) is not None:
            raise InvalidInput(
                f"Service role name {template.role_name} has been taken in this account, please "
                "try a different suffix."
            )
        if tx.roles.count(call.account) >= ROLES_MAX:
            raise LimitExceeded.of("RolesPerAccount", ROLES_MAX)
        granted = managed.find(template.policy_arn)
        role = Role(
            account=call.account,
            name=template.role_name,
            path=f"/aws-service-role/{aws_service_name}/",
            id=new_id(unique_ids.ROLE),
            created_at=call.now,
            trust=_trust(aws_service_name),
            description=description,
            attached=(granted.arn,) if granted is not None else (),
            service=aws_service_name,
        )
        tx.roles.save(role)
        return {"Role": role_whole(call, tx, role)}


@operation("iam", "DeleteServiceLinkedRole", on=(touches.role,))
def delete_service_linked_role(call: Call, *, role_name: str) -> Document:
    """Forget a service's own role. That is done when this answers; the task only tells of it."""
    with call.store.transaction() as tx:
        role = role_named(tx, call, role_name)
        if not role.service:
            raise NoSuchEntity(f"The role with name {role_name} cannot be found.")
        tx.roles.delete(role)
        tx.sessions.end(role.account, role.id)
    return {"DeletionTaskId": _task(call.account, role.service, role.name)}


@operation("iam", "GetServiceLinkedRoleDeletionStatus", on=(_role_of_task,))
def get_service_linked_role_deletion_status(call: Call, *, deletion_task_id: str) -> Document:
    """How far a deletion has got: it is over. Raises NoSuchEntity for a task that this account
    was not given."""
    found = _TASK.fullmatch(deletion_task_id)
    if found is None or _task(call.account, found[1], found[2]) != deletion_task_id:
        raise NoSuchEntity(f"The deletion task with id {deletion_task_id} cannot be found.")
    return {"Status": "SUCCEEDED"}


def _trust(service: str) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))


def _task(account: str, service: str, role_name: str) -> str:
    """Nothing has to be remembered of it: the id says what it is about, and whose it is."""
    whose = f"{account} {service} {role_name}"
    digest = hashlib.sha256(whose.encode()).hexdigest()
    parts = digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]
    return f"task/aws-service-role/{service}/{role_name}/{'-'.join(parts)}"
