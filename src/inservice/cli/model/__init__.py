"""`inservice model <verb>`: models as a person handles them, and artifacts before there is one."""

from __future__ import annotations

from typing import Final

from inservice.cli.verbs import EXIT_CODES_TOLD, Verb, answer

VERBS: Final[dict[str, Verb]] = {
    "list": Verb("inservice.cli.model.listing", "What models there are."),
    "show": Verb("inservice.cli.model.show", "One model: its image, its artifact, its variables."),
    "create": Verb("inservice.cli.model.create", "Create a model from an artifact."),
    "delete": Verb("inservice.cli.model.delete", "Delete it."),
    "init": Verb("inservice.cli.model.init", "Write a folder to begin a model in."),
    "run": Verb("inservice.cli.model.foreground", "Serve a folder here and now, without a server."),
    "lint": Verb("inservice.cli.model.lint", "Say whether an artifact would work, and why."),
}
"""The verbs, in the order that help lists them."""


def run(argv: list[str]) -> int:
    """Answer `inservice model …`."""
    return answer("model", VERBS, argv, EXIT_CODES_TOLD)
