"""Metric math, read: an expression becomes a tree.

    either    = both (("OR" | "||") both)*
    both      = compared (("AND" | "&&") compared)*
    compared  = sum (("==" | "!=" | "<=" | ">=" | "<" | ">") sum)*
    sum       = product (("+" | "-") product)*
    product   = signed (("*" | "/") signed)*
    signed    = "-" signed | power
    power     = primary ("^" signed)?
    primary   = number | string | id | FUNCTION "(" arguments ")" | "(" either ")" | "[" list "]"

Ids begin with a lowercase letter, functions and keywords are uppercase (AWS's rules).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

NESTING_MAX = 60
"""Of parentheses, calls and signs. An expression has at most 2,048 characters; a stack frame is
used for each level of the grammar, so this keeps the recursion far below Python's limit."""

NODES_MAX = 150
"""Parts of an expression. Each may cost a pass over 100,800 points, a GetMetricData's limit."""

KEYWORDS = ("AVG", "MIN", "MAX", "SUM", "ASC", "DESC", "REPEAT", "LINEAR")
"""Words that stand for themselves as arguments of SORT and FILL."""

QUERY_ID = re.compile(r"[a-z][a-zA-Z0-9_]*")
"""What a query may be called, so that expressions can name it."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+)"
    r"|(?P<string>\"[^\"]*\"|'[^']*')"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<mark>==|!=|<=|>=|&&|\|\||[-+*/^<>(),\[\]]))"
)


class BadExpression(ValueError):
    """Not metric math; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Number:
    """A literal."""

    value: float


@dataclass(frozen=True, slots=True)
class Text:
    """A literal in quotes."""

    value: str


@dataclass(frozen=True, slots=True)
class Keyword:
    """One of KEYWORDS."""

    name: str


@dataclass(frozen=True, slots=True)
class Reference:
    """The result of another query, by its Id."""

    id: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function or an operator with its arguments. A sign is `Call("-", (Number(0), …))`."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Array:
    """Several time series."""

    elements: tuple[Node, ...]


Node = Number | Text | Keyword | Reference | Call | Array


def parse(text: str) -> Node:
    """Read an expression. Raises BadExpression."""
    reader = _Reader(text)
    tree = reader.either()
    reader.finish()
    return tree


def references(tree: Node) -> Iterator[str]:
    """The Ids that an expression uses."""
    if isinstance(tree, Reference):
        yield tree.id
    for child in _children(tree):
        yield from references(child)


def calls(tree: Node) -> Iterator[str]:
    """The functions and operators that an expression uses."""
    if isinstance(tree, Call):
        yield tree.function
    for child in _children(tree):
        yield from calls(child)


def _children(tree: Node) -> tuple[Node, ...]:
    if isinstance(tree, Call):
        return tree.arguments
    return tree.elements if isinstance(tree, Array) else ()


_COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")
_WORDS = {"OR": "||", "AND": "&&"}


class _Reader:
    """Recursive descent; each method is a line of the grammar."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0
        self._nodes = 0

    def finish(self) -> None:
        if self._at < len(self._tokens):
            raise BadExpression(f"unexpected '{self._tokens[self._at][1]}'")

    def either(self) -> Node:
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise BadExpression(f"more than {NESTING_MAX} levels deep")
        left = self._both()
        while self._takes("||"):
            left = self._node(Call("||", (left, self._both())))
        self._depth -= 1
        return left

    def _both(self) -> Node:
        left = self._compared()
        while self._takes("&&"):
            left = self._node(Call("&&", (left, self._compared())))
        return left

    def _compared(self) -> Node:
        left = self._sum()
        while operator := self._takes(*_COMPARISONS):
            left = self._node(Call(operator, (left, self._sum())))
        return left

    def _sum(self) -> Node:
        left = self._product()
        while operator := self._takes("+", "-"):
            left = self._node(Call(operator, (left, self._product())))
        return left

    def _product(self) -> Node:
        left = self._signed()
        while operator := self._takes("*", "/"):
            left = self._node(Call(operator, (left, self._signed())))
        return left

    def _signed(self) -> Node:
        if not self._takes("-"):
            return self._power()
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise BadExpression(f"more than {NESTING_MAX} levels deep")
        inner = self._signed()
        self._depth -= 1
        return self._node(Call("-", (Number(0.0), inner)))

    def _power(self) -> Node:
        base = self._primary()
        return self._node(Call("^", (base, self._signed()))) if self._takes("^") else base

    def _primary(self) -> Node:
        kind, text = self._next()
        if kind == "number":
            return self._node(Number(float(text)))
        if kind == "string":
            return self._node(Text(text[1:-1]))
        if kind == "word":
            return self._word(text)
        if text == "(":
            inner = self.either()
            self._expect(")")
            return inner
        if text == "[":
            return self._node(Array(self._list("]")))
        raise BadExpression(f"unexpected '{text}'")

    def _word(self, word: str) -> Node:
        if word[0].islower():
            return self._node(Reference(word))
        if self._takes("("):
            return self._node(Call(word, self._list(")")))
        if word in KEYWORDS:
            return self._node(Keyword(word))
        raise BadExpression(f"unexpected '{word}'")

    def _list(self, end: str) -> tuple[Node, ...]:
        if self._takes(end):
            return ()
        elements = [self.either()]
        while self._takes(","):
            elements.append(self.either())
        self._expect(end)
        return tuple(elements)

    def _node(self, node: Node) -> Node:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise BadExpression(f"more than {NODES_MAX} parts")
        return node

    def _takes(self, *marks: str) -> str:
        if self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if kind == "mark" and text in marks:
                self._at += 1
                return text
        return ""

    def _expect(self, mark: str) -> None:
        if not self._takes(mark):
            raise BadExpression(f"a '{mark}' is missing")

    def _next(self) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise BadExpression("it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    text, at = text.rstrip(), 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise BadExpression(f"'{text[at:].strip()[:1]}' at character {at + 1}")
        kind = match.lastgroup or ""
        word = match[kind]
        if word in _WORDS:
            kind, word = "mark", _WORDS[word]
        found.append((kind, word))
        at = match.end()
    return found
