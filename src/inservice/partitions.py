"""AWS's partitions: the second part of every ARN, told by the region."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

_REGIONS: Mapping[str, re.Pattern[str]] = {
    partition: re.compile(rf"{regions}-\w+-\d+|{partition}-global")
    for partition, regions in {
        "aws-cn": "cn",
        "aws-us-gov": "us-gov",
        "aws-eusc": "eusc-de",
        "aws-iso": "us-iso",
        "aws-iso-b": "us-isob",
        "aws-iso-e": "eu-isoe",
        "aws-iso-f": "us-isof",
    }.items()
}
"""As botocore's partitions.json has them, which a test compares. Whatever is none of these is in
`aws`, a region that only this server knows included."""


@functools.lru_cache(maxsize=1_024)
def partition_of(region: str) -> str:
    """The partition that a region belongs to: `aws`, `aws-cn`, `aws-us-gov` …"""
    for partition, regions in _REGIONS.items():
        if regions.fullmatch(region):
            return partition
    return "aws"
