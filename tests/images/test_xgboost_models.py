"""XGBoost's container with real models: loading, ensembles, and predictions that XGBoost makes too.

It runs where XGBoost is installed: `make test-images` has the rest of it, through a server.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from tests.modelserver.asking import serving

xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed here")
pytestmark = [
    pytest.mark.images,
    pytest.mark.filterwarnings("ignore"),  # XGBoost's, of the names that models are saved under
]

CSV, JSON = "text/csv", "application/json"
RNG = np.random.default_rng(7)
X = RNG.normal(size=(300, 4))
CLASSES = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0).astype(int)
QUERY = X[:5].round(3)
BODY = "\n".join(",".join(map(str, row)) for row in QUERY).encode()


def trained(objective: str, seed: int = 0, **parameters: Any) -> Any:
    labels: Any = X[:, 0]
    if objective.startswith("multi"):
        labels, parameters = CLASSES, {"num_class": 3, **parameters}
    elif objective.startswith("binary"):
        labels = CLASSES > 0
    data = xgboost.DMatrix(X, label=labels)
    given = {"objective": objective, "seed": seed, "nthread": 1, "max_depth": 2, "subsample": 0.5}
    return xgboost.train({**given, **parameters}, data, 5)


def expected(model: Any, rows: Any = QUERY) -> Any:
    return model.predict(xgboost.DMatrix(rows), validate_features=False)


def lines(body: bytes) -> list[float]:
    return [float(line) for line in body.decode().splitlines()]


def as_json(model: Any, path: Path) -> None:
    path.write_bytes(model.save_raw("json"))


def pickled(model: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(model))


@pytest.mark.parametrize("name", ["xgboost-model", "model.ubj", "model.json"])
@pytest.mark.parametrize("save", [lambda m, p: m.save_model(p), as_json, pickled])
def test_each_format_is_loaded(
    tmp_path: Path, name: str, save: Callable[[Any, Path], None]
) -> None:
    model = trained("reg:squarederror")
    save(model, tmp_path / name)
    said = serving("xgboost", tmp_path)(BODY, CSV)
    assert (said.status, said.content_type) == (200, CSV)
    assert lines(said.body) == pytest.approx(expected(model).tolist())


def test_the_estimators_of_scikit_learn_s_kind_are_taken_too(tmp_path: Path) -> None:
    whole = xgboost.XGBRegressor(n_estimators=5, max_depth=2, n_jobs=1).fit(X, X[:, 0])
    pickled(whole, tmp_path / "model.pkl")
    said = serving("xgboost", tmp_path)(BODY, CSV)
    assert lines(said.body) == pytest.approx(whole.predict(QUERY).tolist(), rel=1e-5)


@pytest.mark.parametrize("booster", ["gbtree", "dart", "gblinear"])
def test_each_booster_predicts(tmp_path: Path, booster: str) -> None:
    drop = {"max_depth": None, "subsample": None} if booster == "gblinear" else {}
    parameters = {"booster": booster, "nthread": 1, "objective": "reg:squarederror", **drop}
    given = {name: value for name, value in parameters.items() if value is not None}
    model = xgboost.train(given, xgboost.DMatrix(X, label=X[:, 0]), 5)
    model.save_model(tmp_path / "model.ubj")
    assert lines(serving("xgboost", tmp_path)(BODY, CSV).body) == pytest.approx(
        expected(model).tolist(), rel=1e-4, abs=1e-5
    )


def test_several_models_answer_their_mean(tmp_path: Path) -> None:
    models = [trained("binary:logistic", seed) for seed in range(3)]
    for number, model in enumerate(models):
        model.save_model(tmp_path / f"model-{number}.ubj")
    mean = np.mean([expected(model) for model in models], axis=0)
    assert lines(serving("xgboost", tmp_path)(BODY, CSV).body) == pytest.approx(mean.tolist())
    alone = {"SAGEMAKER_INFERENCE_ENSEMBLE": "false"}
    first = lines(serving("xgboost", tmp_path, alone)(BODY, CSV).body)
    assert first == pytest.approx(expected(models[0]).tolist())


@pytest.mark.parametrize("objective", ["multi:softmax", "binary:hinge"])
def test_of_classes_the_majority_is_answered(tmp_path: Path, objective: str) -> None:
    models = [trained(objective, seed, colsample_bytree=0.5) for seed in range(3)]
    for number, model in enumerate(models):
        pickled(model, tmp_path / f"model-{number}")
    votes = np.stack([expected(model) for model in models]).astype(int)
    wanted = [np.bincount(column).argmax() for column in votes.T]
    assert lines(serving("xgboost", tmp_path)(BODY, CSV).body) == wanted


@pytest.mark.parametrize(
    ("objective", "names"),
    [
        ("binary:logistic", "predicted_label,probability,probabilities,raw_score,labels"),
        ("multi:softprob", "predicted_label,probabilities,labels"),
        ("multi:softmax", "predicted_label,labels"),
        ("reg:squarederror", "predicted_score"),
        ("reg:tweedie", "predicted_score"),
    ],
)
def test_selections_of_real_objectives(tmp_path: Path, objective: str, names: str) -> None:
    if objective == "reg:tweedie":
        data = xgboost.DMatrix(X, label=np.abs(X[:, 0]))
        model = xgboost.train({"objective": objective, "nthread": 1}, data, 3)
    else:
        model = trained(objective)
    model.save_model(tmp_path / "model.ubj")
    ask = serving("xgboost", tmp_path, {"SAGEMAKER_INFERENCE_OUTPUT": names})
    rows = json.loads(ask(BODY, CSV, JSON).body)["predictions"]
    for row, prediction in zip(rows, expected(model), strict=True):
        assert set(row) == set(names.split(","))
        assert all(value == value for value in row.values() if isinstance(value, float))
        if "labels" in row:
            assert row["labels"] == ([0, 1] if objective.startswith("binary") else [0, 1, 2])
        if "probabilities" in row and objective == "multi:softprob":
            assert row["probabilities"] == pytest.approx(prediction.tolist())
            assert row["predicted_label"] == int(np.argmax(prediction))
        if "predicted_score" in row:
            assert row["predicted_score"] == pytest.approx(float(prediction), rel=1e-5)


@pytest.mark.parametrize("save", [lambda m, p: m.save_model(p), pickled])
def test_rows_that_are_too_narrow_or_too_wide(
    tmp_path: Path, save: Callable[[Any, Path], None]
) -> None:
    model = trained("reg:squarederror")
    save(model, tmp_path / "xgboost-model")
    ask = serving("xgboost", tmp_path)
    wide = ask(b"1,2,3,4,5,6", CSV)
    assert wide.status == 400
    assert wide.body.startswith(b"Unable to evaluate payload provided: ")
    narrow = ask(b"0.5,0.25", CSV)
    if save is pickled:
        words = b"Feature size of csv inference data 2 is not consistent with feature size of"
        assert words in narrow.body
        assert narrow.status == 400
        assert b"is larger than feature size of" in ask(b"9:1 0:1", "libsvm").body
    else:
        wanted = expected(model, np.array([[0.5, 0.25]]))
        assert lines(narrow.body) == pytest.approx(wanted.tolist())


def test_what_libsvm_does_not_name_is_missing(tmp_path: Path) -> None:
    sparse = scipy.sparse.csr_matrix(np.where(X > 0.5, X, 0))
    model = xgboost.train({"nthread": 1}, xgboost.DMatrix(sparse, label=X[:, 0]), 5)
    model.save_model(tmp_path / "xgboost-model")
    assert 0 in sparse[:20].indices  # else the indices would be taken to begin at 1
    out = io.StringIO()
    for row in sparse[:20]:
        pairs = zip(row.indices, row.data, strict=True)
        out.write(" ".join(["0", *(f"{place}:{value}" for place, value in pairs)]) + "\n")
    said = serving("xgboost", tmp_path)(out.getvalue().encode(), "text/libsvm")
    assert said.status == 200
    wanted = model.predict(xgboost.DMatrix(sparse[:20])).tolist()
    assert lines(said.body) == pytest.approx(wanted, rel=1e-5)


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    trained("reg:squarederror").save_model(tmp_path / "a-model")
    (tmp_path / "notes.txt").write_text("not a model")
    with pytest.raises(RuntimeError, match=r"notes\.txt cannot be loaded:"):
        serving("xgboost", tmp_path)


SCRIPT = {"SAGEMAKER_PROGRAM": "inference.py"}


def test_a_script_s_defaults_predict_on_a_dmatrix(tmp_path: Path) -> None:
    model = trained("reg:squarederror")
    ask = serving("xgboost", tmp_path, SCRIPT, model_fn=lambda directory: model)
    for accept, read in ((None, json.loads), (JSON, json.loads), (CSV, lines)):
        said = ask(BODY, CSV, accept)
        assert (said.status, said.content_type) == (200, accept or JSON)
        assert read(said.body) == pytest.approx(expected(model).tolist())
    assert ask(BODY, JSON).status == 415
    assert ask(BODY, CSV, "image/png").status == 406


def test_a_script_s_predict_fn_gets_a_dmatrix(tmp_path: Path) -> None:
    def predict_fn(data: Any, model: Any) -> list[Any]:
        return [type(data).__name__, data.num_row(), data.num_col()]

    ask = serving("xgboost", tmp_path, SCRIPT, model_fn=lambda d: None, predict_fn=predict_fn)
    assert json.loads(ask(BODY, CSV).body) == ["DMatrix", 5, 4]
    assert json.loads(ask(b"1 1:2 3:4", "text/x-libsvm").body) == ["DMatrix", 1, 4]


def test_without_an_image_a_booster_is_predicted_with_as_it_is(tmp_path: Path) -> None:
    model = trained("reg:squarederror")
    ask = serving("python", tmp_path, model_fn=lambda directory: model)
    said = ask(json.dumps({"instances": QUERY.tolist()}).encode(), JSON)
    assert json.loads(said.body)["predictions"] == pytest.approx(expected(model).tolist())
    assert ask(BODY, CSV, CSV).status == 200


def test_without_an_image_the_file_s_name_tells(tmp_path: Path) -> None:
    model = trained("reg:squarederror")
    model.save_model(tmp_path / "model.ubj")
    assert lines(serving("python", tmp_path)(BODY, CSV).body) == pytest.approx(
        expected(model).tolist()
    )
    ask = serving("python", tmp_path, output_fn=lambda prediction, accept: str(len(prediction)))
    assert ask(b"[[1, 2, 3, 4]]", JSON).body == b"1"
