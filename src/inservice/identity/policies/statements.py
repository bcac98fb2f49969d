"""One statement of a policy, compiled, and what it is held against."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import Final

from inservice.identity.policies.conditions import conditions_of
from inservice.identity.policies.grammar import Elements
from inservice.identity.policies.patterns import Pattern, PatternSet, Subject, compiled, pieces_of
from inservice.identity.policies.principals import Caller, Naming, Principals
from inservice.identity.policies.source import Position
from inservice.identity.policies.variables import (
    Context,
    Template,
    expand,
    is_static,
    template_of,
    variables_of,
)

_ARN_FIELDS: Final = 6


class Effect(enum.Enum):
    """What a statement does to what it fits."""

    ALLOW = "Allow"
    DENY = "Deny"


class Request:
    """What is asked, as statements look at it. One for each decision."""

    def __init__(self, action: str, resource: str, context: Context, caller: Caller) -> None:
        self.action: Final = action.lower()
        self.resource: Final = Subject(resource)
        self.context: Final = context
        self.caller: Final = caller


class Statement:
    """One statement, and where it stands in its document."""

    def __init__(
        self, index: int, elements: Elements, start: Position, end: Position, *, variables: bool
    ) -> None:
        self.index: Final = index
        self.sid: Final = elements.sid
        self.effect: Final = Effect.ALLOW if elements.allows else Effect.DENY
        self.start: Final = start
        self.end: Final = end
        self._not_actions: Final = elements.not_actions
        self._actions: Final = _Actions(elements.actions)
        self._not_resources: Final = elements.not_resources
        self._resources: Final = (
            _Resources(elements.resources, variables) if elements.resources else None
        )
        denies = not elements.allows
        self._principals: Final = (
            None
            if elements.principals is None
            else Principals(elements.principals, negated=elements.not_principals, denies=denies)
        )
        self._conditions: Final = conditions_of(
            elements.conditions, variables=variables, denies=denies
        )

    def is_about(self, action: str) -> bool:
        """Whether it speaks of an action, which is given in lower case."""
        return self._actions.match(action) != self._not_actions

    def naming(self, request: Request) -> Naming:
        """How it names who asks, if it applies to a request for an action that it is about.

        One of a policy that names nobody is about whoever has the policy.
        """
        naming = Naming.DIRECT
        if self._principals is not None:
            naming = self._principals.naming(request.caller)
            if naming is Naming.NOT:
                return naming
        if self._resources is not None and not self._resources.fit(request, self._not_resources):
            return Naming.NOT
        for condition in self._conditions:
            if not condition.holds(request.context):
                return Naming.NOT
        return naming

    @property
    def keys(self) -> list[str]:
        """The condition keys that it asks for, as written."""
        keys = [key for condition in self._conditions for key in condition.keys]
        return [*(self._resources.keys if self._resources is not None else ()), *keys]

    @property
    def named(self) -> Sequence[tuple[str, str]]:
        """The principals that it names: kind and value."""
        return self._principals.named if self._principals is not None else ()


class _Actions:
    """By vendor, since no wildcard reaches over the colon. Neither half minds its case."""

    def __init__(self, actions: Iterable[str]) -> None:
        by_vendor: dict[str, list[Pattern]] = {}
        self.everything: bool = False
        for action in actions:
            vendor, colon, name = action.lower().partition(":")
            if colon:
                by_vendor.setdefault(vendor, []).append(compiled(pieces_of(name)))
            else:
                self.everything = True
        self.by_vendor: Final = {vendor: PatternSet(some) for vendor, some in by_vendor.items()}

    def match(self, action: str) -> bool:
        """Whether one of them does."""
        vendor, _, name = action.partition(":")
        patterns = self.by_vendor.get(vendor)
        return self.everything or (patterns is not None and patterns.matches(Subject(name)))


class _Resources:
    """A Resource or a NotResource element. A `*` runs over colons and slashes."""

    def __init__(self, resources: Sequence[str], variables: bool) -> None:
        templates = [template_of(r, wildcards=True, variables=variables) for r in resources]
        static: list[Pattern] = []
        self.templates: list[Template] = []
        for resource, template in zip(resources, templates, strict=True):
            if is_static(template):
                static.append(compiled(_completed(resource, expand(template, {}) or ())))
            else:
                self.templates.append(template)
        self.static: Final = PatternSet(static)
        self.keys: Final = [key for template in templates for key in variables_of(template)]

    def fit(self, request: Request, negated: bool) -> bool:
        """Whether the element does. What has a variable without a value fits nothing, and if it
        says what not, the statement does not apply."""
        if not negated and self.static.matches(request.resource):
            return True
        for template in self.templates:
            pieces = expand(template, request.context)
            if pieces is None:
                if negated:
                    return False
            elif compiled(pieces).matches(request.resource):
                return not negated
        return negated and not self.static.matches(request.resource)


def _completed(resource: str, pieces: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """A short ARN, `arn:aws:s3`, means all that begins so."""
    missing = _ARN_FIELDS - 1 - resource.count(":")
    if resource == "*" or missing <= 0:
        return pieces
    return (*pieces, *pieces_of(":*" * missing))
