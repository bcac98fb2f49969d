"""`inservice image <verb>`: what this host can run, and images of one's own."""

from __future__ import annotations

from typing import Final

from inservice.cli.verbs import Verb, answer

EXIT_CODES_TOLD: Final = (
    "Exit codes: 0 done, 1 refused or not reachable, 2 wrong usage, 5 the build failed, "
    "130 interrupted: what is being built is built all the same."
)

VERBS: Final[dict[str, Verb]] = {
    "list": Verb("inservice.cli.image.listing", "What this host can run, and what is built."),
    "show": Verb("inservice.cli.image.show", "What an image is found to be, and why."),
    "add": Verb("inservice.cli.image.add", "Add one of your own: a list of packages, a name."),
    "build": Verb("inservice.cli.image.build", "Build its environment now, not when it is needed."),
    "remove": Verb("inservice.cli.image.remove", "Forget one of your own, or what is built."),
    "prune": Verb("inservice.cli.image.prune", "Remove what is built and not in use."),
    "login": Verb("inservice.cli.image.login", "Keep who pulls container images from where."),
    "logout": Verb("inservice.cli.image.logout", "Forget that."),
}
"""The verbs, in the order that help lists them."""


def run(argv: list[str]) -> int:
    """Answer `inservice image …`."""
    return answer("image", VERBS, argv, EXIT_CODES_TOLD)
