"""What may come next on a command line: for the shells' completion and for the prompt.

Commands and options come from the same tables that read the line; names of endpoints, endpoint
configs, models, images, users and policies come from the server, when one answers within a second.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import pairwise
from typing import Any, Final

from inservice.cli.aws.globals import GLOBAL_OPTIONS, first_positional, parse_globals, take_data_dir
from inservice.cli.main import COMMANDS, SERVICES

_PATIENCE_SECONDS: Final = 1

_SHELLS: Final = ("bash", "zsh", "fish")

_NAMED: Final[dict[str, tuple[str, str, str, str]]] = {
    # option or argument: (service, operation, list in its answer, member)
    "endpoint-name": ("sagemaker", "list_endpoints", "Endpoints", "EndpointName"),
    "endpoint-config-name": (
        *("sagemaker", "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
    ),
    "model-name": ("sagemaker", "list_models", "Models", "ModelName"),
    "config": ("sagemaker", "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
    "model": ("sagemaker", "list_models", "Models", "ModelName"),
    "user-name": ("iam", "list_users", "Users", "UserName"),
    "group-name": ("iam", "list_groups", "Groups", "GroupName"),
    "role-name": ("iam", "list_roles", "Roles", "RoleName"),
    "policy-arn": ("iam", "list_policies", "Policies", "Arn"),
    "group": ("iam", "list_groups", "Groups", "GroupName"),
    "policy": ("iam", "list_policies", "Policies", "PolicyName"),
    "image": ("inservice", "list_images", "Images", "Image"),
}

_PAGE: Final = {"iam": "MaxItems", "sagemaker": "MaxResults"}
"""What their lists call the length of a page."""

_NOUNS: Final = {
    "endpoint": "endpoint-name",
    "config": "endpoint-config-name",
    "model": "model-name",
    "user": "user-name",
    "policy": "policy",
    "image": "image",
}
"""Nouns of ours, and what stands after one of their verbs."""

_NAMELESS: Final = ("list", "create", "lint", "add", "prune")
"""Verbs after which nothing stands that is there."""

_AFTER: Final = {("policy", "test"): "user-name"}
"""Where something else stands there."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A word that may come next, and what it is."""

    word: str
    summary: str = ""


def candidates(words: Sequence[str], current: str) -> list[Candidate]:
    """The words that may stand after `words` and begin with `current`.

    Empty where a file name or free text belongs: the shell completes those itself.
    """
    try:
        offered = list(_offered(list(words), current))
    except Exception:  # noqa: BLE001  (a completion that fails offers nothing; it never prints)
        return []
    return [candidate for candidate in offered if candidate.word.startswith(current)]


def _offered(words: list[str], current: str) -> Iterable[Candidate]:
    _, words = take_data_dir(words)
    at = first_positional(words)
    command, rest = ("", []) if at is None else (words[at], words[at + 1 :])
    if command in COMMANDS:
        return _of_own(command, rest, words, current)
    if words and (choices := _global_choices(words[-1])):
        return [Candidate(choice) for choice in choices]
    if command in SERVICES:
        return _of_service(command, rest, words, current)
    if current.startswith("-"):
        return _global_options()
    own = [Candidate(name, command.summary) for name, command in COMMANDS.items()]
    return own + [Candidate(name, summary) for name, summary in SERVICES.items()]


def _global_options() -> list[Candidate]:
    return [Candidate(f"--{option.name}", option.help) for option in GLOBAL_OPTIONS]


def _global_choices(option: str) -> list[str]:
    for row in GLOBAL_OPTIONS:
        if option == f"--{row.name}":
            return list(row.argparse.get("choices", ()))
    return []


