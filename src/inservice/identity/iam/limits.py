"""IAM's quotas: how much there may be of what. AWS's defaults, which nobody raises here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inservice.identity.iam.errors import InvalidInput, LimitExceeded

USERS_MAX = 5_000
GROUPS_MAX = 300
ROLES_MAX = 1_000
POLICIES_MAX = 1_500
GROUPS_PER_USER_MAX = 10
KEYS_PER_USER_MAX = 2
ATTACHED_MAX = 10  # managed policies of one user, group or role
VERSIONS_MAX = 5  # of one managed policy
TAGS_MAX = 50
OIDC_PROVIDERS_MAX = 100
CLIENT_IDS_MAX = 100  # of one OIDC provider
THUMBPRINTS_MAX = 5  # of one OIDC provider


def with_tags(
    present: Mapping[str, str], added: Sequence[Mapping[str, Any]], *, case_matters: bool
) -> Mapping[str, str]:
    """The tags after a request's were put over those that are there.

    Users and roles do not tell keys apart by case, and keep the newest spelling; policies do.
    Raises InvalidInput for a key given twice or reserved, LimitExceeded for too many in the end.
    """
    fold = str if case_matters else str.lower
    keys = [fold(tag["Key"]) for tag in added]
    if len(set(keys)) != len(keys):
        insensitive = "" if case_matters else " Please note that Tag keys are case insensitive."
        raise InvalidInput(f"Duplicate tag keys found.{insensitive}")
    if reserved := [tag["Key"] for tag in added if tag["Key"].lower().startswith("aws:")]:
        raise InvalidInput(
            f"Tag keys starting with 'aws:' are reserved for system use: {', '.join(reserved)}."
        )
    together = {key: value for key, value in present.items() if fold(key) not in keys}
    together |= {tag["Key"]: tag["Value"] for tag in added}
    if len(together) > TAGS_MAX:
        raise LimitExceeded("The number of tags has reached the maximum limit.")
    return together


def without_tags(
    present: Mapping[str, str], removed: Sequence[str], *, case_matters: bool
) -> Mapping[str, str]:
    """The tags without those of these keys; one that is not there is nothing to complain about."""
    fold = str if case_matters else str.lower
    gone = {fold(key) for key in removed}
    return {key: value for key, value in present.items() if fold(key) not in gone}
