"""`inservice endpoint <verb>`: endpoints as a person handles them, over AWS's own operations.

Exit codes: 0 done · 1 refused or not reachable · 2 wrong usage · 3 rolled back · 4 out of time,
still going on · 5 the endpoint Failed · 6 the rollback failed · 130 interrupted; what was begun on
the server goes on.
"""

from __future__ import annotations

from typing import Final

from inservice.cli.verbs import Verb, answer

EXIT_CODES_TOLD: Final = (
    "Exit codes: 0 done, 1 refused or not reachable, 2 wrong usage, 3 rolled back, 4 out of time "
    "and still going on, 5 the endpoint Failed, 6 the rollback failed, 130 interrupted (what was "
    "begun goes on)."
)
"""For the help of every verb that can wait."""


VERBS: Final[dict[str, Verb]] = {
    "list": Verb("inservice.cli.endpoint.listing", "What endpoints there are."),
    "show": Verb("inservice.cli.endpoint.show", "One endpoint, and what it is doing now."),
    "create": Verb("inservice.cli.endpoint.create", "Create an endpoint for a model or a config."),
    "update": Verb("inservice.cli.endpoint.update", "Move it to another model or config."),
    "plan": Verb("inservice.cli.endpoint.plan", "What an update will do, before it does it."),
    "watch": Verb("inservice.cli.endpoint.watch", "Its deployment, live."),
    "wait": Verb("inservice.cli.endpoint.wait", "Until its deployment is over."),
    "pause": Verb("inservice.cli.endpoint.pause", "Stay on the present step."),
    "resume": Verb("inservice.cli.endpoint.resume", "Go on after a pause."),
    "promote": Verb("inservice.cli.endpoint.promote", "Skip the rest of the present bake."),
    "abort": Verb("inservice.cli.endpoint.abort", "Roll the deployment back now."),
    "undo": Verb("inservice.cli.endpoint.undo", "Back to the config that it had before."),
    "history": Verb("inservice.cli.endpoint.history", "What its deployments did, and when."),
    "report": Verb("inservice.cli.endpoint.report", "Who answered what during a deployment."),
    "delete": Verb("inservice.cli.endpoint.delete", "Delete it."),
    "invoke": Verb("inservice.cli.endpoint.invoke", "Send it a request and print the answer."),
    "logs": Verb("inservice.cli.endpoint.logs", "What its instances print."),
}
"""The verbs, in the order that help lists them."""


def run(argv: list[str]) -> int:
    """Answer `inservice endpoint …`."""
    return answer("endpoint", VERBS, argv, EXIT_CODES_TOLD)
