"""What stands in for model_fn and predict_fn: the plug of a framework, a module of this package.

A plug imports its framework inside its functions: every instance has all the plugs, and the
environment that it runs in has the framework of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol


class NoModel(Exception):
    """The artifact holds nothing that could be loaded without code; the message says what would."""


class NotAlike(Exception):
    """These requests cannot share one prediction."""


class Framework(Protocol):
    """Loads a model of the framework's, and predicts with it."""

    def knows(self, model: Any, /) -> bool:
        """Whether a model, whoever loaded it, is one of this framework's."""
        ...

    def load(self, file: Path, /) -> Any:
        """The default model_fn, of one of the files that `contract.MODEL_FILES` names for it.

        Raises NoModel for a file that holds none, and what the framework raises.
        """
        ...

    def predict(self, value: Any, model: Any, /) -> Any:
        """The default predict_fn. Raises Unacceptable for what the model finds wrong with the
        value: that is the caller's fault, a 400."""
        ...

    def predict_batch(self, values: Sequence[Any], model: Any, /) -> Sequence[Any]:
        """One prediction for many values, cut up again, in their order. Raises NotAlike where they
        have to be taken one by one."""
        ...
