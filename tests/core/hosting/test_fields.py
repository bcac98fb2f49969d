"""The table of fields, held against AWS's own model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.model import ListShape, StructureShape

from inservice.errors import NotImplementedYet
from inservice.hosting.fields import SHAPES, Field, Standing, refuse_unsupported

MODEL = botocore.session.get_session().get_service_model("sagemaker")


@pytest.mark.parametrize("name", SHAPES)
def test_every_member_of_a_shape_has_a_row(name: str) -> None:
    shape = MODEL.shape_for(name)
    assert isinstance(shape, StructureShape)
    assert SHAPES[name].keys() == shape.members.keys()


def rows() -> Iterator[tuple[str, str, Field]]:
    for shape, fields in SHAPES.items():
        for member, field in fields.items():
            yield shape, member, field


def members_of(shape: str) -> dict[str, Any]:
    structure = MODEL.shape_for(shape)
    assert isinstance(structure, StructureShape)
    return structure.members


@pytest.mark.parametrize(("shape", "member", "field"), list(rows()))
def test_a_row_says_why_and_points_where_the_model_points(
    shape: str, member: str, field: Field
) -> None:
    if field.standing is Standing.REFUSED or field.accepts:
        assert field.says
    if field.shape:
        inside = members_of(shape)[member]
        if isinstance(inside, ListShape):
            inside = inside.member
        assert field.shape == inside.name
    for value in field.accepts:
        assert isinstance(value, bool) or value in members_of(shape)[member].enum


def test_a_refusal_names_the_field_and_where_it_stands() -> None:
    document = {
        "EndpointConfigName": "c",
        "ProductionVariants": [
            {"VariantName": "A"},
            {"VariantName": "B", "ServerlessConfig": {"MemorySizeInMB": 1024}},
        ],
    }
    with pytest.raises(
        NotImplementedYet,
        match=r"InService does not support 'ProductionVariants\[1\]\.ServerlessConfig' yet: ",
    ):
        refuse_unsupported("CreateEndpointConfigInput", document)


def test_a_value_that_does_not_run_here_is_named() -> None:
    with pytest.raises(NotImplementedYet, match="the value 'KV_AWARE' at 'RoutingStrategy'"):
        refuse_unsupported("ProductionVariantRoutingConfig", {"RoutingStrategy": "KV_AWARE"})


def test_a_member_without_a_row_is_refused() -> None:
    with pytest.raises(NotImplementedYet, match="'NewIn2031'"):
        refuse_unsupported("ContainerDefinition", {"NewIn2031": True})


def test_an_empty_list_asks_for_nothing() -> None:
    refuse_unsupported("ContainerDefinition", {"AdditionalModelDataSources": []})
    with pytest.raises(NotImplementedYet, match="AdditionalModelDataSources"):
        refuse_unsupported("ContainerDefinition", {"AdditionalModelDataSources": [{}]})
