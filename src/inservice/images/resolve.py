"""Which image a name means: users' own first, then the catalogue, then whatever an engine runs.

    pytorch, inservice/pytorch, my-own              a short name: of a user's image, or a family's
    <account>.dkr.ecr.<region>…/<repository>:<tag>  AWS's: the repository decides
    anything else that is a reference               an OCI image
    what is none                                    not runnable

Nothing is looked at but the name and that data: neither what is built, nor what is installed, nor
whether there is an engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

from inservice.images.base import EnvironmentImage, NotRunnable, OciImage, Resolved
from inservice.images.families import Family, families
from inservice.images.reference import LONGEST, Reference, parse, shown

RUNNABLE: Final = (
    "Without a container engine this host runs AWS's images of a dozen frameworks, as in "
    "<account>.dkr.ecr.<region>.amazonaws.com/sagemaker-scikit-learn:<tag>, and the plain names "
    "'sklearn', 'pytorch', 'python' and others: inservice image list tells them all."
)


class Catalogue:
    """Implements `images.base.Images`."""

    def __init__(
        self,
        added: Callable[[str], EnvironmentImage | NotRunnable | None] = lambda _: None,
        known: Mapping[str, Family] | None = None,
    ) -> None:
        """`added` gives a user's image by its name ("" is of none); `known` are the families,
        without it those of the catalogue."""
        self._added = added
        self._known = families() if known is None else known
        self._exact = {
            repository: name
            for name, family in self._known.items()
            for repository in family.repositories
        }
        self._short = {
            name: family_name
            for family_name, family in self._known.items()
            for name in family.names
        }

    def resolve(self, uri: str) -> Resolved:
        """See `Images`."""
        reference = parse(uri)
        if reference is None:
            return NotRunnable(uri, _cannot(uri, _no_reference(uri)), RUNNABLE)
        own = self._added(added_name(reference))
        if isinstance(own, EnvironmentImage):
            return replace(own, uri=uri)
        name = self.family_of(reference)
        if name is not None:
            return as_family(uri, name, self._known[name], reference.tag)
        return OciImage(uri) if own is None else replace(own, uri=uri, why=_cannot(uri, own.why))

    def family_of(self, reference: Reference) -> str | None:
        """The family that has an image of this name; None if none has."""
        if reference.short:
            return self._short.get(reference.short)
        repository = reference.of_aws
        if not repository or repository in self._exact:
            return self._exact.get(repository)
        for name, family in self._known.items():
            if any(fnmatchcase(repository, pattern) for pattern in family.repositories):
                return name
        return None

    def is_short_name(self, name: str) -> bool:
        """Whether a family is called by it."""
        return name in self._short


def added_name(reference: Reference) -> str:
    """The name that a user's image would have been added under; "" if it can be none."""
    return reference.short if reference.tag in ("", "latest") and not reference.digest else ""


def as_family(uri: str, name: str, family: Family, tag: str = "") -> Resolved:
    """What an image of a family is."""
    if family.runs == "engine":
        return OciImage(uri, family.why, family.help)
    if family.runs == "nowhere":
        return NotRunnable(uri, _cannot(uri, family.why), family.help)
    requirements, python = family.for_tag(tag)
    return EnvironmentImage(
        uri,
        name,
        requirements,
        python,
        family.framework,
        family.preimports,
        MappingProxyType(dict(family.variables)),
    )


def _cannot(uri: str, why: str) -> str:
    clause = f"it {why[3:]}" if why.startswith("It ") else why
    return f"The image '{shown(uri)}' cannot run here: {clause}"


def _no_reference(uri: str) -> str:
    if len(uri) > LONGEST:
        return f"that is {len(uri)} characters long, and no image has more than {LONGEST}."
    if not uri:
        return "no image has an empty name."
    return "that is no reference to an image."
