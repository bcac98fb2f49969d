"""What each family of images makes of an artifact that brings no model_fn, by the names in it.

AWS's containers differ: one takes every file for a model of an ensemble, one wants exactly one, one
wants folders with numbers. Each rule here is of one of them, as its code has it; where a runtime
here is kinder than AWS's container, that is a note.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from inservice.contract import is_litter

CONFIG = "config.json"
"""Of a Hugging Face model; read beside the program."""


class Severity(StrEnum):
    """What a finding means for a deployment."""

    ERROR = "error"  # the endpoint would fail
    WARNING = "warning"  # it may fail, or not do what is meant
    NOTE = "note"  # it works; there is something to know


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know."""

    severity: Severity
    where: str  # a path in the artifact; empty for the whole of it
    says: str  # what is so, and what to do


@dataclass(frozen=True, slots=True)
class Files:
    """What is in an artifact, and what its container is told."""

    sizes: Mapping[str, int]  # by path
    environment: Mapping[str, str]
    config: bytes | None = None  # config.json
    functions: Mapping[str, int] = field(default_factory=dict)
    """Functions of the program, with how many parameters each has."""
    program: str | None = None  # its path
    at_top: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        top = sorted(n for n in self.sizes if "/" not in n and not is_litter(n))
        object.__setattr__(self, "at_top", top)

    def set(self, name: str) -> str:
        """A variable of the container; an empty one is not set."""
        return self.environment.get(name, "").strip()


Verdict = tuple[str, list[Finding]]
"""What loads the model, empty if nothing would; and what is to be said."""


def _error(where: str, says: str) -> Verdict:
    return "", [Finding(Severity.ERROR, where, says)]


def _pytorch(files: Files) -> Verdict:
    """`model.pt`, or the only .pt or .pth there is, by torch.jit.load."""
    found = [name for name in files.at_top if name.endswith((".pt", ".pth"))]
    if not found:
        return _error(
            "",
            "There is no .pt or .pth file beside code/, and no model_fn: PyTorch's container has "
            "nothing to load. Add code/inference.py with model_fn, or save the model as TorchScript"
            " in model.pt.",
        )
    chosen = "model.pt" if "model.pt" in found else found[0]
    if len(found) > 1 and chosen != "model.pt":
        return _error(
            "",
            f"Exactly one .pth or .pt file is required for PyTorch models: {found}. Call one "
            "model.pt, or write a model_fn.",
        )
    says = (
        "Without a model_fn it has to be TorchScript (torch.jit.save): of a state_dict or a pickled"
        " module torch.jit.load says that it is none."
    )
    return f"PyTorch: torch.jit.load of {chosen}", [Finding(Severity.WARNING, chosen, says)]


def _xgboost(files: Files) -> Verdict:
    """Algorithm mode: each file at the top is a model."""
    models = files.at_top
    findings = []
    if files.program is not None:
        says = (
            "It is not run: without SAGEMAKER_PROGRAM XGBoost's container is in algorithm mode. "
            f"Set SAGEMAKER_PROGRAM={PurePosixPath(files.program).name} to have it run."
        )
        findings.append(Finding(Severity.WARNING, files.program, says))
    if not models:
        return "", [*findings, Finding(Severity.ERROR, "", "There is no model file at its top.")]
    if len(models) > 1:
        whole = files.set("SAGEMAKER_INFERENCE_ENSEMBLE").lower() not in ("", "true")
        how = "only the first listed is used" if whole else "all of them together are an ensemble"
        says = f"Each file at the top is taken for a model, and {how}: {', '.join(models)}."
        odd = [n for n in models if n.lower().endswith((".md", ".txt", ".csv", ".json.bak"))]
        severity = Severity.ERROR if odd else Severity.NOTE
        findings.append(Finding(severity, odd[0] if odd else "", says))
    return f"XGBoost: {', '.join(models)}", findings


