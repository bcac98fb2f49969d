"""One operation: from the words after its name to the answer on stdout.

    options   what may be said           (options)
    parse     what was said              (parsing)
    bind      what it means              (values; then --cli-input-json or -yaml fills the gaps)
    skeleton  print one and stop, or     (skeleton)
    call      ask, page by page          (session)
    write     show the answer            (output, pager)

A waiter is an operation that is called until its answer is the awaited one, and shows nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any, Final

from botocore import xform_name
from botocore.model import OperationModel

from inservice.cli.aws.failures import BadParameter, Refused, UnknownOptions
from inservice.cli.aws.globals import Globals
from inservice.cli.aws.options import (
    CLI_INPUT_JSON,
    CLI_INPUT_YAML,
    OUTFILE,
    SKELETON,
    OptionTable,
    options_of,
)
from inservice.cli.aws.parsing import Parser
from inservice.cli.aws.session import Session
from inservice.cli.aws.values import decode_blobs, load_option

_CHUNK_BYTES: Final = 32 * 1024
"""How much of a streamed answer is held at once on its way to the file."""


def run_operation(
    operation: OperationModel,
    words: list[str],
    session: Session,
    options: Globals,
    *,
    waiter: str | None = None,
) -> int:
    """Answer one operation's command line and return the exit code."""
    service = operation.service_model.service_name
    table = options_of(operation, session)
    if words in (["help"], ["--help"]):
        from inservice.cli.aws.help import show_operation

        return show_operation(operation, table, session, waiter=waiter)
    given = _parse(table, words)
    paginate = options.paginate and not _pages_by_hand(table, given)
    if not paginate:
        _refuse_paging_options(table, given)
    parameters = _bind(table, given, paginate=paginate)
    if table.paging is not None and set(parameters) & set(table.paging.members):
        paginate = False
    if skeleton := given.get(SKELETON.dest):
        from inservice.cli.aws.skeleton import write_skeleton

        write_skeleton(skeleton, operation, parameters, session, options)
        return 0
    if session.binary_format == "base64":
        parameters = decode_blobs(parameters, operation.input_shape)
    command = xform_name(operation.name, "-")
    client = session.client(service, f"{service}.{waiter or command}", operation=operation.name)
    if waiter is not None:
        client.get_waiter(waiter.replace("-", "_")).wait(**parameters)
        return 0
    method = xform_name(operation.name)
    if paginate and client.can_paginate(method):
        answer: Any = client.get_paginator(method).paginate(**parameters)
    else:
        answer = getattr(client, method)(**parameters)
    if OUTFILE.name in table.options:
        _save_stream(operation, answer, given[OUTFILE.dest])
    from inservice.cli.aws.output import show_answer

    show_answer(session, operation.name, answer, query=options.query, color=options.color)
    return 0


def _parse(table: OptionTable, words: list[str]) -> dict[str, Any]:
    """The values that were given, by attribute name."""
    parser = Parser()
    everything_optional = _fills_in(table, words)
    for option in table.options.values():
        option.declare(parser, required=option.required and not everything_optional)
    parser.add_argument("help", nargs="?")
    parsed, rest = parser.parse_known_args(words)
    if parsed.help:
        rest.append(parsed.help)
    if rest:
        raise UnknownOptions(f"Unknown options: {', '.join(rest)}")
    del parsed.help
    return _given(parsed)


def _given(parsed: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(parsed).items() if value is not None}


def _fills_in(table: OptionTable, words: list[str]) -> bool:
    """Whether a document or a skeleton takes the place of required options."""
    documents = (CLI_INPUT_JSON.name, CLI_INPUT_YAML.name)
    if any(f"--{name}" in words for name in documents if name in table.options):
        return True
    skeleton = f"--{SKELETON.name}"
    # `output` checks the options, so it needs them.
    return skeleton in words and words[words.index(skeleton) + 1 :][:1] != ["output"]


def _pages_by_hand(table: OptionTable, given: Mapping[str, Any]) -> bool:
    if table.paging is None:
        return False
    names = {xform_name(member) for member in table.paging.members}
    return bool(names & set(given) - {"max_items", "start_token"})


def _refuse_paging_options(table: OptionTable, given: Mapping[str, Any]) -> None:
    shadowed = {option.dest for option in table.shadowed.values()}
    used = [
        f"--{dest.replace('_', '-')}"
        for dest in ("starting_token", "page_size", "max_items")
        if given.get(dest) and dest not in shadowed
    ]
    if used and table.paging is not None:
        raise Refused(
            "Cannot specify --no-paginate along with pagination arguments: " + ", ".join(used)
        )


def _bind(table: OptionTable, given: Mapping[str, Any], *, paginate: bool) -> dict[str, Any]:
    """The parameters of the call: what the options say, and what a document adds to them."""
    if "metric_data" in given:
        from inservice.cli.aws.metric_options import check_one_form

        check_one_form(given)
    parameters: dict[str, Any] = {}
    seen: set[str] = set()
    for option in (table.options if paginate else table.unpaged()).values():
        # `--flag` and `--no-flag` share a value; the first of the pair applies it.
        if option.dest in given and option.dest not in seen:
            seen.add(option.dest)
            option.apply(parameters, load_option(given[option.dest], f"--{option.name}"))
    for source in (CLI_INPUT_JSON, CLI_INPUT_YAML):
        if source.dest in given:
            if CLI_INPUT_JSON.dest in given and CLI_INPUT_YAML.dest in given:
                raise Refused("Only one --cli-input- parameter may be specified.")
            parameters = _document(source.name, given[source.dest]) | parameters
    return parameters


def _document(option: str, written: str) -> dict[str, Any]:
    """The parameters in a `--cli-input-json` or `--cli-input-yaml` document."""
    text = load_option(written, f"--{option}")
    document = (
        _load_json(option, text) if option == CLI_INPUT_JSON.name else _load_yaml(option, text)
    )
    if not isinstance(document, dict):
        raise BadParameter(f"--{option}", f"Invalid type: expecting map, received {type(document)}")
    return document


def _load_json(option: str, text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadParameter(option, "Invalid JSON received.") from error


def _load_yaml(option: str, text: str | bytes) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise BadParameter(option, "Invalid YAML received.") from error


def _save_stream(operation: OperationModel, answer: dict[str, Any], path: str) -> None:
    assert operation.output_shape is not None
    body = answer.pop(operation.output_shape.serialization["payload"])
    with open(path, "wb") as file:  # noqa: PTH123 - the Path of no name is a directory
        while chunk := body.read(_CHUNK_BYTES):
            file.write(chunk)
