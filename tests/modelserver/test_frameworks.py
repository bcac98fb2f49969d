"""A framework is a plug and an entry in the contract: which one loads an artifact, and predicts."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import pytest
from sklearn.dummy import DummyClassifier

from inservice import contract
from inservice.artifacts import lint
from inservice.contract import MODEL_FILES, ModelFiles, model_files
from inservice.modelserver.frameworks import select, sklearn
from inservice.modelserver.frameworks.base import Framework, NoModel
from inservice.modelserver.frameworks.select import by_files, by_image, by_model
from inservice.modelserver.program import Program
from inservice.modelserver.settings import BadSetting, settings_from

ONE_MORE = {
    "boosted": ModelFiles(
        "Boosted",
        "boosted.read",
        names=("boosted-model",),
        suffixes=(".bo",),
        package=__name__.partition(".")[0],
    )
}


class Boosted:
    """A model of a framework that is not here."""


class Container(Framework):
    """Its plug."""

    def load(self) -> Boosted:
        return Boosted()

    def predict(self, value: Any, model: Any) -> str:
        return "boosted"


PLUG = SimpleNamespace(plug=Container, knows=lambda model: isinstance(model, Boosted))


@pytest.fixture
def with_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second framework, added as CONTRIBUTING says that one is."""
    files: Mapping[str, ModelFiles] = ONE_MORE | dict(MODEL_FILES)
    for module in (contract, lint, select):
        monkeypatch.setattr(module, "MODEL_FILES", files)
    monkeypatch.setitem(sys.modules, "inservice.modelserver.frameworks.boosted", PLUG)


def loaded(artifact: Path) -> Any:
    """What the plug of an artifact's files makes of it."""
    return by_files(Program({}), settings_from({}, str(artifact))).load()


def of(model: Any) -> Framework:
    """The plug that predicts with a model."""
    return by_model(model, Program({}), settings_from({}, "/m"))


@pytest.mark.parametrize("name", MODEL_FILES)
def test_each_framework_can_be_an_image_s(name: str) -> None:
    plug = by_image(settings_from({"INSERVICE_FRAMEWORK": name}, "/m"))
    assert plug is not None
    assert plug.start.by_image
    assert type(plug).__module__.startswith(f"inservice.modelserver.frameworks.{name}")


@pytest.mark.parametrize("name", ["", " ", "python"])
def test_without_a_framework_files_and_models_decide(name: str) -> None:
    assert by_image(settings_from({"INSERVICE_FRAMEWORK": name}, "/m")) is None


@pytest.mark.parametrize("name", ["boosted", "base", "select", "os", "../x", "Sklearn"])
def test_a_framework_that_there_is_not_is_named(name: str) -> None:
    with pytest.raises(BadSetting, match=r"INSERVICE_FRAMEWORK is '.*', not one of .*sklearn"):
        by_image(settings_from({"INSERVICE_FRAMEWORK": name}, "/m"))


@pytest.mark.parametrize(
    ("artifact", "found"),
    [
        (["model.joblib"], [("sklearn", "model.joblib")]),
        (["model.pickle", "model.pkl"], [("sklearn", "model.pkl")]),
        (["other.pkl", "model.joblib"], [("sklearn", "model.joblib")]),
        (["boosted-model", "model.joblib"], [("boosted", "boosted-model")]),
        (["boosted-model", "a.pkl", "b.pkl"], [("boosted", "boosted-model")]),
        (["a.bo", "model.joblib"], [("sklearn", "model.joblib")]),
        (["a.bo", "readme.txt", "._b.pkl"], [("boosted", "a.bo")]),
        (["b.pkl", "a.bo"], [("boosted", "a.bo"), ("sklearn", "b.pkl")]),
        (["readme.txt", "model.joblib.txt"], []),
        ([], []),
    ],
)
@pytest.mark.usefixtures("with_one_more")
def test_which_file_is_the_model(artifact: list[str], found: list[tuple[str, str]]) -> None:
    assert model_files(artifact) == found


@pytest.mark.usefixtures("with_one_more")
def test_each_framework_loads_its_own_and_predicts_with_it(tmp_path: Path) -> None:
    joblib.dump(DummyClassifier().fit([[0.0]], [1]), tmp_path / "a.pkl")
    assert isinstance(model := loaded(tmp_path), DummyClassifier)
    assert type(of(model)) is sklearn.Plain
    (tmp_path / "boosted-model").write_bytes(b"x")
    assert lint.lint(tmp_path).loader == "Boosted: boosted.read of boosted-model"
    assert isinstance(model := loaded(tmp_path), Boosted)
    assert type(of(model)) is Container
    (tmp_path / "boosted-model").rename(tmp_path / "b.bo")
    assert lint.lint(tmp_path).findings[0].says.startswith("Which of a.pkl, b.bo is the model?")
    with pytest.raises(NoModel, match=r"which of a\.pkl, b\.bo is the model"):
        loaded(tmp_path)


def test_a_model_that_no_framework_knows_is_told_what_it_lacks() -> None:
    with pytest.raises(AttributeError, match="'dict' object has no attribute 'predict'"):
        of({}).predict([[1.0]], {})
