"""Documents of XML from strangers, as trees of the elements and the text in them.

What XML can do beyond that is what attacks are made of, and no client of AWS's uses it: a document
type is refused where it begins, so there are no entities but the five that XML has and nothing is
fetched. Size is for the caller to bound; depth and number of elements are bounded here, since a
megabyte of `<a>` would be a megabyte deep, or a hundred of Python's objects.

Attributes are counted before: a tag is read by expat in one go, and eight megabytes of them would
hold up every other thread for seconds.

Names are local: S3's clients write its namespace, another one, or none, and mean the same. A
document is UTF-8, whatever it declares.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.parsers import expat

_DEPTH_MAX = 24
"""The deepest document of S3's, a rule of replication, has 8 levels."""

_ELEMENTS_MAX = 100_000
"""Ten thousand parts with all their checksums, the largest document of S3's, are 90,000."""


_ATTRIBUTES_MAX = 16
"""Of one element. S3's have a namespace or two, and a type."""

_TAG = re.compile(rb"<[A-Za-z_:\x80-\xff][^<>\"']*?(?=\s[^\s<>\"'=/]+\s*=)")
_ATTRIBUTE = re.compile(rb"\s+[^\s<>\"'=/]+\s*=\s*(?:\"[^<\"]*\"|'[^<']*')")


class NotWellFormed(ValueError):
    """No document, or more than one may be."""


class Element:
    """An element: what it is called, and what is in it."""

    __slots__ = ("attributes", "children", "name", "text")

    def __init__(self, name: str, attributes: Mapping[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.children: list[Element] = []
        self.text = ""
        """All text in it, that around elements too."""


def parse(document: bytes) -> Element:
    """The outermost element. Raises NotWellFormed."""
    if b"\0" in document:  # expat would take two bytes a character for what they are
        raise NotWellFormed("not UTF-8")
    _check_attributes(document)
    builder = _Builder()
    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.StartDoctypeDeclHandler = builder.refuse
    parser.EntityDeclHandler = builder.refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.hear
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        raise NotWellFormed(str(error)) from None
    if builder.root is None:
        raise NotWellFormed("no element found")
    return builder.root


def _check_attributes(document: bytes) -> None:
    """Text has no `<` in it, so whatever looks like the beginning of a tag is one, but in a comment
    or a section, where nobody writes so many either."""
    for tag in _TAG.finditer(document):
        at, count = tag.end(), 0
        while (attribute := _ATTRIBUTE.match(document, at)) is not None:
            at, count = attribute.end(), count + 1
            if count > _ATTRIBUTES_MAX:
                raise NotWellFormed("too many attributes")


class _Builder:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[tuple[Element, list[str]]] = []  # each with its text so far
        self._count = 0

    def refuse(self, *_: object) -> None:
        raise NotWellFormed("a document type")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > _ELEMENTS_MAX or len(self._open) >= _DEPTH_MAX:
            raise NotWellFormed("too many elements, or too deep")
        element = Element(_local(name), {_local(key): value for key, value in attributes.items()})
        if self._open:
            self._open[-1][0].children.append(element)
        else:
            self.root = element
        self._open.append((element, []))

    def end(self, _: str) -> None:
        element, texts = self._open.pop()
        element.text = "".join(texts)

    def hear(self, text: str) -> None:
        self._open[-1][1].append(text)


def _local(name: str) -> str:
    return name.rpartition(" ")[2]
