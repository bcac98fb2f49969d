"""IAM's ARNs, and the partition in which they are told.

    arn:aws:iam::111122223333:user/engineering/ana
    arn:aws:iam::111122223333:policy/deploy
    arn:aws:iam::aws:policy/service-role/…              a policy of AWS's own

An account of AWS's is in one partition; a server of InService answers for the regions of all. So
whatever is kept has its ARN in `aws`, requests may name it in the partition of the region that they
are signed for, and answers tell it there.
"""

from __future__ import annotations

import re

AWS_ACCOUNT = "aws"
"""In the place of an account: the owner of the policies that everybody has."""

_ARN = re.compile(
    r"arn:(aws[a-z-]*):iam::([0-9]{12}|aws):(user|group|role|policy)(/(?:[!-~]+/)?)([\w+=,.@-]+)",
    re.ASCII,
)


_PROVIDER = re.compile(r"arn:aws:iam::([0-9]{12}):oidc-provider/([!-~]+)")


def provider_arn(account: str, name: str) -> str:
    """The ARN of an OIDC provider, as it is kept."""
    return f"arn:aws:iam::{account}:oidc-provider/{name}"


def provider_in(arn: str) -> tuple[str, str] | None:
    """(account, name) of an OIDC provider's ARN as it is kept; None for what is none."""
    found = _PROVIDER.fullmatch(arn)
    return None if found is None else (found[1], found[2])


def entity_arn(account: str, kind: str, path: str, name: str) -> str:
    """The ARN of a user, group, role or policy, as it is kept."""
    return f"arn:aws:iam::{account}:{kind}{path}{name}"


def taken_apart(arn: str) -> tuple[str, str, str, str, str] | None:
    """(partition, account, kind, path, name); None for what is no ARN of these."""
    found = _ARN.fullmatch(arn)
    return None if found is None else (found[1], found[2], found[3], found[4], found[5])


def kept(arn: str, partition: str) -> str | None:
    """The ARN as it is kept, of one that names `partition`; None for one of another."""
    word, own, rest = arn.split(":", 2) if arn.count(":") >= 2 else ("", "", "")
    return f"arn:aws:{rest}" if (word, own) == ("arn", partition) else None


def told(arn: str, partition: str) -> str:
    """An ARN that is kept, in the partition of whoever asked."""
    return f"arn:{partition}:{arn.split(':', 2)[2]}"
