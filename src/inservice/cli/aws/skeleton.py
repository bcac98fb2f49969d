"""`--generate-cli-skeleton`: a document to fill in, or a sample of the answer."""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from botocore import xform_name
from botocore.model import OperationModel, Shape, StructureShape
from botocore.utils import ArgumentGenerator

from inservice.cli.aws.globals import Globals
from inservice.cli.aws.session import Session

if TYPE_CHECKING:
    from ruamel.yaml.comments import CommentedMap


def write_skeleton(
    kind: str,
    operation: OperationModel,
    parameters: dict[str, Any],
    session: Session,
    options: Globals,
) -> None:
    """Write the skeleton of that kind. `output` validates the parameters first."""
    if kind == "output":
        _write_sample_answer(operation, parameters, session, options)
    elif kind == "yaml-input":
        _write_yaml(operation)
    else:
        shape = operation.input_shape
        document = {} if shape is None else _Generator().generate_skeleton(shape)
        json.dump(document, sys.stdout, indent=4, default=datetime.isoformat)
        sys.stdout.write("\n")


def _write_sample_answer(
    operation: OperationModel, parameters: dict[str, Any], session: Session, options: Globals
) -> None:
    from botocore.stub import Stubber

    from inservice.cli.aws.output import show_answer

    shape = operation.output_shape
    sample = {}
    if shape is not None:
        sample = _Generator(use_member_names=True).generate_skeleton(shape)
    client = session.stubbed_client(operation.service_model.service_name)
    method = xform_name(operation.name)
    with Stubber(client) as stubber:
        stubber.add_response(method, sample)
        answer = getattr(client, method)(**parameters)
    show_answer(session, operation.name, answer, query=options.query, color=options.color)


def _write_yaml(operation: OperationModel) -> None:
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    yaml = YAML()
    yaml.representer.add_representer(_Binary, _Binary.represent)
    shape = operation.input_shape
    document: Any = CommentedMap()
    if shape is not None:
        document = _CommentedGenerator().generate_skeleton(shape)
    yaml.dump(document, sys.stdout)


class _Binary:
    """A blob in YAML, where binary has a notation of its own."""

    @classmethod
    def represent(cls, dumper: Any, value: Any) -> Any:
        del value
        return dumper.represent_scalar("tag:yaml.org,2002:binary", "")


class _Generator(ArgumentGenerator):
    """botocore's skeletons, the same each time: an enum's first value, where botocore draws one."""

    def _generate_skeleton(self, shape: Shape, stack: list[str], name: str = "") -> Any:
        values = getattr(shape, "enum", None)
        if values:
            return values[0]
        return super()._generate_skeleton(shape, stack, name)  # type: ignore[misc]


class _CommentedGenerator(_Generator):
    """Skeletons with a comment behind each member: required, what it is, its values."""

    def _generate_skeleton(self, shape: Shape, stack: list[str], name: str = "") -> Any:
        if shape.type_name == "blob":
            return _Binary()
        return super()._generate_skeleton(shape, stack, name)

    def _generate_type_structure(self, shape: StructureShape, stack: list[str]) -> CommentedMap:
        from ruamel.yaml.comments import CommentedMap

        skeleton = CommentedMap()
        if stack.count(shape.name) > 1:
            return skeleton
        for name, member in shape.members.items():
            skeleton[name] = self._generate_skeleton(member, stack, name=name)
            comment = _comment(member, required=name in shape.required_members)
            if comment.strip():
                skeleton.yaml_add_eol_comment("# " + comment, name)
        return skeleton

    def _generate_type_map(self, shape: Any, stack: list[str]) -> dict[str, Any]:
        return dict(super()._generate_type_map(shape, stack))  # type: ignore[misc]


def _comment(shape: Shape, *, required: bool) -> str:
    parts = ["[REQUIRED]"] if required else []
    parts.append(_first_sentence(_text_of(shape.documentation)))
    values = getattr(shape, "enum", None)
    if values:
        parts.append(f"Valid values are: {', '.join(values)}.")
    return " ".join(parts)


def _text_of(html: str) -> str:
    """Documentation without its tags; as it is when it does not parse."""
    try:
        # S314: the text comes with the installed botocore, not from the network.
        return "".join(ElementTree.fromstring(f"<doc>{html}</doc>").itertext())  # noqa: S314
    except ElementTree.ParseError:
        return html


def _first_sentence(text: str) -> str:
    """What comes before the first full stop or colon, closed by a full stop, on one line."""
    first = re.split(r"[.:]+", text, maxsplit=1)[0]
    return re.sub(r"[\n\u2028]", " ", f"{first}." if first else "")
