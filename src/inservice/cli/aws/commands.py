"""The commands of a service: its operations as a command line names them, and a few beside."""

from __future__ import annotations

from botocore import xform_name
from botocore.exceptions import DataNotFoundError
from botocore.model import OperationModel

from inservice.cli.aws.session import Session

TAIL = ("logs", "tail")
"""AWS CLI's one addition to the models of our services."""

_LEFT_OUT = {"sagemaker-runtime": ("invoke-endpoint-with-response-stream",)}
"""Operations whose answer is a stream of events; a command line has no form for one."""


def operation_named(word: str, service: str, session: Session) -> OperationModel | None:
    """The operation of that name, without naming the other four hundred: that takes 12 ms."""
    if word in _LEFT_OUT.get(service, ()):
        return None
    model = session.service_model(service)
    for name in model.operation_names:
        if name.lower() == word.replace("-", "") and xform_name(name, "-") == word:
            operation: OperationModel = model.operation_model(name)
            return operation
    return None


def operations_of(service: str, session: Session) -> dict[str, str]:
    """The service's commands, each with the operation it calls; `wait` and `tail` have none."""
    names = session.service_model(service).operation_names
    operations = {xform_name(name, "-"): name for name in names}
    for left_out in _LEFT_OUT.get(service, ()):
        operations.pop(left_out, None)
    if waiters_of(service, session):
        operations["wait"] = ""
    if service == TAIL[0]:
        operations[TAIL[1]] = ""
    return operations


def waiters_of(service: str, session: Session) -> dict[str, str]:
    """The service's waiters: command → the waiter's name."""
    try:
        names = session.waiter_model(service).waiter_names
    except DataNotFoundError:
        return {}
    return {xform_name(name, "-"): name for name in names}
