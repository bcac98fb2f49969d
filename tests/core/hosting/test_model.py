"""What CreateModel's document becomes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from inservice.errors import NotImplementedYet, ValidationException
from inservice.hosting.model import (
    ENVIRONMENT_BYTES_MAX,
    ArtifactSource,
    CompressionType,
    Model,
    S3DataType,
)

IMAGE = "registry/image:1"


def made(**members: Any) -> Model:
    document = {"ModelName": "m", **members}
    return Model.from_document(document, account="000000000000", region="us-east-1", now=5.0)


def of_container(**members: Any) -> Model:
    return made(PrimaryContainer={"Image": IMAGE, **members})


def source(**members: Any) -> dict[str, Any]:
    whole = {"S3Uri": "s3://b/k/", "S3DataType": "S3Prefix", "CompressionType": "None", **members}
    return {"ModelDataSource": {"S3DataSource": whole}}


def test_a_model_keeps_its_document_and_is_seen_through_types() -> None:
    model = made(
        PrimaryContainer={
            "Image": IMAGE,
            "ModelDataUrl": "s3://b/model.tar.gz",
            "Environment": {"A": "1"},
        },
        ExecutionRoleArn="arn:aws:iam::000000000000:role/r",
        EnableNetworkIsolation=True,
    )
    (container,) = model.containers
    assert model.arn == "arn:aws:sagemaker:us-east-1:000000000000:model/m"
    assert (model.created_at, model.network_isolation) == (5.0, True)
    assert (container.image, container.environment) == (IMAGE, {"A": "1"})
    assert container.artifact == ArtifactSource(
        "s3://b/model.tar.gz", S3DataType.S3_OBJECT, CompressionType.GZIP
    )
    assert model.document["ExecutionRoleArn"] == "arn:aws:iam::000000000000:role/r"


def test_one_element_of_containers_is_a_model_like_any_other() -> None:
    assert made(Containers=[{"Image": IMAGE}]).containers == of_container().containers


def test_a_container_may_bring_its_model_in_the_image() -> None:
    assert of_container().containers[0].artifact is None


def test_files_under_a_prefix() -> None:
    assert of_container(**source()).containers[0].artifact == ArtifactSource(
        "s3://b/k/", S3DataType.S3_PREFIX, CompressionType.NONE
    )


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({}, "Specify one of PrimaryContainer and Containers."),
        ({"Containers": []}, "Specify one of PrimaryContainer and Containers."),
        (
            {"PrimaryContainer": {"Image": IMAGE}, "Containers": [{"Image": IMAGE}]},
            "Specify only one of PrimaryContainer and Containers.",
        ),
        ({"PrimaryContainer": {}}, "Specify one of either Image and Model Data URL or"),
        (
            {"PrimaryContainer": {"Image": IMAGE, "ModelPackageName": "p"}},
            "Specify one of either Image and Model Data URL or ModelPackageName in container",
        ),
        ({"Containers": [{"Image": IMAGE}] * 2}, "more than one element in 'Containers'"),
        ({"PrimaryContainer": {"ModelPackageName": "p"}}, "'PrimaryContainer.ModelPackageName'"),
        (
            {"PrimaryContainer": {"Image": IMAGE, "Mode": "MultiModel"}},
            "the value 'MultiModel' at 'PrimaryContainer.Mode'",
        ),
        (
            {
                "Containers": [{"Image": IMAGE}],
                "InferenceExecutionConfig": {"Mode": "Direct"},
            },
            "the value 'Direct' at 'InferenceExecutionConfig.Mode'",
        ),
        (
            {"PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://b/k", **source()}},
            "Specify only one of ModelDataUrl and ModelDataSource",
        ),
    ],
)
def test_what_is_refused(members: dict[str, Any], says: str) -> None:
    with pytest.raises((ValidationException, NotImplementedYet)) as caught:
        made(**members)
    assert says in caught.value.message
    here_alone = "InService does not support" in caught.value.message
    assert isinstance(caught.value, NotImplementedYet) is here_alone


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"CompressionType": "Gzip"}, "Gzip needs S3DataType S3Object"),
        ({"S3Uri": "s3://b/k"}, "must end with a forward slash"),
        ({"S3Uri": "s3://b//k/"}, "cannot be a file name"),
        ({"S3Uri": "s3://b/ /k/"}, "cannot be a file name"),
        ({"S3Uri": "s3://b/../k/"}, "cannot be a file name"),
        ({"S3Uri": "s3://b/./k/"}, "cannot be a file name"),
        ({"S3Uri": "s3://b/k\0/"}, "cannot be a file name"),
        ({"S3Uri": f"s3://b/{'ü' * 128}/"}, "cannot be a file name"),
        ({"S3DataType": "S3Object", "S3Uri": "s3://b/.."}, "cannot be a file name"),
        ({"ManifestS3Uri": "s3://b/m"}, "'PrimaryContainer.ModelDataSource.S3DataSource.Manifest"),
    ],
)
def test_sources_that_could_not_be_unpacked_are_refused(members: dict[str, Any], says: str) -> None:
    with pytest.raises((ValidationException, NotImplementedYet)) as caught:
        of_container(**source(**members))
    assert says in caught.value.message


@pytest.mark.parametrize("uri", ["s3://b/", "s3://b/k/", "s3://b/a/b c/"])
def test_prefixes_that_can(uri: str) -> None:
    assert of_container(**source(S3Uri=uri)).containers[0].artifact is not None


def test_the_environment_is_counted_in_bytes_over_all_containers() -> None:
    # 32 KB of keys and values together, in AWS's model documentation.
    full = {f"K{n:02}": "v" * 1021 for n in range(ENVIRONMENT_BYTES_MAX // 1024)}
    of_container(Environment=full)
    with pytest.raises(ValidationException, match="take 32769 bytes together"):
        of_container(Environment={**full, "K00": "v" * 1022})
    with pytest.raises(ValidationException, match="bytes together"):
        of_container(Environment={**full, "K00": "ü" * 511})
