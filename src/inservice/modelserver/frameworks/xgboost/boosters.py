"""XGBoost's models: how an artifact's are loaded, and one prediction is made by all of them.

A prediction is made on rows as they are (`inplace_predict`) where the kind of booster has that: to
make a DMatrix of a row first costs sixty times as much. Fewer columns than the model has features
are filled up with missing values, which is what a DMatrix does.
"""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inservice.modelserver.frameworks.base import NoModel
from inservice.modelserver.frameworks.xgboost.decoding import CSV, LIBSVM, RECORDIO, Rows

_VOTED = ("multi:softmax", "binary:hinge")
"""Objectives whose predictions are classes: of those there is a majority and no mean."""

_IN_PLACE = ("gbtree", "dart")

_log = logging.getLogger("inservice.modelserver")


class Boosters:
    """One model, or several that predict together."""

    def __init__(self, models: Sequence[Any], *, pickled: bool) -> None:
        self.models = models
        learner = json.loads(models[0].save_config())["learner"]
        self.objective = str(learner["objective"]["name"])
        self.classes = int(learner["learner_model_param"].get("num_class") or 0)
        self._width = int(models[0].num_features())
        self._in_place = all(
            json.loads(model.save_config())["learner"]["gradient_booster"]["name"] in _IN_PLACE
            for model in models
        )
        self._pickled = pickled

    def predict(self, rows: Rows) -> Any:
        """An array with a prediction for each row. Raises ValueError, and what XGBoost raises."""
        if self._pickled:
            _refuse_width(rows, self._width)
        values = self._as_wide(rows.values)
        predictions = [self._of_one(model, values) for model in self.models]
        return predictions[0] if len(predictions) == 1 else self._together(predictions)

    def _of_one(self, model: Any, values: Any) -> Any:
        if self._in_place and values.shape[1] == self._width:
            return model.inplace_predict(values, validate_features=False)
        import xgboost  # type: ignore[import-not-found,unused-ignore]

        matrix = xgboost.DMatrix(values, nthread=1)
        return model.predict(matrix, validate_features=False)

    def _as_wide(self, values: Any) -> Any:
        import numpy as np

        missing = self._width - values.shape[1]
        if missing <= 0:
            return values
        if hasattr(values, "tocsr"):
            wider = values.tocsr(copy=True)
            wider.resize((values.shape[0], self._width))
            return wider
        return np.pad(values.astype(np.float64), ((0, 0), (0, missing)), constant_values=np.nan)

    def _together(self, predictions: Sequence[Any]) -> Any:
        import numpy as np

        stacked = np.stack(predictions)
        if self.objective not in _VOTED:
            return stacked.mean(axis=0)
        votes = [np.unique(column, return_counts=True) for column in stacked.T]
        return np.array([values[counts.argmax()] for values, counts in votes])


def load(files: Sequence[Path]) -> Boosters:
    """The models of these files. Raises RuntimeError, in AWS's words, for one that is none, and
    NoModel where there is no file."""
    if not files:
        raise NoModel("the artifact holds no file that could be an XGBoost model")
    loaded = [_load(file) for file in files]
    for model, _ in loaded:
        model.set_param({"nthread": 1})
    return Boosters([model for model, _ in loaded], pickled=loaded[0][1])


def files_of(model_dir: Path, *, ensemble: bool) -> list[Path]:
    """Every file at the top of an artifact, less those whose name begins with a dot; without an
    ensemble the first."""
    files = []
    for path in sorted(model_dir.iterdir()):
        if path.is_file() and path.name.startswith("."):
            _log.warning("%s is a file whose name begins with a dot: it is no model", path.name)
        elif path.is_file():
            files.append(path)
    return files if ensemble else files[:1]


def _load(file: Path) -> tuple[Any, bool]:
    """A model, and whether it was pickled."""
    import xgboost

    try:
        return _unpickled(file), True
    except Exception as unpickled:  # noqa: BLE001 - then it is no pickle
        try:
            model = xgboost.Booster()
            # By what is in it, as its name need not tell the format: `xgboost-model` does not.
            model.load_model(bytearray(file.read_bytes()))
        except Exception as unread:
            raise RuntimeError(f"Model {file} cannot be loaded:\n{unpickled}\n{unread}") from unread
        return model, False


def _unpickled(file: Path) -> Any:
    """A Booster, or that of an estimator, which AWS's container does not take."""
    import xgboost

    with file.open("rb") as opened:
        model = pickle.load(opened)  # noqa: S301 - the artifact is the user's code
    if hasattr(model, "get_booster"):
        model = model.get_booster()
    if not isinstance(model, xgboost.Booster):
        raise TypeError(f"it holds a {type(model).__name__}")
    return model


def _refuse_width(rows: Rows, width: int) -> None:
    """What AWS finds wrong with rows for a model that was pickled."""
    given = rows.values.shape[1]
    if rows.kind == LIBSVM and given > width + 1:
        raise ValueError(
            f"Feature size of libsvm inference data {given} is larger than "
            f"feature size of trained model {width}."
        )
    if rows.kind in (CSV, RECORDIO) and given not in (width, width + 1):
        raise ValueError(
            f"Feature size of {rows.kind} inference data {given} is not consistent "
            f"with feature size of trained model {width}."
        )
