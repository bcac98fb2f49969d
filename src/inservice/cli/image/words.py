"""What is seen of an image, in a few words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from inservice.cli.times import shown

STATES: Final[Mapping[str, tuple[str, str]]] = {
    "Ready": ("ready", "green"),
    "Built": ("built", "green"),
    "Building": ("being built", "cyan"),
    "ToBuild": ("to be built", "yellow"),
    "BuildFailed": ("build failed", "bold red"),
    "NeedsEngine": ("needs an engine", "dim"),
    "NotRunnable": ("cannot run", "dim"),
}
"""By an image's State: how it is said, and its colour."""

_CANNOT: Final = "' cannot run here: "
"""Between an image that cannot run, which is known where it is asked for, and why not."""

_PACKAGE: Final = re.compile(r"[^\w.-]")
"""What ends the name of a package in a requirement."""

_NAMED_MAX: Final = 6
"""Packages that a table has room for."""


def state_of(image: Mapping[str, Any]) -> tuple[str, str]:
    """Its words and its colour, also of a state that a newer server has."""
    return STATES.get(image["State"], (str(image["State"]), ""))


def order_of(image: Mapping[str, Any]) -> tuple[int, str]:
    """Where it stands in a table: what can run before what cannot, then by name."""
    ranks = list(STATES)
    state = image["State"]
    return (ranks.index(state) if state in ranks else len(ranks), name_of(image))


def name_of(image: Mapping[str, Any]) -> str:
    """What one would call it: the short name, else the family's, else what it was asked for by."""
    return str(next(iter(image["Names"]), image.get("Name") or image["Image"]))


def detail_of(image: Mapping[str, Any]) -> str:
    """What there is to know of its state, in a clause."""
    match image["State"]:
        case "Ready":
            return "the server's own Python has all that it needs"
        case "Built" if "Environment" in image:
            built = image["Environment"]
            return f"{size(built['Bytes'])}, since {shown(built['BuiltAt'])}"
        case "Building":
            return next(reversed(image.get("Build", {}).get("Progress", [])), "")
        case "BuildFailed":
            lines = image.get("Build", {}).get("FailureReason", "").splitlines()
            return next(iter(lines), "")
        case "ToBuild":
            return needs_of(image)
        case "NeedsEngine":
            engine = image.get("ContainerEngine", {})
            if "Name" in engine:
                return f"{engine['Name']} {engine.get('Version', '')}".rstrip() + " runs it"
            return str(engine.get("Note") or "Podman or Docker runs it")
        case _:
            _, cut, reason = str(image.get("Reason", "")).partition(_CANNOT)
            return reason if cut else str(image.get("Reason", ""))


def needs_of(image: Mapping[str, Any]) -> str:
    """The packages that it needs, the first few by name."""
    needs = [_PACKAGE.split(each, maxsplit=1)[0] for each in image["Requirements"]]
    more = len(needs) - _NAMED_MAX
    return ", ".join(needs[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def size(number: float) -> str:
    """Of what is built: `812 MB`."""
    return f"{number / 1e6:,.0f} MB" if number >= 1e6 else f"{number:,.0f} bytes"
