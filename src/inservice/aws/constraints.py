"""What a model demands of values, checked in AWS's words, all violations in one message.

    2 validation errors detected: Value null at 'endpointConfigName' failed to satisfy constraint:
    Member must not be null; Value '0' at 'maxResults' failed to satisfy constraint: Member must
    have value greater than or equal to 1

Paths are lower camel case, elements of lists `.1.member`. For elements of lists and maps that are
plain strings or numbers AWS shows the whole collection and lists all rules of the element instead:
`Value '[a b]' at 'subnets' failed to satisfy constraint: Member must satisfy constraint: [...]`.

A shape is compiled once into a function that checks values; one without a constraint anywhere below
costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from inservice.aws.patterns import matcher
from inservice.aws.service_model import Service, Shape, camel, once_per_shape

_SHOWN_MAX = 100
"""How many violations a message spells out. A list of a million bad elements is one request."""

_VALUE_CHARS_MAX = 1_024
"""How much of a value is shown. Every valid string that AWS bounds by a pattern is shorter."""

_PATTERN_CHARS_MAX = 16_384
"""Longer strings are matched only by shapes that allow them: matching must stay cheap."""


class Violations:
    """What is wrong with a request, found one by one."""

    __slots__ = ("_texts", "absent", "count")

    def __init__(self) -> None:
        self.count = 0
        self.absent = 0  # of them, members that are required and were not given
        self._texts: list[str] = []

    def add(self, path: str, value: Any, rule: str, *, sensitive: bool = False) -> None:
        """One value breaks one rule. A sensitive value is not repeated."""
        self.count += 1
        self.absent += value is None
        if self.count <= _SHOWN_MAX:
            shown = " null" if value is None else "" if sensitive else f" '{_shown(value)}'"
            self._texts.append(f"Value{shown} at '{path}' failed to satisfy constraint: {rule}")

    def add_unknown(self, path: str, name: str, shape: Shape) -> None:
        """A member that the model does not have. AWS drops it silently; a typo would go unseen."""
        self.count += 1
        if self.count <= _SHOWN_MAX:
            where = joined(path, camel(name))[:_VALUE_CHARS_MAX]
            self._texts.append(
                f"Value at '{where}' failed to satisfy constraint: "
                f"Member must be a member of {shape.name}"
            )

    def message(self) -> str:
        """AWS's sentence about all of them."""
        noun = "error" if self.count == 1 else "errors"
        return f"{self.count} validation {noun} detected: " + "; ".join(self._texts)


Check = Callable[[Any, str, Violations], None]
"""Check a value that is not None, found at a path."""


def joined(path: str, name: str) -> str:
    """The path of a member of the structure at `path`, which is empty for the request itself."""
    return f"{path}.{name}" if path else name


def compile_check(service: Service, shape: Shape) -> Check:
    """A function that checks values of this shape, of the types that the protocols parse into."""

    @once_per_shape
    def check_of(shape: Shape) -> Check:
        if shape.type == "structure":
            return _structure(service, shape, check_of)
        if shape.type == "list":
            return _list(service, shape, check_of)
        if shape.type == "map":
            return _map(service, shape, check_of)
        rules = _rules(shape)
        return _scalar(rules, sensitive=shape.sensitive) if rules else _nothing

    return check_of(shape)


def _nothing(_: Any, __: str, ___: Violations) -> None:
    """No constraint here, nor below."""


# ── structures and collections ───────────────────────────────────────────────────────────────────


def _structure(service: Service, shape: Shape, check_of: Callable[[Shape], Check]) -> Check:
    rows = []
    for name, member in shape.members.items():
        check = check_of(service.shape_of(member))
        if name in shape.required or check is not _nothing:
            rows.append((name, camel(name), name in shape.required, check))
    if not rows and not shape.union:
        return _nothing

    def check_members(value: Mapping[str, Any], path: str, violations: Violations) -> None:
        for name, label, required, check in rows:
            item = value.get(name)
            if item is not None:
                check(item, joined(path, label), violations)
            elif required:
                violations.add(joined(path, label), None, "Member must not be null")
        if shape.union and len(value) != 1:
            violations.add(path, value, "Member must have exactly one member set")

    return check_members


def _list(service: Service, shape: Shape, check_of: Callable[[Shape], Check]) -> Check:
    assert shape.element is not None
    element = service.shape_of(shape.element)
    check, rules = check_of(element), _rules(element)
    sizes = _length_rules(shape)

    def check_elements(value: list[Any], path: str, violations: Violations) -> None:
        for rule, holds in sizes:
            if not holds(value):
                violations.add(path, value, rule)
        if any(item is None for item in value):
            violations.add(path, value, "Member must not be null")
        elif rules:
            if not all(holds(item) for item in value for _, holds in rules):
                text = f"Member must satisfy constraint: {_all_of(rules)}"
                violations.add(path, value, text, sensitive=element.sensitive)
        elif check is not _nothing:
            for n, item in enumerate(value, 1):
                check(item, f"{path}.{n}.member", violations)

    return check_elements


