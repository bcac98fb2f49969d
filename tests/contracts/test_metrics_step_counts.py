"""Counts by step, over their real store: exact through every crash, and bounded."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inservice.metrics.base import DEPLOYMENTS_KEPT
from inservice.metrics.database import open_metrics
from inservice.metrics.recorder import Recorder
from inservice.metrics.step_counts import StepCount
from inservice.transport.tables import InvocationRow

NOW = 1_795_435_205.0
ROW = InvocationRow("1", "r", "e", "v", "a1-2-v", "c", "a1-2/3", NOW)


def opened(path: Path) -> Recorder:
    return Recorder(open_metrics(f"sqlite:///{path / 'inservice.db'}"), NOW)


def sent(**counts: Any) -> dict[str, Any]:
    """As control's channel decodes it."""
    row: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(replace(ROW, **counts)))
    return row


def test_each_step_fleet_and_worker_is_a_sum_of_its_own(tmp_path: Path) -> None:
    recorder = opened(tmp_path)
    latency = (4, 1.0, 1.0, 1.0, [1, 4])
    first = sent(invocations=5, model_latency=latency, model_errors=1, abandoned=1)
    other = sent(fleet="a1-1-v", gateway_errors=2, retried=3)
    back = sent(step="a1-2/back/0", invocations=1)
    over = sent(step="a1-2", invocations=100)
    recorder.record_gateway_rows("7@1.0", 1, [first, other, back, over], now=NOW)
    recorder.record_gateway_rows("7@1.0", 2, [first], now=NOW)
    recorder.record_gateway_rows("8@1.0", 1, [sent(step="a1-3/0", invocations=1)], now=NOW)
    line = StepCount("a1", 2, "3", "a1-2-v", "7@1.0", 10, answered=8, model_errors=2, abandoned=2)
    assert set(recorder.step_counts("a1", 2)) == {
        line,
        StepCount("a1", 2, "3", "a1-1-v", "7@1.0", gateway_errors=2, retried=3),
        StepCount("a1", 2, "back/0", "a1-2-v", "7@1.0", 1),
    }
    assert [count.invocations for count in recorder.step_counts("a1", 3)] == [1]
    recorder.close()


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_exact_through_any_crash(tmp_path: Path, seed: int) -> None:
    """Workers resend what they were not told of, and control dies between any two steps."""
    draw = random.Random(seed)
    recorder = opened(tmp_path)
    seq, expected = dict.fromkeys(("7@1.0", "8@1.0"), 0), 0
    for _ in range(40):
        worker = draw.choice(list(seq))
        move = draw.choice(["send", "send", "resend", "fold", "crash"])
        if move == "send":
            seq[worker] += 1
            count = draw.randrange(-1, 9)  # -1: what was begun in the second before was not sent
            expected += count
            recorder.record_gateway_rows(worker, seq[worker], [sent(invocations=count)], now=NOW)
        elif move == "resend" and seq[worker]:
            recorder.record_gateway_rows(worker, seq[worker], [sent(invocations=99)], now=NOW)
        elif move == "fold":
            recorder.fold()
        elif move == "crash":
            recorder = opened(tmp_path)
    assert sum(count.invocations for count in recorder.step_counts("a1", 2)) == expected
    recorder.close()


def test_old_deployments_and_gone_endpoints_are_forgotten(tmp_path: Path) -> None:
    recorder = opened(tmp_path)
    newest = DEPLOYMENTS_KEPT + 5
    for number in range(1, newest + 1):
        rows = [sent(step=f"a1-{number}/0", invocations=1)]
        recorder.record_gateway_rows("7@1.0", number, rows, now=NOW)
    recorder.record_gateway_rows("8@1.0", 1, [sent(step="b2-1/0", invocations=1)], now=NOW)
    recorder.expire(NOW)
    assert recorder.step_counts("a1", 5) == []
    assert recorder.step_counts("a1", 6) != []
    assert recorder.step_counts("b2", 1) != []
    assert recorder.counted_generations() == {"a1", "b2"}
    recorder.forget_step_counts({"a1"})
    assert recorder.counted_generations() == {"b2"}
    assert recorder.step_counts("a1", newest) == []
    recorder.close()
