"""Execution roles: whether a role that is handed over is one, and trusts SageMaker.

A role of the account must trust `sagemaker.amazonaws.com`, in AWS's sentence, whatever is set. One
that is not there is of an account of AWS's, most often: code that was written for that account
names it, and is to run here as it is. A role of another account of this server is none that is
known, either. So it is taken unless `INSERVICE_EXECUTION_ROLES=existing`,
and the history of an endpoint says that it was not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from inservice.deployment.state import Decision
from inservice.errors import ValidationException
from inservice.hosting.arn import ResourceArn
from inservice.hosting.endpoint_config import EndpointConfig
from inservice.hosting.model import Model
from inservice.identity.sts.trusting import trusts_service
from inservice.operations.registry import Call
from inservice.operations.sagemaker.touches import SERVICE
from inservice.operations.sts.touches import own_role_at
from inservice.store.base import Reading


def check_execution_role(
    records: Reading, call: Call, role_arn: str | None, of: ResourceArn
) -> None:
    """Refuse a role that SageMaker could not assume for `of`. Raises ValidationException."""
    if role_arn is None:
        return
    role = own_role_at(records, call.account, call.region, role_arn)
    if role is None:
        usable = call.live.takes_unknown_roles
    else:
        context = {"aws:sourceaccount": call.account, "aws:sourcearn": str(of)}
        usable = trusts_service(role, SERVICE, context)
    if not usable:
        raise ValidationException(
            f'The execution role ARN "{role_arn}" is invalid. Please ensure that the role exists '
            'and that its trust relationship policy allows the action "sts:AssumeRole" for the '
            'service principal "sagemaker.amazonaws.com".'
        )


def with_roles_told(
    decision: Decision,
    records: Reading,
    call: Call,
    config: EndpointConfig,
    models: Mapping[str, Model],
) -> Decision:
    """The decision, with a line in the endpoint's history for each role that is not known here."""
    events = tuple(
        decision.deployment.event(
            call.now, f"The execution role {arn} is not known here and was not checked."
        )
        for arn in _roles(config, models)
        if own_role_at(records, call.account, call.region, arn) is None
    )
    return replace(decision, events=(*decision.events, *events))


def _roles(config: EndpointConfig, models: Mapping[str, Model]) -> Iterable[str]:
    """Each that is named, once."""
    documents = (config.document, *(model.document for model in models.values()))
    named = (document.get("ExecutionRoleArn") for document in documents)
    return dict.fromkeys(arn for arn in named if arn is not None)
