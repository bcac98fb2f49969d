"""The table of fields, held against AWS's own model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.model import ListShape, Shape, StructureShape

from inservice.errors import NotImplementedYet
from inservice.hosting.fields import SHAPES, Field, Standing, refuse_unsupported, without_effect

MODEL = botocore.session.get_session().get_service_model("sagemaker")

CALLS = (
    *("CreateModel", "CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint"),
    "UpdateEndpointWeightsAndCapacities",
)


def structure_in(shape: Shape) -> StructureShape | None:
    """The structure that a member is, or is a list of; of a map or a plain value there is none."""
    while isinstance(shape, ListShape):
        shape = shape.member
    return shape if isinstance(shape, StructureShape) else None


def members_of(shape: str) -> dict[str, Any]:
    structure = MODEL.shape_for(shape)
    assert isinstance(structure, StructureShape)
    return structure.members


def taken() -> dict[str, StructureShape]:
    """Every structure that a request can have in it without being refused, from the calls on."""
    found: dict[str, StructureShape] = {}
    inputs = (MODEL.operation_model(call).input_shape for call in CALLS)
    waiting = [shape for shape in inputs if isinstance(shape, StructureShape)]
    while waiting:
        structure = waiting.pop()
        found[structure.name] = structure
        rows = SHAPES.get(structure.name, {})
        for name, member in structure.members.items():
            inside = structure_in(member)
            refused = name in rows and rows[name].standing is Standing.REFUSED
            if inside is not None and inside.name not in found and not refused:
                waiting.append(inside)
    return found


def test_every_member_that_a_request_can_have_is_classified() -> None:
    """A member that AWS adds, at whatever depth, is in no row until somebody has thought of it."""
    structures = taken()
    unclassified = {
        name: sorted(structure.members.keys() ^ SHAPES.get(name, {}).keys())
        for name, structure in structures.items()
        if structure.members.keys() != SHAPES.get(name, {}).keys()
    }
    assert not unclassified
    assert SHAPES.keys() == structures.keys()  # and no table of what cannot be sent


def rows() -> Iterator[tuple[str, str, Field]]:
    for shape, fields in SHAPES.items():
        for member, field in fields.items():
            yield shape, member, field


@pytest.mark.parametrize(("shape", "member", "field"), list(rows()))
def test_a_row_says_why_and_points_where_the_model_points(
    shape: str, member: str, field: Field
) -> None:
    if field.standing is Standing.REFUSED or field.accepts:
        assert field.says
    inside = structure_in(members_of(shape)[member])
    refused = field.standing is Standing.REFUSED
    assert field.shape == ("" if inside is None or refused else inside.name)
    assert not field.idle or field.standing is Standing.KEPT
    for value in (*field.accepts, *field.idle):
        if isinstance(value, dict):
            assert inside is not None
            within = members_of(inside.name)
            assert all(said in within[name].enum for name, said in value.items())
        else:
            assert isinstance(value, bool) or value in members_of(shape)[member].enum


def outermost() -> Iterator[tuple[str, str, Field]]:
    """The rows at which a warning is given: what is kept inside of what is kept is told with it."""
    parts = {
        (field.shape, member)
        for _, _, field in rows()
        if field.standing is Standing.KEPT and field.shape
        for member in SHAPES[field.shape]
    }
    nested = {
        (SHAPES[shape][member].shape, inner)
        for shape, member in parts
        if SHAPES[shape][member].shape
        for inner in SHAPES[SHAPES[shape][member].shape]
    }
    for shape, member, field in rows():
        if field.standing is Standing.KEPT and (shape, member) not in parts | nested:
            yield shape, member, field


@pytest.mark.parametrize(("shape", "member", "field"), list(outermost()))
def test_whatever_is_kept_is_warned_of_once_and_says_why(
    shape: str, member: str, field: Field
) -> None:
    wanted = members_of(shape)[member]
    value: Any = {} if structure_in(wanted) else "x"
    if isinstance(wanted, ListShape):
        value = [value]
    elif wanted.type_name == "boolean":
        value = True
    assert field.says
    assert without_effect(shape, {member: value}) == {member: field.says}
    refuse_unsupported(shape, {member: value})
    assert not without_effect(shape, {member: None})
    for idle in field.idle:
        assert not without_effect(shape, {member: idle})


def test_a_warning_names_a_member_once_however_many_variants_have_it() -> None:
    document = {
        "ProductionVariants": [
            {"VariantName": "A", "VolumeSizeInGB": 30, "EnableSSMAccess": False},
            {"VariantName": "B", "VolumeSizeInGB": 40},
        ],
        "VpcConfig": {"Subnets": ["s"], "SecurityGroupIds": ["g"]},
    }
    assert list(without_effect("CreateEndpointConfigInput", document)) == [
        "ProductionVariants.VolumeSizeInGB",
        "VpcConfig",
    ]


def test_what_is_switched_off_asks_for_nothing() -> None:
    off = {"Status": "DISABLED", "MinInstanceCount": 1, "MaxInstanceCount": 2}
    for value, warned in ((off, False), ({**off, "Status": "ENABLED"}, True), ({}, True)):
        told = without_effect("ProductionVariant", {"ManagedInstanceScaling": value})
        assert bool(told) is warned
    assert without_effect("ProductionVariant", {"EnableSSMAccess": True})


def test_what_would_change_the_model_is_refused_inside_of_what_is_kept() -> None:
    pool = {"InstanceType": "ml.m5.large", "Priority": 1}
    refuse_unsupported("ProductionVariant", {"InstancePools": [pool]})
    with pytest.raises(NotImplementedYet, match=r"'InstancePools\[1\]\.ModelNameOverride'"):
        refuse_unsupported(
            "ProductionVariant", {"InstancePools": [pool, {**pool, "ModelNameOverride": "m"}]}
        )


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
