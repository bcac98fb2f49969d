"""What IAM takes for a policy, and its words for each thing that it does not.

The order in which things are looked at is AWS's as well, since of a document with several faults
only the first is told: the form of all of it, the version, what an older parser chokes on, Sids,
actions, resources; and what a kind of policy must or must not have.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, NoReturn

from inservice.errors import MalformedPolicyDocument
from inservice.identity.policies.conditions import is_operator
from inservice.identity.policies.principals import KINDS, is_principal
from inservice.identity.policies.source import SYNTAX, Number
from inservice.identity.policies.values import is_date

NEWER: Final = "2012-10-17"
OLDER: Final = "2008-10-17"


class PolicyKind(enum.Enum):
    """What a policy is for, which decides what it has to say."""

    IDENTITY = "identity"  # embedded in a user, a group, a role
    MANAGED = "managed"  # attached to them: as the former, but never of the older version
    TRUST = "trust"  # who may assume a role
    RESOURCE = "resource"  # who may do what with one
    SESSION = "session"
    BOUNDARY = "boundary"


class Elements(NamedTuple):
    """One statement, its lists as lists. Of each pair, as Action and NotAction, one is there."""

    sid: str
    allows: bool
    actions: Sequence[str]
    not_actions: bool
    resources: Sequence[str]  # () of a trust policy
    not_resources: bool
    principals: Sequence[tuple[str, str]] | None  # None where a policy names nobody
    not_principals: bool
    conditions: Mapping[str, Mapping[str, Sequence[str]]]


_TOP: Final = frozenset(("Version", "Id", "Statement"))
_ELEMENTS: Final = frozenset(
    (
        *("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction"),
        *("Resource", "NotResource", "Condition"),
    )
)
_NAMING: Final = (PolicyKind.TRUST, PolicyKind.RESOURCE)

_SID: Final = re.compile(r"[A-Za-z0-9]*")
_NOT_VENDOR: Final = re.compile(r"[^a-zA-Z0-9\-.]")
_PARTITION: Final = re.compile(r"aws(-[a-z]+)*|\*|\$")
_VARIABLE: Final = re.compile(r"\$\{[^{}]*\}")
_REGIONAL_S3: Final = (
    *("accesspoint", "access-grants", "async-request", "job", "storage-lens"),
    *("*", "$"),
)
"""What S3 has in regions. Anything else that names one is a bucket, and never matches."""
_IAM_PATHS: Final = (
    *("user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/"),
    *("server-certificate/", "policy/", "sms-mfa/", "saml-provider/", "oidc-provider/"),
    *("report/", "access-report/"),
)
_TRUST_ACTIONS: Final = frozenset(
    f"sts:{action}".lower()
    for action in (
        *("AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"),
        *("DecodeAuthorizationMessage", "GetAccessKeyInfo", "GetCallerIdentity"),
        *("GetFederationToken", "GetServiceBearerToken", "GetSessionToken"),
        *("SetContext", "SetSourceIdentity", "TagSession"),
    )
)


def check(document: Mapping[str, object], kind: PolicyKind) -> list[Elements]:
    """The statements of a document. Raises MalformedPolicyDocument, in AWS's words."""
    if not document.keys() <= _TOP:
        _refuse(SYNTAX)
    if document.get("Version", OLDER) not in (NEWER, OLDER) or not _is_text(document.get("Id", "")):
        _refuse(SYNTAX)
    raw = document.get("Statement")
    given = [raw] if isinstance(raw, dict) else raw
    if not isinstance(given, list) or not given:
        _refuse(SYNTAX)
    for statement in given:
        _check_form(statement, kind)
    if kind is PolicyKind.MANAGED and document.get("Version") != NEWER:
        _refuse("Policy document must be version 2012-10-17 or greater.")
    statements = [_elements(statement) for statement in given]
    fault = _check_legacy(statements, given, variables=document.get("Version") == NEWER)
    sids = [statement.sid for statement in statements if statement.sid]
    if len(set(sids)) != len(sids):
        _refuse("Statement IDs (SID) in a single policy must be unique.")
    if not all(statement.actions for statement in statements):
        _refuse("Policy statement must contain actions.")
    if fault:
        _refuse(fault)
    for statement in statements:
        for action in statement.actions:
            _check_action(action)
    _check_kind(statements, given, kind)
    return statements


