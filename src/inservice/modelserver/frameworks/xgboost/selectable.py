"""Selectable output: SAGEMAKER_INFERENCE_OUTPUT names what is answered for each row.

Which names an objective has something for is AWS's table. A name that it has nothing for is
answered with NaN; an objective that is not in the table has none of them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inservice.modelserver import recordio
from inservice.modelserver.encoding import CSV, JSON

VARIABLE = "SAGEMAKER_INFERENCE_OUTPUT"
JSONLINES = "application/jsonlines"

_SCORE = ("predicted_score",)
_LABEL = ("predicted_label", "labels", "raw_score", "raw_scores")
_ALL = ("predicted_label", "labels", "probability", "probabilities", "raw_score", "raw_scores")

OBJECTIVES: Mapping[str, tuple[str, ...]] = {
    "reg:squarederror": _SCORE,
    "reg:logistic": _SCORE,
    "reg:gamma": _SCORE,
    "reg:absoluteerror": _SCORE,
    "reg:tweedie": _SCORE,
    "binary:logistic": _ALL,
    "binary:logitraw": _LABEL,
    "binary:hinge": _LABEL,
    "multi:softmax": _LABEL,
    "multi:softprob": _ALL,
}

_ORDER = (*_ALL, *_SCORE)

_log = logging.getLogger("inservice.modelserver")

Selected = Mapping[str, Any]


def names_of(said: str) -> list[str]:
    """The names in a value of the variable."""
    return said.replace(" ", "").lower().split(",")


def selected(
    predictions: Any, names: Sequence[str], objective: str, classes: int
) -> list[Selected]:
    """What is answered for each prediction. Raises ValueError, in AWS's words, for an objective
    that nothing is selected of."""
    if objective not in OBJECTIVES:
        raise ValueError(
            f"Objective `{objective}` unsupported for selectable inference predictions."
        )
    known = OBJECTIVES[objective]
    if unknown := [name for name in dict.fromkeys(names) if name not in known]:
        _log.warning(
            "Selected key(s) %s incompatible for objective '%s'. "
            "Please use list of compatible selectable inference predictions: %s",
            *(unknown, objective, list(known)),
        )
    makers = _MULTI if objective == "multi:softprob" else _SINGLE
    order = [name for name in _ORDER if name in names and name in known]
    return [
        {
            **{name: makers[name](prediction, objective, classes) for name in order},
            **dict.fromkeys(unknown, float("nan")),
        }
        for prediction in predictions
    ]


def encode(rows: Sequence[Selected], names: Sequence[str], accept: str) -> bytes:
    """The body of an answer. Raises RuntimeError, in AWS's words, for a type without a form."""
    if accept == JSON:
        return json.dumps({"predictions": rows}).encode()
    if accept == JSONLINES:
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if accept == recordio.CONTENT_TYPE:
        return recordio.write([_as_lists(row) for row in rows])
    if accept == CSV:
        return "\n".join(",".join(_field(row[name]) for name in names) for row in rows).encode()
    raise RuntimeError(f"Cannot encode selected predictions into accept type '{accept}'.")


def _as_lists(row: Selected) -> dict[str, list[float]]:
    return {name: value if isinstance(value, list) else [value] for name, value in row.items()}


def _field(value: Any) -> str:
    return f'"{value}"' if isinstance(value, list) else str(value)


# ── of one prediction: a number, or for multi:softprob one for each class ────────────────────────


def _label(prediction: Any, objective: str, _: int) -> Any:
    if objective == "binary:logistic":
        return int(prediction > 0.5)
    if objective == "binary:logitraw":
        return int(prediction > 0)
    return prediction.item()


def _labels(_: Any, objective: str, classes: int) -> list[int]:
    return [0, 1] if objective.startswith("binary:") else list(range(classes))


def _item(prediction: Any, _: str, __: int) -> Any:
    return prediction.item()


def _both(prediction: Any, _: str, __: int) -> list[Any]:
    return [1.0 - prediction.item(), prediction.item()]


_Maker = Callable[[Any, str, int], Any]

_SINGLE: Mapping[str, _Maker] = {
    "predicted_label": _label,
    "labels": _labels,
    "probability": _item,
    "probabilities": _both,
    "raw_score": _item,
    "raw_scores": _both,
    "predicted_score": _item,
}
_MULTI: Mapping[str, _Maker] = {
    "predicted_label": lambda p, _, __: int(p.argmax()),
    "labels": _labels,
    "probability": lambda p, _, __: p.max().item(),
    "probabilities": lambda p, _, __: p.tolist(),
    "raw_score": lambda p, _, __: p.max().item(),
    "raw_scores": lambda p, _, __: p.tolist(),
}
