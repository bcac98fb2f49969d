"""scikit-learn: a pickled object with a `predict`.

AWS's container of it (`Container`) and an artifact that merely holds such a pickle (`Plain`) differ
in what a request may hold and in what errors look like. What works on AWS works alike here; where
AWS's container fails, these go on: JSON's object forms, a single row in one dimension, words and
empty fields. Without a program AWS's container does not even start. Then numbers stay what they
are, and what is wrong with a request is 400, as with no container; 415 and 406 are its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from inservice.contract import MODEL_FILES
from inservice.modelserver import encoding, failures
from inservice.modelserver.calls import Call
from inservice.modelserver.frameworks.base import Framework, NoModel, Start, the_model
from inservice.modelserver.rows import as_rows, predict_together
from inservice.modelserver.stacks.flask import FlaskStack, UnsupportedFormatError
from inservice.transport.messages import Response

if TYPE_CHECKING:
    import numpy as np

_FILES = {"sklearn": MODEL_FILES["sklearn"]}


def plug(start: Start) -> Framework:
    """The container of an instance."""
    return Container(start) if start.by_image else Plain(start)


def knows(model: Any) -> bool:
    """Whether a model is one of these: it has a `predict`."""
    return callable(getattr(model, "predict", None))


class Plain(Framework):
    """The default model_fn and predict_fn, of no container."""

    def load(self) -> Any:
        """The object that was pickled. Raises NoModel for one that does not predict."""
        return _load(self.start)

    def predict(self, value: Any, model: Any) -> Any:
        """`model.predict` on rows. What scikit-learn finds wrong with them is the caller's: 400."""
        try:
            return model.predict(as_rows(value, model))
        except ValueError as error:
            raise _unfit(model, error) from error

    def predict_batch(self, values: Sequence[Any], model: Any) -> Sequence[Any]:
        """One prediction over the rows of many requests, cut up again; one by one if they
        differ."""
        return predict_together(values, lambda value: as_rows(value, model), model.predict)


class Container(FlaskStack):
    """AWS's container."""

    def load(self) -> Any:
        """On AWS there has to be a model_fn; here the pickle of the artifact does without."""
        return _load(self.start)

    def decode(self, call: Call) -> Any:
        """JSON and CSV as float32, where they are numbers; to a predict_fn of the user's in the
        shape that AWS's has: CSV of one line, or of one column, in one dimension."""
        import numpy as np

        kind = encoding.media_type(call.content_type)
        if kind not in encoding.READ:
            raise UnsupportedFormatError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, call.content_type)
        value = super().decode(call)
        if not isinstance(value, np.ndarray) or kind not in encoding.TEXT_TYPES or self._bare:
            return value
        if kind == encoding.CSV and self.program.predicts:
            value = value.squeeze()
        return _float32(value)

    def predict(self, value: Any, model: Any) -> Any:
        """`model.predict` on rows."""
        try:
            return model.predict(as_rows(value, model))
        except ValueError as error:
            if self._bare:
                raise _unfit(model, error) from error
            raise

    def predict_batch(self, values: Sequence[Any], model: Any) -> Sequence[Any]:
        """One prediction over the rows of many requests."""
        return predict_together(values, lambda value: as_rows(value, model), model.predict)

    def failure(self, error: BaseException) -> Response:
        """As Flask answers; of a request that no program was asked about, as no container does."""
        if self._bare and not isinstance(error, UnsupportedFormatError):
            return failures.failure(error)
        return super().failure(error)

    @property
    def _bare(self) -> bool:
        """Whether there is no program, with which AWS's container would not have started."""
        return not self.program.handlers


def _unfit(model: Any, error: ValueError) -> encoding.Unacceptable:
    words = f"{type(model).__name__} cannot predict this: {error}"
    return encoding.Unacceptable(HTTPStatus.BAD_REQUEST, words)


def _load(start: Start) -> Any:
    """joblib reads plain pickles as well, so it is asked for every file."""
    import joblib

    file = start.file or the_model(start.settings.model_dir, _FILES)[1]
    model = joblib.load(file)
    if not knows(model):
        raise NoModel(f"{file.name} holds a {type(model).__name__}, which has no predict()")
    return model


def _float32(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """As numbers of single precision; words, and what else cannot be, as they are."""
    import numpy as np

    try:
        return array.astype(np.float32)
    except (TypeError, ValueError):
        return array