def invalid_principal(kind: str, value: str) -> MalformedPolicyDocument:
    """Why a policy that names this one is not kept: it cannot be, or there is none."""
    words = kind if kind == "AWS" else kind.upper()
    return MalformedPolicyDocument(f'Invalid principal in policy: "{words}":"{value}"')


def _refuse(words: str) -> NoReturn:
    raise MalformedPolicyDocument(words)


# ── the form of a statement ──────────────────────────────────────────────────────────────────────


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, Number)


def _are_texts(value: object) -> bool:
    return _is_text(value) or (isinstance(value, list) and all(map(_is_text, value)))


def _check_form(statement: object, kind: PolicyKind) -> None:
    """What each element is. Raises MalformedPolicyDocument."""
    if not isinstance(statement, dict) or not statement.keys() <= _ELEMENTS:
        _refuse(SYNTAX)
    for name in ("Action", "Resource", "Principal"):
        if name in statement and f"Not{name}" in statement:
            _refuse(SYNTAX)
    effect = statement.get("Effect")
    if not isinstance(effect, str) or effect.lower() not in ("allow", "deny"):
        _refuse(SYNTAX)
    for name in ("Action", "NotAction", "Resource", "NotResource"):
        if name in statement and not _are_texts(statement[name]):
            _refuse(SYNTAX)
    for name in ("Principal", "NotPrincipal"):
        if name in statement and not _is_naming(statement[name]):
            _refuse(SYNTAX)
    if not _is_condition(statement.get("Condition", {})):
        _refuse(SYNTAX)
    sid = statement.get("Sid", "")
    if not _is_text(sid):
        _refuse(SYNTAX)
    if kind is not PolicyKind.RESOURCE and not _SID.fullmatch(sid):
        _refuse(
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the "
            "regular expression [0-9A-Za-z]*"
        )


def _is_naming(value: object) -> bool:
    if isinstance(value, dict):
        return value.keys() <= set(KINDS) and all(map(_are_texts, value.values()))
    return value == "*"


