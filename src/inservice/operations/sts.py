"""GetCallerIdentity: the first thing that many scripts ask."""

from __future__ import annotations

from inservice.operations.registry import Call, Document, operation


@operation("sts", "GetCallerIdentity")
def get_caller_identity(call: Call) -> Document:
    """Whose access key signed this. The root principal's user id is its account, as on AWS."""
    return {"UserId": call.account, "Account": call.account, "Arn": call.principal}
