"""Whether somebody who has proved who they are may do what they ask: the one place that decides it.

Both planes ask here, control for each of its operations and the gateway for each invocation, and
each says no in its own protocol. There are no policies yet, so the answer is IAM's for a principal
that has none: root may do everything in its account, and nobody else anything.
"""

from __future__ import annotations

from inservice.identity.principal import Principal


def denial(principal: Principal, action: str, region: str = "", resource: str = "") -> str | None:
    """Why `principal` may not do it, in IAM's words; None if it may.

    `action` is IAM's name for it, `sagemaker:InvokeEndpoint`; `resource` what it is done to, as it
    ends the resource's ARN (`endpoint/digits`), where that is known.
    """
    if principal.is_root:
        return None
    service = action.partition(":")[0]
    arn = f"arn:aws:{service}:{region}:{principal.account}:{resource}"
    where = f"on resource: {arn} " if resource else ""
    return (
        f"User: {principal.arn} is not authorized to perform: {action} {where}"
        f"because no identity-based policy allows the {action} action"
    )
