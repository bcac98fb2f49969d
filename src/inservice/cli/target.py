"""Where commands go when nobody says: the InService of this data directory.

A running InService leaves two files in its data directory: `endpoint.json` with its URL and region,
and `credentials.json` (mode 0600) with its root access key. They are used when the user chose
nothing else, and never mixed with the AWS configuration: a developer whose default profile points
at AWS must not create endpoints there by leaving out an option.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inservice.cli.aws.failures import NotConfigured

_CHOOSING = (
    "AWS_ENDPOINT_URL",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ACCESS_KEY_ID",
)
"""Environment variables by which a user has chosen another place, or somebody else's name."""


@dataclass(frozen=True, slots=True)
class Target:
    """A running InService: where it is and how to sign for it."""

    url: str
    region: str
    access_key_id: str
    secret_access_key: str
    session_token: str | None = field(default=None, kw_only=True)  # of temporary keys


def data_directory(given: str | None, environment: Mapping[str, str]) -> Path:
    """The data directory: what was given, else INSERVICE_DATA_DIR, else the user's own."""
    if given:
        return Path(given).expanduser()
    from inservice.config import default_data_dir

    return default_data_dir(environment)


def chosen_elsewhere(
    environment: Mapping[str, str], *, endpoint_url: str | None, profile: str | None
) -> bool:
    """Whether the user named a place to go or an identity to go there with."""
    if endpoint_url or profile:
        return True
    return any(environment.get(name) for name in _CHOOSING) or any(
        name.startswith("AWS_ENDPOINT_URL_") and value for name, value in environment.items()
    )


def find_target(
    environment: Mapping[str, str] | None = None,
    *,
    data_dir: str | None = None,
    endpoint_url: str | None = None,
    profile: str | None = None,
) -> Target | None:
    """The InService to talk to, or None when the user chose something else.

    `--data-dir` on the command line is a choice too, and wins over the environment. Raises
    NotConfigured when no InService has left its files there.
    """
    environment = os.environ if environment is None else environment
    if endpoint_url or profile:
        return None
    if data_dir is None and chosen_elsewhere(environment, endpoint_url=None, profile=None):
        return None
    return read_target(data_directory(data_dir, environment))


def read_target(directory: Path) -> Target:
    """Read the two files. Raises NotConfigured with what to do when one is missing or broken."""
    try:
        found = read_files(directory)
        return Target(
            url=found["url"],
            region=found["region"],
            access_key_id=found["access_key_id"],
            secret_access_key=found["secret_access_key"],
        )
    except FileNotFoundError as error:
        raise NotConfigured(
            f"No InService is running in {directory} (there is no {Path(error.filename).name}). "
            'Start one with "inservice up", or say where to go with --endpoint-url or --profile.'
        ) from error
    except OSError as error:
        raise NotConfigured(f"Cannot read {error.filename}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise NotConfigured(f"The files in {directory} are damaged: {error!r}") from error


def read_files(directory: Path) -> dict[str, Any]:
    """What a server says of itself in its two files. Raises OSError and ValueError."""
    endpoint = json.loads((directory / "endpoint.json").read_text(encoding="utf-8"))
    key = json.loads((directory / "credentials.json").read_text(encoding="utf-8"))
    return {**dict(endpoint), **dict(key)}
