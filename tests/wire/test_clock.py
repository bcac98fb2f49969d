"""Control judges signatures by the clock as it is, whatever it was when control started."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .calls import Caller, application


@pytest.mark.parametrize("hours", [-24 * 365, -1, 0, 1])
def test_a_step_of_the_clock_costs_no_honest_request(
    hours: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = time.time
    with monkeypatch.context() as at_start:
        at_start.setattr(time, "time", lambda: right() + hours * 3600)
        opened = application(tmp_path)
        control = opened.__enter__()
    try:
        status, _ = Caller(control).call("SageMaker.ListEndpoints")
        assert status == 200
        with monkeypatch.context() as then:
            then.setattr(time, "time", lambda: right() + 310)
            status, answer = Caller(control).call("SageMaker.ListEndpoints")
        assert (status, answer["__type"]) == (403, "InvalidSignatureException")
    finally:
        opened.__exit__(None, None, None)