_TASKS = (
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMaskedLM",
    "ForCausalLM",
    "GPT2LMHeadModel",
    "ForConditionalGeneration",
    "MTModel",
    "EncoderDecoderModel",
    "T5WithLMHeadModel",
    "ForMultipleChoice",
)
_WEIGHTS = (".safetensors", ".bin", ".h5", ".msgpack", ".index.json", ".onnx")
_PREPARES = ("token", "vocab", "spiece", "sentencepiece", "preprocessor", "processor", "feature")


def _huggingface(files: Files) -> Verdict:
    """A pipeline of what save_pretrained wrote, or of a model of the hub."""
    if hub := files.set("HF_MODEL_ID"):
        says = "It is fetched from the hub when the instance starts, which takes a network."
        findings = [Finding(Severity.NOTE, "", says)]
        return f"Transformers: {hub} from the hub", findings
    if CONFIG not in files.sizes:
        if "model_index.json" in files.sizes:
            return "Diffusers: a text-to-image pipeline", []
        deeper = next((n for n in files.sizes if PurePosixPath(n).name == CONFIG), "")
        where = f" It is in {PurePosixPath(deeper).parent}/: pack from inside." if deeper else ""
        return _error(
            deeper,
            f"There is no {CONFIG} at its top, and HF_MODEL_ID is not set: nothing says what model "
            f"it is.{where} save_pretrained writes one.",
        )
    findings = list(_about_pipeline(files))
    failed = any(each.severity is Severity.ERROR for each in findings)
    return ("" if failed else f"Transformers: a pipeline of {CONFIG}"), findings


def _about_pipeline(files: Files) -> Iterator[Finding]:
    if not any(name.endswith(_WEIGHTS) and name != CONFIG for name in files.at_top):
        says = "There are no weights (model.safetensors, pytorch_model.bin) beside config.json."
        yield Finding(Severity.ERROR, "", says)
    if not any(name.startswith(_PREPARES) for name in files.at_top):
        says = "There is no tokenizer nor preprocessor: save it into the same folder."
        yield Finding(Severity.WARNING, "", says)
    try:
        config: Any = json.loads(files.config or b"null")
        named = [str(each) for each in config["architectures"]]
    except (ValueError, KeyError, TypeError):
        named = []
    known = any(each.endswith(_TASKS) or each.startswith("Tapas") for each in named)
    if not files.set("HF_TASK") and not known:
        of = f" of {', '.join(named)}" if named else ""
        says = f"Which task is it for? It cannot be told{of}: set HF_TASK, as text-classification."
        yield Finding(Severity.ERROR, CONFIG, says)


_SAVED_MODEL = re.compile(r"(?:^|.*/)(\d+)/saved_model\.pbt?x?t?$")


def _tensorflow(files: Files) -> Verdict:
    """Every `<name>/<number>/saved_model.pb`."""
    findings = list(_about_tensorflow_handlers(files))
    bundles = [name for name in files.sizes if PurePosixPath(name).name == "saved_model.pb"]
    numbered = sorted(name for name in bundles if _SAVED_MODEL.match(name))
    for name in bundles:
        if name not in numbered:
            says = (
                "TensorFlow Serving wants it in a folder that is a number, its version: "
                f"{PurePosixPath(name).parent.name or 'model'}/1/saved_model.pb."
            )
            severity = Severity.WARNING if numbered else Severity.ERROR
            findings.append(Finding(severity, name, says))
    if not bundles:
        says = (
            "no SavedModel bundles found! There has to be <name>/<number>/saved_model.pb, as "
            "model.export(…) and tf.saved_model.save write it; .h5 and .keras files are none."
        )
        findings.append(Finding(Severity.ERROR, "", says))
    if not numbered:
        return "", findings
    models = dict.fromkeys(str(PurePosixPath(name).parents[1]) for name in numbered)
    if len(models) > 1 and not files.set("SAGEMAKER_TFS_DEFAULT_MODEL_NAME"):
        says = f"Several models: {', '.join(models)}. The first is asked, unless "
        says += "SAGEMAKER_TFS_DEFAULT_MODEL_NAME or X-Amzn-SageMaker-Custom-Attributes says other."
        findings.append(Finding(Severity.NOTE, "", says))
    return f"TensorFlow: {', '.join(numbered)}", findings


