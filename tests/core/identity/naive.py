"""IAM's decision a second time, by somebody who does not care how long it takes.

Written from the rules alone, over the documents as they are: nothing is compiled, indexed or
remembered, and wildcards are matched by following all places at once. It shares no code with what
it checks. What the two disagree about is a fault in one of them, or a rule that says too little.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

Document = Mapping[str, Any]
Value = str | tuple[str, ...]
Token = tuple[str, str]
"""("is", a character), or ("any", "") or ("run", "")."""


@dataclass(frozen=True)
class Who:
    """A principal, by its names."""

    kind: str  # root, user, session, federated, service, web, anonymous
    account: str
    arn: str
    id: str = ""
    role_arn: str = ""


@dataclass(frozen=True)
class Case:
    """All that a decision depends on."""

    who: Who
    action: str
    resource: str
    context: Mapping[str, Value]  # keys as AWS writes them
    identity: tuple[Document, ...] = ()
    boundary: Document | None = None
    session: tuple[Document, ...] | None = None
    resource_policies: tuple[tuple[str, Document], ...] = field(default=())  # "trust" or "resource"


def decide(case: Case) -> tuple[str, str]:
    """The outcome, and the type of policy that made it; "" for root, which needs none."""
    root = case.who.kind == "root"
    identity = () if root else case.identity
    boundary = () if root or case.boundary is None else (case.boundary,)
    session = () if root or case.session is None else case.session
    for kind, documents in (
        ("identity", identity),
        *((kind, (document,)) for kind, document in case.resource_policies),
        ("boundary", boundary),
        ("session", session),
    ):
        if any(statements(case, each, "Deny") for each in documents):
            return "explicitDeny", kind
    named = [
        (names(statement, case), kind)
        for kind, document in case.resource_policies
        for statement in statements(case, document, "Allow")
    ]
    order = ["", "account", "role", "self"]
    best = max((how for how, _ in named), key=order.index, default="")
    by = next((kind for how, kind in named if how == best), "")
    foreign = is_foreign(case)
    powerless = case.who.kind in ("service", "web", "anonymous")
    if best == "self" and not foreign:
        return "allowed", by
    if not best and any(kind == "trust" for kind, _ in case.resource_policies):
        return "implicitDeny", "trust"
    if not best and (powerless or foreign):
        return "implicitDeny", "resource"
    if powerless:
        return "allowed", by
    if root:
        return "allowed", ""
    granted_by_resource = best == "role" and not foreign
    if not granted_by_resource and not any(statements(case, d, "Allow") for d in identity):
        return "implicitDeny", "identity"
    if boundary and not statements(case, boundary[0], "Allow"):
        return "implicitDeny", "boundary"
    limited = case.session is not None or case.who.kind == "federated"
    if limited and not any(statements(case, d, "Allow") for d in session):
        return "implicitDeny", "session"
    return "allowed", by if granted_by_resource else "identity"


def applying(case: Case) -> list[list[int]]:
    """The statements that apply, by their places, policy by policy."""
    bound = () if case.boundary is None else (case.boundary,)
    documents = (*case.identity, *bound, *(case.session or ()))
    found = []
    for document in (*documents, *(each for _, each in case.resource_policies)):
        given = many(document["Statement"])
        both = statements(case, document, "Allow") + statements(case, document, "Deny")
        found.append([n for n, one in enumerate(given) if any(one is other for other in both)])
    return found


def is_foreign(case: Case) -> bool:
    """Whether the resource is another account's. Bucket ARNs say of none."""
    if case.who.kind in ("service", "web", "anonymous"):
        return False
    owner = lookup(case, "aws:ResourceAccount")
    if owner is None:
        fields = case.resource.split(":")
        owner = fields[4] if len(fields) > 5 else ""
    return owner not in ("", "*", "aws", case.who.account)


def statements(case: Case, document: Document, effect: str) -> list[Document]:
    """Those of an effect that apply."""
    given = document["Statement"]
    version = document.get("Version", "2008-10-17")
    return [
        statement
        for statement in (given if isinstance(given, list) else [given])
        if statement["Effect"] == effect
        and names(statement, case)
        and acts(statement, case.action)
        and touches(statement, case, version)
        and conditions(statement, case, version)
    ]


def many(value: object) -> list[Any]:
    """A list, of one where it is none."""
    return value if isinstance(value, list) else [value]


# ── who ──────────────────────────────────────────────────────────────────────────────────────────


