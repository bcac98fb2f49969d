"""TensorFlow Serving's REST API over the models of an instance: a method, a path and a body to a
status and a body."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from inservice.modelserver import failures
from inservice.modelserver.frameworks.tensorflow import tensors
from inservice.modelserver.frameworks.tensorflow.bundles import (
    METHODS,
    Bundle,
    Bundles,
    NotServed,
    examples_of,
)
from inservice.modelserver.frameworks.tensorflow.tensors import Invalid

_PREDICTION: Final = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/(\d+))?:(classify|regress|predict)", re.IGNORECASE
)
_STATUS: Final = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?", re.IGNORECASE)

_STATUSES: Final[Mapping[str, int]] = {
    "InvalidArgumentError": 400,
    "NotFoundError": 404,
    "AlreadyExistsError": 409,
    "PermissionDeniedError": 403,
    "ResourceExhaustedError": 429,
    "FailedPreconditionError": 412,
    "OutOfRangeError": 400,
    "UnimplementedError": 501,
    "UnavailableError": 503,
    "DeadlineExceededError": 504,
}
"""The errors of TensorFlow's to the statuses that TensorFlow Serving answers them with; any other
is a 500."""


def answer(bundles: Bundles, method: str, path: str, body: bytes) -> tuple[int, str]:
    """What is answered. Never raises."""
    try:
        return 200, _answered(bundles, method, path, body)
    except Invalid as error:
        return 400, refused(str(error))
    except NotServed as error:
        return 404, refused(str(error))
    except Exception as error:  # noqa: BLE001 - TensorFlow may raise anything
        failures.log("TensorFlow could not answer", error)
        # What a function says of inputs that it was not made for.
        known = 400 if isinstance(error, ValueError | TypeError) else 500
        words = getattr(error, "message", None)
        return (
            _STATUSES.get(type(error).__name__, known),
            refused(words if isinstance(words, str) else str(error)),
        )


def refused(words: str) -> str:
    """An error of TensorFlow Serving's."""
    return json.dumps({"error": words}, ensure_ascii=False)


def _answered(bundles: Bundles, method: str, path: str, body: bytes) -> str:
    match = _PREDICTION.fullmatch(path)
    if method == "POST" and match:
        bundle = bundles.bundle(match[1], None if match[2] is None else int(match[2]))
        said = tensors.document(body.decode(errors="replace"))
        if (asked := match[3].lower()) == "predict":
            return _predicted(bundle, said)
        return _of_examples(bundle, said, asked)
    match = _STATUS.fullmatch(path)
    if method == "GET" and match:
        return _status(bundles, match[1], None if match[2] is None else int(match[2]))
    raise Invalid(f"Malformed request: {method} {path}")


def _predicted(bundle: Bundle, said: Mapping[str, Any]) -> str:
    signature = bundle.signature(tensors.signature_name(said))
    inputs, rows = tensors.inputs_of(said, {n: _said(t) for n, t in signature.types.items()})
    return tensors.answer(signature.run(inputs), rows=rows)


def _said(dtype: str) -> str:
    """A type's name as TensorFlow Serving has it in its sentences."""
    return {"float32": "float", "float64": "double", "float16": "half"}.get(dtype, dtype)


def _of_examples(bundle: Bundle, said: Mapping[str, Any], asked: str) -> str:
    import numpy as np

    signature = bundle.signature(tensors.signature_name(said))
    kind = {"classify": "classification", "regress": "regression"}[asked]
    if signature.method != METHODS[asked]:
        raise Invalid(
            f"Expected {kind} signature method_name to be {METHODS[asked]}. Was: {signature.method}"
        )
    examples = np.array(examples_of(said, asked), dtype=object)
    outputs = signature.run(dict.fromkeys(signature.types, examples))
    if asked == "regress":
        values = tensors.plain(np.reshape(outputs["outputs"], -1), "outputs")
        return tensors.to_json({"results": values})
    return tensors.to_json({"results": _classified(outputs, len(examples))})


def _classified(outputs: Mapping[str, Any], count: int) -> list[Any]:
    """For each example its classes, each with its label and its score; a model may give but one of
    the two."""
    scores, classes = outputs.get("scores"), outputs.get("classes")
    if scores is None and classes is None:
        raise Invalid("Expected classification signature outputs to contain classes or scores")
    size = next(len(values[0]) for values in (scores, classes) if values is not None)
    labels = [[b""] * size] * count if classes is None else classes.tolist()
    values = [[0.0] * size] * count if scores is None else tensors.plain(scores, "scores")
    return [
        [[label.decode(errors="replace"), value] for label, value in zip(*pair, strict=True)]
        for pair in zip(labels, values, strict=True)
    ]


def _status(bundles: Bundles, name: str, version: int | None) -> str:
    versions = bundles.versions(name)
    if version is not None and version not in versions:
        raise NotServed(f"Could not find version {version} of model {name}")
    states = [
        {
            "version": str(one),
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        for one in sorted(versions, reverse=True)
        if version in (None, one)
    ]
    return json.dumps({"model_version_status": states}, indent=1) + "\n"
