"""What a fleet runs: by what it is known, and that nothing in it says where."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.contract import SUBMIT_DIRECTORY
from inservice.hosting.model import ArtifactSource, CompressionType, Model, S3DataType
from inservice.ids import fleet_id, pins_of
from inservice.workload.of_model import PRIMARY, workload_of

NAMES = st.from_regex(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,10}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
PLACES = st.builds(
    "{}{}{}".format,
    st.sampled_from([" ", "", "\t"]),
    st.sampled_from(["s3://", "file://", "file:///", "S3://", "https://", "/", "", "src/", "s3:/"]),
    TEXTS,
)
ENVIRONMENTS = st.dictionaries(
    st.sampled_from(["A", "B_2", "SM_MODEL_DIR", "OMP_NUM_THREADS", SUBMIT_DIRECTORY]), TEXTS
) | PLACES.map(lambda place: {SUBMIT_DIRECTORY: place})
ARTIFACTS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"ModelDataUrl": "s3://bucket/model.tar.gz"},
        {"ModelDataUrl": "file:///srv/models/model.tar.gz"},
        {
            "ModelDataSource": {
                "S3DataSource": {
                    "S3Uri": "s3://bucket/model/",
                    "S3DataType": "S3Prefix",
                    "CompressionType": "None",
                }
            }
        },
    ]
)


@st.composite
def models(draw: st.DrawFn) -> Model:
    container: dict[str, Any] = {
        "Image": draw(TEXTS),
        "Environment": draw(ENVIRONMENTS),
        **draw(ARTIFACTS),
    }
    if draw(st.booleans()):
        container["ContainerHostname"] = draw(NAMES)
    document = {"ModelName": "m", "EnableNetworkIsolation": draw(st.booleans())}
    if draw(st.booleans()):
        document["PrimaryContainer"] = container
    else:
        document["Containers"] = [container]
    return Model.from_document(
        document, account="0" * 12, region="us-east-1", now=draw(st.floats())
    )


def leaves(value: Any) -> Iterator[Any]:
    if dataclasses.is_dataclass(value):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        for one in value:
            yield from leaves(one)
    else:
        yield value


FLEETS = st.builds(fleet_id, st.just("g1"), st.integers(1, 99), NAMES)


@given(models(), FLEETS)
def test_it_is_what_the_model_says(model: Model, fleet: str) -> None:
    workload = workload_of(model, fleet)
    assert workload.network_isolation == model.network_isolation
    (container,), (definition,) = workload.containers, model.containers
    assert container.name == (definition.hostname or PRIMARY)
    assert (container.image, container.environment) == (definition.image, definition.environment)
    assert (container.model and container.model.source) == definition.artifact
    assert container.assets == tuple(filter(None, (container.model, container.code)))


@given(models(), FLEETS)
def test_its_files_are_pinned_by_names_that_are_kept_for_as_long_as_the_fleet_is(
    model: Model, fleet: str
) -> None:
    """And no two of its files by one: each has a digest of its own."""
    pins = [asset.pin for one in workload_of(model, fleet).containers for asset in one.assets]
    assert set(pins) <= set(pins_of(fleet))
    assert len(set(pins)) == len(pins)


@given(models(), FLEETS, FLEETS)
def test_two_fleets_of_a_model_run_the_same_and_share_no_pin(
    model: Model, one: str, other: str
) -> None:
    first, second = workload_of(model, one), workload_of(model, other)
    assert (first == second) == (one == other or not first.containers[0].assets)
    for mine, yours in zip(first.containers[0].assets, second.containers[0].assets, strict=True):
        assert dataclasses.replace(mine, pin=yours.pin) == yours
        assert mine.pin != yours.pin or one == other


@given(models(), FLEETS)
def test_it_is_a_value(model: Model, fleet: str) -> None:
    """Of the containers, however the call was written and whenever it was made."""
    again = dataclasses.replace(model, name="n", arn="a", created_at=0.0, document={})
    assert workload_of(again, fleet) == workload_of(model, fleet)


@given(models(), FLEETS)
def test_it_says_what_and_never_where(model: Model, fleet: str) -> None:
    """Whoever gets it on another host has all that is needed, and nothing that means this one:
    every text in it is the model's own, or the name of a pin."""
    given_texts = {leaf for leaf in leaves(model) if isinstance(leaf, str)}
    for leaf in leaves(workload_of(model, fleet)):
        assert not isinstance(leaf, PurePath)
        assert leaf is None or isinstance(leaf, str | bool | int | Enum)
        if isinstance(leaf, str) and not isinstance(leaf, Enum):
            own = leaf in given_texts or leaf in {text.strip() for text in given_texts}
            assert own or leaf in (PRIMARY, "") or leaf in pins_of(fleet)


ARCHIVE = (S3DataType.S3_OBJECT, CompressionType.GZIP)


@pytest.mark.parametrize(
    ("place", "uri", "or_directory"),
    [
        ("s3://bucket/code.tar.gz", "s3://bucket/code.tar.gz", False),
        (" s3://bucket/code.tar.gz\n", "s3://bucket/code.tar.gz", False),
        ("file:///srv/code", "file:///srv/code", True),
        ("file:///srv/code.tar.gz", "file:///srv/code.tar.gz", True),
    ],
)
def test_code_in_a_place_of_its_own_is_an_asset(place: str, uri: str, or_directory: bool) -> None:
    code = _with_code(place)
    assert code is not None
    assert code.source == ArtifactSource(uri, *ARCHIVE)
    assert code.or_directory is or_directory
    assert code.pin == "g-1-v+code"


@pytest.mark.parametrize(
    "place",
    ["", "  ", "/opt/ml/model/code", "code", "https://x/code.tar.gz", "s3:/b/k", "S3://b/k"],
)
def test_code_in_the_artifact_or_nowhere_is_none(place: str) -> None:
    assert _with_code(place) is None


def _with_code(place: str) -> Any:
    container: dict[str, Any] = {"Image": "python", "Environment": {SUBMIT_DIRECTORY: place}}
    document = {"ModelName": "m", "PrimaryContainer": container}
    model = Model.from_document(document, account="0" * 12, region="us-east-1", now=0.0)
    return workload_of(model, "g-1-v").containers[0].code
