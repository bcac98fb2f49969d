"""The operators of conditions, without what may be said around them: one value against some.

A *comparison* has the operands that a policy gives, of which one has to fit (or, for an operator
with Not in its name, none may), and answers for one value of the request. Where a text is not of
the operator's kind:

    kind         in the request                  in the policy
    numbers      unequal to everything           never fits
    dates        unequal to everything           never fits
    addresses    never holds, negated or not     never fits
    ARNs         never holds, negated or not     in a Deny it holds for every ARN, in an Allow never

The last is the one that must not fail open: who denies by a misspelt ARN has denied all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from inservice.identity.policies.patterns import (
    STAR,
    Pattern,
    PatternSet,
    Piece,
    Subject,
    compiled,
)
from inservice.identity.policies.values import (
    Network,
    address_of,
    arn_fields,
    bytes_of,
    is_true,
    milliseconds_of,
    network_of,
    number_of,
)
from inservice.identity.policies.variables import (
    Context,
    Template,
    expand,
    is_static,
    template_of,
    text_of,
    variables_of,
)


class Comparison:
    """One operator with its operands."""

    keys: Sequence[str] = ()
    """The keys of variables in the operands, as written."""

    def holds(self, value: str, context: Context) -> bool:
        """Whether it does for one value of the request. There is at least one operand."""
        raise AssertionError(value, context)


class _Strings(Comparison):
    """Equal texts, or, with wildcards, like ones."""

    def __init__(
        self, operands: Sequence[str], variables: bool, negated: bool, like: bool, fold: bool
    ) -> None:
        templates = [template_of(o, wildcards=like, variables=variables) for o in operands]
        self.negated: Final = negated
        self.fold: Final = fold
        self.static: Final = PatternSet(
            compiled(self._folded(expand(template, {}) or ()))
            for template in templates
            if is_static(template)
        )
        self.templates: Final = [each for each in templates if not is_static(each)]
        self.keys = [key for template in templates for key in variables_of(template)]

    def holds(self, value: str, context: Context) -> bool:
        """See `Comparison`. A variable without a value fits nothing."""
        subject = Subject(value.lower() if self.fold else value)
        return (self.static.matches(subject) or self._expanded(subject, context)) != self.negated

    def _expanded(self, subject: Subject, context: Context) -> bool:
        for template in self.templates:
            pieces = expand(template, context)
            if pieces is not None and compiled(self._folded(pieces)).matches(subject):
                return True
        return False

    def _folded(self, pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
        """Lower case, and not Unicode's case folding, as AWS's."""
        return (text_of(pieces).lower(),) if self.fold else pieces


class _Ordered(Comparison):
    """Numbers or dates."""

    def __init__(self, operands: Sequence[str], name: str, read: Callable[[str], object]) -> None:
        self.read: Final = read
        self.operator: Final = name
        self.operands: Final = [each for o in operands if (each := read(o)) is not None]

    def holds(self, value: str, _context: Context) -> bool:
        """See `Comparison`."""
        given = self.read(value)
        if self.operator == "NotEquals":
            return given is None or given not in self.operands
        return given is not None and any(
            _ordered(self.operator, given, operand) for operand in self.operands
        )


def _ordered(operator: str, given: object, operand: object) -> bool:
    if given == operand:
        return operator in ("Equals", "LessThanEquals", "GreaterThanEquals")
    if operator == "Equals":
        return False
    less = given < operand  # type: ignore[operator]  # both of what one reader made
    return bool(less) == operator.startswith("Less")


class _Bool(Comparison):
    def __init__(self, operands: Sequence[str]) -> None:
        self.operands: Final = frozenset(map(is_true, operands))

    def holds(self, value: str, _context: Context) -> bool:
        """See `Comparison`."""
        return is_true(value) in self.operands


class _Binary(Comparison):
    def __init__(self, operands: Sequence[str]) -> None:
        self.operands: Final = {each for o in operands if (each := bytes_of(o)) is not None}

    def holds(self, value: str, _context: Context) -> bool:
        """See `Comparison`."""
        given = bytes_of(value)
        return given is not None and given in self.operands


class _Addresses(Comparison):
    def __init__(self, operands: Sequence[str], negated: bool) -> None:
        self.negated: Final = negated
        self.networks: Final[list[Network]] = [n for o in operands if (n := network_of(o))]

    def holds(self, value: str, _context: Context) -> bool:
        """See `Comparison`."""
        address = address_of(value)
        if address is None:
            return False
        return any(address in network for network in self.networks) != self.negated


class _Arns(Comparison):
    """Field by field: a wildcard stays in its field, but for the last, which holds the rest."""

    def __init__(
        self, operands: Sequence[str], variables: bool, negated: bool, denies: bool
    ) -> None:
        templates = [template_of(o, wildcards=True, variables=variables) for o in operands]
        static = [_arn_patterns(expand(t, {}) or ()) for t in templates if is_static(t)]
        self.negated: Final = negated
        self.denies: Final = denies
        self.static: Final = static
        self.templates: Final[list[Template]] = [t for t in templates if not is_static(t)]
        self.keys = [key for template in templates for key in variables_of(template)]

    def holds(self, value: str, context: Context) -> bool:
        """See `Comparison`."""
        fields = arn_fields(value)
        if fields is None:
            return False
        operands = list(self.static)
        for template in self.templates:
            pieces = expand(template, context)
            if pieces is not None:
                operands.append(_arn_patterns(pieces))
        malformed = any(operand is None for operand in operands)
        if malformed and (self.denies or self.negated):
            return self.denies
        subjects = [Subject(field) for field in fields]
        fits = any(
            operand is not None
            and all(p.matches(s) for p, s in zip(operand, subjects, strict=True))
            for operand in operands
        )
        return fits != self.negated


def _arn_patterns(pieces: tuple[Piece, ...]) -> list[Pattern] | None:
    """A pattern for each of an ARN's fields; None if the operand is no ARN."""
    fields: list[list[Piece]] = [[]]
    for piece in pieces:
        if isinstance(piece, int):
            fields[-1].append(piece)
            continue
        head, *rest = piece.split(":", 6 - len(fields))
        fields[-1].extend([head] if head else [])
        fields.extend([part] if part else [] for part in rest)
    if len(fields) != 6 or fields[0] not in (["arn"], [STAR]):
        return None
    return [compiled(tuple(field)) for field in fields]


