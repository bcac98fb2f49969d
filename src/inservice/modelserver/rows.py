"""Rows, for models that take rows: what arrays, tables and plain values of requests are to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from inservice.modelserver.encoding import Table
from inservice.modelserver.frameworks.base import NotAlike

if TYPE_CHECKING:
    import numpy as np


def predict_together(
    values: Sequence[Any], rows_of: Callable[[Any], Any], predict: Callable[[Any], Any]
) -> list[Any]:
    """One prediction over the rows of many requests, cut up again. Raises NotAlike if they
    differ in what a row is."""
    import numpy as np

    if len(values) == 1 or not all(isinstance(value, np.ndarray) for value in values):
        raise NotAlike
    rows = [rows_of(value) for value in values]
    first = rows[0]
    if not all(
        r.ndim == 2 and r.shape[1:] == first.shape[1:] and r.dtype == first.dtype for r in rows
    ):
        raise NotAlike
    predictions = predict(np.concatenate(rows))
    cuts = np.cumsum([len(r) for r in rows])[:-1]
    return list(np.split(predictions, cuts))


def as_rows(value: Any, model: Any, names: Sequence[str] | None = None) -> Any:
    """Numbers in one dimension are one row; words in one dimension are a column of documents.

    `names` are the model's columns, where it does not tell them as scikit-learn's models do.
    """
    import numpy as np

    if isinstance(value, Table):
        return _as_frame(value, names or getattr(model, "feature_names_in_", None))
    if isinstance(value, list | tuple | int | float | str):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray):  # a frame or a sparse matrix, which the model knows
        return value
    return value.reshape(1, -1) if value.ndim < 2 and value.dtype.kind in "biuf" else value


def _as_frame(table: Table, names: Sequence[Any] | None) -> Any:
    """A table as the model was fitted: by the names of its columns if it knows them.

    Without pandas the columns are put into the model's order. Raises ValueError for one that is
    missing.
    """
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
