"""The table of instance types, held to what AWS's API knows and to what each row promises."""

from __future__ import annotations

import botocore.session
import pytest
from botocore.model import StringShape

from inservice.hosting.endpoint_config import ProductionVariant
from inservice.hosting.instance_types import instance_types, resources_of
from inservice.hosting.resources import GIB, NVIDIA, Accelerators, Resources


def test_every_type_that_the_api_knows_has_a_row_and_no_other() -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    shape = model.shape_for("ProductionVariantInstanceType")
    assert isinstance(shape, StringShape)
    assert set(instance_types()) == set(shape.enum)


def test_no_row_is_empty_or_of_another_scale() -> None:
    for name, one in instance_types().items():
        has = one.resources
        assert has.instance_type == name == f"ml.{one.ec2_name}"
        assert 1 <= has.vcpus <= 192
        assert GIB <= has.memory_bytes <= 4096 * GIB
        assert one.architecture in ("x86_64", "arm64")
        accelerated = one.family[0] in "pg" or one.family[:3] in ("inf", "trn", "dl1")
        assert (has.accelerators is not None) == accelerated
        if has.accelerators is not None:
            assert 1 <= has.accelerators.count <= 16
            assert 8 * GIB <= has.accelerators.memory_bytes <= 300 * GIB
            assert has.gpus == (has.accelerators.count if one.family[0] in "pg" else 0)


def test_a_larger_size_of_a_family_never_has_less() -> None:
    """Of no two is the memory the same, and more of it never comes with fewer vCPUs."""
    by_family: dict[str, list[Resources]] = {}
    for one in instance_types().values():
        by_family.setdefault(one.family, []).append(one.resources)
    for sizes in by_family.values():
        ordered = sorted(sizes, key=lambda has: (has.vcpus, has.memory_bytes))
        memories = [has.memory_bytes for has in ordered]
        assert memories == sorted(set(memories))


@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("ml.t2.medium", Resources("ml.t2.medium", 2, 4 * GIB)),
        ("ml.m5.large", Resources("ml.m5.large", 2, 8 * GIB)),
        ("ml.c4.xlarge", Resources("ml.c4.xlarge", 4, 15 * GIB // 2)),
        ("ml.c7g.16xlarge", Resources("ml.c7g.16xlarge", 64, 128 * GIB)),
        (
            "ml.g5.12xlarge",
            Resources("ml.g5.12xlarge", 48, 192 * GIB, Accelerators(NVIDIA, "A10G", 4, 24 * GIB)),
        ),
        (
            "ml.p4d.24xlarge",
            Resources("ml.p4d.24xlarge", 96, 1152 * GIB, Accelerators(NVIDIA, "A100", 8, 40 * GIB)),
        ),
        (
            "ml.inf2.24xlarge",
            Resources(
                "ml.inf2.24xlarge", 96, 384 * GIB, Accelerators("aws", "Inferentia2", 6, 32 * GIB)
            ),
        ),
    ],
)
def test_rows_are_as_aws_tells(name: str, has: Resources) -> None:
    assert resources_of(name) == has


def test_nothing_is_asked_for_a_type_that_nobody_knows() -> None:
    assert resources_of(None) == Resources()
    assert resources_of("ml.z9.large") == Resources("ml.z9.large")
    assert resources_of("ml.z9.large").gpus == 0


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"InstanceType": "ml.m5.large"}, "ml.m5.large"),
        ({}, None),
        (
            {
                "InstancePools": [
                    {"InstanceType": "ml.g5.xlarge", "Priority": 2},
                    {"InstanceType": "ml.g6.xlarge", "Priority": 1},
                ]
            },
            "ml.g6.xlarge",
        ),
    ],
)
def test_of_instance_pools_the_first_is_the_type(
    given: dict[str, object], name: str | None
) -> None:
    document = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, **given}
    assert ProductionVariant.from_document(document).instance_type == name
