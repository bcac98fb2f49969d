"""A program of the user's: SageMaker's handlers, with a DMatrix between the default ones."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from inservice.modelserver import encoding
from inservice.modelserver.calls import Call
from inservice.modelserver.frameworks.base import Framework, NoModel
from inservice.modelserver.frameworks.xgboost.boosters import load
from inservice.modelserver.frameworks.xgboost.decoding import (
    CSV,
    PARQUET,
    Rows,
    Unreadable,
    kind_of,
    read,
)
from inservice.modelserver.rows import as_rows
from inservice.modelserver.stacks.flask import FlaskStack, UnsupportedFormatError


class Script(FlaskStack):
    """The container with a program, which has to load the model."""

    def load(self) -> Any:
        """Raises NoModel: there is nothing by default."""
        raise NoModel(
            "Please provide a model_fn implementation: with SAGEMAKER_PROGRAM an XGBoost image "
            "loads nothing by itself"
        )

    def decode(self, call: Call) -> Any:
        """A DMatrix."""
        try:
            kind = kind_of(call.content_type)
        except Unreadable:
            kind = PARQUET
        if kind == PARQUET or call.content_type.lower() in (CSV, ""):
            raise UnsupportedFormatError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, call.content_type)
        return _matrix(read(call.body, call.content_type, shifted=False))

    def predict(self, value: Any, model: Any) -> Any:
        """`model.predict` on a DMatrix."""
        return model.predict(value, validate_features=False)


class Bare(Framework):
    """No container: a Booster, and a program that leaves something to the defaults."""

    def load(self) -> Any:
        """The Booster of the file, which the program's handlers go on with."""
        assert self.start.file is not None
        return load([self.start.file]).models[0]

    def predict(self, value: Any, model: Any) -> Any:
        """`model.predict`, on a DMatrix made of rows."""
        try:
            return model.predict(_matrix(Rows(as_rows(value, model), CSV)), validate_features=False)
        except ValueError as error:
            raise encoding.Unacceptable(400, f"XGBoost cannot predict this: {error}") from error


def _matrix(rows: Rows) -> Any:
    import xgboost  # type: ignore[import-not-found,unused-ignore]

    return xgboost.DMatrix(rows.values, nthread=1)
