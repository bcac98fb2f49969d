"""A fleet: the instances of one production variant under one endpoint config."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from inservice import ids
from inservice.hosting.endpoint_config import ProductionVariant
from inservice.hosting.model import Model


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a fleet should be. What it is right now is in `deployment.facts`.

    Its instances are the ordinals 0 … size-1. An ordinal is taken again once its last instance is
    gone, so a repeated launch of one instance is never a second instance.
    """

    id: str  # "<generation>-<deployment number>-<variant>": unique for ever, safe as a file name
    config_name: str
    variant: ProductionVariant
    model: Model | None  # immutable snapshot; None only where a test needs no model
    size: int  # desired instance count
    weight: Fraction  # of the variant, relative to the other variants of the endpoint

    def instance_id(self, ordinal: int) -> str:
        """The id by which runtimes, logs and gateways know one instance."""
        return ids.instance_id(self.id, ordinal)
