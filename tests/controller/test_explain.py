"""FailureReasons that a person can act on."""

from __future__ import annotations

import pytest

from inservice.controller.endpoints.explain import (
    BRIEF_CHARACTERS_MAX,
    REASON_CHARACTERS_MAX,
    briefly,
    did_not_become_ready,
    died,
    ill,
    in_a_line,
    waiting,
)
from inservice.runtimes.base import InstanceState, Probe, Sight

SENTENCE = (
    "The primary container for production variant AllTraffic did not pass the ping health check. "
    "Please check CloudWatch logs for this endpoint."
)

TRACEBACK = (
    "Traceback (most recent call last):",
    '  File "/v/lib/python3.11/site-packages/inservice/modelserver/main.py", line 64, in _run',
    "    model, phases = _load(settings)",
    "                    ^^^^^^^^^^^^^^^",
    '  File "<frozen importlib._bootstrap>", line 1204, in _gcd_import',
    f'  File "/var/lib/artifacts/{"0a" * 32}/model/code/inference.py", line 7, in model_fn',
    "    return load(model_dir)",
    "           ~~~~^^^^^^^^^^^",
    '  File "/opt/venv/lib/python3.11/site-packages/torch/serialization.py", line 1, in load',
    "    raise ValueError(path)",
    f"ValueError: /var/lib/inservice/artifacts/{'0a' * 32}/model/net.pt is of another format",
)
"""As a model on a real server prints it."""


def reason(sight: Sight, waited: float = 1.0) -> str:
    return did_not_become_ready(
        sight, variant="AllTraffic", container="primary", waited_seconds=waited, timeout_seconds=60
    )


def gone(*lines: str, **more: object) -> Sight:
    return Sight(InstanceState.GONE, last_lines=lines, **more)  # type: ignore[arg-type]


def starting(*lines: str, **more: object) -> Sight:
    return Sight(InstanceState.STARTING, last_lines=lines, **more)  # type: ignore[arg-type]


def test_the_error_and_its_place_come_first_and_nothing_that_says_nothing() -> None:
    said = reason(gone(*TRACEBACK, exit_code=1))
    assert said.startswith(
        f"{SENTENCE} ValueError: model/net.pt is of another format (code/inference.py, line 7, in "
        "model_fn). It exited with code 1 while it was starting. Hint: "
    )
    for noise in ("^^^", "0a0a", "frozen", "modelserver/main", "/var/lib", "Traceback"):
        assert noise not in said
    assert 'File "torch/serialization.py", line 1, in load' in said


@pytest.mark.parametrize(
    ("sight", "words"),
    [
        (gone(exit_code=7), "It exited with code 7 while it was starting."),
        (gone(signal="SIGSEGV"), "It was ended by SIGSEGV while it was starting."),
        (gone(signal="SIGKILL", out_of_memory=True), "killed because memory ran out"),
        (gone("MemoryError", exit_code=1, out_of_memory=True), "code 1 because memory ran out"),
        (gone(), "Its process was found gone while it was starting."),
        (gone("boom", exit_code=1), 'Last output: "boom".'),
        (starting(), "It ran for 61 s of the 60 s that Container"),
    ],
)
def test_aws_sentence_first_then_what_to_act_on(sight: Sight, words: str) -> None:
    said = reason(sight, waited=61.0)
    assert said.startswith(SENTENCE)
    assert words in said
    assert "Hint: " in said


@pytest.mark.parametrize(
    ("probes", "words"),
    [
        ([Probe(0.0, "503", 2.4)], "Pings: 503 in 2 ms."),
        ([Probe(0.0, "not listening yet", 0.1)], "Pings: not listening yet."),
        (
            [Probe(9.0, "not listening yet", 0.1, tries=12, seconds=4.1)],
            "Pings: no answer to 12 pings in 4.1 s: not listening yet.",
        ),
        (
            [Probe(9.0, "not listening yet", 0.1, 12, 4.1), Probe(9.5, "503", 2.0, 3, 0.5)],
            "Pings: no answer to 12 pings in 4.1 s: not listening yet; 503 to 3 pings in 0.5 s.",
        ),
    ],
)
def test_pings_that_came_to_the_same_are_told_as_one(probes: list[Probe], words: str) -> None:
    assert words in reason(starting(probes=tuple(probes)))


def test_of_one_that_ended_before_it_listened_no_ping_is_told() -> None:
    assert "Pings" not in reason(gone(exit_code=1, probes=(Probe(0.0, "not listening yet", 0.1),)))


