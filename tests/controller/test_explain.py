"""FailureReasons that a person can act on."""

from __future__ import annotations

import pytest

from inservice.controller.explain import REASON_CHARACTERS_MAX, did_not_become_ready, died
from inservice.runtimes.base import InstanceState, Probe, Sight

SENTENCE = (
    "The primary container for production variant AllTraffic did not pass the ping health check. "
    "Please check CloudWatch logs for this endpoint."
)


def reason(sight: Sight, waited: float = 1.0) -> str:
    return did_not_become_ready(
        sight, variant="AllTraffic", container="primary", waited_seconds=waited, timeout_seconds=60
    )


def gone(*lines: str, **more: object) -> Sight:
    return Sight(InstanceState.GONE, last_lines=lines, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sight", "words"),
    [
        (gone(exit_code=7), "It exited with code 7 while it was starting."),
        (gone(signal="SIGSEGV"), "It was ended by SIGSEGV while it was starting."),
        (gone(signal="SIGKILL", out_of_memory=True), "because memory ran out"),
        (gone("ModuleNotFoundError: No module named 'x'", exit_code=1), "install the missing"),
        (gone("FileNotFoundError: model.bin", exit_code=1), "inservice model lint"),
        (gone("boom", exit_code=1), 'Last output: "boom". Hint: '),
        (Sight(InstanceState.STARTING), "It ran for 61 s of the 60 s that Container"),
        (Sight(InstanceState.STARTING, probes=(Probe(0.0, "503", 2.4),)), "Pings: 503 in 2 ms."),
    ],
)
def test_aws_sentence_first_then_what_to_act_on(sight: Sight, words: str) -> None:
    said = reason(sight, waited=61.0)
    assert said.startswith(SENTENCE)
    assert words in said
    assert "Hint: " in said


def test_the_newest_lines_that_fit_are_told_and_the_hint_always() -> None:
    said = reason(gone(*(f"line {n} " + "x" * 60 for n in range(100)), exit_code=1))
    assert len(said) <= REASON_CHARACTERS_MAX
    assert "line 99 " in said
    assert "line 0 " not in said
    assert said.endswith("Environment.")


def test_an_instance_that_had_served_did_not_fail_to_start() -> None:
    said = died(gone("bye", exit_code=3, ready_at=5.0), variant="v", instance_id="f/0")
    assert said == (
        "Instance f/0 of production variant v was lost while it served. It exited with code 3. "
        'Last output: "bye".'
    )
