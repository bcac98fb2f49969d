"""What holds for every plan: nothing bad is written into a table, and every table arrives.

The engine that walks the tables is put to the test in tests/simulation.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.deployment.makers import fleet_of
from tests.depth import examples

from inservice.deployment.plan import (
    Change,
    Doing,
    Plan,
    Step,
    all_at_once,
    apportion,
    batches,
    canary,
    creation,
    linear,
    rolling,
    scaling,
    way_back,
)
from inservice.deployment.policy import CapacitySize, CapacitySizeType
from inservice.hosting.fleet import Fleet
from inservice.routing.table import WHOLE

few = settings(max_examples=examples(60), deadline=None)  # a loaded machine is not a failure

counts = st.integers(1, 12)
weights = st.fractions(Fraction(1, 100), 100)
percents = st.builds(CapacitySize, st.just(CapacitySizeType.CAPACITY_PERCENT), st.integers(1, 100))
sizes = percents | st.builds(
    CapacitySize, st.just(CapacitySizeType.INSTANCE_COUNT), st.integers(1, 12)
)
waits = st.sampled_from([0, 10])


@st.composite
def changes(draw: st.DrawFn, variants_max: int = 4) -> Change:
    """An update of one to several variants, each of its own size and weight on both sides."""
    names = [f"v{n}" for n in range(draw(st.integers(1, variants_max)))]

    def side(prefix: str) -> tuple[Fleet, ...]:
        return tuple(
            fleet_of(f"{prefix}-{name}", draw(counts), draw(weights), name) for name in names
        )

    return Change(side("old"), side("new"))


@st.composite
def updates(draw: st.DrawFn) -> tuple[Change, Plan]:
    """An update by any strategy."""
    kind = draw(st.sampled_from(["all", "canary", "linear", "rolling"]))
    change = draw(changes(1 if kind == "rolling" else 4))
    size, bake, wait = draw(sizes), draw(waits), draw(waits)
    if kind == "all":
        return change, all_at_once(change, wait_seconds=wait)
    if kind == "canary":
        return change, canary(change, size=size, bake_seconds=bake, wait_seconds=wait)
    if kind == "linear":
        return change, linear(change, step=size, bake_seconds=bake, wait_seconds=wait)
    return change, rolling(change, batch=size, bake_seconds=bake)


@st.composite
def returns(draw: st.DrawFn) -> tuple[Change, Plan, Plan]:
    """An update, and the way back from any of its rows."""
    change, plan = draw(updates())
    here = draw(st.sampled_from(plan))
    batch = draw(st.none() | sizes)
    return change, plan, way_back(change, sizes=here.sizes, shares=here.shares, batch=batch)


def new_shares(change: Change, plan: Plan) -> Iterator[int]:
    new = {fleet.id for fleet in change.new}
    for step in plan:
        yield sum(share for fleet, share in step.shares.items() if fleet in new)


def traffic(step: Step) -> dict[str, int]:
    """Who has traffic; a fleet that only stands by has none."""
    return {fleet: share for fleet, share in step.shares.items() if share}


class TestSafety:
    """Nothing bad is ever written into a table."""

    @few
    @given(returns())
    def test_shares_sum_to_the_whole_and_none_is_negative(
        self, drawn: tuple[Change, Plan, Plan]
    ) -> None:
        _, forward, back = drawn
        for step in (*forward, *back):
            assert sum(step.shares.values()) == WHOLE
            assert min(step.shares.values()) >= 0

    @few
    @given(returns())
    def test_a_fleet_with_traffic_has_instances(self, drawn: tuple[Change, Plan, Plan]) -> None:
        _, forward, back = drawn
        for step in (*forward, *back):
            for fleet in step.shares:
                assert step.sizes[fleet] >= 1

    @few
    @given(returns())
    def test_no_row_changes_traffic_and_capacity_at_once(
        self, drawn: tuple[Change, Plan, Plan]
    ) -> None:
        _, forward, back = drawn
        for plan in (forward, back):
            for before, after in pairwise(plan):
                assert traffic(before) == traffic(after) or before.sizes == after.sizes

    @few
    @given(updates())
    def test_the_new_share_only_grows(self, drawn: tuple[Change, Plan]) -> None:
        change, plan = drawn
        shares = list(new_shares(change, plan))
        assert shares == sorted(shares)

    @few
    @given(returns())
    def test_the_new_share_only_shrinks_on_the_way_back(
        self, drawn: tuple[Change, Plan, Plan]
    ) -> None:
        change, _, back = drawn
        shares = list(new_shares(change, back))
        assert shares == sorted(shares, reverse=True)

    @few
    @given(returns())
    def test_capacity_is_never_less_than_the_whole_of_one_side(
        self, drawn: tuple[Change, Plan, Plan]
    ) -> None:
        change, forward, back = drawn
        for step in (*forward, *(back if len(change.old) == 1 else ())):
            for old, new in zip(change.old, change.new, strict=True):
                old_part = Fraction(step.sizes[old.id], old.size)
                assert old_part + Fraction(step.sizes[new.id], new.size) >= 1

    @few
    @given(changes(1), sizes, waits)
    def test_rolling_takes_one_batch_of_extra_capacity(
        self, change: Change, batch: CapacitySize, bake: int
    ) -> None:
        old, new = change.old[0].size, change.new[0].size
        extra = batch.instances(new, 50)
        for step in rolling(change, batch=batch, bake_seconds=bake):
            assert sum(step.sizes.values()) <= max(old, new) + extra

    @few
    @given(changes(), sizes, waits)
    def test_a_canary_by_percentage_is_at_most_half_of_more_than_one_instance(
        self, change: Change, size: CapacitySize, bake: int
    ) -> None:
        for fleet in change.new:
            if size.type is CapacitySizeType.CAPACITY_PERCENT and fleet.size > 1:
                assert size.instances(fleet.size, 50) * 2 <= fleet.size

    @few
    @given(updates())
    def test_blue_green_keeps_the_old_fleets_whole_until_the_last_row(
        self, drawn: tuple[Change, Plan]
    ) -> None:
        change, plan = drawn
        if Doing.DELETING in [step.doing for step in plan[:-1]]:
            return  # rolling
        for step in plan[:-1]:
            assert all(step.sizes[fleet.id] == fleet.size for fleet in change.old)


class TestLiveness:
    """Every table arrives where it goes."""

    @few
    @given(updates())
    def test_an_update_ends_on_the_new_fleets_whole_and_alone(
        self, drawn: tuple[Change, Plan]
    ) -> None:
        change, plan = drawn
        last = plan[-1]
        assert last.shares == change.shares(change.all_moved(Fraction(1)))
        assert {f.id: f.size for f in change.new} | {f.id: 0 for f in change.old} == last.sizes

    @few
    @given(returns())
    def test_a_rollback_ends_on_the_old_fleets_whole_and_alone(
        self, drawn: tuple[Change, Plan, Plan]
    ) -> None:
        change, _, back = drawn
        last = back[-1]
        assert last.shares == change.shares(change.all_moved(Fraction(0)))
        assert {f.id: f.size for f in change.old} | {f.id: 0 for f in change.new} == last.sizes

    @few
    @given(changes())
    def test_a_creation_has_everything_ready_before_any_traffic(self, change: Change) -> None:
        first, last = creation(change.new)
        assert first.shares == {}
        assert all(want.ready == want.size for want in (*first.wants, *last.wants))
        assert sum(last.shares.values()) == WHOLE

    @few
    @given(changes(), st.data())
    def test_scaling_grows_before_it_weighs_and_shrinks_last(
        self, change: Change, data: st.DataObject
    ) -> None:
        wished = tuple(
            Fleet(f.id, f.config_name, f.variant, None, data.draw(counts), data.draw(weights))
            for f in change.old
        )
        plan = scaling(change.old, wished)
        assert plan[-1].sizes == {f.id: f.size for f in wished}
        assert plan[-1].shares == Change((), wished).shares(change.all_moved(Fraction(1)))
        for step in plan[:-1]:
            assert all(step.sizes[f.id] >= f.size for f in change.old)


class TestArithmetic:
    """Rounding happens in two places, and both are exact."""

    @settings(max_examples=examples(500), deadline=None)
    @given(percents, st.integers(1, 500), st.sampled_from([50, 100]))
    def test_a_percentage_is_at_least_one_and_within_its_limit(
        self, size: CapacitySize, total: int, percent_max: int
    ) -> None:
        count = size.instances(total, percent_max)
        assert 1 <= count <= total
        assert count == 1 or count * 100 <= total * percent_max

    def test_every_percentage_of_fleets_up_to_500_is_within_half_an_instance(self) -> None:
        for total in range(1, 501, 7):
            for percent in range(1, 51):
                count = CapacitySize(CapacitySizeType.CAPACITY_PERCENT, percent).instances(
                    total, 50
                )
                exact = Fraction(total * percent, 100)
                assert count == 1 or abs(count - exact) <= Fraction(1, 2)

    @few
    @given(st.integers(1, 500), st.integers(1, 500))
    def test_batches_cover_everything_and_none_is_too_large(self, total: int, size: int) -> None:
        after = [0, *batches(total, size)]
        assert after[-1] == total
        assert all(0 < b - a <= size for a, b in pairwise(after))

    @few
    @given(st.dictionaries(st.text(max_size=3), weights, min_size=1, max_size=9))
    def test_apportioning_is_exact_and_fair(self, parts: dict[str, Fraction]) -> None:
        shares = apportion(parts)
        total = sum(parts.values())
        assert sum(shares.values()) == WHOLE
        assert all(abs(shares[k] - part * WHOLE / total) < 1 for k, part in parts.items())
