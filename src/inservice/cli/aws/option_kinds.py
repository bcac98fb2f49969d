"""What an option of an operation is, and the kinds of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.model import Shape

from inservice.cli.aws.parsing import Parser
from inservice.cli.aws.values import parse_value


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
