"""Tags of a resource: what may be added, and how many there may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inservice.errors import ValidationException

TAGS_MAX = 50
"""Per resource, as on AWS."""


def with_tags(present: Mapping[str, str], added: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    """The tags of a resource after a request's tags were put over those it has, key by key.

    Raises ValidationException for a key given twice, a reserved key, or too many tags in the end.
    """
    keys = [tag["Key"] for tag in added]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ValidationException(f"Duplicate tag keys found: {', '.join(twice)}.")
    if reserved := [key for key in keys if key.lower().startswith("aws:")]:
        raise ValidationException(
            f"Tag keys starting with 'aws:' are reserved for system use: {', '.join(reserved)}."
        )
    together = {**present, **{tag["Key"]: tag["Value"] for tag in added}}
    if len(together) > TAGS_MAX:
        raise ValidationException(
            f"A resource can have at most {TAGS_MAX} tags; with these it would have "
            f"{len(together)}."
        )
    return together
