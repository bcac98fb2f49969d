"""A classifier of handwritten digits: 1,797 images of 8×8 pixels that ship inside scikit-learn."""

from __future__ import annotations

import io
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HELD_OUT_SHARE = 0.2


class NoFramework(Exception):
    """scikit-learn is not installed; the message says how to install it."""


@dataclass(frozen=True, slots=True)
class Digits:
    """A trained model, and what it has never seen."""

    model: Any
    trained_on: int  # rows
    rows: list[list[float]]  # held out, 64 pixels each
    labels: list[int]
    predicted: list[int]  # what the model says of `rows` in this process
    seconds: float

    def accuracy(self, predictions: list[int]) -> float:
        """The share of held-out rows that `predictions` has right."""
        right = sum(a == b for a, b in zip(predictions, self.labels, strict=True))
        return right / len(self.labels)


def train() -> Digits:
    """Train a scaled support vector classifier. Raises NoFramework."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC
    except ModuleNotFoundError as missing:
        raise NoFramework(
            f"The demo trains a real model and {missing.name} is not installed: "
            "pip install 'inservice[sklearn]'"
        ) from missing

    began = time.perf_counter()
    images, labels = load_digits(return_X_y=True)
    train_x, held_out_x, train_y, held_out_y = train_test_split(
        images, labels, test_size=HELD_OUT_SHARE, random_state=7, stratify=labels
    )
    model = make_pipeline(StandardScaler(), SVC(C=10.0)).fit(train_x, train_y)
    seconds = time.perf_counter() - began
    return Digits(
        model=model,
        trained_on=len(train_x),
        rows=held_out_x.tolist(),
        labels=held_out_y.tolist(),
        predicted=model.predict(held_out_x).tolist(),
        seconds=seconds,
    )


def pack(model: Any, path: Path) -> int:
    """Write model.tar.gz with one model.joblib in it, as SageMaker wants it; its size in bytes."""
    import joblib

    pickled = io.BytesIO()
    joblib.dump(model, pickled)
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("model.joblib")
        member.size = pickled.tell()
        pickled.seek(0)
        archive.addfile(member, pickled)
    return path.stat().st_size
