"""Trust policies: whom they name, and what is told of them once somebody is gone.

A statement that names a user or a role means whoever had that ARN when the policy was saved, by
their unique id. Somebody of the same name who is made later is somebody else: a role must not be
open to whoever can make a user. So what was named is bound to ids (`Role.bound`), and a document is
told with ids in the place of those who are gone.

Whoever is of another account is meant by their ARN alone. To bind them would tell whether they are
there; so who trusts them trusts that account with who has the name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def text_as_bound(document: str, instead: Mapping[str, str]) -> str:
    """The document with other texts in the place of principals. It is told as it was put unless
    one is replaced."""
    if all(arn == told for arn, told in instead.items()):
        return document
    policy = json.loads(document)
    statements = policy["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        for element in ("Principal", "NotPrincipal"):
            if isinstance(named := statement.get(element), dict) and "AWS" in named:
                named["AWS"] = _replaced(named["AWS"], instead)
    return json.dumps(policy, ensure_ascii=False, separators=(",", ":"))


def _replaced(named: Any, instead: Mapping[str, str]) -> Any:
    if isinstance(named, list):
        return [instead.get(each, each) for each in named]
    return instead.get(named, named)
