"""SageMaker's container contract, as far as more than one of us has to know it: which handlers a
program may define, and which file a program's name means. The model server runs it, and `model
lint` says beforehand what it will do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

MODEL_DIR = "/opt/ml/model"
"""Where a SageMaker container finds its artifact. User code that names it in a variable means the
directory that the artifact is in here."""

CODE_DIRECTORY = "code"
"""Where in the artifact the code is, unless SAGEMAKER_SUBMIT_DIRECTORY says something else."""

PROGRAM = "inference.py"
"""The program in it, unless SAGEMAKER_PROGRAM names another."""

HANDLERS: Mapping[str, int] = {
    "pre_model_fn": 1,
    "model_fn": 1,
    "model_warmup_fn": 2,
    "input_fn": 2,
    "predict_fn": 2,
    "output_fn": 2,
    "transform_fn": 4,
    "predict_batch_fn": 2,
}
"""SageMaker's handlers, and predict_batch_fn, with the arguments of each less the context."""

STEPS = ("input_fn", "predict_fn", "predict_batch_fn", "output_fn")
"""What `transform_fn` is instead of."""


def program_spellings(named: str) -> Iterator[str]:
    """Which files a SAGEMAKER_PROGRAM may mean, the likeliest first. The toolkits take the name of
    a module as well, without its `.py` and with dots for folders."""
    if named.endswith(".py"):
        yield named
    else:
        yield f"{named}.py"
        yield f"{named}/__init__.py"
    dotted = named.removesuffix(".py").replace(".", "/")
    yield f"{dotted}.py"
    yield f"{dotted}/__init__.py"
