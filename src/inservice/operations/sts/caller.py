"""GetCallerIdentity, the first thing that many scripts ask; GetAccessKeyInfo and
DecodeAuthorizationMessage, about what somebody else was given."""

from __future__ import annotations

from inservice.errors import ValidationError
from inservice.identity.iam.arns import told
from inservice.identity.sts.errors import InvalidAuthorizationMessage
from inservice.identity.unique_ids import account_of
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything
from inservice.partitions import partition_of


@operation("sts", "GetCallerIdentity", on=())
def get_caller_identity(call: Call) -> Document:
    """Whose access key signed this. The root principal's user id is its account, as on AWS. The
    ARN is of the partition that was asked: one server answers for the regions of all."""
    arn = told(call.principal, partition_of(call.region))
    return {"UserId": call.user_id, "Account": call.account, "Arn": arn}


@operation("sts", "GetAccessKeyInfo", on=(anything,))
def get_account_of_access_key(call: Call, *, access_key_id: str) -> Document:
    """The account that an access key is of: what its id says, whether there is such a key or not;
    of a key whose id says nothing, what is known."""
    account = account_of(access_key_id)
    if account is None:
        with call.store.reading() as records:
            key = records.access_keys.find(access_key_id)
        if key is None or key.principal.account != call.account:
            raise ValidationError(f"Invalid access key id: {access_key_id}")
        account = key.principal.account
    return {"Account": account}


@operation("sts", "DecodeAuthorizationMessage", on=(anything,))
def decode_authorization_message(call: Call, *, encoded_message: str) -> Document:
    """Refused: no service here encodes why it denies, it says so. What is in such a message of
    AWS's, AWS alone can read."""
    del call, encoded_message
    raise InvalidAuthorizationMessage("The encoded message was not issued by this server.")