# ── by name ──────────────────────────────────────────────────────────────────────────────────────

_STRINGS: Final = {  # name → negated, wildcards, without regard to case
    "StringEquals": (False, False, False),
    "StringNotEquals": (True, False, False),
    "StringEqualsIgnoreCase": (False, False, True),
    "StringNotEqualsIgnoreCase": (True, False, True),
    "StringLike": (False, True, False),
    "StringNotLike": (True, True, False),
}
_ORDERS: Final = (
    "Equals",
    "NotEquals",
    "LessThan",
    "LessThanEquals",
    "GreaterThan",
    "GreaterThanEquals",
)
_ADDRESSES: Final = {"IpAddress": False, "NotIpAddress": True}
_ARNS: Final = {"ArnEquals": False, "ArnLike": False, "ArnNotEquals": True, "ArnNotLike": True}

OPERATORS: Final = frozenset(
    [
        *_STRINGS,
        *(kind + order for kind in ("Numeric", "Date") for order in _ORDERS),
        "Bool",
        "BinaryEquals",
        *_ADDRESSES,
        *_ARNS,
    ]
)
"""All but Null, which compares nothing."""


def is_negated(operator: str) -> bool:
    """Whether it holds where there is nothing to compare with: those with Not in their name."""
    return "Not" in operator


def comparison(
    operator: str, operands: Sequence[str], *, variables: bool, denies: bool
) -> Comparison:
    """The comparison by its name, which is one of `OPERATORS`."""
    if operator in _STRINGS:
        negated, like, fold = _STRINGS[operator]
        return _Strings(operands, variables, negated, like, fold)
    if operator in _ARNS:
        return _Arns(operands, variables, _ARNS[operator], denies)
    if operator in _ADDRESSES:
        return _Addresses(operands, _ADDRESSES[operator])
    if operator == "Bool":
        return _Bool(operands)
    if operator == "BinaryEquals":
        return _Binary(operands)
    if operator.startswith("Numeric"):
        return _Ordered(operands, operator.removeprefix("Numeric"), number_of)
    return _Ordered(operands, operator.removeprefix("Date"), milliseconds_of)