def names(statement: Document, case: Case) -> str:
    """How a statement names who asks: self, role, account, or not at all."""
    who = case.who
    if "NotPrincipal" in statement:
        spared = is_listed(statement["NotPrincipal"], who, ("self",))
        if statement["Effect"] == "Deny" and case.boundary is not None:
            spared = False
        return "" if spared else "self"
    if "Principal" not in statement:
        return "self"
    for how in ("self", "role", "account"):
        if is_listed(statement["Principal"], who, (how,)):
            return how
    return ""


def is_listed(element: object, who: Who, levels: Iterable[str]) -> bool:
    """Whether an element lists somebody, at one of the levels."""
    account = [who.account, f"arn:aws:iam::{who.account}:root"]
    by_level: dict[str, list[str]] = {"self": [who.arn], "role": [], "account": []}
    if who.kind == "user" and who.id:
        by_level["self"].append(who.id)
    if who.kind == "root":
        by_level["self"] += account
    if who.kind == "session":
        by_level["role"] = [name for name in (who.role_arn, who.id) if name]
    if who.kind in ("user", "session", "federated"):
        by_level["account"] = account
    section = {"service": "Service", "web": "Federated"}.get(who.kind, "AWS")
    if element == "*":
        element = {"AWS": "*"}
    assert isinstance(element, dict)
    if "*" in many(element.get("AWS", [])):
        return "self" in levels
    listed = many(element.get(section, []))
    return any(name in listed for level in levels for name in by_level[level])


# ── what, and to what ────────────────────────────────────────────────────────────────────────────


def acts(statement: Document, action: str) -> bool:
    """Whether it is about an action."""
    negated = "NotAction" in statement
    listed = many(statement["NotAction" if negated else "Action"])
    return any(is_action(pattern, action) for pattern in listed) != negated


def is_action(pattern: str, action: str) -> bool:
    if pattern == "*":
        return True
    expression = re.escape(pattern.lower()).replace(r"\*", "[^:]*").replace(r"\?", "[^:]")
    return re.fullmatch(expression, action.lower()) is not None


def touches(statement: Document, case: Case, version: str) -> bool:
    """Whether it is about a resource."""
    if "Resource" not in statement and "NotResource" not in statement:
        return True
    negated = "NotResource" in statement
    patterns = [
        tokens(complete(text, version), case, version, wild=True)
        for text in many(statement["NotResource" if negated else "Resource"])
    ]
    if negated and None in patterns:
        return False
    return any(p is not None and glob(p, case.resource) for p in patterns) != negated


def complete(resource: str, version: str) -> str:
    if resource == "*" or (version == "2012-10-17" and "${" in resource):
        return resource
    while resource.count(":") < 5:
        resource += ":*"
    return resource


def tokens(text: str, case: Case, version: str, *, wild: bool) -> list[Token] | None:
    """A text of a policy, its variables replaced; None where one has no value."""
    found: list[Token] = []
    while text:
        variable = re.match(r"\$\{([^{}]+)\}", text) if version == "2012-10-17" else None
        if variable is not None:
            text = text[variable.end() :]
            inside = variable[1]
            if inside in ("*", "?", "$"):
                found.append(("is", inside))
                continue
            key, comma, default = inside.partition(",")
            value = lookup(case, key.strip())
            if value is None and comma:
                value = default.strip().strip("'")
            if not isinstance(value, str):
                return None
            found += [("is", character) for character in value]
            continue
        character, text = text[0], text[1:]
        if wild and character in "*?":
            found.append(("run" if character == "*" else "any", ""))
        else:
            found.append(("is", character))
    return found


def glob(pattern: list[Token], text: str) -> bool:
    """Whether a pattern matches all of a text: by all the places it may have come to."""
    places = {0}
    for kind, character in pattern:
        if kind == "run":
            places = {later for place in places for later in range(place, len(text) + 1)}
        else:
            places = {
                place + 1
                for place in places
                if place < len(text) and (kind == "any" or text[place] == character)
            }
    return len(text) in places


def lookup(case: Case, key: str) -> Value | None:
    """What the request has for a key; None for nothing, and for no values."""
    for name, value in case.context.items():
        if name.lower() == key.lower():
            return None if value == () else value
    return None


# ── under which conditions ───────────────────────────────────────────────────────────────────────


def conditions(statement: Document, case: Case, version: str) -> bool:
    """Whether all hold."""
    return all(
        condition(operator, key, [text_of(v) for v in many(values)], statement, case, version)
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )


