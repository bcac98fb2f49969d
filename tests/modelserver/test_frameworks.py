"""A framework is a plug and an entry in the contract: which one loads an artifact, and predicts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import joblib
import pytest
from sklearn.dummy import DummyClassifier

from inservice import contract
from inservice.artifacts import lint
from inservice.contract import MODEL_FILES, ModelFiles, model_files
from inservice.modelserver.frameworks import select, sklearn
from inservice.modelserver.frameworks.base import NoModel
from inservice.modelserver.frameworks.select import PLUGS, framework_of, load

ONE_MORE = {
    "boosted": ModelFiles("Boosted", "boosted.read", names=("boosted-model",), suffixes=(".bo",))
}


class Boosted:
    """A model of a framework that is not here."""


PLUG = SimpleNamespace(
    knows=lambda model: isinstance(model, Boosted),
    load=lambda file: Boosted(),
    predict=lambda value, model: "boosted",
    predict_batch=lambda values, model: ["boosted" for _ in values],
)


@pytest.fixture
def with_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second framework, added as CONTRIBUTING says that one is."""
    files: Mapping[str, ModelFiles] = ONE_MORE | dict(MODEL_FILES)
    monkeypatch.setattr(contract, "MODEL_FILES", files)
    monkeypatch.setattr(lint, "MODEL_FILES", files)
    monkeypatch.setattr(select, "MODEL_FILES", files)
    monkeypatch.setattr(select, "PLUGS", {"boosted": PLUG} | dict(PLUGS))


def test_each_framework_of_the_contract_has_its_plug() -> None:
    """In the same order: what `model lint` says is what the model server does."""
    assert list(PLUGS) == list(MODEL_FILES)


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
    assert isinstance(model := load(tmp_path), DummyClassifier)
    assert framework_of(model) is sklearn
    (tmp_path / "boosted-model").write_bytes(b"x")
    assert lint.lint(tmp_path).loader == "Boosted: boosted.read of boosted-model"
    assert isinstance(model := load(tmp_path), Boosted)
    assert framework_of(model) is PLUG
    (tmp_path / "boosted-model").rename(tmp_path / "b.bo")
    assert lint.lint(tmp_path).findings[0].says.startswith("Which of a.pkl, b.bo is the model?")
    with pytest.raises(NoModel, match=r"which of a\.pkl, b\.bo is the model"):
        load(tmp_path)


def test_a_model_that_no_framework_knows_is_told_what_it_lacks() -> None:
    with pytest.raises(AttributeError, match="'dict' object has no attribute 'predict'"):
        framework_of({}).predict([[1.0]], {})
