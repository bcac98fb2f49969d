"""`help` pages from the service models: what an operation does, its options, its answer."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, Final

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from inservice.cli.aws.globals import GLOBAL_OPTIONS
from inservice.cli.aws.served import served

if TYPE_CHECKING:
    from inservice.cli.aws.option_kinds import Option
    from inservice.cli.aws.options import OptionTable
    from inservice.cli.aws.session import Session

_WIDTH: Final = 79
_AT_AWS_ONLY: Final = (
    "InService does not have this: its server answers NotImplemented. The command is for AWS, or "
    "for whatever else --endpoint-url or --profile name."
)
_DEPTH_MAX: Final = 3
"""How deep a nested structure is spelled out; deeper, the service's reference reads better."""


def show_operation(
    operation: OperationModel, table: OptionTable, session: Session, *, waiter: str | None
) -> int:
    """The page of one operation, or of a waiter that calls it."""
    service = operation.service_model.service_name
    shown = [option for option in table.options.values() if not option.hidden]
    name = f"wait {waiter}" if waiter else _command(operation)
    page = [*_title(name)]
    if operation.name not in served(service):
        page += [*_wrapped(_AT_AWS_ONLY, 3), ""]
    if waiter:
        page += _waiter_text(session.waiter_model(service), waiter)
    else:
        page += _prose(operation.documentation, 3)
    page += ["", "SYNOPSIS", f"     {name}", *(f"   {_usage(option)}" for option in shown)]
    page += ["   [<global options>]", "", "OPTIONS"]
    for option in shown:
        page += _option_text(option)
    page += ["", "GLOBAL OPTIONS"]
    for row in GLOBAL_OPTIONS:
        page += [f"   --{row.name}", *_wrapped(row.help, 6), ""]
    page += ["OUTPUT"]
    output = None if waiter else operation.output_shape
    page += ["   None"] if output is None else list(_members(output, 3, 0))
    return _show(page, session)


def show_service(service: str, operations: Mapping[str, str], session: Session) -> int:
    """The page of a service: what it is, and its commands."""
    page = [*_title(service), *_prose(session.service_model(service).documentation, 3)]
    known = served(service)
    here = [name for name, operation in operations.items() if not operation or operation in known]
    away = sorted(operations.keys() - set(here))
    page += ["", "AVAILABLE COMMANDS", *(f"   o {name}" for name in sorted(here)), "   o help"]
    if away:
        page += ["", "AT AWS ONLY", *_wrapped(_AT_AWS_ONLY, 3), ""]
        page += [f"   o {name}" for name in away]
    return _show(page, session)


def show_waiters(service: str, waiters: Mapping[str, str], session: Session) -> int:
    """The page of a service's `wait`: what can be waited for."""
    page = [
        *_title("wait"),
        "   Poll the service until a condition is met.",
        "",
        "AVAILABLE COMMANDS",
    ]
    for name in sorted(waiters):
        page += [f"   o {name}", *_waiter_text(session.waiter_model(service), name, 7)]
    return _show(page, session)


def _show(page: list[str], session: Session) -> int:
    from inservice.cli.aws.pager import output_stream

    with output_stream(session.pager) as stream:
        stream.write("\n".join(page) + "\n")
    return 0


def _title(name: str) -> list[str]:
    return ["NAME", f"   {name} -", "", "DESCRIPTION"]


def _command(operation: OperationModel) -> str:
    from botocore import xform_name

    return str(xform_name(operation.name, "-"))


def _usage(option: Option) -> str:
    written = f"--{option.name}" if not getattr(option, "positional", False) else ""
    value = "" if option.shape is not None and option.shape.type_name == "boolean" else " <value>"
    text = f"{written}{value}".strip() if written else f"<{option.name}>"
    return text if option.required else f"[{text}]"


def _option_text(option: Option) -> Iterator[str]:
    kind = "string" if option.shape is None else option.shape.type_name
    mark = ", required" if option.required else ""
    dashes = "" if getattr(option, "positional", False) else "--"
    yield f"   {dashes}{option.name} ({kind}{mark})"
    yield from _prose(option.documentation, 6)
    if option.shape is not None:
        yield from _values(option.shape, 6)
        yield from _members(option.shape, 6, 0)
        yield from _syntax(option.shape)
    yield ""