def _is_condition(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    for operator, keys in value.items():
        if not isinstance(keys, dict) or not (is_operator(operator) or not keys):
            return False
        for operands in keys.values():
            many = operands if isinstance(operands, list) else [operands]
            if not all(isinstance(operand, str | bool) for operand in many):
                return False
    return True


def _elements(statement: Mapping[str, object]) -> Elements:
    named: list[tuple[str, str]] | None = None
    for name in ("Principal", "NotPrincipal"):
        if name in statement:
            value = statement[name]
            by_kind = value if isinstance(value, dict) else {"AWS": "*"}
            named = [(kind, one) for kind, some in by_kind.items() for one in _texts(some)]
    condition = statement.get("Condition", {})
    return Elements(
        sid=str(statement.get("Sid", "")),
        allows=str(statement["Effect"]).lower() == "allow",
        actions=_texts(statement.get("Action", statement.get("NotAction", []))),
        not_actions="NotAction" in statement,
        resources=_texts(statement.get("Resource", statement.get("NotResource", []))),
        not_resources="NotResource" in statement,
        principals=named,
        not_principals="NotPrincipal" in statement,
        conditions={
            operator: {key: _texts(operands) for key, operands in keys.items()}
            for operator, keys in (condition.items() if isinstance(condition, dict) else ())
            if keys  # an operator with no keys asks for nothing, also one that there is not
        },
    )


def _texts(value: object) -> list[str]:
    """A list of texts, or one; JSON's own words for truth become text."""
    many = value if isinstance(value, list) else [value]
    return [str(one).lower() if isinstance(one, bool) else str(one) for one in many]


# ── what the older parser chokes on, and resources ───────────────────────────────────────────────


def _check_legacy(
    statements: Sequence[Elements], given: Sequence[Mapping[str, object]], *, variables: bool
) -> str:
    """The first fault of a resource, which other faults come before; "" for none.

    Raises MalformedPolicyDocument for what the parser does not get through at all.
    """
    for statement, raw in zip(statements, given, strict=True):
        if raw["Effect"] not in ("Allow", "Deny") or not all(map(is_date, _dates(statement))):
            _refuse("The policy failed legacy parsing")
    fault = ""
    for statement in statements:
        for resource in statement.resources:
            # A variable may stand anywhere, and the colon in its name parts no fields.
            shape = _VARIABLE.sub("$", resource) if variables else resource
            if shape == "*" or shape.startswith("$"):
                continue
            fault = fault or _resource_fault(resource, shape)
            short = shape.count(":") < 5
            if not fault and ((short and "::" in shape) or not shape.split(":")[2]):
                _refuse("The policy failed legacy parsing")
    return fault


def _dates(statement: Elements) -> Iterator[str]:
    for operator, keys in statement.conditions.items():
        if operator.rpartition(":")[2].startswith("Date"):
            for operands in keys.values():
                yield from operands


def _resource_fault(resource: str, shape: str) -> str:
    arn, _, rest = shape.partition(":")
    if ":" not in shape:
        return f'Resource {resource} must be in ARN format or "*".'
    partition, colon, rest = rest.partition(":")
    if not _PARTITION.fullmatch(partition):
        fields = rest.split(":", 3) if rest else []
        padded = ":".join([*fields, "*", "*", "*", "*"][:4])
        return f'Partition "{partition}" is not valid for resource "arn:{partition}:{padded}".'
    if arn != "arn":
        return f'Resource {resource} must be in ARN format or "*".'
    service, _, rest = rest.partition(":")
    if not colon or "*" in service or "?" in service:
        return "Resource vendor must be fully qualified and cannot contain regexes."
    fields = rest.split(":", 2)
    if len(fields) < 3:
        return ""  # completed, or not to be read at all
    region, _, path = fields
    if service == "s3" and region and not path.startswith(_REGIONAL_S3):
        return f"Resource {resource} can not contain region information."
    if service == "iam" and region:
        return f"IAM resource {resource} cannot contain region information."
    if service == "iam" and not path.startswith((*_IAM_PATHS, "$")) and path != "*":
        return f'IAM resource path must either be "*" or start with {", ".join(_IAM_PATHS)}.'
    return ""


# ── actions, and what each kind of policy has ────────────────────────────────────────────────────


def _check_action(action: str) -> None:
    vendor, *rest = action.split(":")
    if not rest and vendor != "*":
        _refuse("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
    if len(rest) > 1:
        _refuse("Actions/Condition can contain only one colon.")
    if vendor != "*" and (not vendor or _NOT_VENDOR.search(vendor)):
        _refuse(f"Vendor {vendor} is not valid")


def _check_kind(
    statements: Sequence[Elements], given: Sequence[Mapping[str, object]], kind: PolicyKind
) -> None:
    for statement, raw in zip(statements, given, strict=True):
        if kind is PolicyKind.TRUST:
            if (
                statement.not_actions
                or not {a.lower() for a in statement.actions} <= _TRUST_ACTIONS
            ):
                _refuse(
                    "Trust Policy statement actions can only be sts:AssumeRole, "
                    "sts:AssumeRoleWithSAML,  and sts:AssumeRoleWithWebIdentity"
                )
            if "Resource" in raw or "NotResource" in raw:
                _refuse("Has prohibited field Resource.")
        elif not statement.resources:
            _refuse("Policy statement must contain resources.")
        if kind not in _NAMING:
            if statement.principals is not None:
                _refuse("Policy document should not specify a principal.")
            continue
        if not statement.principals:
            _refuse("Missing required field Principal")
        for name, value in statement.principals:
            if not is_principal(name, value):
                raise invalid_principal(name, value)
