"""The product's evaluator and the naive one, over policies and requests that are made to meet."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.core.identity import naive, soak
from tests.core.identity.generated import case
from tests.depth import examples


@st.composite
def cases(draw: st.DrawFn) -> naive.Case:
    """One that Hypothesis can shrink."""
    return case(lambda options: draw(st.sampled_from(options)))


@settings(max_examples=examples(300), deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_both_decide_alike_and_for_the_same_reason(one: naive.Case) -> None:
    assert soak.agreed(one, "this") == naive.decide(one)


def test_the_cases_reach_every_step_of_the_decision() -> None:
    """Else that both agree would say little."""
    seen = {soak.compare(seed) for seed in range(1500)}
    types = ("identity", "resource", "boundary", "session", "trust")
    assert seen >= {
        *(("explicitDeny", by) for by in types),
        *(("implicitDeny", by) for by in types),
        *(("allowed", by) for by in ("", "identity", "resource", "trust")),
    }


def test_a_seed_gives_the_same_case_again() -> None:
    assert case(random.Random(7).choice) == case(random.Random(7).choice)
