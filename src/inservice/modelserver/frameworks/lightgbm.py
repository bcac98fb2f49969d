"""LightGBM: a Booster that was saved as text, or pickled with what it was trained as.

AWS has no container of it: what its JumpStart deploys is a program of handlers. So this is no
family's container but the default handlers with this library's models.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from inservice.contract import MODEL_FILES
from inservice.modelserver.encoding import Unacceptable
from inservice.modelserver.frameworks.base import Framework, NoModel, Start, the_model
from inservice.modelserver.rows import as_rows, predict_together

_PICKLES = (".pkl", ".pickle")

_OF_IMAGE = {
    "lightgbm": replace(
        MODEL_FILES["lightgbm"],
        names=(*MODEL_FILES["lightgbm"].names, "model.txt", "model.pkl"),
        suffixes=(*MODEL_FILES["lightgbm"].suffixes, ".txt", *_PICKLES),
    )
}
"""Where the image says whose model it is, its name need not."""


def plug(start: Start) -> Framework:
    """The container of an instance."""
    return Trees(start)


def knows(model: Any) -> bool:
    """Whether it is a Booster; the estimators are predicted with like scikit-learn's."""
    import lightgbm  # type: ignore[import-not-found,unused-ignore]

    return isinstance(model, lightgbm.Booster)


class Trees(Framework):
    """The default model_fn and predict_fn."""

    def load(self) -> Any:
        """A Booster, or an estimator. Raises NoModel, LightGBMError."""
        file = self.start.file or the_model(self.start.settings.model_dir, _OF_IMAGE)[1]
        return _unpickled(file) if file.suffix in _PICKLES else _booster(file)

    def predict(self, value: Any, model: Any) -> Any:
        """`model.predict` on rows. What LightGBM finds wrong with them is the caller's: 400."""
        import lightgbm

        try:
            return model.predict(_rows(value, model))
        except (ValueError, TypeError, lightgbm.basic.LightGBMError) as error:
            raise Unacceptable(
                400, f"{type(model).__name__} cannot predict this: {error}"
            ) from error

    def predict_batch(self, values: Sequence[Any], model: Any) -> Sequence[Any]:
        """One prediction over the rows of many requests."""
        return predict_together(values, lambda value: _rows(value, model), model.predict)


def _rows(value: Any, model: Any) -> Any:
    names = getattr(model, "feature_name", None)
    return as_rows(value, model, names=names() if callable(names) else None)


def _booster(file: Path) -> Any:
    import lightgbm

    return lightgbm.Booster(model_file=str(file))


def _unpickled(file: Path) -> Any:
    with file.open("rb") as opened:
        model = pickle.load(opened)  # noqa: S301 - the artifact is the user's code
    if not callable(getattr(model, "predict", None)):
        raise NoModel(f"{file.name} holds a {type(model).__name__}, which has no predict()")
    return model
