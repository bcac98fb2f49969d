"""What an error of the user's code says: to the caller, to the log, in a FailureReason."""

from __future__ import annotations

import contextlib
import logging
import os
import traceback
from pathlib import Path

from inservice.contract import MODEL_DIR
from inservice.modelserver.encoding import Unacceptable
from inservice.transport.messages import Response

_log = logging.getLogger("inservice.modelserver")

_TEXT = (b"content-type", b"text/plain; charset=utf-8")


class Answered(Exception):
    """An invocation that is over, with an answer that no prediction was needed for."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"answered with {response.status}")
        self.response = response


def refusal(status: int, message: str) -> Response:
    """An answer in words."""
    return Response(status, (_TEXT,), message.encode(errors="backslashreplace"))


def failure(error: BaseException) -> Response:
    """What a failed invocation answers. The traceback is for the log: it may hold the payload's
    secrets and the host's paths, so the caller is told the last line only.

    Anything may have been raised, `sys.exit()` included. An error of the user's may choose its
    answer by a `status_code`, as the errors of SageMaker's toolkits do.
    """
    if isinstance(error, Unacceptable):
        return refusal(error.status, str(error))
    log("an invocation failed", error)
    return refusal(status_of(error) or 500, said_by(error))


def log(words: str, error: BaseException) -> None:
    """Write an error with its traceback. Never raises: the user's code may have added handlers of
    its own to the log, and what they raise must not end the thread that is about to tell of it."""
    text = f"{words}\n{traceback_of(error)}"
    try:
        _log.error("%s", text)
    except BaseException as broken:  # noqa: BLE001 - see above
        text += f"\n(and logging it failed: {type(broken).__name__})\n"
        with contextlib.suppress(OSError):
            os.write(2, text.encode(errors="backslashreplace"))


def said_by(error: BaseException) -> str:
    """Type and text in one line or a few, and a hint where one fits."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}{hint(text)}"


def text_of(error: BaseException) -> str:
    """What an error says, whatever it is made of."""
    try:
        # The toolkits' errors have their words in `message`, beside the status.
        message = getattr(error, "message", None) if hasattr(error, "status_code") else None
        return message if isinstance(message, str) else str(error)
    except Exception as broken:  # noqa: BLE001 - an error whose text is an error
        return f"(its text cannot be had: {type(broken).__name__})"


def traceback_of(error: BaseException) -> str:
    """For the log."""
    try:
        return "".join(traceback.format_exception(error)).rstrip()
    except Exception:  # noqa: BLE001 - an error of the user's that cannot be formatted
        return "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__


def hint(text: str) -> str:
    """Where an instance has no view of its own, code that names the container's directory meets
    this host's file system instead."""
    if MODEL_DIR not in text or Path(MODEL_DIR).exists():
        return ""
    return (
        f" (There is no {MODEL_DIR} here: use the model_dir that model_fn is given, "
        "which is SM_MODEL_DIR in the environment.)"
    )


def status_of(error: BaseException) -> int | None:
    """The status that an error asks to be answered with, if it does."""
    try:
        status = getattr(error, "status_code", None)
    except Exception:  # noqa: BLE001 - a property of the user's
        return None
    return int(status) if isinstance(status, int) and 400 <= status <= 599 else None
