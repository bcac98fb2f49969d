"""Conditions: what a request has to say of itself for a statement to apply.

A Condition is operators over keys over values, and all of them have to hold. Around the operator a
policy may say `ForAllValues:` or `ForAnyValue:`, which is how it speaks of a key with several
values, and `IfExists`. Where the request lacks the key the answer does not depend on any value:

    operator                          the key is absent
    StringEquals …                    does not hold
    StringNotEquals …                 holds
    …IfExists                         holds
    ForAllValues:…                    holds
    ForAnyValue:…                     does not hold
    Null: true                        holds

A key with several values fits no operator that is for one, not even a negated one: a policy that
takes a list for a text must not let anybody in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from inservice.identity.policies.comparisons import OPERATORS, comparison, is_negated
from inservice.identity.policies.values import is_true
from inservice.identity.policies.variables import Context

_IF_EXISTS: Final = "IfExists"
_QUANTIFIERS: Final = ("ForAllValues", "ForAnyValue")


def is_operator(name: str) -> bool:
    """Whether IAM has it, with whatever may be said around it."""
    quantifier, colon, rest = name.rpartition(":")
    if colon and quantifier not in _QUANTIFIERS:
        return False
    return name == "Null" or rest.removesuffix(_IF_EXISTS) in OPERATORS


class Condition:
    """One operator over one key."""

    def __init__(
        self, name: str, key: str, operands: Sequence[str], *, variables: bool, denies: bool
    ) -> None:
        self.quantifier, _, rest = name.rpartition(":")
        operator = rest.removesuffix(_IF_EXISTS)
        self.if_exists: Final = operator != rest
        self.negated: Final = is_negated(operator)
        self.key: Final = key  # as written
        self.lower_key: Final = key.lower()
        self.has_operands: Final = bool(operands)
        self.null: Final = operator == "Null"
        self.absent: Final = frozenset(map(is_true, operands))  # what Null asks for
        self.comparison: Final = (
            None
            if self.null
            else comparison(operator, operands, variables=variables, denies=denies)
        )

    def holds(self, context: Context) -> bool:
        """Whether it does for a request."""
        value = context.get(self.lower_key)
        absent = value is None or value == ()
        if self.comparison is None:
            return absent in self.absent
        if value is None or value == ():
            if self.if_exists or self.quantifier == "ForAllValues":
                return True
            return self.negated and not self.quantifier
        if not self.has_operands:
            return False
        if not self.quantifier:
            return isinstance(value, str) and self.comparison.holds(value, context)
        values = (value,) if isinstance(value, str) else value
        fitting = [self.comparison.holds(each, context) for each in values]
        return all(fitting) if self.quantifier == "ForAllValues" else any(fitting)

    @property
    def keys(self) -> list[str]:
        """The condition keys that it asks for, those of variables included, as written."""
        return [self.key, *(self.comparison.keys if self.comparison is not None else ())]


def conditions_of(
    element: Mapping[str, Mapping[str, Sequence[str]]], *, variables: bool, denies: bool
) -> list[Condition]:
    """Those of a Condition element: all of them have to hold."""
    return [
        Condition(name, key, operands, variables=variables, denies=denies)
        for name, keys in element.items()
        for key, operands in keys.items()
    ]
