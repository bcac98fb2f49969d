"""What a look into a log costs: a piece of it, however long it is and whatever is asked."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.cloudwatch.logs.events import in_files
from tests.depth import examples

from inservice.cloudwatch.logs import patterns, work
from inservice.cloudwatch.logs.errors import LogsParameterRefused
from inservice.cloudwatch.logs.expressions import Expression
from inservice.instance_logs import groups
from inservice.instance_logs.base import FOREVER, LogEvent, Place, merged
from inservice.instance_logs.groups import FileStream, latest
from inservice.instance_logs.search import search


def brute_force(stream: FileStream, start_ms: int, before: Place, limit: int) -> list[LogEvent]:
    found = [e for e in stream.events() if e.place.at_ms >= start_ms and e.place < before]
    return found[-limit:]


@settings(max_examples=examples(150), deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    events=st.integers(0, 120),
    files=st.integers(1, 4),
    limit=st.integers(1, 40),
)
def test_the_end_of_a_log_is_what_reading_all_of_it_would_give(
    tmp_path_factory: pytest.TempPathFactory, seed: int, events: int, files: int, limit: int
) -> None:
    """In pieces so small that every edge is met: of files, of milliseconds, of pieces."""
    chance = random.Random(seed)
    at, lines = 1_000, list[tuple[int, str]]()
    for number in range(events):
        at += chance.choice([0, 0, 0, 1, 7])
        lines.append((at, f"{number} " + "x" * chance.randrange(20)))
    stream = in_files(tmp_path_factory.mktemp("log"), lines, files, chance)
    edges = [Place(FOREVER, 0), *(Place(at, chance.randrange(4)) for at, _ in lines[::7])]
    with pytest.MonkeyPatch.context() as small:
        for name, size in (("FIRST_PIECE", 48), ("TAIL", 64), ("SHORT_TAIL", 24)):
            small.setattr(groups, f"{name}_BYTES", size)
        for before in edges:
            for start_ms in (0, at - 10):
                expected = brute_force(stream, start_ms, before, limit)
                assert latest(stream, start_ms, before, limit) == expected


def parsed_lines(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many lines were read since it was last asked."""
    count = 0
    parse = groups._parse

    def counted(line: bytes) -> tuple[int, str] | None:
        nonlocal count
        count += 1
        return parse(line)

    monkeypatch.setattr(groups, "_parse", counted)

    def since() -> int:
        nonlocal count
        was, count = count, 0
        return was

    return since


def test_a_page_of_a_long_log_reads_a_page_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [(1_000 + n, f"event {n} " + "x" * 80) for n in range(100_000)]
    stream = in_files(tmp_path, lines, 4, random.Random(1))
    since = parsed_lines(monkeypatch)
    for before in (Place(FOREVER, 0), Place(70_000, 0), Place(1_500, 0)):
        assert len(latest(stream, 0, before, 100)) == 100
        assert since() < 8_000
    assert [stream.last_at_ms(), stream.first_at_ms()] == [100_999, 1_000]
    assert since() < 200


def pages(stream: FileStream, pattern: str, limit: int = 10_000) -> list[tuple[int, float]]:
    """(events found, work) of each page of a search."""
    found, after = list[tuple[int, float]](), None
    while True:
        compiled = patterns.parse(pattern)
        page = search(merged([stream], after, 0, FOREVER), compiled, limit)
        found.append((len(page.events), compiled.workload.done(0, 0)))
        after = page.stopped_at
        if after is None:
            return found


def test_a_search_ends_after_a_page_of_work_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    """Eight searches by an expression held every thread of the API for two minutes."""
    lines = [(n, f"{n} " + "GET /items HTTP " * 6) for n in range(100_000)]
    stream = in_files(tmp_path, lines, 2, random.Random(1))
    longest = max(len(text) for _, text in lines) * work.EVENT
    found = pages(stream, r"%7\d\d\d\d .*HTTP $%")
    assert sum(count for count, _ in found) == 10_000
    assert len(found) >= 2
    assert all(cost <= work.PAGE + longest for _, cost in found)


@pytest.mark.parametrize(
    "pattern",
    [
        "%[ab]*a[ab]{300}c%",  # no two sets of bits alike: a step is computed for each character
        "%" + "a?" * 400 + "b$%",
        "%" + "|".join(f"[ab]*a[ab]{{{n}}}c" for n in range(20)) + "%",
        "%a{0,900}b% %[ab]{2,}a[ab]{90}c%",
        '{ $.* = %[ab]*a[ab]{300}c% || $.* = "*a*b*a*b*a*c" }',
        "[..., last = *a*b*c]",
    ],
)
def test_an_expression_made_to_be_slow_has_shorter_pages(tmp_path: Path, pattern: str) -> None:
    chance = random.Random(1)
    lines = [(n, "".join(chance.choices("ab ", k=30_000))) for n in range(60)]
    stream = in_files(tmp_path, lines, 1, chance)
    found = pages(stream, pattern)
    assert all(cost <= work.PAGE + 2 * 30_000 * 32 for _, cost in found)


def test_skipping_is_one_step_however_many_items_are_optional(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expression = Expression("a?" * 999 + "b")
    for text in ("", "a" * 999 + "b", "b", "a" * 2_000):
        assert expression.finds(text) is ("b" in text)
    optional = Expression("x" + "a?" * 50 + "y" + "b?" * 50 + "z")
    for a, b in ((0, 0), (50, 50), (51, 0), (3, 51), (7, 1)):
        text = "x" + "a" * a + "y" + "b" * b + "z"
        assert optional.finds(text) is (a <= 50 and b <= 50)


def test_a_pattern_has_two_expressions_at_most() -> None:
    for pattern in (
        "%a% %b% %c%",
        "{ $.a = %a% || $.b = %b% || $.c = %c% }",
        "[x = %a%, y = %b% && y = %c%]",
    ):
        with pytest.raises(LogsParameterRefused, match="more than 2 regular expressions"):
            patterns.parse(pattern)
    patterns.parse("%a% %b% c d")


@given(st.text('[]" \tab\u3000', max_size=40))
def test_lines_are_parted_into_words_brackets_and_quotes(line: str) -> None:
    assert patterns._parted(line) == re.findall(r"\[[^\]]*\]|\"[^\"]*\"|\S+", line)


@pytest.mark.parametrize("mark", ["[ ", '" ', '[ " '])
def test_marks_that_nothing_closes_are_parted_too(mark: str) -> None:
    """Each looked for its end anew: a megabyte of them took minutes."""
    assert len(patterns._parted(mark * 500_000)) >= 250_000


def test_every_character_beyond_the_latin_ones_is_alike() -> None:
    for pattern in (".", r"\W", r"[^a]", r"\w", r"\xe9", "[a-z]"):
        for character in "\u0100\u4e2d\U0001f600é\ud7ff":
            expected = bool(re.search(pattern, character, re.DOTALL | re.ASCII))
            assert Expression(pattern).finds(character) is expected, (pattern, character)
