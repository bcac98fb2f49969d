"""GetCallerIdentity: the first thing that many scripts ask."""

from __future__ import annotations

from inservice.identity.iam.arns import told
from inservice.operations.registry import Call, Document, operation
from inservice.partitions import partition_of


@operation("sts", "GetCallerIdentity", on=())
def get_caller_identity(call: Call) -> Document:
    """Whose access key signed this. The root principal's user id is its account, as on AWS. The
    ARN is of the partition that was asked: one server answers for the regions of all."""
    arn = told(call.principal, partition_of(call.region))
    return {"UserId": call.user_id, "Account": call.account, "Arn": arn}
