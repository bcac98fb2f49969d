"""AlarmRule: the grammar against Python's own boolean operators, and the suppression of actions."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.cloudwatch.alarms.alarm import AlarmState, CompositeAlarm, StateValue
from inservice.cloudwatch.alarms.composite import evaluate_composite, parse, suppressed_by
from inservice.cloudwatch.alarms.errors import AlarmRefused

OK, ALARM, INSUFFICIENT = StateValue.OK, StateValue.ALARM, StateValue.INSUFFICIENT_DATA

RULES = st.recursive(
    st.one_of(
        st.sampled_from([("TRUE", "True"), ("FALSE", "False")]),
        st.tuples(st.sampled_from(list(StateValue)), st.sampled_from("abc")).map(
            lambda pair: (f"{pair[0]}({pair[1]})", f"(states['{pair[1]}'] == '{pair[0]}')")
        ),
    ),
    lambda inner: st.one_of(
        inner.map(lambda one: (f"NOT {one[0]}", f"(not {one[1]})")),
        inner.map(lambda one: (f"( {one[0]} )", f"({one[1]})")),
        st.tuples(inner, inner).map(
            lambda two: (f"({two[0][0]} AND {two[1][0]})", f"({two[0][1]} and {two[1][1]})")
        ),
        st.tuples(inner, inner).map(
            lambda two: (f"({two[0][0]} OR {two[1][0]})", f"({two[0][1]} or {two[1][1]})")
        ),
    ),
    max_leaves=12,
)


@given(RULES, st.tuples(*[st.sampled_from(list(StateValue))] * 3))
def test_a_rule_says_what_python_says(
    rule: tuple[str, str], values: tuple[StateValue, ...]
) -> None:
    states = dict(zip("abc", values, strict=True))
    assert parse(rule[0]).holds(states) is bool(eval(rule[1], {"states": states}))


def test_not_binds_tighter_than_and_and_and_tighter_than_or() -> None:
    rule = parse("NOT ALARM(a) AND ALARM(b) OR ALARM(c)")
    for a, b, c in itertools.product((True, False), repeat=3):
        states = {n: ALARM if on else OK for n, on in (("a", a), ("b", b), ("c", c))}
        assert rule.holds(states) is (((not a) and b) or c)


def test_alarms_are_named_bare_quoted_or_by_arn() -> None:
    rule = parse(
        'ALARM(plain) OR OK("with (spaces), and AND")'
        " OR ALARM(arn:aws:cloudwatch:us-east-1:000000000000:alarm:by-arn)"
    )
    assert rule.alarms == ("plain", "with (spaces), and AND", "by-arn")
    rule = parse(r'ALARM("the \"new\" fleet") AND NOT ALARM("C:\temp\\") OR OK("\\\"")')
    assert rule.alarms == ('the "new" fleet', "C:\\temp\\", '\\"')


def test_at_least() -> None:
    two = parse("AT_LEAST(2, ALARM, (a, b, c))")
    assert two.holds({"a": ALARM, "b": ALARM, "c": OK})
    assert not two.holds({"a": ALARM, "b": OK, "c": OK})
    half = parse("AT_LEAST(51%, NOT OK, (a, b, c))")
    assert half.holds({"a": ALARM, "b": INSUFFICIENT, "c": OK})
    assert not half.holds({"a": ALARM, "b": OK, "c": OK})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ALARM",
        "ALARM(",
        "ALARM()",
        "ALARM(a",
        "ALARM(a) ALARM(b)",
        "ALARM(a) AND",
        "AND ALARM(a)",
        "(ALARM(a)",
        "ALARM(a))",
        "WHATEVER(a)",
        'ALARM("a)',
        "AT_LEAST(4, ALARM, (a, b))",
        "AT_LEAST(0%, ALARM, (a, b))",
        "AT_LEAST(٣, ALARM, (a, b, c, d))",
        "NOT",
        "(" * 10_000,
        "NOT " * 5_000 + "TRUE",
        " OR ".join(f"ALARM(a{n})" for n in range(101)),
        " OR ".join(["TRUE"] * 501),
    ],
)
def test_rules_that_are_not(text: str) -> None:
    with pytest.raises(AlarmRefused, match=r"AlarmRule|AT_LEAST"):
        parse(text)


def composite(rule: str, state: AlarmState | None = None, **periods: Any) -> CompositeAlarm:
    return CompositeAlarm("both", rule, state=state or AlarmState(), **periods)


def test_a_composite_leaves_insufficient_data_at_once_and_never_returns() -> None:
    alarm = composite("ALARM(a)")
    state = evaluate_composite(alarm, {"a": AlarmState()}, {"a": "arn:a"}, 50.0)
    assert (state.value, state.since) == (OK, 50.0)


def test_the_reason_names_the_alarm_that_moved_last() -> None:
    states = {"a": AlarmState(ALARM, since=10.0), "b": AlarmState(ALARM, since=20.0)}
    state = evaluate_composite(
        composite("ALARM(a) AND ALARM(b)"), states, {"a": "arn:a", "b": "arn:b"}, 21.0
    )
    assert state.value is ALARM
    assert state.reason == "arn:b transitioned to ALARM at 1970-01-01T00:00:20.000+0000"
    assert '"arn":"arn:a"' in state.reason_data


def test_a_state_that_was_set_stands_until_an_alarm_of_the_rule_changes() -> None:
    alarm = composite("ALARM(a)", AlarmState(ALARM, since=50.0, was_set=True))
    before = {"a": AlarmState(OK, since=50.0)}
    assert evaluate_composite(alarm, before, {"a": "arn:a"}, 60.0) is alarm.state
    after = {"a": AlarmState(OK, since=55.0)}
    state = evaluate_composite(alarm, after, {"a": "arn:a"}, 60.0)
    assert (state.value, state.was_set) == (OK, False)


def test_suppression() -> None:
    alarm = composite("TRUE", AlarmState(ALARM, since=100.0), wait_seconds=30, extension_seconds=60)
    quiet = AlarmState(OK)
    assert suppressed_by(alarm, None, 100.0) is None
    assert suppressed_by(alarm, quiet, 129.0) == "WaitPeriod"
    assert suppressed_by(alarm, quiet, 130.0) is None
    assert suppressed_by(alarm, AlarmState(ALARM, since=110.0), 500.0) == "Alarm"
    just_left = AlarmState(OK, since=200.0, last_alarm_at=200.0)
    assert suppressed_by(alarm, just_left, 259.0) == "ExtensionPeriod"
    assert suppressed_by(alarm, just_left, 260.0) is None
