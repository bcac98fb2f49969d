"""The default model_fn and predict_fn: a pickled object with a `predict`, scikit-learn's way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from inservice.modelserver.encoding import Unacceptable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

NAMES = ("model.joblib", "model.pkl", "model.pickle")
SUFFIXES = (".joblib", ".pkl", ".pickle")


class NoModel(Exception):
    """The artifact holds nothing that could be loaded without code; the message says what would."""


def load(model_dir: Path) -> Any:
    """Unpickle the one model of an artifact. Raises NoModel when there is none, or no saying which.

    joblib reads plain pickles as well, so it is tried for every name.
    """
    named = [path for name in NAMES if (path := model_dir / name).is_file()]
    others = [p for p in sorted(model_dir.glob("*")) if p.suffix in SUFFIXES and p.is_file()]
    found = named or others
    if not found:
        raise NoModel(
            f"the artifact has no code/inference.py with a model_fn and none of {', '.join(NAMES)}"
            f"; it holds {_contents(model_dir)}"
        )
    if len(found) > 1 and not named:
        raise NoModel(
            f"which of {', '.join(p.name for p in found)} is the model? Name one {NAMES[0]}"
        )
    import joblib  # type: ignore[import-untyped]

    model = joblib.load(found[0])
    if not callable(getattr(model, "predict", None)):
        raise NoModel(f"{found[0].name} holds a {type(model).__name__}, which has no predict()")
    return model


def predict(value: Any, model: Any) -> Any:
    """`model.predict` on rows. What scikit-learn finds wrong with them is the caller's: 400."""
    try:
        return model.predict(as_rows(value))
    except ValueError as error:
        raise Unacceptable(400, f"{type(model).__name__} cannot predict this: {error}") from error


def predict_batch(values: Sequence[Any], model: Any) -> list[Any]:
    """One prediction over the rows of many requests, cut up again; one by one if they differ."""
    import numpy as np

    rows = [as_rows(value) for value in values]
    first = rows[0]
    alike = all(
        r.ndim == 2 and r.shape[1:] == first.shape[1:] and r.dtype == first.dtype for r in rows
    )
    if len(rows) == 1 or first.ndim != 2 or not alike:
        raise NotAlike
    predictions = model.predict(np.concatenate(rows))
    cuts = np.cumsum([len(r) for r in rows])[:-1]
    return list(np.split(predictions, cuts))


class NotAlike(Exception):
    """These requests cannot share one prediction."""


def as_rows(value: Any) -> np.ndarray[Any, Any]:
    """Numbers in one dimension are one row; words in one dimension are a column of documents."""
    import numpy as np

    array = np.asarray(value)
    return array.reshape(1, -1) if array.ndim < 2 and array.dtype.kind in "biuf" else array


def _contents(model_dir: Path) -> str:
    names = sorted(p.name for p in model_dir.glob("*"))[:10] if model_dir.is_dir() else []
    return ", ".join(names) or "nothing"
