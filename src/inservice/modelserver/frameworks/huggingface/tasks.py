"""Which pipeline a model is for: said by HF_TASK, or read off the model's own config.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

SUFFIXES: Final[tuple[tuple[str, str], ...]] = (
    ("TapasForQuestionAnswering", "table-question-answering"),
    ("ForQuestionAnswering", "question-answering"),
    ("ForTokenClassification", "token-classification"),
    ("ForSequenceClassification", "text-classification"),
    ("ForMultipleChoice", "multiple-choice"),
    ("ForMaskedLM", "fill-mask"),
    ("ForCausalLM", "text-generation"),
    ("GPT2LMHeadModel", "text-generation"),
    ("ForConditionalGeneration", "text2text-generation"),
    ("MTModel", "text2text-generation"),
    ("EncoderDecoderModel", "text2text-generation"),
    ("T5WithLMHeadModel", "text2text-generation"),
)
"""How the name of an architecture ends, and its task, as AWS's toolkit has it; the first counts."""

BEYOND: Final[tuple[tuple[str, str], ...]] = (
    ("ForImageClassification", "image-classification"),
    ("ForObjectDetection", "object-detection"),
    ("ForAudioClassification", "audio-classification"),
    ("ForSpeechSeq2Seq", "automatic-speech-recognition"),
    ("ForCTC", "automatic-speech-recognition"),
)
"""What the toolkit would refuse, and no other pipeline could be meant by."""

SPEECH: Final = ("Whisper", "Speech2Text", "SpeechT5")
"""Architectures whose …ForConditionalGeneration hears: the toolkit takes them for writers of text,
and fails."""

TEXT_TO_IMAGE: Final = "text-to-image"

BY_FEATURES: Final = frozenset(
    (
        "automatic-speech-recognition",
        "image-segmentation",
        "image-classification",
        "audio-classification",
        "object-detection",
        "zero-shot-image-classification",
    )
)
"""Tasks whose inputs a feature extractor prepares, and no tokenizer."""

NOT_OF_CSV: Final = frozenset(("zero-shot-classification", "table-question-answering"))
"""Tasks whose inputs are nested, so that no row of a CSV can be one."""


class NoTask(ValueError):
    """No pipeline can be told for a model; the message is the toolkit's."""


def task_of(model_dir: Path, environment: Mapping[str, str], known: Iterable[str]) -> str:
    """The task of a model, `known` being those that this Transformers has pipelines for.

    Raises NoTask.
    """
    if task := environment.get("HF_TASK", "").strip():
        return task
    if (model_dir / "config.json").is_file():
        return by_architecture(_json(model_dir / "config.json"))
    if (model_dir / "model_index.json").is_file():
        return TEXT_TO_IMAGE
    raise NoTask(
        f"You need to define one of the following {sorted(known)} or text-to-image as env "
        "'HF_TASK'."
    )


def by_architecture(config: Mapping[str, Any]) -> str:
    """The task that a model's config.json tells by the first of its architectures. Raises
    NoTask."""
    named = config.get("architectures")
    architecture = named[0] if isinstance(named, list) and named else None
    if isinstance(architecture, str):
        if architecture.startswith(SPEECH) and architecture.endswith("ForConditionalGeneration"):
            return "automatic-speech-recognition"
        for suffix, task in (*SUFFIXES, *BEYOND):
            if architecture.endswith(suffix):
                return task
    raise NoTask(
        f"Task couldn't be inferenced from {architecture}. Inference Toolkit can only inference "
        f"tasks from architectures ending with {[suffix for suffix, _ in (*SUFFIXES, *BEYOND)]}. "
        "Use env `HF_TASK` to define your task."
    )


def _json(file: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(file.read_bytes())
    except ValueError as error:
        raise NoTask(f"{file.name} is not readable as JSON: {error}") from error
    if not isinstance(config, dict):
        raise NoTask(f"{file.name} does not hold an object")
    return config