def text_of(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def condition(
    operator: str, key: str, operands: list[str], statement: Document, case: Case, version: str
) -> bool:
    """Whether one does."""
    value = lookup(case, key)
    if operator == "Null":
        return any((operand.lower() == "true") == (value is None) for operand in operands)
    shape = re.fullmatch(r"(?:(ForAllValues|ForAnyValue):)?(\w+?)(IfExists)?", operator)
    assert shape is not None
    quantifier, base, if_exists = shape.groups()
    if value is None:
        if if_exists or quantifier == "ForAllValues":
            return True
        return quantifier is None and "Not" in base
    if not operands:
        return False

    def one(text: str) -> bool:
        return compare(base, text, operands, statement, case, version)

    if quantifier is None:
        return isinstance(value, str) and one(value)
    values = [value] if isinstance(value, str) else list(value)
    return all(map(one, values)) if quantifier == "ForAllValues" else any(map(one, values))


def compare(
    base: str, text: str, operands: list[str], statement: Document, case: Case, version: str
) -> bool:
    """One value of the request against all of the policy's."""
    negated = "Not" in base
    if base.startswith("Arn"):
        return compare_arns(text, operands, negated, statement["Effect"], case, version)
    if base.endswith("IpAddress"):
        address = address_of(text)
        if address is None:
            return False
        return any(in_network(address, operand) for operand in operands) != negated
    if base.startswith("String"):
        fitting = [tokens(o, case, version, wild=base.endswith("Like")) for o in operands]
        if "IgnoreCase" in base:
            fitting = [t and [(k, c.lower()) for k, c in t] for t in fitting]
            text = text.lower()
        return any(p is not None and glob(p, text) for p in fitting) != negated
    if base == "Bool":
        return any((text.lower() == "true") == (o.lower() == "true") for o in operands)
    if base == "BinaryEquals":
        return any(base64.b64decode(text) == base64.b64decode(o) for o in operands)
    read = fraction if base.startswith("Numeric") else instant
    how = base.removeprefix("Numeric").removeprefix("Date").removeprefix("Not")
    left = read(text)
    return any(ordered(how, left, read(operand)) for operand in operands) != negated


def ordered(how: str, left: Fraction | None, right: Fraction | None) -> bool:
    if left is None or right is None:
        return False
    return {
        "Equals": left == right,
        "LessThan": left < right,
        "LessThanEquals": left <= right,
        "GreaterThan": left > right,
        "GreaterThanEquals": left >= right,
    }[how]


def fraction(text: str) -> Fraction | None:
    try:
        return Fraction(text)
    except ValueError:
        return None


def instant(text: str) -> Fraction | None:
    """To the millisecond."""
    if text.isdigit():
        return Fraction(text)
    month = re.fullmatch(r"\d{4}-\d{2}", text)
    try:
        moment = datetime.fromisoformat(f"{text}-01" if month else text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    whole = Fraction(int(moment.replace(microsecond=0).timestamp()))
    return whole + Fraction(moment.microsecond // 1000, 1000)


def address_of(text: str) -> tuple[int, int] | None:
    """Bits and number."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return (32, int(mapped)) if mapped else (address.max_prefixlen, int(address))


def in_network(address: tuple[int, int], operand: str) -> bool:
    base, slash, prefix = operand.partition("/")
    try:
        network = ipaddress.ip_address(base)
    except ValueError:
        return False
    bits, number = network.max_prefixlen, int(network)
    host = bits - int(prefix) if slash else 0
    if bits == 128 and number % 2**host:
        return False
    return bits == address[0] and number >> host == address[1] >> host


def compare_arns(
    text: str, operands: list[str], negated: bool, effect: str, case: Case, version: str
) -> bool:
    given = text.split(":", 5)
    if len(given) != 6 or given[0] != "arn":
        return False
    fitting = False
    for operand in operands:
        pattern = tokens(operand, case, version, wild=True)
        if pattern is None:
            continue
        fields: list[list[Token]] = [[]]
        for token in pattern:
            if token == ("is", ":") and len(fields) < 6:
                fields.append([])
            else:
                fields[-1].append(token)
        if len(fields) != 6 or not glob(fields[0], "arn"):
            if effect == "Deny":
                return True
            fitting = fitting or negated  # never grants
        elif all(glob(f, g) for f, g in zip(fields, given, strict=True)):
            fitting = True
    return fitting != negated
