"""Fields that are kept and have no effect: who sends them is told, or, by a strict server, refused.

Which these are is in `hosting.fields`, and they follow from a record. So whoever makes a record is
told, in a header of the answer; whoever makes an endpoint of it, who may be somebody else, is told
again, and the history of the endpoint says it too; and whoever has it described.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from inservice.deployment.state import Decision
from inservice.errors import NotImplementedYet
from inservice.hosting.endpoint_config import EndpointConfig
from inservice.hosting.fields import without_effect
from inservice.hosting.model import Model
from inservice.operations.registry import Call
from inservice.values import Document

Kept = Mapping[str, str]
"""What is kept without effect, by its name, and of which record where there are several; and why
it has none."""


def kept_of_model(document: Document) -> Kept:
    """Of what CreateModel was given."""
    return _named(without_effect("CreateModelInput", document), "")


def kept_of_config(document: Document) -> Kept:
    """Of what CreateEndpointConfig was given."""
    return _named(without_effect("CreateEndpointConfigInput", document), "")


def kept_of_endpoint(configs: Iterable[EndpointConfig], models: Iterable[Model]) -> Kept:
    """Of the records that an endpoint was made from."""
    kept: dict[str, str] = {}
    for config in configs:
        found = without_effect("CreateEndpointConfigInput", config.document)
        kept |= _named(found, f" of endpoint config {config.name}")
    for model in models:
        found = without_effect("CreateModelInput", model.document)
        kept |= _named(found, f" of model {model.name}")
    return kept


def _named(found: Mapping[str, str], of: str) -> Kept:
    return {f"'{member}'{of}": why for member, why in found.items()}


def sentences(kept: Kept) -> Iterator[str]:
    """What is said of each."""
    return (f"{what} is kept and has no effect here: {why}." for what, why in kept.items())


def warn(call: Call, kept: Kept) -> None:
    """Tell the caller. Raises NotImplementedYet where the server is strict."""
    if call.live.is_strict:
        for what, why in kept.items():
            raise NotImplementedYet(what, f"{why}, and this server is strict (INSERVICE_STRICT)")
    call.warnings.extend(sentences(kept))


def with_kept_told(
    decision: Decision, call: Call, config: EndpointConfig, models: Mapping[str, Model]
) -> Decision:
    """The decision, with a line in the endpoint's history for each, of which the caller is warned
    as well. Raises NotImplementedYet where the server is strict."""
    kept = kept_of_endpoint([config], models.values())
    warn(call, kept)
    events = (decision.deployment.event(call.now, sentence) for sentence in sentences(kept))
    return replace(decision, events=(*decision.events, *events))
