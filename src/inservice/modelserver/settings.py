"""What a model's Environment says to the model server: SageMaker's variables, and three of ours."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

CONTAINER_MODEL_DIR = "/opt/ml/model"
"""Where a SageMaker container finds its artifact. User code that names it in a variable means the
directory that the artifact is in here."""


class BadSetting(Exception):
    """A variable whose value cannot be meant; the message names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One instance's settings. Raises BadSetting where they are read, never later."""

    model_dir: Path
    code_dir: Path
    program: str | None  # None: code/inference.py if it is there
    default_accept: str = "application/json"
    workers: int = 1
    """Threads that run the model. Few models gain from two: most hold the interpreter's lock or
    already use what cores they need, and an endpoint scales by instances."""
    timeout_seconds: float = 60.0
    """How long in-flight invocations may take to finish after SIGTERM."""
    inline: bool = False
    """Whether the model is run in the event loop itself. It saves the two thread switches of an
    invocation, and makes /ping wait while the model runs: for models of microseconds."""
    batch_size_max: int = 1
    batch_delay_seconds_max: float = 0.005
    log_level: int = logging.INFO


def settings_from(environment: Mapping[str, str], model_dir: str | None) -> Settings:
    """Read the variables. AWS's toolkits ignore what they cannot read; we say which one it is."""
    directory = Path(model_dir or environment.get("SM_MODEL_DIR") or CONTAINER_MODEL_DIR)
    program = environment.get("SAGEMAKER_PROGRAM")
    return Settings(
        model_dir=directory,
        code_dir=_code_dir(environment.get("SAGEMAKER_SUBMIT_DIRECTORY"), directory),
        program=program,
        default_accept=environment.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json"),
        workers=_number(environment, "SAGEMAKER_MODEL_SERVER_WORKERS", 1, 1, 256),
        timeout_seconds=_number(environment, "SAGEMAKER_MODEL_SERVER_TIMEOUT", 60, 1, 3600),
        inline=environment.get("INSERVICE_INLINE", "").lower() in ("1", "true", "yes"),
        batch_size_max=_number(environment, "INSERVICE_MAX_BATCH_SIZE", 1, 1, 10_000),
        batch_delay_seconds_max=_number(environment, "INSERVICE_MAX_BATCH_DELAY_MS", 5, 0, 10_000)
        / 1000,
        log_level=_number(environment, "SAGEMAKER_CONTAINER_LOG_LEVEL", logging.INFO, 0, 100),
    )


def _number(environment: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = environment.get(name)
    if text is None:
        return default
    if not text.isdecimal() or not least <= int(text) <= most:
        raise BadSetting(f"{name} is '{text}', not a whole number from {least} to {most}")
    return int(text)


def _code_dir(submit_directory: str | None, model_dir: Path) -> Path:
    if not submit_directory:
        return model_dir / "code"
    place = urlsplit(submit_directory)
    if place.scheme not in ("", "file"):
        raise BadSetting(
            f"SAGEMAKER_SUBMIT_DIRECTORY is '{submit_directory}', which nothing has brought to this"
            " host: put the code into the artifact's code/ directory, or name a directory"
        )
    path = Path(place.path)
    if path.is_relative_to(CONTAINER_MODEL_DIR):
        return model_dir / path.relative_to(CONTAINER_MODEL_DIR)
    return path
