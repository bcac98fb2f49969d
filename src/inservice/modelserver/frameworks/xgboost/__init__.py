"""XGBoost, as AWS's container has it: its own algorithm, or the user's program.

algorithm    without SAGEMAKER_PROGRAM: the models of the artifact answer by themselves
script       with it: SageMaker's handlers, with DMatrix between them; and what predicts with a
             Booster that code has loaded where no image says that this is XGBoost
boosters     how models are loaded, and predicted with
decoding     CSV, libsvm, RecordIO-protobuf
selectable   SAGEMAKER_INFERENCE_OUTPUT: which of labels, probabilities and scores are answered
"""

from __future__ import annotations

from typing import Any

from inservice.modelserver.frameworks.base import Framework, Start
from inservice.modelserver.frameworks.xgboost.algorithm import Algorithm
from inservice.modelserver.frameworks.xgboost.script import Bare, Script


def plug(start: Start) -> Framework:
    """The container of an instance: the algorithm where nothing names a program."""
    if start.by_image:
        return Algorithm(start) if start.settings.program is None else Script(start)
    return Bare(start) if start.coded or start.file is None else Algorithm(start)


def knows(model: Any) -> bool:
    """Whether a model is a Booster, which predicts on a DMatrix only; the estimators that are made
    like scikit-learn's need nobody who knows them."""
    import xgboost  # type: ignore[import-not-found,unused-ignore]

    return isinstance(model, xgboost.Booster)