def _syntax(shape: Shape) -> Iterator[str]:
    """How the option is written, in shorthand, for what shorthand can say."""
    member = shape.member if isinstance(shape, ListShape) else shape
    if not isinstance(member, (StructureShape, MapShape)):
        return
    yield ""
    yield "      Shorthand syntax:"
    yield from (f"         {line}" for line in textwrap.wrap(shorthand_of(member), _WIDTH))


def shorthand_of(shape: Shape, seen: tuple[str, ...] = ()) -> str:
    """An example of the shorthand for a shape, with the types in the places of the values."""
    if shape.name in seen or len(seen) > _DEPTH_MAX:
        return "..."
    inner = (*seen, shape.name)
    if isinstance(shape, StructureShape):
        pairs = (f"{name}={shorthand_of(item, inner)}" for name, item in shape.members.items())
        text = ",".join(pairs)
    elif isinstance(shape, MapShape):
        value = shorthand_of(shape.value, inner)
        text = f"KeyName1={value},KeyName2={value}"
    elif isinstance(shape, ListShape):
        item = shorthand_of(shape.member, inner)
        return f"[{item},{item}]"
    else:
        return str(shape.type_name)
    return f"{{{text}}}" if seen else text


def _values(shape: Shape, indent: int) -> Iterator[str]:
    values = getattr(shape, "enum", None)
    if values:
        yield from _wrapped("One of: " + ", ".join(values), indent)


def _members(shape: Shape, indent: int, depth: int) -> Iterator[str]:
    """The members of a structure, and of what is inside it."""
    if isinstance(shape, ListShape):
        yield from _members(shape.member, indent, depth)
    elif isinstance(shape, MapShape):
        yield from _members(shape.value, indent, depth)
    elif isinstance(shape, StructureShape) and depth < _DEPTH_MAX:
        for name, member in shape.members.items():
            mark = ", required" if name in shape.required_members else ""
            yield f"{' ' * indent}{name} -> ({member.type_name}{mark})"
            yield from _prose(member.documentation, indent + 3)
            yield from _values(member, indent + 3)
            yield from _members(member, indent + 3, depth + 1)


def _waiter_text(waiters: Any, name: str, indent: int = 3) -> list[str]:
    from botocore import xform_name

    known = {xform_name(each, "-"): each for each in waiters.waiter_names}
    waiter = waiters.get_waiter(known[name])
    awaited = next(a for a in waiter.acceptors if a.state == "success")
    condition = (
        f"JMESPath query {awaited.argument} returns {awaited.expected}"
        if awaited.matcher.startswith("path")
        else f"{awaited.expected} is answered"
    )
    return _wrapped(
        f"Wait until {condition} when polling with {xform_name(waiter.operation, '-')}. It "
        f"will poll every {waiter.delay} seconds until a successful state has been reached. This "
        f"will exit with a return code of 255 after {waiter.max_attempts} failed checks.",
        indent,
    )


class _Prose(HTMLParser):
    """Documentation's HTML as paragraphs of plain text."""

    def __init__(self) -> None:
        super().__init__()
        self.paragraphs: list[str] = [""]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag in ("p", "note", "important", "ul", "ol", "dl", "dt", "dd", "h3"):
            self.paragraphs.append("")
        elif tag == "li":
            self.paragraphs.append("o ")
        elif tag == "code":
            self.paragraphs[-1] += "``"

    def handle_endtag(self, tag: str) -> None:
        if tag == "code":
            self.paragraphs[-1] += "``"
        elif tag in ("p", "li"):
            self.paragraphs.append("")

    def handle_data(self, data: str) -> None:
        # A paragraph inside a list item belongs on the item's line.
        if self.paragraphs[-1] == "" and len(self.paragraphs) > 1 and self.paragraphs[-2] == "o ":
            self.paragraphs.pop()
        self.paragraphs[-1] += data


def _prose(html: str, indent: int) -> list[str]:
    reader = _Prose()
    reader.feed(html or "")
    texts = (re.sub(r"\s+", " ", text).strip() for text in reader.paragraphs)
    lines: list[str] = []
    for text in texts:
        if text and text != "o":
            lines += [*([""] if lines else []), *_wrapped(text, indent)]
    return lines


def _wrapped(text: str, indent: int) -> list[str]:
    space = " " * indent
    return textwrap.wrap(text, _WIDTH, initial_indent=space, subsequent_indent=space)
