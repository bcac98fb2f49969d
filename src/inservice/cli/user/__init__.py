"""`inservice user <verb>`: who else may use this server, with which keys and policies."""

from __future__ import annotations

from typing import Final

from inservice.cli.verbs import EXIT_CODES_TOLD, Verb, answer

VERBS: Final[dict[str, Verb]] = {
    "create": Verb("inservice.cli.user.create", "Make a user, and print an access key for them."),
    "list": Verb("inservice.cli.user.listing", "What users there are."),
    "show": Verb("inservice.cli.user.show", "One user: groups, policies, access keys."),
    "attach": Verb("inservice.cli.user.attach", "Attach policies: allow what they say."),
    "detach": Verb("inservice.cli.user.detach", "Detach policies."),
    "key": Verb("inservice.cli.user.key", "Make, list, switch off and delete access keys."),
    "delete": Verb("inservice.cli.user.delete", "Delete a user and what hangs on them."),
}
"""The verbs, in the order that help lists them."""


def run(argv: list[str]) -> int:
    """Answer `inservice user …`."""
    return answer("user", VERBS, argv, EXIT_CODES_TOLD)
