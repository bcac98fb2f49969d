r"""The patterns of AWS's models, written for Java, as Python reads them.

Three differences matter. Java's `\w \d \s` are ASCII only. Java knows Unicode categories such as
`\p{L}`, Python's `re` does not. And Java spells characters beyond U+FFFF as pairs of surrogates.

Categories are done without tables of ranges: when a pattern names any, every character of the text
that is not ASCII is replaced by one stand-in for its category before matching, and `\p{L}` becomes
`a-zA-Z` and the stand-in. No pattern of these models mixes categories with explicit ranges beyond
ASCII; a test holds that.

A pattern binds the whole value, as Coral's `matches` does, also where it has no anchors.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

_STAND_INS = {category: chr(0xE000 + n) for n, category in enumerate("LMNPSZC")}
"""General category to a private-use character."""

_ASCII_BY_CATEGORY = {
    category: "".join(
        re.escape(chr(n)) for n in range(128) if unicodedata.category(chr(n))[0] == category
    )
    for category in "LMNPSZC"
}

_CLASSES = {
    "Print": r"\x20-\x7e",
    "ASCII": r"\x00-\x7f",
    "Zs": " " + _STAND_INS["Z"],  # the other separators, U+2028 and U+2029, count as it too
    **{name: _ASCII_BY_CATEGORY[name] + _STAND_INS[name] for name in _STAND_INS},
}

_CATEGORY = re.compile(r"\\p\{(\w+)\}")
_SURROGATES = re.compile(r"\\u(D[89AB][0-9A-F]{2})\\u(D[C-F][0-9A-F]{2})", re.IGNORECASE)
_CLASS = re.compile(r"\[(?:\\.|[^\]\\])*\]")


@cache
def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that says whether a whole text is what a pattern of a model asks for."""
    compiled = re.compile(_translated(pattern), re.ASCII)
    fullmatch = compiled.fullmatch
    if _CATEGORY.search(pattern) is None:
        return lambda text: fullmatch(text) is not None
    return lambda text: fullmatch(text if text.isascii() else _by_category(text)) is not None


def _by_category(text: str) -> str:
    return "".join(
        char if char.isascii() else _STAND_INS[unicodedata.category(char)[0]] for char in text
    )


def _translated(pattern: str) -> str:
    pattern = _SURROGATES.sub(_beyond, pattern)
    pattern = _CLASS.sub(_literal_hyphens, pattern)
    pattern = _CATEGORY.sub(lambda m: _CLASSES[m[1]], _bare_categories(pattern))
    return pattern.replace(r"\z", r"\Z")


def _beyond(match: re.Match[str]) -> str:
    high, low = int(match[1], 16), int(match[2], 16)
    return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


def _literal_hyphens(match: re.Match[str]) -> str:
    r"""In a class, `\w-_` is a word character, a hyphen or an underscore; Python calls it bad."""
    return re.sub(r"(\\[wdsWDS])-(?!\])", r"\1\\-", match[0])


def _bare_categories(pattern: str) -> str:
    """Put a category that stands outside of a class into one of its own."""
    inside = [match.span() for match in _CLASS.finditer(pattern)]

    def bracketed(match: re.Match[str]) -> str:
        if any(start < match.start() < end for start, end in inside):
            return match[0]
        return f"[{match[0]}]"

    return _CATEGORY.sub(bracketed, pattern)
