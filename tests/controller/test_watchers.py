"""An alarm wakes those that watch it, and nobody else; none that changes meanwhile is missed."""

from __future__ import annotations

from inservice.controller.endpoints.watchers import Watchers

A, B = ("1" * 12, "r", "a"), ("1" * 12, "r", "b")
ONE, TWO = ("1" * 12, "r", "one"), ("1" * 12, "r", "two")


def test_an_alarm_concerns_those_whose_deployments_watch_it() -> None:
    watchers = Watchers()
    watchers.put(ONE, [A, B])
    watchers.put(TWO, [B])
    assert watchers.changed([A]) == {ONE}
    assert watchers.changed([B]) == {ONE, TWO}
    assert watchers.changed([("2" * 12, "r", "a")]) == set()
    watchers.put(ONE, [A])
    assert watchers.changed([B]) == {TWO}
    watchers.forget(TWO)
    assert watchers.changed([A, B]) == {ONE}


def test_what_changes_while_one_is_read_is_held_against_what_it_watches() -> None:
    watchers = Watchers()
    watchers.look(ONE)
    assert watchers.changed([A]) == set()
    assert not watchers.put(ONE, [B]), "an alarm of somebody else's"
    watchers.look(ONE)
    assert watchers.changed([A]) == set()
    assert watchers.put(ONE, [A, B]), "what was read of it may be old"
    watchers.look(ONE)
    assert not watchers.put(ONE, [A, B]), "nothing changed since"
    watchers.look(ONE)
    assert watchers.changed([A]) == {ONE}, "it watched it before, and is woken at once"
    assert watchers.put(ONE, [A, B])


def test_what_nobody_watches_any_more_takes_no_room() -> None:
    watchers = Watchers()
    for number in range(100):
        watchers.look(ONE)
        watchers.put(ONE, [(*A[:2], f"a{number}")])
    watchers.forget(ONE)
    assert (watchers._alarms, watchers._watchers, watchers._looking) == ({}, {}, {})
