"""Filter patterns: every example of CloudWatch Logs' guide, and what must not take forever."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.cloudwatch.logs.errors import LogsParameterRefused
from inservice.cloudwatch.logs.expressions import Expression
from inservice.cloudwatch.logs.patterns import parse

ERRORS = [
    "[ERROR 400] BAD REQUEST",
    "[ERROR 401] UNAUTHORIZED REQUEST",
    "[ERROR 419] MISSING ARGUMENTS",
    "[ERROR 420] INVALID ARGUMENTS",
]
JSON_LINES = [
    '{"level": 5}',
    '{"level": 6}',
    r'{"level": 5, "path": "C:\\"}',
    "level: 5",
]
LINES = [
    "INFO 09/25/2014 12:00:00 GET /service/resource/67 1200",
    "INFO 09/25/2014 12:00:01 POST /service/resource/67/part/111 1310",
    "WARNING 09/25/2014 12:00:02 Invalid user request",
    "ERROR 09/25/2014 12:00:02 Failed to process request",
]
ACCESS = ['127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534']
TRAIL = json.dumps(
    {
        "eventType": "UpdateTrail",
        "sourceIPAddress": "111.111.111.111",
        "arrayKey": ["value", "another value"],
        "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
        "SomeObject": None,
        "cluster.name": "c",
        "number": [1000],
        "latency": 49.5,
        "ok": True,
    }
)
USERS = json.dumps(
    {
        "user": {"id": 1, "email": "John.Stiles@example.com"},
        "users": [
            {"id": 2, "email": "John.Doe@example.com"},
            {"id": 3, "email": "Jane.Doe@example.com"},
        ],
        "actions": ["GET", "PUT", "DELETE"],
        "coordinates": [[0, 1, 2], [4, 5, 6], [7, 8, 9]],
    }
)


@pytest.mark.parametrize(
    ("pattern", "lines", "matching"),
    [
        ("", ERRORS, [0, 1, 2, 3]),
        ('" "', ERRORS, [0, 1, 2, 3]),
        ("ERROR", ERRORS, [0, 1, 2, 3]),
        ("error", ERRORS, []),
        ("ERROR ARGUMENTS", ERRORS, [2, 3]),
        ("?REQUEST ?MISSING", ERRORS, [0, 1, 2]),
        ("?MISSING REQUEST", ERRORS, [0, 1]),  # beside other terms, `?` has no effect
        ('"BAD REQUEST"', ERRORS, [0]),
        (r'"\"level\": 5"', JSON_LINES, [0, 2]),
        (r'"level\""', JSON_LINES, [0, 1, 2]),
        (r'-"\"level\": 5"', JSON_LINES, [1, 3]),
        (r'"\\" level', JSON_LINES, [2]),  # a backslash before the last mark is one
        ("ERROR -ARGUMENTS", ERRORS, [0, 1]),
        ('-"BAD REQUEST"', ERRORS, [1, 2, 3]),
        ("%AUTHORIZED%", ERRORS, [1]),
        ("%4[012]0%", ERRORS, [0, 3]),
        ("[w1=ERROR, w2]", LINES, [3]),
        ("[w1=ERROR || w1=WARNING, w2]", LINES, [2, 3]),
        ("[w1!=ERROR && w1!=WARNING, w2]", LINES, [0, 1]),
        ("[level, date, time, method, url=%/service/resource/[0-9]+$%, ms]", LINES, [0]),
        (
            "[level, date, time, method, url=%/service/resource/[0-9]+/part/[0-9]+$%, ms]",
            LINES,
            [1],
        ),
        ("[..., ms > 1250]", LINES, [1]),
        ("[level=INFO, ...]", LINES, [0, 1]),
        (
            r"[ip=%127\.0\.0\.[1-9]%, user, name, timestamp, request =*.html*, status = 4*, bytes]",
            ACCESS,
            [0],
        ),
        ("[..., request =*.html*, status_code = 4*, bytes]", ACCESS, [0]),
        (
            "[ip, user, name, time, request=*.html*, code = 404 || code = 410, bytes]",
            ACCESS,
            [0],
        ),
        ("[ip, user, name, time, request, code = 5*, bytes]", ACCESS, []),
    ],
)
def test_lines(pattern: str, lines: list[str], matching: list[int]) -> None:
    matches = parse(pattern).matches
    assert [number for number, line in enumerate(lines) if matches(line)] == matching


@pytest.mark.parametrize(
    ("pattern", "event", "expected"),
    [
        ('{ $.eventType = "UpdateTrail" }', TRAIL, True),
        ("{ $.sourceIPAddress != 123.123.* }", TRAIL, True),
        ('{ $.arrayKey[0] = "value" }', TRAIL, True),
        ('{ $.arrayKey[1] = "value" }', TRAIL, False),
        ("{ $.eventType = %Trail% }", TRAIL, True),
        ("{ $.arrayKey[*] = %val.{2}% }", TRAIL, True),
        (r"{ $.* = %111\.111\.111\.1[0-9]{1,2}% }", TRAIL, True),
        ("{ $.['cluster.name'] = \"c\" }", TRAIL, True),
        ("{ $.SomeObject IS NULL }", TRAIL, True),
        ("{ $.ok IS TRUE }", TRAIL, True),
        ("{ $.ok IS FALSE }", TRAIL, False),
        ("{ $.SomeOtherObject NOT EXISTS }", TRAIL, True),
        ("{ $.eventType NOT EXISTS }", TRAIL, False),
        ("{ $.latency < 50 }", TRAIL, True),
        ("{ $.latency >= 50 }", TRAIL, False),
        ("{ $.number[0] = 1e+3 }", TRAIL, True),
        ("{ $.number[0] != 1e-3 }", TRAIL, True),
        ("{ $.objectList = 1 }", TRAIL, False),  # arrays and objects never match
        ('{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }', USERS, True),
        (
            '{ $.user.email = "John.Stiles@example.com" || $.user.id = 9 && $.actions[2] = "no" }',
            USERS,
            True,
        ),
        (
            '{ ($.user.email = "John.Stiles@example.com" || $.user.id = 9) && $.actions[2] = 1 }',
            USERS,
            False,
        ),
        (
            '{ ($.user.id = 2 && $.users[0].email = "nonmatch") || $.actions[2] = "GET" }',
            USERS,
            False,
        ),
        ('{ $.eventType = "*" }', "not JSON at all", False),
        ('{ $.eventType = "*" }', "[" * 5_000, False),
    ],
)
def test_json(pattern: str, event: str, expected: bool) -> None:
    assert parse(pattern).matches(event) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        '"open',
        "%(a)%",
        "%a!%",
        "%*a%",
        "%a{3,1}%",
        "%[z-a]%",
        "{ eventType = 1 }",
        "{ $.a }",
        "{ $.a = }",
        "{ $.a IS MAYBE }",
        "{ $.a NOT NULL }",
        "{ ($.a = 1 }",
        "{ $.a = 1 && }",
        "{ $.a > word }",
        "{ $.*.* = 1 }",
        "{ " + "(" * 100 + "$.a = 1 }",
        "[a, ..., b, ...]",
        "[a > b]",
    ],
)
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(LogsParameterRefused):
        parse(pattern)


ITEMS = st.one_of(
    st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", r"\.", r"\x61"]),
)
EXPRESSIONS = st.lists(
    st.tuples(ITEMS, st.sampled_from(["", "?", "*", "+", "{2}", "{1,3}", "{2,}"])).map("".join),
    min_size=1,
    max_size=5,
).map("".join)


@given(
    st.lists(EXPRESSIONS, min_size=1, max_size=3).map("|".join),
    st.sampled_from(["", "^"]),
    st.sampled_from(["", "$"]),
    st.text("ab1.", max_size=12),
)
def test_expressions_match_as_python_s_do(body: str, first: str, last: str, text: str) -> None:
    pattern = first + body + last
    assert Expression(pattern).finds(text) is bool(re.search(pattern, text, re.DOTALL))


def test_no_expression_takes_more_than_linear_time() -> None:
    line = "a" * 32_000
    began = time.process_time()
    assert not Expression(".*.*.*.*.*.*x").finds(line)
    assert not Expression("a*a*a*a*a*b|[ab]+c$").finds(line)
    assert not parse('{ $.a = "*a*a*a*a*a*b" }').matches(json.dumps({"a": line}))
    assert time.process_time() - began < 2.0
