"""SageMaker's container contract, as far as more than one of us has to know it: which handlers a
program may define, which file a program's name means, and which file is the model where no code
says so. The model server runs it, and `model lint` says beforehand what it will do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

MODEL_DIR = "/opt/ml/model"
"""Where a SageMaker container finds its artifact, and an instance here wherever it can have a view
of its own. Where it cannot, a variable that names it means the directory that the artifact is
in."""

CODE_DIRECTORY = "code"
"""Where in the artifact the code is, unless SAGEMAKER_SUBMIT_DIRECTORY says something else."""

SUBMIT_DIRECTORY = "SAGEMAKER_SUBMIT_DIRECTORY"
"""The variable that says where AWS's framework containers find the user's code. The SageMaker SDK
sets it to an archive, in S3 or in local mode a file's, which the container fetches; here whoever
runs the container does, with the checks that every artifact gets."""

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


# ── the model, where no code loads one ───────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Which files of an artifact are models to one framework, by their names."""

    framework: str  # as its own people write it
    loader: str  # the function of it that opens them
    names: tuple[str, ...]  # these mean it, the first before the next
    suffixes: tuple[str, ...]  # these may
    package: str  # what the classes of its models are in


MODEL_FILES: Mapping[str, ModelFiles] = MappingProxyType(
    {
        "sklearn": ModelFiles(
            framework="scikit-learn",
            loader="joblib.load",
            names=("model.joblib", "model.pkl", "model.pickle"),
            suffixes=(".joblib", ".pkl", ".pickle"),
            package="sklearn",
        ),
        "pytorch": ModelFiles(
            framework="PyTorch",
            loader="torch.jit.load",
            names=("model.pt",),
            suffixes=(".pt", ".pth"),
            package="torch",
        ),
        "huggingface": ModelFiles(
            framework="Hugging Face Transformers",
            loader="transformers.pipeline",
            names=(
                *("model.safetensors", "model.safetensors.index.json"),
                *("pytorch_model.bin", "pytorch_model.bin.index.json"),
            ),
            suffixes=(),
            package="transformers",
        ),
        "tensorflow": ModelFiles(
            framework="TensorFlow",
            loader="tensorflow.saved_model.load",
            names=("saved_model.pb",),
            suffixes=(),
            package="tensorflow",
        ),
        "gguf": ModelFiles(
            framework="llama.cpp",
            loader="xllamacpp.Server",
            names=("model.gguf",),
            suffixes=(".gguf",),
            package="xllamacpp",
        ),
        "xgboost": ModelFiles(
            framework="XGBoost",
            loader="xgboost.Booster.load_model",
            names=("xgboost-model", "model.ubj", "model.bst"),
            suffixes=(".ubj", ".bst", ".xgb"),
            package="xgboost",
        ),
        "lightgbm": ModelFiles(
            framework="LightGBM",
            loader="lightgbm.Booster",
            names=("lightgbm_model.txt", "model.lgb"),
            suffixes=(".lgb", ".lightgbm"),
            package="lightgbm",
        ),
        "onnx": ModelFiles(
            framework="ONNX Runtime",
            loader="onnxruntime.InferenceSession",
            names=("model.onnx",),
            suffixes=(".onnx", ".ort"),
            package="onnxruntime",
        ),
        "mlflow": ModelFiles(
            framework="MLflow",
            loader="mlflow.pyfunc.load_model",
            names=("MLmodel",),
            suffixes=(),
            package="mlflow",
        ),
    }
)
"""By the name of the framework's plug in `modelserver.frameworks`. Of two that would both have a
file, the first has it."""

MODEL_NAMES = tuple(name for files in MODEL_FILES.values() for name in files.names)
"""Every name that means a model by itself."""


def model_files(
    artifact: Iterable[str], frameworks: Mapping[str, ModelFiles] | None = None
) -> Sequence[tuple[str, str]]:
    """What could be the model, of the files at the top of an artifact: each with its framework, of
    these or of all.

    One: that is it, since it has a name that means it, or no other could be. None, or several
    between which nothing decides: nothing is loaded.
    """
    files = sorted(file for file in artifact if not is_litter(file))
    known = MODEL_FILES if frameworks is None else frameworks
    for framework, its in known.items():
        if named := [name for name in its.names if name in files]:
            return [(framework, named[0])]
    return [
        (framework, file)
        for file in files
        if (framework := next((f for f, i in known.items() if file.endswith(i.suffixes)), ""))
    ]


def is_litter(path: str) -> bool:
    """Whether a file is what a system or a tool leaves beside others: hidden, as AppleDouble's
    `._model` and `.DS_Store` are, or what macOS and old tars put into a folder of their own.
    It is unpacked like any other file, and is never taken for a model."""
    return any(
        part.startswith((".", "PaxHeaders")) or part in ("__MACOSX", "PaxHeader")
        for part in path.split("/")
    )
