"""One AWS command line, from its words to its exit code.

take      --data-dir, which is InService's own
prompt    for the rest of the line, when asked to
read      the global options and the service
choose    the operation, `wait`, or help
run       it (operation)
explain   what went wrong (failures)
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from inservice.cli.aws.commands import TAIL, operation_named, operations_of, waiters_of
from inservice.cli.aws.failures import (
    NOBODY_ANSWERS,
    PARAMETERS_RC,
    PROGRAM,
    Refused,
    UnknownCommand,
    explain,
)
from inservice.cli.aws.globals import Globals, first_positional, parse_globals, take_data_dir
from inservice.cli.aws.operation import run_operation
from inservice.cli.aws.parsing import choose, choose_optional
from inservice.cli.aws.session import Session
from inservice.cli.main import COMMANDS, SERVICES, overview
from inservice.cli.target import chosen_elsewhere

_HELP = ("help", "--help")


def run(words: list[str]) -> int:
    """Answer one command line and return the exit code."""
    try:
        return _prompt_or_answer(words)
    except SystemExit as left:
        return int(left.code or 0)  # argparse leaves after printing the version
    except BrokenPipeError:
        raise
    except BaseException as error:
        if "--debug" in words:
            import logging

            logging.getLogger("inservice.cli").debug("The command failed", exc_info=True)
        code = explain(error, sys.stdout, sys.stderr)
        if _was_ours_to_answer(error, words):
            sys.stderr.write(f"{NOBODY_ANSWERS}\n")
        return code


def _was_ours_to_answer(error: BaseException, words: list[str]) -> bool:
    """Whether nobody listens where the files of an InService said that it does."""
    from botocore.exceptions import EndpointConnectionError

    given = {word.partition("=")[0] for word in words}
    elsewhere = bool(given & {"--endpoint-url", "--profile"}) or (
        "--data-dir" not in given and chosen_elsewhere(os.environ, endpoint_url=None, profile=None)
    )
    return isinstance(error, EndpointConnectionError) and not elsewhere


def _prompt_or_answer(words: list[str]) -> int:
    wanted = _prompt_mode(words)
    if wanted == "on":
        return _prompt(words)
    if wanted == "on-partial":
        from inservice.cli.aws.failures import exit_code_of

        try:
            return _answer(words)
        except Exception as error:
            if exit_code_of(error) != PARAMETERS_RC:
                raise
            return _prompt(words)
    return _answer(words)


def _prompt_mode(words: list[str]) -> str:
    """`on`, `on-partial` or `off`. Options decide, then the environment, then the profile."""
    on, off = "--cli-auto-prompt" in words, "--no-cli-auto-prompt" in words
    if on and off:
        raise Refused(
            "Both --cli-auto-prompt and --no-cli-auto-prompt cannot be specified at the same time."
        )
    if off or "help" in words or "--version" in words:
        return "off"
    if on:
        return "on"
    if "AWS_CLI_AUTO_PROMPT" in os.environ:
        return os.environ["AWS_CLI_AUTO_PROMPT"].lower()
    return _prompt_mode_of_profile(words)


def _prompt_mode_of_profile(words: list[str]) -> str:
    # Looked for in the text first: reading it properly needs a session, and almost nobody has it.
    path = os.path.expanduser(os.environ.get("AWS_CONFIG_FILE", "~/.aws/config"))  # noqa: PTH111
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            if "cli_auto_prompt" not in file.read():
                return "off"
    except (OSError, UnicodeDecodeError):
        return "off"
    named = [words[at + 1] for at, word in enumerate(words[:-1]) if word == "--profile"]
    options, _, _ = parse_globals(_profile(named), None, None)
    return Session(options).auto_prompt()


def _profile(named: list[str]) -> list[str]:
    return ["--profile", named[-1]] if named else []


def _prompt(words: list[str]) -> int:
    from inservice.cli.aws.prompt import ask

    return _answer(ask([word for word in words if word != "--cli-auto-prompt"]))


def _answer(given: list[str]) -> int:
    data_dir, words = take_data_dir(given)
    at = first_positional(words)
    if at is not None and words[at] in COMMANDS:
        # One of InService's own commands, behind options that it reads itself.
        data_words = [] if data_dir is None else ["--data-dir", data_dir]
        own_words = [*words[at + 1 :], *words[:at], *data_words]
        return int(import_module(COMMANDS[words[at]].module).run(own_words))
    if at is not None and words[at] not in SERVICES and words[at] != "help":
        raise UnknownCommand(words[at], [*COMMANDS, *SERVICES])
    options, command, rest = parse_globals(words, [*SERVICES, *COMMANDS, "help"], data_dir)
    if command == "help":
        return overview()
    if command == "logs" and rest and _names_an_endpoint(rest, Session(options)):
        # `inservice logs my-endpoint`: the one place where a service and a word of ours meet.
        at = given.index("logs")
        own_words = ["logs", *given[:at], *given[at + 1 :]]
        return int(import_module("inservice.cli.endpoint").run(own_words))
    return _answer_service(command, rest, options)


def _answer_service(service: str, words: list[str], options: Globals) -> int:
    session = Session(options)
    if words[:1] and words[0] in _HELP:
        from inservice.cli.aws.help import show_service

        return show_service(service, operations_of(service, session), session)
    if words[:1] and (operation := operation_named(words[0], service, session)):
        return run_operation(operation, words[1:], session, options)
    operations = operations_of(service, session)
    name, rest = choose("operation", words, [*operations, "help"])
    if name == "help":
        from inservice.cli.aws.help import show_service

        return show_service(service, operations, session)
    if (service, name) == TAIL:
        from inservice.cli.aws.logs_tail import run_tail

        return run_tail(rest, session, options)
    if name == "wait":
        return _answer_wait(service, rest, session, options)
    model = session.service_model(service).operation_model(operations[name])
    return run_operation(model, rest, session, options)


def _names_an_endpoint(words: list[str], session: Session) -> bool:
    """Whether the words after `logs` name no operation of CloudWatch Logs, nor the beginning of
    one. The endpoint may stand behind options: `logs -f digits`."""
    operations = [*operations_of("logs", session), *_HELP]
    plain = [word for word in words if not word.startswith("-")]
    return (
        bool(plain)
        and not any(word in operations for word in words)
        and not any(name.startswith(plain[0]) for name in operations)
    )


def _answer_wait(service: str, words: list[str], session: Session, options: Globals) -> int:
    waiters = waiters_of(service, session)
    if words and words[0] in _HELP:
        from inservice.cli.aws.help import show_waiters

        return show_waiters(service, waiters, session)
    name, rest = choose_optional("subcommand", words, waiters)
    if name is None:
        raise Refused(
            f"usage: {PROGRAM} [options] {service} wait <subcommand> [parameters]\n"
            f"{PROGRAM}: error: too few arguments"
        )
    waiter = session.waiter_model(service).get_waiter(waiters[name])
    model = session.service_model(service).operation_model(waiter.operation)
    return run_operation(model, rest, session, options, waiter=name)
