"""Whether an instance finds a place, and the words where it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.hosting.instance_types import instance_types, resources_of
from inservice.hosting.resources import GIB
from inservice.placement.host import Claim, Device, Host, Limits, Sharing, used
from inservice.placement.place import INSUFFICIENT, NoRoom, Rules, place
from inservice.placement.warned import over, warnings

TWO = Host(8, 32 * GIB, (Device("GPU-a"), Device("GPU-b")))
NONE = Host(8, 32 * GIB)
ENFORCED = Rules(Limits.ENFORCED)


def of(
    name: str, instance_type: str = "ml.g5.xlarge", *devices: str, account: str = "1", n: int = 0
) -> Claim:
    endpoint, _, variant = name.partition("/")
    resources = resources_of(instance_type)
    return Claim(f"{endpoint}-1-{variant}/{n}", account, endpoint, variant, resources, devices)


def refused(found: Claim | NoRoom) -> str:
    assert isinstance(found, NoRoom)
    assert found.reason == f"{INSUFFICIENT} {found.why}"
    return found.why


def test_an_instance_has_its_gpu_for_itself() -> None:
    first = place(TWO, [], of("digits/a"), Rules())
    assert first == of("digits/a", "ml.g5.xlarge", "GPU-a")
    assert isinstance(first, Claim)
    second = place(TWO, [first], of("words/b"), Rules())
    assert second == of("words/b", "ml.g5.xlarge", "GPU-b")


def test_none_free_says_who_has_them() -> None:
    held = [of("digits/AllTraffic", "ml.g5.xlarge", uuid, n=n) for n, uuid in enumerate("ab")]
    held = [replace(each, devices=(f"GPU-{each.devices[0]}",)) for each in held]
    assert refused(place(TWO, held, of("words/b"), Rules())) == (
        "An ml.g5.xlarge has 1 GPU for itself: 2 of 2 GPUs are held by digits/AllTraffic (2)."
    )
    one = Host(8, GIB, (Device("GPU-a"),))
    assert refused(place(one, held[:1], of("words/b"), Rules())) == (
        "An ml.g5.xlarge has 1 GPU for itself: 1 of 1 GPU is held by digits/AllTraffic."
    )


def test_what_another_account_has_is_not_told_by_name() -> None:
    held = [of("secret/x", "ml.g5.xlarge", "GPU-a", account="2")]
    why = refused(place(replace(TWO, devices=TWO.devices[:1]), held, of("mine/y"), Rules()))
    assert "another account" in why
    assert "secret" not in why


def test_a_reason_fits_however_many_hold_something() -> None:
    devices = tuple(Device(f"GPU-{n}") for n in range(60))
    held = [of(f"{'e' * 63}{n:03}/{'v' * 60}", "ml.g5.xlarge", f"GPU-{n}") for n in range(60)]
    found = place(Host(8, GIB, devices), held, of("words/b"), Rules())
    assert isinstance(found, NoRoom)
    assert len(found.reason) <= 1024
    assert "56 more" in found.why


def test_more_than_the_host_has_is_refused_for_what_it_is() -> None:
    assert refused(place(TWO, [], of("d/a", "ml.g5.12xlarge"), Rules())) == (
        "An ml.g5.12xlarge has 4 GPUs for itself, and this host has 2."
    )


def test_an_instance_that_may_run_keeps_what_it_has() -> None:
    """It is launched again after a death, or found running by the next control."""
    own = of("digits/a", "ml.g5.xlarge", "GPU-b")
    assert place(TWO, [own], of("digits/a"), Rules()) == own
    gone = replace(own, devices=("GPU-that-was-taken-out",))
    assert place(TWO, [gone], of("digits/a"), Rules()) == replace(own, devices=("GPU-a",))


def test_without_a_gpu_it_runs_on_the_cpu_unless_types_are_enforced() -> None:
    for instance_type in ("ml.g5.xlarge", "ml.inf2.xlarge"):
        asked = of("d/a", instance_type)
        assert place(NONE, [], asked, Rules()) == asked
        assert place(NONE, [], asked, Rules(Limits.SOFT)) == asked
        assert "this host has no" in refused(place(NONE, [], asked, ENFORCED))


def test_a_host_that_cannot_tell_its_gpus_gives_none_out() -> None:
    blind = replace(NONE, blind="the driver is not well")
    assert "the driver is not well" in refused(place(blind, [], of("d/a"), Rules()))
    assert place(blind, [], of("d/a", "ml.m5.large"), Rules()) == of("d/a", "ml.m5.large")


def test_shared_gives_nothing_to_anybody_alone() -> None:
    shared = Rules(sharing=Sharing.SHARED)
    held = [of("d/a", "ml.g5.xlarge", "GPU-a"), of("d/b", "ml.g5.xlarge", "GPU-b")]
    assert place(TWO, held, of("d/c"), shared) == of("d/c")


def test_enforced_refuses_what_does_not_fit() -> None:
    held = [of("d/a", "ml.m5.xlarge")]  # 4 of 8 vCPUs, 16 of 32 GiB
    assert place(NONE, held, of("d/b", "ml.m5.xlarge"), ENFORCED) == of("d/b", "ml.m5.xlarge")
    assert refused(place(NONE, held, of("d/b", "ml.c5.2xlarge"), ENFORCED)) == (
        "An ml.c5.2xlarge has 8 vCPUs, and of the 8 of this host 4 are held "
        "(INSERVICE_LIMITS=enforced)."
    )
    assert refused(place(NONE, held, of("d/b", "ml.r5.xlarge"), ENFORCED)) == (
        "An ml.r5.xlarge has 32 GiB of memory, and of the 32 GiB of this host 16 GiB are held "
        "(INSERVICE_LIMITS=enforced)."
    )
    own = of("d/a", "ml.m5.2xlarge")  # all of the host, and its own already
    assert place(NONE, [own], own, ENFORCED) == own
    for rules in (Rules(), Rules(Limits.SOFT)):
        assert place(NONE, held, of("d/b", "ml.c5.2xlarge"), rules)


CHANGES = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from(sorted(instance_types())), st.booleans()),
    max_size=40,
)


@pytest.mark.parametrize("limits", Limits)
@given(changes=CHANGES)
def test_no_device_is_ever_in_two_claims(
    limits: Limits, changes: list[tuple[int, str, bool]]
) -> None:
    host = Host(64, 256 * GIB, tuple(Device(f"GPU-{n}") for n in range(9)))
    claims: dict[str, Claim] = {}
    for number, instance_type, leaves in changes:
        wanted = of("e/v", instance_type, n=number)
        claims.pop(wanted.instance_id, None) if leaves else None
        found = place(host, list(claims.values()), wanted, Rules(limits))
        if isinstance(found, Claim):
            assert len(found.devices) == wanted.resources.gpus
            claims[wanted.instance_id] = found
        held = [uuid for claim in claims.values() for uuid in claim.devices]
        assert len(set(held)) == len(held)
        if limits is Limits.ENFORCED:
            holding = used(list(claims.values()))
            assert holding.vcpus <= host.vcpus
            assert holding.memory_bytes <= host.memory_bytes


def test_soft_warns_of_what_is_beyond_the_host() -> None:
    soft, asked = Rules(Limits.SOFT), [resources_of("ml.m5.2xlarge")] * 2
    assert list(warnings(NONE, [of("d/a", "ml.m5.xlarge")], asked, soft)) == [
        "The instances of this host have 20 vCPUs by their types, and the host has 8.",
        "The instances of this host have 80 GiB of memory by their types, and the host has 32 GiB.",
    ]
    assert not list(warnings(NONE, [], asked[:1], soft))
    assert not list(warnings(NONE, [], asked, Rules()))
    assert len(list(over(NONE, [of("d/a", "ml.m5.24xlarge")]))) == 2


def test_a_gpu_type_without_a_gpu_is_said_beforehand() -> None:
    asked = [resources_of("ml.g5.xlarge")] * 3 + [resources_of("ml.inf2.xlarge")]
    assert list(warnings(NONE, [], asked, Rules())) == [
        (
            "An ml.g5.xlarge has 1 A10G on AWS, and this host has no GPU: its instances run on the "
            "CPU."
        ),
        (
            "An ml.inf2.xlarge has 1 Inferentia2 on AWS, and this host has no Inferentia2 "
            "accelerator: its instances run on the CPU."
        ),
    ]
    assert len(list(warnings(TWO, [], asked[1:], Rules()))) == 1
    (short, _) = warnings(TWO, [], asked, Rules())
    assert short == (
        "At the most 3 GPUs are needed at a time, and of the 2 of this host 2 are free for that: "
        "what finds none is not started."
    )
    assert not list(warnings(NONE, [], asked, ENFORCED))
