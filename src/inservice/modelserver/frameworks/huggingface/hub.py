"""HF_MODEL_ID: a model that is fetched from the Hugging Face Hub when the instance starts.

Where the hub cannot be reached that is said at once. The hub's own client tries for minutes, and
its last words are about a cache.

The client reads its settings when it is imported. Instances are forked from a process that has
imported it, so what a model's own Environment says is read again here, before it is first used.
"""

from __future__ import annotations

import importlib
import os
import queue
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from inservice.contract import MODEL_DIR

REACH_SECONDS: Final = 10.0
"""How long it may take to look the hub's name up and connect to it."""

DEFAULT_ENDPOINT: Final = "https://huggingface.co"

_CONSTANTS: Final = "huggingface_hub.constants"

_PREFIXES: Final = ("HF_", "HUGGINGFACE_", "TRANSFORMERS_")

WEIGHTS: Final = ("tf*", "flax*", "rust*", "*onnx*", "*mlmodel", "*tflite", "*tar.gz")
"""Weights of other frameworks: never fetched. With safetensors there, PyTorch's own are not
either."""


class HubUnreachable(Exception):
    """A model of the hub's that cannot be fetched; the message says from where and why."""


def named(environment: Mapping[str, str], model_dir: Path) -> str | Path | None:
    """What HF_MODEL_ID names: a model of the hub's, a directory of this host, or nothing."""
    said = environment.get("HF_MODEL_ID", "").strip()
    if not said:
        return None
    path = Path(said)
    if not path.is_absolute():
        return said
    return model_dir / path.relative_to(MODEL_DIR) if path.is_relative_to(MODEL_DIR) else path


def fetch(model_id: str, environment: Mapping[str, str]) -> Path:
    """A model's files, on this host. Raises HubUnreachable."""
    endpoint = environment.get("HF_ENDPOINT", "").strip() or DEFAULT_ENDPOINT
    offline = environment.get("HF_HUB_OFFLINE", "").strip().upper() in ("1", "TRUE", "YES", "ON")
    if not offline and not _by_proxy(environment):
        _reach(endpoint, model_id)
    from huggingface_hub import (  # type: ignore[import-not-found,unused-ignore]
        HfApi,
        snapshot_download,
    )

    revision = environment.get("HF_MODEL_REVISION", "").strip() or None
    token = environment.get("HF_TOKEN", "").strip() or environment.get("HF_API_TOKEN", "").strip()
    ignored = list(WEIGHTS)
    try:
        if not offline:
            files = HfApi(token=token or None).list_repo_files(model_id, revision=revision)
            if any(file.endswith(".safetensors") for file in files):
                ignored.append("pytorch*")
        fetched = snapshot_download(
            model_id,
            revision=revision,
            token=token or None,
            ignore_patterns=ignored,
            local_files_only=offline,
        )
    except Exception as error:
        raise HubUnreachable(_words(model_id, endpoint, f"{type(error).__name__}: {error}")) from (
            error
        )
    return Path(fetched)


def _words(model_id: str, endpoint: str, why: str) -> str:
    return (
        f"HF_MODEL_ID is '{model_id}', which is fetched from {endpoint}, and that cannot be done "
        f"from here: {why}. Put the model's files into ModelDataUrl and leave HF_MODEL_ID out, or "
        "name a hub that can be reached in HF_ENDPOINT."
    )


def _by_proxy(environment: Mapping[str, str]) -> bool:
    """Whether the hub is asked through somebody else, who alone knows whether it is there."""
    return any(environment.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"))


def _reach(endpoint: str, model_id: str) -> None:
    """Look the hub up and connect, in a thread: a look-up has no timeout of its own."""
    parts = urlsplit(endpoint)
    address = parts.hostname or endpoint, parts.port or (80 if parts.scheme == "http" else 443)
    told: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def connect() -> None:
        try:
            socket.create_connection(address, timeout=REACH_SECONDS).close()
            told.put(None)
        except (OSError, ValueError) as error:
            told.put(error)

    threading.Thread(target=connect, name="hub", daemon=True).start()
    try:
        error = told.get(timeout=REACH_SECONDS)
    except queue.Empty:
        error = TimeoutError(f"no answer within {REACH_SECONDS:.0f} seconds")
    if error is not None:
        raise HubUnreachable(_words(model_id, endpoint, str(error))) from error


# ── settings that were read too early ────────────────────────────────────────────────────────────


def read_again(environment: Mapping[str, str]) -> None:
    """Have the hub's client know what the Environment says, if it was imported before it did."""
    constants = sys.modules.get(_CONSTANTS)
    said = [
        name for name in environment if name.startswith(("HF_", "HUGGINGFACE_", "TRANSFORMERS_"))
    ]
    if constants is None or not said:
        return
    os.environ.update({name: environment[name] for name in said})
    before = _settings(constants)
    importlib.reload(constants)
    after = _settings(constants)
    changed = {name for name, value in after.items() if before.get(name) != value}
    for name, module in tuple(sys.modules.items()):
        if name.startswith(("huggingface_hub.", "transformers.")) and name != _CONSTANTS:
            for setting in changed & vars(module).keys():
                if vars(module)[setting] == before.get(setting):
                    setattr(module, setting, after[setting])


def _settings(module: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name.isupper()}