def _about_tensorflow_handlers(files: Files) -> Iterator[Finding]:
    if files.program is None:
        return
    given = [n for n in ("handler", "input_handler", "output_handler") if n in files.functions]
    if given != ["handler"] and given[-2:] != ["input_handler", "output_handler"]:
        says = (
            "Handlers are not implemented correctly in user script: TensorFlow's container wants "
            "handler(data, context), or both input_handler(data, context) and "
            "output_handler(response, context)."
        )
        yield Finding(Severity.ERROR, files.program, says)
    for name in given:
        if files.functions[name] != 2:
            says = f"{name} has to take 2 arguments, of which the second is the context."
            yield Finding(Severity.ERROR, files.program, says)


_PART = re.compile(r"^(.*)-\d{5}-of-\d{5}\.gguf$")


def _gguf(files: Files) -> Verdict:
    """One .gguf, or all parts of one."""
    found = [name for name in files.at_top if name.endswith(".gguf")]
    if not found:
        return _error("", "There is no .gguf file at its top.")
    whole = {_PART.sub(r"\1", name) for name in found}
    if "model.gguf" in found or len(whole) == 1:
        return f"llama.cpp: {'model.gguf' if 'model.gguf' in found else found[0]}", []
    return _error("", f"Which of {', '.join(found)} is the model? Call one model.gguf.")


def _mlflow(files: Files) -> Verdict:
    if "MLmodel" in files.sizes:
        return "MLflow: mlflow.pyfunc.load_model", []
    return _error("", "There is no MLmodel at its top: pack from inside what log_model wrote.")


def _by_suffix(framework: str, loader: str, names: tuple[str, ...]) -> Callable[[Files], Verdict]:
    def judged(files: Files) -> Verdict:
        found = [n for n in names if n in files.at_top] or [
            n for n in files.at_top if n.endswith(tuple(PurePosixPath(x).suffix for x in names))
        ]
        if len(found) == 1 or (found and found[0] in names):
            return f"{framework}: {loader} of {found[0]}", []
        if not found:
            return _error("", f"There is no {framework} model: name it {names[0]}.")
        return _error("", f"Which of {', '.join(found)} is the model? Name one {names[0]}.")

    return judged


FAMILIES: Mapping[str, Callable[[Files], Verdict]] = MappingProxyType(
    {
        "pytorch": _pytorch,
        "xgboost": _xgboost,
        "huggingface": _huggingface,
        "tensorflow": _tensorflow,
        "gguf": _gguf,
        "mlflow": _mlflow,
        "lightgbm": _by_suffix(
            "LightGBM", "lightgbm.Booster", ("lightgbm_model.txt", "model.lgb", "model.txt")
        ),
        "onnx": _by_suffix("ONNX Runtime", "InferenceSession", ("model.onnx", "model.ort")),
    }
)
"""By the name of the framework's plug. Of a family that is not here the artifact's files decide."""


def is_without_code(framework: str, environment: Mapping[str, str]) -> bool:
    """Whether a container of this framework never calls a model_fn."""
    if framework == "xgboost":
        return not environment.get("SAGEMAKER_PROGRAM", "").strip()
    return framework in ("tensorflow", "gguf")


def remarks(framework: str, files: Files) -> Iterator[Finding]:
    """What AWS's container would do otherwise than what runs it here."""
    if any(PurePosixPath(name).name.startswith("model_algo-") for name in files.sizes):
        says = "An MXNet archive of one of AWS's own algorithms, which only its image loads."
        yield Finding(Severity.ERROR, "model_algo-1", says)
    if framework == "sklearn" and not files.set("SAGEMAKER_PROGRAM"):
        says = (
            "AWS's scikit-learn container loads nothing without SAGEMAKER_PROGRAM (the SDK sets it "
            "to your entry point) and a model_fn; here neither is needed."
        )
        yield Finding(Severity.NOTE, files.program or "", says)