def _map(service: Service, shape: Shape, check_of: Callable[[Shape], Check]) -> Check:
    assert shape.key is not None
    assert shape.element is not None
    element = service.shape_of(shape.element)
    check, rules = check_of(element), _rules(element)
    key_rules = _rules(service.shape_of(shape.key))
    sizes = _length_rules(shape)

    def check_entries(value: dict[str, Any], path: str, violations: Violations) -> None:
        for rule, holds in sizes:
            if not holds(value):
                violations.add(path, value, rule)
        if not all(holds(key) for key in value for _, holds in key_rules):
            violations.add(path, value, f"Map keys must satisfy constraint: {_all_of(key_rules)}")
        if any(item is None for item in value.values()):
            violations.add(path, value, "Map value must not be null")
        elif rules:
            if not all(holds(item) for item in value.values() for _, holds in rules):
                text = f"Map value must satisfy constraint: {_all_of(rules)}"
                violations.add(path, value, text, sensitive=element.sensitive)
        elif check is not _nothing:
            for key, item in value.items():
                check(item, f"{path}.{key}.member", violations)

    return check_entries


# ── scalars ──────────────────────────────────────────────────────────────────────────────────────

Rule = tuple[str, Callable[[Any], bool]]
"""AWS's words for a rule, and whether a value keeps it."""


def _scalar(rules: list[Rule], *, sensitive: bool) -> Check:
    def check(value: Any, path: str, violations: Violations) -> None:
        for rule, holds in rules:
            if not holds(value):
                violations.add(path, value, rule, sensitive=sensitive)

    return check


def _rules(shape: Shape) -> list[Rule]:
    if shape.type in ("string", "blob"):
        return [*_length_rules(shape), *_text_rules(shape)]
    if shape.type in ("integer", "long", "float", "double"):
        return _value_rules(shape)
    return []


def _length_rules(shape: Shape) -> list[Rule]:
    rules: list[Rule] = []
    if shape.most is not None:
        most = shape.most
        words = f"Member must have length less than or equal to {most:.0f}"
        rules.append((words, lambda value: len(value) <= most))
    if shape.least:
        least = shape.least
        words = f"Member must have length greater than or equal to {least:.0f}"
        rules.append((words, lambda value: len(value) >= least))
    return rules


def _value_rules(shape: Shape) -> list[Rule]:
    rules: list[Rule] = []
    if shape.most is not None:
        most = shape.most
        words = f"Member must have value less than or equal to {most:g}"
        rules.append((words, lambda value: value <= most))
    if shape.least is not None:
        least = shape.least
        words = f"Member must have value greater than or equal to {least:g}"
        rules.append((words, lambda value: value >= least))
    return rules


def _text_rules(shape: Shape) -> list[Rule]:
    rules: list[Rule] = []
    if shape.pattern is not None and shape.type == "string":
        matches = matcher(shape.pattern)
        chars_max = max(_PATTERN_CHARS_MAX, int(shape.most or 0))
        words = f"Member must satisfy regular expression pattern: {shape.pattern}"
        rules.append((words, lambda text: len(text) <= chars_max and matches(text)))
    if shape.enum:
        values = frozenset(shape.enum)
        words = f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
        rules.append((words, lambda text: text in values))
    return rules


def _all_of(rules: list[Rule]) -> str:
    return f"[{', '.join(words for words, _ in rules)}]"


def _shown(value: Any) -> str:
    """As Java prints it, cut short."""
    text = _java(value, _VALUE_CHARS_MAX + 1)
    return text if len(text) <= _VALUE_CHARS_MAX else text[: _VALUE_CHARS_MAX - 1] + "…"


def _java(value: Any, room: int) -> str:
    """At least `room` characters of it, if there are as many, and not many more."""
    match value:
        case bool():
            return "true" if value else "false"
        case None:
            return "null"
        case list():
            return f"[{_some(((item, '') for item in value), room)}]"
        case Mapping():
            return f"{{{_some(((item, f'{key}=') for key, item in value.items()), room)}}}"
        case str():
            return value[:room]
        case _:
            return str(value)


def _some(items: Iterator[tuple[Any, str]], room: int) -> str:
    texts: list[str] = []
    for item, label in items:
        if room <= 0:
            break
        texts.append(label[:room] + _java(item, room))
        room -= len(texts[-1]) + 2
    return ", ".join(texts)
