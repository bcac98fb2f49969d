"""The images of the host, as its API has them: who changes them, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from inservice.errors import (
    AccessDeniedException,
    InsufficientStorage,
    ServiceUnavailable,
    ValidationException,
)
from inservice.images.base import AddedImagesUnreadable
from tests.core.operations.conftest import ACCOUNT, REGION, Perform
from tests.kept_images import FakeImages, environment_of

OTHER = "444455556666"
TGI = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-tgi-inference:2.7.0"
TRAINING = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6.0-gpu-py312"


def add(perform: Perform, name: str = "mine", **members: Any) -> None:
    perform("AddImage", **{"Image": name, "Requirements": ["b>=1", "a"], **members})


def endpoint(perform: Perform, name: str, image: str, account: str = ACCOUNT) -> None:
    role = f"arn:aws:iam::{account}:role/r"
    perform(
        "CreateModel",
        account=account,
        ModelName=name,
        PrimaryContainer={"Image": image, "ModelDataUrl": "s3://b/model.tar.gz"},
        ExecutionRoleArn=role,
    )
    variant = {
        "VariantName": "v",
        "ModelName": name,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
    }
    perform(
        "CreateEndpointConfig",
        account=account,
        EndpointConfigName=name,
        ProductionVariants=[variant],
    )
    perform("CreateEndpoint", account=account, EndpointName=name, EndpointConfigName=name)


def test_an_image_is_added_as_it_is_meant(perform: Perform) -> None:
    add(
        perform,
        PythonVersion="3.12",
        Framework="pytorch",
        Preimports=["a", "b.c"],
        Requirements=["b >=1 , <2", "a[x] ; python_version>'3'", "b<2,>=1"],
        now=1_000.0,
    )
    told = perform("DescribeImage", Image="inservice/mine")
    assert told == {
        "Name": "mine",
        "Image": "inservice/mine",
        "State": "ToBuild",
        "Names": [],
        "Repositories": [],
        "Requirements": ['a[x]; python_version > "3"', "b<2,>=1"],
        "Preimports": ["a", "b.c"],
        "PythonVersion": "3.12",
        "Framework": "pytorch",
        "Variables": {},
        "AddedAt": 1_000.0,
    }
    assert [each["Name"] for each in perform("ListImages")["Images"]] == [
        "mine",
        "python",
        "sklearn",
    ]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"Requirements": ["a b"]}, "'a b' is no requirement of a package: "),
        ({"Requirements": ["a", ""]}, "'' is no requirement"),
        ({"Requirements": ["-r more.txt"]}, "'-r more.txt' is no requirement"),
        ({"Requirements": ["a --hash=sha256:00"]}, "is no requirement"),
        ({"Requirements": ["./a.whl"]}, "is no requirement"),
        ({"PythonVersion": "3.10"}, "'3.10' is no version of Python that the model server"),
        ({"PythonVersion": "4.0"}, "'4.0' is no version"),
        ({"PythonVersion": "3.12; rm"}, "is no version"),
        ({"Framework": "caffe"}, "'caffe' is no framework .*: pytorch, sklearn"),
        ({"Preimports": ["os; import x"]}, "no name of a module"),
        ({"Preimports": ["a..b"]}, "'a..b' is no name"),
        ({"Image": "sklearn"}, "already existing"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_kept(
    perform: Perform, images: FakeImages, members: Mapping[str, Any], says: str
) -> None:
    with pytest.raises(ValidationException, match=says):
        add(perform, **members)
    assert not images.added


def test_a_name_is_taken_once(perform: Perform, images: FakeImages) -> None:
    add(perform)
    with pytest.raises(ValidationException, match='already existing image "mine"'):
        add(perform, Requirements=["c"])
    assert images.added["mine"].requirements == ("a", "b>=1")


def test_a_file_that_cannot_be_written_is_told(perform: Perform, images: FakeImages) -> None:
    images.error = OSError(28, "No space left on device")
    with pytest.raises(InsufficientStorage, match="No space left"):
        add(perform)
    images.error = AddedImagesUnreadable("images.json cannot be read")
    with pytest.raises(ServiceUnavailable, match=r"images\.json cannot be read"):
        add(perform)


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("AddImage", {"Image": "mine", "Requirements": []}),
        ("BuildImage", {"Image": "python"}),
        ("RemoveImage", {"Image": "mine"}),
        ("PruneImages", {}),
    ],
)
def test_another_account_sees_the_host_s_images_and_changes_none(
    perform: Perform, images: FakeImages, name: str, members: Mapping[str, Any]
) -> None:
    add(perform)
    with pytest.raises(AccessDeniedException, match=OTHER):
        perform(name, account=OTHER, **members)
    assert set(images.added) == {"mine"}
    assert not images.built
    listed = perform("ListImages", account=OTHER)["Images"]
    assert "mine" in [each["Name"] for each in listed]


def test_an_image_that_an_endpoint_runs_is_kept_and_who_runs_it_told(
    perform: Perform, images: FakeImages
) -> None:
    add(perform)
    endpoint(perform, "e1", "inservice/mine")
    endpoint(perform, "e2", "mine:latest", OTHER)
    endpoint(perform, "e3", "python")
    with pytest.raises(ValidationException) as refused:
        perform("RemoveImage", Image="mine")
    assert str(refused.value) == (
        'Cannot delete image "mine": it is in use by endpoints '
        f'"e1" of account {ACCOUNT} in {REGION}, "e2" of account {OTHER} in {REGION}.'
    )
    assert set(images.added) == {"mine"}


def test_an_image_that_nothing_runs_is_removed(perform: Perform, images: FakeImages) -> None:
    add(perform)
    endpoint(perform, "e3", "python")
    assert perform("RemoveImage", Image="inservice/mine") == {}
    assert not images.added
    assert perform("DescribeImage", Image="mine")["State"] == "NeedsEngine"


def test_of_the_catalogue_s_what_was_built_is_removed(perform: Perform, images: FakeImages) -> None:
    with pytest.raises(ValidationException, match="Nothing is built"):
        perform("RemoveImage", Image="python")
    assert perform("BuildImage", Image="python")["State"] == "Built"
    removed = perform("RemoveImage", Image="python")["Environments"]
    assert [each["Images"] for each in removed] == [["python"]]
    with pytest.raises(ValidationException, match="Nothing is built"):
        perform("RemoveImage", Image="nginx")


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (TGI, "a container engine runs it. Text Generation Inference is a server in Rust"),
        ("nginx:latest", "The image 'nginx:latest' is not built here: a container engine runs it."),
        (TRAINING, "cannot run here: it trains and has no server in it.* Name the image"),
        ("-v", "that is no reference to an image"),
    ],
)
def test_what_is_not_built_here_says_so(perform: Perform, image: str, says: str) -> None:
    with pytest.raises(ValidationException, match=says):
        perform("BuildImage", Image=image)


def test_any_image_is_described(perform: Perform) -> None:
    told = perform("DescribeImage", Image=TRAINING)
    assert (told["State"], told["Reason"].startswith("The image '")) == ("NotRunnable", True)
    told = perform("DescribeImage", Image=TGI)
    assert (told["State"], "Rust" in told["Reason"]) == ("NeedsEngine", True)
    assert told["ContainerEngine"] == {"Name": "Podman", "Version": "5.0"}
    told = perform("DescribeImage", Image="nginx")
    assert ("Reason" in told, "ContainerEngine" in told) == (False, True)
    assert "ContainerEngine" not in perform("DescribeImage", Image="python")


def test_what_is_in_use_is_not_pruned(perform: Perform, images: FakeImages) -> None:
    images.built = {"a": environment_of("a"), "b": environment_of("b", in_use=True)}
    assert [each["InUse"] for each in perform("ListEnvironments")["Environments"]] == [False, True]
    removed = perform("PruneImages")["Environments"]
    assert [each["Images"] for each in removed] == [["a"]]
    assert [*images.built] == ["b"]
