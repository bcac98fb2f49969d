"""BeginRoleSession: root becomes a role of its account for a while.

`sts:AssumeRole` refuses root, here as on AWS, and a role that SageMaker assumes trusts nobody else.
Still who has the account's root key and tries a program wants to see what the program would see in
a notebook: one that runs as its execution role. Root may give itself any right of its account
anyway, so no policy is asked, and none gives this to anybody else; the session is one as
AssumeRole begins it.
"""

from __future__ import annotations

from inservice.errors import AccessDeniedException
from inservice.identity.iam.arns import told
from inservice.identity.principal import Account
from inservice.identity.sts.assuming import Asked, begun
from inservice.operations.iam.found import own_role_named
from inservice.operations.own import default_role, touches
from inservice.operations.registry import Call, Document, operation
from inservice.operations.sts.given import begin, credentials
from inservice.partitions import partition_of


@operation("inservice", "BeginRoleSession", on=(touches.root,), told=(touches.role_or_default,))
def begin_role_session(
    call: Call,
    *,
    role_session_name: str,
    role_name: str | None = None,
    duration_seconds: int | None = None,
) -> Document:
    """Give root temporary keys of a role, by default of the default execution role."""
    if call.principal != Account(call.account).root.arn:
        raise AccessDeniedException("Only root may become a role that does not trust it.")
    with call.store.transaction() as tx:
        role = own_role_named(tx, call, role_name or default_role.NAME)
        asked = Asked(session_name=role_session_name, seconds=duration_seconds)
        session = begun(role, asked, None, call.now)
        key = begin(tx, session, call.now)
    partition = partition_of(call.region)
    return {
        "Credentials": credentials(key),
        "RoleArn": told(role.arn, partition),
        "AssumedRoleArn": told(session.principal.arn, partition),
    }
