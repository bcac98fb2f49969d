"""Policies by the words that a person types for them."""

from __future__ import annotations

from typing import Any

from inservice.cli.spelling import did_you_mean


def policy_arn(iam: Any, word: str) -> str:
    """The ARN of a managed policy that is named by it or by its name. Raises ValueError for a name
    that none has, or two: AWS's and one of the account's own."""
    if word.startswith("arn:"):
        return word
    policies = iam.get_paginator("list_policies").paginate(Scope="All").build_full_result()
    named = [one["Arn"] for one in policies["Policies"] if one["PolicyName"] == word]
    if len(named) == 1:
        return str(named[0])
    if named:
        raise ValueError(f'"{word}" names {" and ".join(named)}: give the ARN')
    names = [one["PolicyName"] for one in policies["Policies"]]
    raise ValueError(f'There is no policy "{word}"{did_you_mean(word, names)}')
