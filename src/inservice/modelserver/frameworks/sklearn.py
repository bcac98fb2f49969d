"""The default model_fn and predict_fn: a pickled object with a `predict`, scikit-learn's way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from inservice.modelserver.encoding import Table, Unacceptable
from inservice.modelserver.frameworks.base import NoModel, NotAlike

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


def knows(model: Any) -> bool:
    """Whether a model is one of these: it has a `predict`."""
    return callable(getattr(model, "predict", None))


def load(file: Path) -> Any:
    """The object that was pickled. joblib reads plain pickles as well, so it is asked for every
    file. Raises NoModel for one that does not predict."""
    import joblib

    model = joblib.load(file)
    if not knows(model):
        raise NoModel(f"{file.name} holds a {type(model).__name__}, which has no predict()")
    return model


def predict(value: Any, model: Any) -> Any:
    """`model.predict` on rows. What scikit-learn finds wrong with them is the caller's: 400."""
    try:
        return model.predict(as_rows(value, model))
    except ValueError as error:
        raise Unacceptable(400, f"{type(model).__name__} cannot predict this: {error}") from error


def predict_batch(values: Sequence[Any], model: Any) -> list[Any]:
    """One prediction over the rows of many requests, cut up again; one by one if they differ."""
    import numpy as np

    if len(values) == 1 or not all(isinstance(value, np.ndarray) for value in values):
        raise NotAlike
    rows = [as_rows(value, model) for value in values]
    first = rows[0]
    if not all(
        r.ndim == 2 and r.shape[1:] == first.shape[1:] and r.dtype == first.dtype for r in rows
    ):
        raise NotAlike
    predictions = model.predict(np.concatenate(rows))
    cuts = np.cumsum([len(r) for r in rows])[:-1]
    return list(np.split(predictions, cuts))


def as_rows(value: Any, model: Any) -> Any:
    """Numbers in one dimension are one row; words in one dimension are a column of documents."""
    import numpy as np

    if isinstance(value, Table):
        return _as_frame(value, model)
    if isinstance(value, list | tuple | int | float | str):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray):  # a frame or a sparse matrix, which the model knows
        return value
    return value.reshape(1, -1) if value.ndim < 2 and value.dtype.kind in "biuf" else value


def _as_frame(table: Table, model: Any) -> Any:
    """A table as the model was fitted: by the names of its columns if it knows them.

    Without pandas the columns are put into the model's order. Raises ValueError for one that is
    missing.
    """
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return _without_gaps(table.rows)
    try:
        import pandas as pd  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        places = {name: place for place, name in enumerate(table.columns)}
        if missing := [str(name) for name in names if name not in places]:
            raise ValueError(f"the columns {', '.join(missing)} are missing") from None
        return _without_gaps([[row[places[name]] for name in names] for row in table.rows])
    if missing := [str(name) for name in names if name not in table.columns]:
        raise ValueError(f"the columns {', '.join(missing)} are missing")
    return pd.DataFrame(table.rows, columns=table.columns)[list(names)]


def _without_gaps(rows: list[list[Any]]) -> np.ndarray[Any, Any]:
    """An array, with NaN for what is missing among numbers."""
    import numpy as np

    array = np.array(rows)
    if array.dtype.kind != "O":
        return array
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        return array
