"""The table of partitions, held against botocore's."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from inservice.partitions import partition_of


def test_every_region_of_botocore_s_is_in_its_partition() -> None:
    document: dict[str, Any] = json.loads((files("botocore") / "data/partitions.json").read_text())
    wrong = {
        region: partition_of(region)
        for partition in document["partitions"]
        for region in partition["regions"]
        if partition_of(region) != partition["id"]
    }
    assert not wrong
    assert len(document["partitions"]) > 5


def test_regions_that_aws_will_open_and_those_that_it_never_had() -> None:
    assert partition_of("cn-south-7") == "aws-cn"
    assert partition_of("us-isof-middle-2") == "aws-iso-f"
    assert {
        partition_of(name) for name in ("local", "", "cn", "us-isolated-1", "x-cn-north-1")
    } == {"aws"}
