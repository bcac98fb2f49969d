"""The choice of an instance: shares, strategies, and what happens when a fleet has nobody."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inservice.routing.choose import NoSuchVariant, Outstanding, choose
from inservice.routing.table import WHOLE, EndpointRoute, FleetRoute, InstanceRoute


def fleet(
    name: str, share: int, instances: int, *, variant: str = "", strategy: str = "RANDOM"
) -> FleetRoute:
    ready = tuple(InstanceRoute(f"{name}/{i}", f"unix:/{name}/{i}") for i in range(instances))
    return FleetRoute(name, variant or name, "config", share, strategy, ready)


def endpoint(*fleets: FleetRoute) -> EndpointRoute:
    return EndpointRoute("000000000000", "us-east-1", "e", fleets)


def grid(count: int) -> Iterator[float]:
    """Draws that cover [0, 1) evenly, so that a share can be counted instead of estimated."""
    return ((i + 0.5) / count for i in range(count))


def busy_with(counts: dict[str, int]) -> Outstanding:
    """So many invocations under way at each."""
    outstanding = Outstanding()
    for instance_id, count in counts.items():
        for _ in range(count):
            outstanding.begun(instance_id)
    return outstanding


def chosen_of(*route: Any, **how: Any) -> tuple[FleetRoute, InstanceRoute]:
    """What is chosen where something has to be."""
    choice = choose(*route, **how)
    assert choice is not None
    return choice


@st.composite
def routes(draw: st.DrawFn) -> EndpointRoute:
    borders = sorted(draw(st.lists(st.integers(0, WHOLE), min_size=0, max_size=4)))
    shares = [b - a for a, b in zip([0, *borders], [*borders, WHOLE], strict=True)]
    strategy = st.sampled_from(["RANDOM", "LEAST_OUTSTANDING_REQUESTS"])
    return endpoint(
        *(
            fleet(f"f{i}", share, draw(st.integers(0, 4)), strategy=draw(strategy))
            for i, share in enumerate(shares)
        )
    )


class TestShares:
    @settings(max_examples=20)
    @given(st.integers(1, WHOLE - 1))
    def test_a_fleet_gets_exactly_its_basis_points(self, share: int) -> None:
        route = endpoint(fleet("old", WHOLE - share, 1), fleet("new", share, 1))
        chosen = Counter(
            chosen_of(route, draw, outstanding=Outstanding())[0].fleet for draw in grid(WHOLE)
        )
        assert chosen["new"] == share

    def test_a_share_of_zero_is_never_drawn(self) -> None:
        route = endpoint(fleet("old", WHOLE, 1), fleet("new", 0, 1))
        assert {chosen_of(route, d, outstanding=Outstanding())[0].fleet for d in grid(500)} == {
            "old"
        }
        assert chosen_of(route, 1 - 2**-53, outstanding=Outstanding())[0].fleet == "old"

    def test_instances_of_a_fleet_share_evenly(self) -> None:
        route = endpoint(fleet("a", 2_500, 5), fleet("b", 7_500, 3))
        chosen = Counter(chosen_of(route, d, outstanding=Outstanding())[1].id for d in grid(12_000))
        assert {n for i, n in chosen.items() if i.startswith("a")} == {600}
        assert {n for i, n in chosen.items() if i.startswith("b")} == {3_000}

    def test_random_draws_stay_within_binomial_bounds(self) -> None:
        random.seed(7)
        route = endpoint(fleet("old", 9_000, 2), fleet("new", 1_000, 2))
        count = 20_000
        new = sum(
            chosen_of(route, random.random(), outstanding=Outstanding())[0].fleet == "new"
            for _ in range(count)
        )
        expected, deviation = count * 0.1, float(Fraction(count) * Fraction(9, 100)) ** 0.5
        assert abs(new - expected) < 4 * deviation


class TestSafety:
    @given(routes(), st.floats(0, 1, exclude_max=True), st.data())
    def test_only_instances_of_the_table_that_are_not_avoided(
        self, route: EndpointRoute, draw: float, data: st.DataObject
    ) -> None:
        everybody = [i.id for f in route.fleets for i in f.instances]
        avoid = set(data.draw(st.lists(st.sampled_from(everybody)))) if everybody else set()
        busy = busy_with({i: data.draw(st.integers(0, 3)) for i in everybody})
        choice = choose(route, draw, outstanding=busy, avoid=avoid)
        if choice is None:
            assert set(everybody) <= avoid
        else:
            chosen_fleet, instance = choice
            assert instance in chosen_fleet.instances
            assert chosen_fleet in route.fleets
            assert instance.id not in avoid

    def test_a_dead_fleet_spills_to_any_ready_instance_of_the_endpoint(self) -> None:
        route = endpoint(fleet("new", WHOLE, 0), fleet("old", 0, 2))
        chosen = Counter(chosen_of(route, d, outstanding=Outstanding())[1].id for d in grid(1_000))
        assert chosen == {"old/0": 500, "old/1": 500}

    def test_nobody_ready_is_said_and_not_raised(self) -> None:
        assert choose(endpoint(fleet("a", WHOLE, 0)), 0.5, outstanding=Outstanding()) is None


class TestTargetVariant:
    def test_it_overrides_the_weights(self) -> None:
        route = endpoint(fleet("a", WHOLE, 1), fleet("b", 0, 1))
        assert chosen_of(route, 0.1, target_variant="b", outstanding=Outstanding())[0].fleet == "b"

    def test_shares_of_one_variants_fleets_still_count(self) -> None:
        route = endpoint(
            fleet("other", 6_000, 1),
            fleet("old", 3_000, 1, variant="v"),
            fleet("new", 1_000, 1, variant="v"),
        )
        chosen = Counter(
            chosen_of(route, d, target_variant="v", outstanding=Outstanding())[0].fleet
            for d in grid(400)
        )
        assert chosen == {"old": 300, "new": 100}

    def test_it_never_spills_to_another_variant(self) -> None:
        route = endpoint(fleet("a", WHOLE, 1), fleet("b", 0, 0))
        assert choose(route, 0.1, target_variant="b", outstanding=Outstanding()) is None

    def test_an_unknown_one_is_an_error(self) -> None:
        with pytest.raises(NoSuchVariant):
            choose(
                endpoint(fleet("a", WHOLE, 1)), 0.1, target_variant="A", outstanding=Outstanding()
            )


class TestLeastOutstanding:
    route = endpoint(fleet("a", WHOLE, 3, strategy="LEAST_OUTSTANDING_REQUESTS"))

    def test_the_least_busy_takes_it(self) -> None:
        busy = busy_with({"a/0": 2, "a/1": 1, "a/2": 2})
        assert {chosen_of(self.route, d, outstanding=busy)[1].id for d in grid(50)} == {"a/1"}

    def test_equals_share_evenly(self) -> None:
        busy = busy_with({"a/0": 1, "a/1": 1, "a/2": 4})
        chosen = Counter(chosen_of(self.route, d, outstanding=busy)[1].id for d in grid(100))
        assert chosen == {"a/0": 50, "a/1": 50}

    @given(st.data())
    def test_it_is_who_a_plain_scan_finds(self, data: st.DataObject) -> None:
        """The scan is the second implementation: over any invocations that begin and end, over
        fleets that grow and shrink meanwhile, and whoever is avoided."""
        outstanding, counts = Outstanding(), Counter[str]()
        now = fleet("a", WHOLE, 4, strategy="LEAST_OUTSTANDING_REQUESTS")
        for _ in range(data.draw(st.integers(0, 60), label="steps")):
            match data.draw(st.sampled_from(["begin", "end", "resize", "ask", "forget"])):
                case "begin":
                    one = data.draw(st.sampled_from(now.instances)).id
                    counts[one] += 1
                    assert outstanding.begun(one) == counts[one]
                case "end" if busy := sorted(i for i in counts if counts[i]):
                    one = data.draw(st.sampled_from(busy))
                    counts[one] -= 1
                    assert outstanding.ended(one) == counts[one]
                case "resize":
                    some = data.draw(st.sets(st.integers(0, 7), min_size=1))
                    ready = tuple(InstanceRoute(f"a/{i}", f"unix:/a/{i}") for i in sorted(some))
                    now = replace(now, instances=ready)
                case "forget":
                    outstanding.retain({i.id for i in now.instances})
                case _:
                    ids = [i.id for i in now.instances]
                    avoid = set(data.draw(st.lists(st.sampled_from(ids))))
                    free = [i for i in now.instances if i.id not in avoid]
                    least = min((counts[i.id] for i in free), default=0)
                    wanted = {i.id for i in free if counts[i.id] == least}
                    assert {i.id for i in outstanding.fewest(now, avoid)} == wanted
            assert {i: outstanding.get(i) for i in outstanding} == {
                i: n for i, n in counts.items() if n
            }

    def test_to_choose_costs_the_same_among_64_as_among_two(self) -> None:
        """Counted in levels touched: each beginning and end moves one instance by one level. What a
        worker learns of a fleet that is new to it is read once."""

        def looked_at(size: int) -> int:
            many = fleet("a", WHOLE, size, strategy="LEAST_OUTSTANDING_REQUESTS")
            outstanding, seen = Outstanding(), Watched(many.instances)
            route = endpoint(replace(many, instances=seen))
            outstanding.fewest(route.fleets[0])
            learnt = seen.read
            for draw in grid(100):
                _, instance = chosen_of(route, draw, outstanding=outstanding)
                outstanding.begun(instance.id)
                outstanding.ended(instance.id)
            return seen.read - learnt

        assert looked_at(64) == looked_at(2)


class Watched(tuple):  # type: ignore[type-arg]  # noqa: SLOT001 - it has a count of its own
    """A fleet's instances, which count how many of them were read one after the other."""

    read = 0

    def __iter__(self) -> Iterator[Any]:
        for one in super().__iter__():
            self.read += 1
            yield one
