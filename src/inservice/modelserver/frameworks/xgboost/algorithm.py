"""The algorithm itself: the artifact's models answer, and no code of the user's is run.

    an empty body                                      204
    a type that is not read, a body that is not it     415   the words of what was raised
    rows that the model cannot predict                 400   Unable to evaluate payload provided: …
    an Accept that is not known                        406   Accept type … is not supported. …
    an Accept that is known and has no form            500   a page of HTML
    an objective that nothing is selected of           500   the words of what was raised

What is wrong with the Accept is found last, as there.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from inservice.modelserver import encoding, failures, recordio
from inservice.modelserver.answers import Answer
from inservice.modelserver.calls import Beside, Call
from inservice.modelserver.failures import Answered
from inservice.modelserver.frameworks.base import NotAlike, Start
from inservice.modelserver.frameworks.xgboost import boosters, selectable
from inservice.modelserver.frameworks.xgboost.boosters import Boosters
from inservice.modelserver.frameworks.xgboost.decoding import Rows, Unreadable, read
from inservice.modelserver.program import Program
from inservice.modelserver.settings import BadSetting
from inservice.modelserver.stacks.flask import PARAMETERS, FlaskStack
from inservice.transport.messages import Response

SELECTABLE = (encoding.JSON, selectable.JSONLINES, recordio.CONTENT_TYPE, encoding.CSV)
"""What an Accept may ask for. Without a selection, JSON and CSV alone have a form."""

_MIB = 1024 * 1024
_LENGTH, _LENGTH_MAX = 6 * _MIB, 20 * _MIB

_log = logging.getLogger("inservice.modelserver")


class Algorithm(FlaskStack):
    """The container without a program."""

    content_type = ""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        said = start.settings.environment
        self._batch = bool(said.get("SAGEMAKER_BATCH"))
        names = said.get(selectable.VARIABLE)
        self._names = selectable.names_of(names) if names is not None else None
        self._ensemble = said.get("SAGEMAKER_INFERENCE_ENSEMBLE", "true") == "true"
        self._length_max = _length(said.get("MAX_CONTENT_LENGTH"))

    def program_of(self) -> Program:
        """None: what is in the artifact's code directory means nothing to the algorithm."""
        if any(self.start.settings.code_dir.glob("*.py")):
            _log.warning("SAGEMAKER_PROGRAM is not set: the artifact's code is not run")
        return Program({})

    def load(self) -> Boosters:
        """Every file of the artifact, or by files the one that is the model."""
        if self.start.file is not None:
            files = [self.start.file]
        else:
            files = boosters.files_of(self.start.settings.model_dir, ensemble=self._ensemble)
        self._model = boosters.load(files)
        return self._model

    def default_accept(self, said: str | None) -> str:
        """CSV, where the variable says nothing."""
        return said or encoding.CSV

    def decode(self, call: Call) -> Rows:
        """Rows. Raises Answered."""
        if not call.body:
            raise Answered(Response(HTTPStatus.NO_CONTENT))
        if len(call.body) > self._length_max:
            raise Answered(
                _said(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the body has more than MAX_CONTENT_LENGTH: {self._length_max:,} bytes",
                )
            )
        try:
            return read(call.body, call.content_type)
        except Unreadable as error:
            raise Answered(_said(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error))) from error

    def predict(self, value: Rows, model: Boosters) -> Any:
        """Raises Answered."""
        try:
            return model.predict(value)
        except Exception as error:
            words = f"Unable to evaluate payload provided: {failures.text_of(error)}"
            raise Answered(_said(HTTPStatus.BAD_REQUEST, words)) from error

    def predict_batch(self, values: Sequence[Rows], model: Boosters) -> Sequence[Any]:
        """One prediction over the rows of many requests, if all are dense and equally wide."""
        import numpy as np

        arrays = [rows.values for rows in values]
        if len(values) == 1 or not all(
            isinstance(array, np.ndarray) and array.shape[1] == arrays[0].shape[1]
            for array in arrays
        ):
            raise NotAlike
        whole = model.predict(Rows(np.concatenate(arrays), values[0].kind))
        cuts = np.cumsum([len(array) for array in arrays])[:-1]
        return list(np.split(whole, cuts))

    def encode(self, prediction: Any, accept: str, call: Call) -> Any:
        """An Answer. Raises Answered, and UnsupportedFormatError for a form that it has not."""
        kind = self._kind(accept, by_default=call.accept in ("", "*/*"))
        if self._names is not None:
            return self._selected(prediction, kind)
        if self._batch:
            lines = "\n".join(map(str, prediction.tolist())) + "\n"
            return Answer(HTTPStatus.OK, [_type(kind)], lines.encode())
        if kind == encoding.JSON:
            scores = [{"score": score} for score in prediction.tolist()]
            body = json.dumps({"predictions": scores}).encode()
        elif kind in (encoding.CSV, encoding.NPY):
            body, _ = encoding.encode(prediction.tolist(), kind)
        else:
            raise LookupError(f"Content type {kind} is not supported by this framework.")
        return Answer(HTTPStatus.OK, [_type(kind)], body)

    def serves(self, method: str, path: str) -> bool:
        """What a batch transform asks before it begins."""
        return method == "GET" and path == PARAMETERS

    async def beside(self, request: Beside, model: Any) -> Any:  # noqa: ARG002 - of Framework
        """How much may be sent at once."""
        said = {
            "MaxConcurrentTransforms": len(os.sched_getaffinity(0)),
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": self._length_max // _MIB,
        }
        return json.dumps(said), encoding.JSON

    def _kind(self, accept: str, *, by_default: bool) -> str:
        kind = accept.partition(";")[0].strip()
        if kind in ("", "*/*"):
            return self.default_accept(self.start.settings.default_accept)
        if not by_default and kind.lower() not in SELECTABLE:
            words = (
                f"Accept type {kind} is not supported. "
                f"Please use supported accept types: {list(SELECTABLE)}."
            )
            raise Answered(_said(HTTPStatus.NOT_ACCEPTABLE, words))
        return kind if by_default else kind.lower()

    def _selected(self, predictions: Any, kind: str) -> Answer:
        model = self._model
        assert self._names is not None
        try:
            rows = selectable.selected(predictions, self._names, model.objective, model.classes)
            body = selectable.encode(rows, self._names, kind)
        except (ValueError, RuntimeError) as error:
            raise Answered(_said(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))) from error
        if self._batch and kind == encoding.CSV:
            body += b"\n"
        return Answer(HTTPStatus.OK, [_type(kind)], body)


def _length(said: str | None) -> int:
    if not said:
        return _LENGTH
    digits = said.strip()
    if not (digits.isascii() and digits.isdecimal()):
        raise BadSetting(f"MAX_CONTENT_LENGTH is '{said}', not a number of bytes")
    return min(int(digits), _LENGTH_MAX)


def _type(kind: str) -> tuple[bytes, bytes]:
    return b"content-type", kind.encode("latin-1")


def _said(status: int, words: str) -> Response:
    """What `flask.Response(words, status)` is."""
    _log.warning("answered with %d: %s", status, words)
    headers = ((b"content-type", b"text/html; charset=utf-8"),)
    return Response(status, headers, words.encode(errors="backslashreplace"))
