"""The options of one operation, grown from its input shape.

A member of the input is an option: `EndpointName` is `--endpoint-name`. A boolean is a pair,
`--flag` and `--no-flag`; a list takes any number of words. Beside the members there are the options
that every operation has (`--cli-input-json`, `--generate-cli-skeleton`), those of an operation that
pages, the file that a streamed answer goes to, and AWS CLI's few inventions of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from botocore import xform_name
from botocore.exceptions import DataNotFoundError
from botocore.model import OperationModel, Shape

from inservice.cli.aws.parsing import Parser
from inservice.cli.aws.session import Session
from inservice.cli.aws.values import parse_value

SKELETONS: Final = ("input", "output", "yaml-input")

_RENAMED: Final = {
    # `--version` is a global option; AWS CLI renamed these when the operations came.
    ("sagemaker", "delete-image-version", "version"): "version-number",
    ("sagemaker", "describe-image-version", "version"): "version-number",
    ("sagemaker", "list-aliases", "version"): "version-number",
    ("sagemaker", "update-image-version", "version"): "version-number",
}


class Option(Protocol):
    """One option: how it is declared to the parser, and what its value does to the parameters."""

    @property
    def name(self) -> str:
        """Without the dashes."""

    @property
    def dest(self) -> str:
        """Its attribute in what the parser returns."""

    @property
    def required(self) -> bool:
        """Whether a line without it is wrong."""

    @property
    def hidden(self) -> bool:
        """Whether help leaves it out."""

    @property
    def documentation(self) -> str:
        """HTML, as the service models have it."""

    @property
    def shape(self) -> Shape | None:
        """The shape of the member behind it, if there is one."""

    def declare(self, parser: Parser, *, required: bool) -> None:
        """Add it to the parser."""

    def apply(self, parameters: dict[str, Any], value: Any) -> None:
        """Put a value from the command line into the parameters."""


@dataclass(frozen=True, slots=True)
class MemberOption:
    """`--endpoint-name NAME`: a member of the operation's input."""

    name: str
    member: str
    shape: Shape
    required: bool
    hidden: bool = False

    @property
    def dest(self) -> str:
        return self.name.replace("-", "_")

    @property
    def documentation(self) -> str:
        return str(self.shape.documentation)

    def declare(self, parser: Parser, *, required: bool) -> None:
        kind = self.shape.type_name
        extra: dict[str, Any] = {"nargs": "*"} if kind == "list" else {}
        if kind == "long":
            extra["type"] = int
        elif kind in ("float", "double"):
            extra["type"] = float
        parser.add_argument(f"--{self.name}", required=required, **extra)

    def apply(self, parameters: dict[str, Any], value: Any) -> None:
        parameters[self.member] = parse_value(value, self.shape, f"--{self.name}")


@dataclass(frozen=True, slots=True)
class FlagOption:
    """`--flag`, and `--no-flag` when `value` is False; both set the same member."""

    name: str
    dest: str
    member: str
    shape: Shape
    value: bool
    required: bool
    hidden: bool = False

    @property
    def documentation(self) -> str:
        return str(self.shape.documentation)

    def declare(self, parser: Parser, *, required: bool) -> None:
        del required  # Whether one of the pair was given is left to the model's validation.
        parser.add_argument(
            f"--{self.name}",
            dest=self.dest,
            default=None,
            action="store_true" if self.value else "store_false",
        )

    def apply(self, parameters: dict[str, Any], value: Any) -> None:
        parameters[self.member] = value


@dataclass(frozen=True, slots=True)
class PlainOption:
    """An option that is no member of the input: `control` options act elsewhere."""

    name: str
    documentation: str
    argparse: Mapping[str, Any]
    required: bool = False
    hidden: bool = False
    paging_key: str | None = None
    """The key of botocore's PaginationConfig that it sets."""
    positional: bool = False
    shape: Shape | None = None

    @property
    def dest(self) -> str:
        return self.name.replace("-", "_")

    def declare(self, parser: Parser, *, required: bool) -> None:
        if self.positional:
            parser.add_argument(self.name, **self.argparse)
        else:
            parser.add_argument(f"--{self.name}", required=required, **self.argparse)

    def apply(self, parameters: dict[str, Any], value: Any) -> None:
        if self.paging_key is not None:
            parameters.setdefault("PaginationConfig", {})[self.paging_key] = value


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
        from inservice.cli.aws.metric_options import add_metric_options

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
