"""Names and ARNs."""

from __future__ import annotations

import pytest

from inservice.errors import ValidationException
from inservice.hosting.arn import (
    ResourceArn,
    ResourceKind,
    already_exists,
    could_not_find,
    name_key,
    parse_arn,
)

ACCOUNT = "000000000000"


@pytest.mark.parametrize("kind", ResourceKind)
@pytest.mark.parametrize("region", ["us-east-1", "cn-north-1", "us-gov-west-1"])
def test_an_arn_is_read_back_as_it_was_written(kind: ResourceKind, region: str) -> None:
    arn = ResourceArn(kind, ACCOUNT, region, "Demo-1")
    assert parse_arn(str(arn)) == arn


def test_an_arn_keeps_the_case_of_the_name() -> None:
    # AWS lower-cased it until about 2022 and preserves it now.
    arn = ResourceArn(ResourceKind.ENDPOINT, ACCOUNT, "us-east-1", "DEMO-Endpoint")
    assert str(arn) == "arn:aws:sagemaker:us-east-1:000000000000:endpoint/DEMO-Endpoint"
    assert name_key("DEMO-Endpoint") == "demo-endpoint"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "demo",
        "arn:aws:sagemaker:us-east-1:000000000000:endpoint",
        "arn:aws:sagemaker:us-east-1:000000000000:endpoint/",
        "arn:aws:sagemaker:us-east-1:000000000000:training-job/demo",
        "arn:aws:sagemaker:us-east-1:00000000000:endpoint/demo",
        "arn:aws-cn:sagemaker:us-east-1:000000000000:endpoint/demo",
        "arn:aws:s3:us-east-1:000000000000:endpoint/demo",
        "arn:aws:sagemaker:us-east-1:000000000000:endpoint/demo\n",
    ],
)
def test_what_is_no_arn_of_ours_is_none(text: str) -> None:
    assert parse_arn(text) is None


def test_the_words_that_sdks_match() -> None:
    arn = ResourceArn(ResourceKind.ENDPOINT_CONFIG, ACCOUNT, "us-east-1", "c")
    missing, taken = could_not_find(arn), already_exists(arn)
    assert missing.message == f'Could not find endpoint configuration "{arn}".'
    assert taken.message == f'Cannot create already existing endpoint configuration "{arn}".'
    assert (missing.code, missing.status) == ("ValidationException", 400)
    assert isinstance(taken, ValidationException)
