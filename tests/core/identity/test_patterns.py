"""Wildcards: what they match, and what the worst of them costs."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.identity.policies.patterns import Pattern, PatternSet, Subject, pieces_of


def matches(pattern: str, text: str) -> bool:
    return Pattern(pieces_of(pattern)).matches(Subject(text))


def calls_of(function: Callable[[], object]) -> int:
    """How many calls it makes, of Python's and of C's: work without a clock."""
    made = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return made


@given(st.text("ab*?", max_size=12), st.text("abé", max_size=14))
def test_as_a_regular_expression_of_the_same_meaning(pattern: str, text: str) -> None:
    expression = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern)
    assert matches(pattern, text) == (re.fullmatch(expression, text, re.DOTALL) is not None)


@given(st.lists(st.text("ab*?", max_size=6), max_size=5), st.text("ab", max_size=8))
def test_a_set_matches_as_one_of_it_does(patterns: list[str], text: str) -> None:
    several = PatternSet(Pattern(pieces_of(pattern)) for pattern in patterns)
    assert several.matches(Subject(text)) == any(matches(each, text) for each in patterns)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("*", "", True),
        ("", "", True),
        ("", "a", False),
        ("?", "", False),
        ("a*a", "a", False),
        ("a*b", "a/\n:b", True),
        ("*ab?", "abab!", True),
        ("*a?c*a?c", "abcabc", True),
        ("*a?c*a?c*a?c", "abcabc", False),
        ("***", "anything", True),
        ("*é?*", "caf\xe9s", True),
    ],
)
def test_some_by_hand(pattern: str, text: str, expected: bool) -> None:
    assert matches(pattern, text) is expected


@pytest.mark.parametrize("piece", ["*a", "*a?", "*?a", "*a?a", "?*"])
def test_a_hostile_pattern_costs_one_walk(piece: str) -> None:
    """Twice the pattern and twice the text are twice the work, where backtracking would need more
    than the age of the universe."""

    def calls(size: int) -> int:
        pattern = Pattern(pieces_of(piece * size + "b*c"))
        subject = Subject("a" * 4 * size + "c")
        assert not pattern.matches(subject)
        return calls_of(lambda: pattern.matches(Subject(subject.text)))

    small, large = calls(200), calls(400)
    assert small > 200  # it has walked, and not seen at once that nothing fits
    assert large <= 2.2 * small
