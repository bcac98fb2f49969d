"""What an instance sees of the GPUs, whatever it asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.placement.visible import CUDA, NVIDIA, environment

OWN = ("GPU-aaa1", "GPU-bbb2")
SLICE = ("MIG-ccc3",)


def test_it_sees_its_own_by_uuid() -> None:
    assert environment({}, OWN) == {CUDA: "GPU-aaa1,GPU-bbb2", NVIDIA: "GPU-aaa1,GPU-bbb2"}
    assert environment({"A": "b"}, SLICE) == {"A": "b", CUDA: "MIG-ccc3", NVIDIA: "MIG-ccc3"}
    assert environment({}, ()) == {CUDA: "", NVIDIA: "void"}


@pytest.mark.parametrize(
    ("asked", "seen"),
    [
        ("0", "GPU-aaa1"),
        ("1", "GPU-bbb2"),
        (" 1 , 0 ", "GPU-bbb2,GPU-aaa1"),
        ("2", ""),  # of this host, perhaps, but of no instance of this type
        ("1,7,0", "GPU-bbb2"),
        ("0,0", ""),
        ("-1", ""),
        ("", ""),
        ("NoDevFiles", ""),
        ("all", ""),
        ("GPU-bbb", "GPU-bbb2"),
        ("GPU-", ""),  # of both
        ("GPU-ddd4", ""),  # somebody else's
        ("GPU-aaa1,GPU-ddd4", "GPU-aaa1"),
        ("99999999999999999999999", ""),
        ("²", ""),
    ],
)
def test_what_it_asks_for_is_meant_of_its_own(asked: str, seen: str) -> None:
    """As on AWS, where it would have no other. CUDA stops at the first that is none."""
    told = environment({CUDA: asked, NVIDIA: "all"}, OWN)
    assert (told[CUDA], told[NVIDIA]) == (seen, ",".join(OWN))


@given(st.text(max_size=40), st.sampled_from([(), OWN, SLICE]))
def test_no_word_shows_it_another_one(asked: str, devices: tuple[str, ...]) -> None:
    seen = environment({CUDA: asked}, devices)[CUDA]
    assert set(filter(None, seen.split(","))) <= set(devices)
