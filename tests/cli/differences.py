"""Where ours and AWS CLI 2.9.19 are meant to differ, and why. Nothing else may differ.

REWORDED holds for every line. INTENDED names lines: for each, what is not compared and the reason;
all that is not named there is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Difference:
    """What of a line's outcome is not compared."""

    fields: frozenset[str]
    reason: str


def neutral(outcome: dict[str, Any]) -> dict[str, Any]:
    """An outcome without the differences that hold for every line.

    - The program has its own name in usage lines and where it starts its error lines.
    - Colours are reset after each coloured text, where AWS CLI's terminal library resets them after
      every write, once more.
    """
    return {
        **outcome,
        "stdout": outcome["stdout"].replace("\x1b[0m", ""),
        "stderr": re.sub(r"(?m)^(usage: |  |)(inservice|aws)(:| )", r"\1aws\3", outcome["stderr"]),
    }


_NEWER = "the models here are newer than 2.9.19's: "

INTENDED: dict[str, Difference] = {
    name: Difference(frozenset(fields.split()), reason)
    for name, fields, reason in (
        ("skeleton", "stdout", _NEWER + "RollingUpdatePolicy"),
        ("skeleton, input", "stdout", _NEWER + "RollingUpdatePolicy"),
        ("skeleton, document", "stdout", _NEWER + "RollingUpdatePolicy"),
        (
            "skeleton, yaml",
            "stdout",
            _NEWER + "RollingUpdatePolicy, and BlueGreenUpdatePolicy is no longer required",
        ),
        ("skeleton, policy", "stdout", _NEWER + "metric math in customized metrics"),
        ("skeleton, events", "stdout", _NEWER + "entity"),
        ("invoke, runtime skeleton", "stdout", _NEWER + "Filename, Body and others"),
        (
            "no arguments",
            "exit stdout stderr",
            "the program's name alone is a question, and answered with help as by kubectl and gh",
        ),
        (
            "unknown command",
            "stderr",
            "there are commands of ours as well, so the word that was meant is named and no list",
        ),
        ("unknown operation", "stderr", _NEWER + "more operations to choose from"),
        ("near operation", "stderr", _NEWER + "more operations to choose from"),
        (
            "binary format of the profile, unknown",
            "stderr",
            "a cli_binary_format that does not exist is named; AWS CLI says 'hex' and no more",
        ),
        (
            "emoji as yaml",
            "stdout",
            "characters beyond U+FFFF stay as they are; libyaml escapes them, and then quotes",
        ),
        (
            "alarm, missing",
            "exit stdout stderr requests",
            _NEWER + "an alarm may have an evaluation criterion instead of these members",
        ),
    )
}
