"""`inservice account <verb>`: accounts beside the server's own, each with its own resources."""

from __future__ import annotations

from typing import Final

from inservice.cli.verbs import EXIT_CODES_TOLD, Verb, answer

VERBS: Final[dict[str, Verb]] = {
    "create": Verb("inservice.cli.account.create", "Make an account, and its root's access key."),
    "list": Verb("inservice.cli.account.listing", "What accounts there are, by id."),
    "delete": Verb("inservice.cli.account.delete", "Close an account in which nothing is left."),
}
"""The verbs, in the order that help lists them."""


def run(argv: list[str]) -> int:
    """Answer `inservice account …`."""
    return answer("account", VERBS, argv, EXIT_CODES_TOLD)