def _of_service(
    service: str, rest: list[str], words: list[str], current: str
) -> Iterable[Candidate]:
    from inservice.cli.aws.commands import operations_of, waiters_of
    from inservice.cli.aws.options import options_of
    from inservice.cli.aws.session import Session

    session = Session(_quiet_globals(words))
    operations = operations_of(service, session)
    named = next((word for word in rest if word in operations), None)
    if named is None and service == "logs" and rest:
        return _of_own("endpoint", ["logs", *rest], words, current)  # `logs ENDPOINT` is ours
    if named is None:
        offered = [Candidate(name) for name in [*operations, "help"]]
        return offered + (_endpoints(words) if service == "logs" else [])
    model = session.service_model(service)
    operation = operations[named]
    if named == "wait":
        waiters = waiters_of(service, session)
        waiter = next((word for word in rest if word in waiters), None)
        if waiter is None:
            return [Candidate(name) for name in waiters]
        operation = session.waiter_model(service).get_waiter(waiters[waiter]).operation
    if not operation:
        return []
    table = options_of(model.operation_model(operation), session).options
    option = table.get(words[-1].removeprefix("--"))
    if option is not None and words[-1].startswith("--"):
        values = list(getattr(option.shape, "enum", None) or ())
        values = values or list(getattr(option, "argparse", {}).get("choices", ()))
        kind = "" if option.shape is None else option.shape.type_name
        if values or kind != "boolean":
            return [Candidate(v) for v in values] or _names(option.name, words)
    offered = [Candidate(f"--{o.name}") for o in table.values() if not o.hidden]
    fresh = [candidate for candidate in offered if candidate.word not in rest]
    return fresh + (_global_options() if current.startswith("--") else [])


def _of_own(command: str, rest: list[str], words: list[str], current: str) -> Iterable[Candidate]:
    if command == "completion":
        return [] if rest else [Candidate(shell) for shell in _SHELLS]
    verbs = getattr(import_module(COMMANDS[command].module), "VERBS", {})
    if not verbs:
        return []
    if not rest:
        return [Candidate(verb, row.summary) for verb, row in verbs.items()]
    if words[-1].startswith("--"):
        row = verbs.get(rest[0])
        found = _choices_in(import_module(row.module).parser, words[-1]) if row else []
        found = found or _names(words[-1].removeprefix("--"), words)
        if found:
            return found
    if current.startswith("-"):
        row = verbs.get(rest[0])
        return [] if row is None else _options_in(import_module(row.module).parser)
    if command not in _NOUNS or rest[0] in _NAMELESS:
        return []
    row = verbs.get(rest[0])
    whats = _first_choices(import_module(row.module).parser) if row else []
    if len(rest) == 1 + bool(whats):
        return _names(_AFTER.get((command, rest[0]), _NOUNS[command]), words)
    return [Candidate(what) for what in whats] if len(rest) == 1 else []


def _first_choices(make_parser: Callable[[str], Any]) -> list[str]:
    """What a verb wants first where that is one of a few words: `user key create`."""
    found = re.search(r"\]\s+\{([a-z,]+)\}", make_parser("").format_usage())
    return found[1].split(",") if found else []


def _options_in(make_parser: Callable[[str], Any]) -> list[Candidate]:
    text = make_parser("").format_help()
    return [Candidate(word) for word in dict.fromkeys(re.findall(r"--[a-z][a-z-]*", text))]


def _choices_in(make_parser: Callable[[str], Any], option: str) -> list[Candidate]:
    """The values that an option is limited to: `--strategy {canary,linear}` in the usage."""
    found = re.search(rf"{re.escape(option)}\s+\{{(.*?)\}}", make_parser("").format_help())
    return [Candidate(choice) for choice in found[1].split(",")] if found else []


def _names(option: str, words: list[str]) -> list[Candidate]:
    """The names that exist on the server for such an option; none when it does not answer."""
    if option not in _NAMED:
        return []
    from inservice.cli.aws.session import Session

    service, operation, listed, member = _NAMED[option]
    client: Any = Session(_quiet_globals(words)).client(service, "completion")
    page = {_PAGE[service]: 100} if service in _PAGE else {}
    answer = getattr(client, operation)(**page)
    return [Candidate(item[member]) for item in answer[listed]]


def _endpoints(words: list[str]) -> list[Candidate]:
    """Endpoints beside other words, which are offered whether a server answers or not."""
    try:
        return _names("endpoint-name", words)
    except Exception:  # noqa: BLE001 - as in `candidates`
        return []


def _quiet_globals(words: list[str]) -> Any:
    """The global options on the line so far, with short timeouts and no log."""
    known = {f"--{row.name}" for row in GLOBAL_OPTIONS if "action" not in row.argparse}
    data_dir, words = take_data_dir(words)
    chosen = [
        piece for option, value in pairwise(words) if option in known for piece in (option, value)
    ]
    options, _, _ = parse_globals(chosen, None, data_dir)
    return replace(
        options,
        read_timeout_seconds=_PATIENCE_SECONDS,
        connect_timeout_seconds=_PATIENCE_SECONDS,
    )
