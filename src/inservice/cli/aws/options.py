"""The options of one operation, grown from its input shape.

A member of the input is an option: `EndpointName` is `--endpoint-name`. A boolean is a pair,
`--flag` and `--no-flag`; a list takes any number of words. Beside the members there are the options
that every operation has (`--cli-input-json`, `--generate-cli-skeleton`), those of an operation that
pages, the file that a streamed answer goes to, and AWS CLI's few inventions of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from botocore import xform_name
from botocore.exceptions import DataNotFoundError
from botocore.model import OperationModel

from inservice.cli.aws.metric_options import add_metric_options
from inservice.cli.aws.option_kinds import FlagOption, MemberOption, Option, PlainOption
from inservice.cli.aws.session import Session

SKELETONS: Final = ("input", "output", "yaml-input")

_RENAMED: Final = {
    # `--version` is a global option; AWS CLI renamed these when the operations came.
    ("sagemaker", "delete-image-version", "version"): "version-number",
    ("sagemaker", "describe-image-version", "version"): "version-number",
    ("sagemaker", "list-aliases", "version"): "version-number",
    ("sagemaker", "update-image-version", "version"): "version-number",
}


CLI_INPUT_JSON: Final = PlainOption(
    "cli-input-json",
    "<p>Read the parameters from a JSON document, as --generate-cli-skeleton writes it, or from "
    "file://path. Options on the command line win over it. Not together with "
    "--cli-input-yaml.</p>",
    {},
)
CLI_INPUT_YAML: Final = PlainOption(
    "cli-input-yaml",
    "<p>Read the parameters from a YAML document, as --generate-cli-skeleton yaml-input writes it, "
    "or from file://path. Options on the command line win over it. Not together with "
    "--cli-input-json.</p>",
    {},
)
SKELETON: Final = PlainOption(
    "generate-cli-skeleton",
    "<p>Print a skeleton and send nothing. input (also when no value is given) and yaml-input: all "
    "parameters, to fill in and pass to --cli-input-json or --cli-input-yaml. output: check the "
    "given options and print a sample answer.</p>",
    {"nargs": "?", "const": "input", "choices": list(SKELETONS)},
)
OUTFILE: Final = PlainOption(
    "outfile",
    "<p>The file that the content goes to.</p>",
    {"metavar": "outfile"},
    required=True,
    positional=True,
)


@dataclass(frozen=True, slots=True)
class Paging:
    """How an operation pages, as botocore's paginator says."""

    tokens: tuple[str, ...]
    limit: str | None

    @property
    def members(self) -> tuple[str, ...]:
        """The members of the input that page by hand; giving one turns the paginator off."""
        return self.tokens if self.limit is None else (*self.tokens, self.limit)


def paging_of(operation: OperationModel, session: Session) -> Paging | None:
    """How the operation pages, or None when it does not."""
    try:
        model = session.paginator_model(operation.service_model.service_name)
        config = model.get_paginator(operation.name)
    except (DataNotFoundError, ValueError):
        return None
    tokens = config["input_token"]
    return Paging(tuple([tokens] if isinstance(tokens, str) else tokens), config.get("limit_key"))


@dataclass(frozen=True, slots=True)
class OptionTable:
    """All options of an operation, by name, in the order that help shows them."""

    options: dict[str, Option]
    paging: Paging | None = None
    shadowed: dict[str, Option] = field(default_factory=dict)
    """Members that a paging option took the name of (IAM's MaxItems): theirs again when the
    paginator is off."""

    def unpaged(self) -> dict[str, Option]:
        """The options of a call that pages by hand."""
        return {**self.options, **self.shadowed}


def options_of(operation: OperationModel, session: Session) -> OptionTable:
    """All options of an operation."""
    service = operation.service_model.service_name
    table = _members(operation)
    if service == "cloudwatch" and operation.name == "PutMetricData":
        add_metric_options(table)
    if operation.has_streaming_output:
        table[OUTFILE.name] = OUTFILE
        return OptionTable(table)
    for option in (CLI_INPUT_JSON, CLI_INPUT_YAML):
        table[option.name] = option
    paging = paging_of(operation, session)
    shadowed = {} if paging is None else _add_paging(table, operation, paging)
    table[SKELETON.name] = SKELETON
    return OptionTable(table, paging, shadowed)


def _members(operation: OperationModel) -> dict[str, Option]:
    shape = operation.input_shape
    table: dict[str, Option] = {}
    if shape is None:
        return table
    service = operation.service_model.service_name
    command = xform_name(operation.name, "-")
    for member, member_shape in shape.members.items():
        name = xform_name(member, "-")
        name = _RENAMED.get((service, command, name), name)
        required = member in shape.required_members
        required = required and not member_shape.metadata.get("idempotencyToken")
        if member_shape.type_name == "boolean":
            dest = name.replace("-", "_")
            table[name] = FlagOption(name, dest, member, member_shape, True, required)
            negative = f"no-{name}"
            table[negative] = FlagOption(negative, dest, member, member_shape, False, False)
        else:
            table[name] = MemberOption(name, member, member_shape, required)
    return table


_START: Final = "<p>Where to start: the NextToken that a listing cut by --max-items printed.</p>"
_MAX_ITEMS: Final = (
    "<p>How many items to show at most. When there are more, a NextToken is printed; pass it to "
    "--starting-token, and never to the service itself.</p>"
)
_PAGE_SIZE: Final = (
    "<p>How many items to ask for in each call. All items are shown all the same; smaller pages "
    "make more and shorter calls.</p>"
)


def _add_paging(
    table: dict[str, Option], operation: OperationModel, paging: Paging
) -> dict[str, Option]:
    """Add the paginator's options, hide the members they replace, return those they shadow."""
    assert operation.input_shape is not None
    members = operation.input_shape.members
    kind = "integer" if paging.limit is None else members[paging.limit].type_name
    number: dict[str, Any] = {} if kind == "string" else {"type": int}
    for member in paging.members:
        name = xform_name(member, "-")
        table[name] = MemberOption(name, member, members[member], required=False, hidden=True)
    added = [PlainOption("starting-token", _START, {}, paging_key="StartingToken")]
    if paging.limit is not None:
        added.append(PlainOption("page-size", _PAGE_SIZE, number, paging_key="PageSize"))
    added.append(PlainOption("max-items", _MAX_ITEMS, number, paging_key="MaxItems"))
    shadowed = {option.name: table[option.name] for option in added if option.name in table}
    table.update((option.name, option) for option in added)
    return shadowed