def test_probes_of_one_outcome_become_one() -> None:
    (twice,) = Probe(1.0, "503", 2.0).before(Probe(1.5, "503", 3.0))
    (thrice,) = twice.before(Probe(3.0, "503", 4.0))
    assert thrice == Probe(3.0, "503", 4.0, tries=3, seconds=2.0)
    other = Probe(3.5, "200", 1.0)
    assert thrice.before(other) == (thrice, other)


def test_a_crash_in_native_code_says_where_in_python() -> None:
    """faulthandler ends with a line of some kilobytes that names every extension module."""
    lines = (
        "Fatal Python error: Segmentation fault",
        "",
        "Thread 0x00007f1 (most recent call first):",
        '  File "/usr/lib/python3.11/threading.py", line 320 in wait',
        "",
        "Current thread 0x00007fc045e6cb80 (most recent call first):",
        '  File "/opt/venv/lib/python3.11/site-packages/numpy/core/x.py", line 519 in dot',
        f'  File "/d/{"0a" * 32}/model/code/inference.py", line 9 in predict_fn',
        '  File "/v/lib/python3.11/site-packages/inservice/modelserver/main.py", line 7 in x',
        "",
        "Extension modules: " + ", ".join(f"numpy.module{n}" for n in range(400)),
    )
    said = died(gone(*lines, signal="SIGSEGV", ready_at=1.0), variant="v", instance_id="f/0")
    assert said.startswith(
        "Instance f/0 of production variant v was lost while it served. Fatal Python error: "
        "Segmentation fault (code/inference.py, line 9, in predict_fn). It was ended by SIGSEGV."
    )
    assert "Extension" not in said
    assert in_a_line(gone(*lines, signal="SIGSEGV")) == (
        "Fatal Python error: Segmentation fault (code/inference.py, line 9, in predict_fn)."
    )
    assert briefly(gone(*lines, signal="SIGSEGV", ready_at=1.0)) == (
        "it was ended by SIGSEGV (Fatal Python error: Segmentation fault "
        "(code/inference.py, line 9, in predict_fn))"
    )


def test_an_exception_from_before_is_not_why_a_signal_ended_it() -> None:
    said = reason(gone(*TRACEBACK, "trying again without", signal="SIGKILL"))
    assert said.startswith(f"{SENTENCE} It was ended by SIGKILL")
    assert "Nothing of InService sent SIGKILL" in said


def test_the_newest_lines_that_fit_are_told_and_the_hint_always() -> None:
    said = reason(gone(*(f"line {n} " + "x" * 60 for n in range(100)), exit_code=1))
    assert len(said) <= REASON_CHARACTERS_MAX
    assert said.index("Hint: ") < said.index("Last output: ")
    assert "line 99 " in said
    assert "line 0 " not in said


@pytest.mark.parametrize("length", [100, 1_000, 20_000])
def test_no_text_of_a_model_makes_a_reason_too_long(length: int) -> None:
    for lines in (("x" * length,), (f"ValueError: {'y' * length}",), ("z" * 9,) * length):
        for sight in (gone(*lines, exit_code=1), starting(*lines)):
            assert len(reason(sight)) <= REASON_CHARACTERS_MAX
            assert len(died(sight, variant="v" * 63, instance_id="i" * 99)) <= REASON_CHARACTERS_MAX
            assert len(ill(sight)) <= REASON_CHARACTERS_MAX
            assert len(briefly(sight)) <= BRIEF_CHARACTERS_MAX
            assert len(waiting(sight) or "") <= 2 * BRIEF_CHARACTERS_MAX


def test_an_instance_that_had_served_did_not_fail_to_start() -> None:
    said = died(gone("bye", exit_code=3, ready_at=5.0), variant="v", instance_id="f/0")
    assert said.startswith(
        "Instance f/0 of production variant v was lost while it served. It exited with code 3. "
    )
    assert said.endswith('Last output: "bye".')


def test_what_a_model_that_loads_said_last() -> None:
    assert in_a_line(starting("loading", "weights", "")) == "weights"
    assert in_a_line(starting()) == ""
    assert waiting(starting("loading weights", "")) == 'waiting: last line "loading weights"'
    assert waiting(starting()) is None


def test_what_is_known_of_one_that_is_ill() -> None:
    probe = Probe(40.0, "timed out", 2000.0, tries=15, seconds=30.0)
    sight = Sight(InstanceState.UNHEALTHY, ready_at=1.0, last_lines=("gc", ""), probes=(probe,))
    said = ill(sight)
    assert "Pings: no answer to 15 pings in 30.0 s: timed out." in said
    assert said.endswith('Last output: "gc".')
