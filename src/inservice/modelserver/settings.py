"""What a model's Environment says to the model server: SageMaker's variables, and four of ours."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from inservice.contract import CODE_DIRECTORY, MODEL_DIR, SUBMIT_DIRECTORY


class BadSetting(Exception):
    """A variable whose value cannot be meant; the message names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One instance's settings. Raises BadSetting where they are read, never later."""

    model_dir: Path
    code_dir: Path
    program: str | None  # None: code/inference.py if it is there
    environment: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """All of it, for what one framework alone reads."""
    framework: str | None = None
    """The plug of the image; None: the artifact's files decide."""
    default_accept: str | None = None
    """What is meant by no Accept at all; None: as the framework's container has it."""
    workers: int = 1
    """Threads that run the model, each with a model of its own as SageMaker's worker processes
    have. Few models gain from two: most hold the interpreter's lock or already use what cores they
    need, and an endpoint scales by instances."""
    timeout_seconds: float = 60.0
    """How long in-flight invocations may take to finish after SIGTERM."""
    inline: bool = False
    """Whether the model is run in the event loop itself. It saves the two thread switches of an
    invocation, and makes /ping wait while the model runs: for models of microseconds."""
    batch_size_max: int = 1
    batch_delay_seconds_max: float = 0.005
    log_level: int = logging.INFO


def settings_from(environment: Mapping[str, str], model_dir: str | None) -> Settings:
    """Read the variables; an empty one is not set. AWS's toolkits ignore what they cannot read; we
    say which one it is."""
    given = {name: value for name, value in environment.items() if value.strip()}
    directory = Path(model_dir or given.get("SM_MODEL_DIR") or MODEL_DIR)
    settings = Settings(
        model_dir=directory,
        code_dir=_code_dir(given.get(SUBMIT_DIRECTORY), directory),
        program=_program(given.get("SAGEMAKER_PROGRAM"), directory),
        environment=environment,
        framework=given.get("INSERVICE_FRAMEWORK"),
        default_accept=given.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"),
        workers=number(given, "SAGEMAKER_MODEL_SERVER_WORKERS", 1, 1, 256),
        timeout_seconds=number(given, "SAGEMAKER_MODEL_SERVER_TIMEOUT", 60, 1, 3600),
        inline=_flag(given, "INSERVICE_INLINE"),
        batch_size_max=number(given, "INSERVICE_MAX_BATCH_SIZE", 1, 1, 10_000),
        batch_delay_seconds_max=number(given, "INSERVICE_MAX_BATCH_DELAY_MS", 5, 0, 10_000) / 1000,
        log_level=number(given, "SAGEMAKER_CONTAINER_LOG_LEVEL", logging.INFO, 0, 100),
    )
    if settings.inline and settings.workers > 1:
        raise BadSetting(
            "INSERVICE_INLINE runs the model in the event loop, of which there is one: "
            f"SAGEMAKER_MODEL_SERVER_WORKERS cannot be {settings.workers}"
        )
    return settings


def number(given: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number. Raises BadSetting for what is none, or out of range."""
    text = given.get(name)
    if text is None:
        return default
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal()) or not least <= int(digits) <= most:
        raise BadSetting(f"{name} is '{text}', not a whole number from {least} to {most}")
    return int(digits)


def _flag(given: Mapping[str, str], name: str) -> bool:
    text = given.get(name, "false").strip().lower()
    if text not in ("1", "true", "yes", "0", "false", "no"):
        raise BadSetting(f"{name} is '{given[name]}', neither true nor false")
    return text in ("1", "true", "yes")


def _program(named: str | None, model_dir: Path) -> str | None:
    """The program's name inside the code directory, or its path on this host."""
    if named is None:
        return None
    path = Path(named.strip())
    return str(_here(path, model_dir)) if path.is_absolute() else path.as_posix()


def _code_dir(submit_directory: str | None, model_dir: Path) -> Path:
    if submit_directory is None:
        return model_dir / CODE_DIRECTORY
    place = submit_directory.strip()
    if place.startswith("file://"):
        place = "/" + unquote(place.removeprefix("file://").partition("/")[2])
    elif "://" in place:
        raise BadSetting(
            f"SAGEMAKER_SUBMIT_DIRECTORY is '{submit_directory}', which nothing has brought to this"
            " host: put the code into the artifact's code/ directory, or name a directory"
        )
    # What is relative is meant from where the container starts: there, the artifact.
    path = _here(model_dir / place, model_dir)
    if path.exists() and not path.is_dir():
        raise BadSetting(
            f"SAGEMAKER_SUBMIT_DIRECTORY is '{submit_directory}', which is not a directory; an "
            "archive is named as s3://… or file://…"
        )
    return path


def _here(path: Path, model_dir: Path) -> Path:
    """A container's path as the one that it is here."""
    if path.is_relative_to(MODEL_DIR):
        return model_dir / path.relative_to(MODEL_DIR)
    return path
