"""Pages of a listing, beside a listing that looks at everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from inservice.objects.listing import PEEK, Cursor, page, successor

CHARACTERS = "a/bä￿😀\0"
KEYS = st.lists(st.text(CHARACTERS, min_size=1, max_size=6), unique=True, max_size=60)
TEXT = st.text(CHARACTERS, max_size=3)


def cursor_over(keys: Sequence[bytes]) -> Cursor[bytes]:
    ordered = sorted(keys)
    return lambda place: ((key, key) for key in ordered if key >= place)


def naive(keys: Sequence[bytes], prefix: bytes, delimiter: bytes) -> list[bytes]:
    """All keys and common prefixes, each once, in their order."""
    told: list[bytes] = []
    for key in sorted(keys):
        if key.startswith(prefix):
            rest = key[len(prefix) :]
            cut = rest.find(delimiter) if delimiter else -1
            name = key if cut < 0 else prefix + rest[:cut] + delimiter
            if not told or told[-1] != name:
                told.append(name)
    return told


@given(KEYS, TEXT, TEXT, st.integers(1, 8))
def test_pages_after_each_other_tell_everything_once(
    keys: list[str], prefix: str, delimiter: str, most: int
) -> None:
    asked = {"prefix": prefix.encode(), "delimiter": delimiter.encode()}
    there = [key.encode() for key in keys]
    told: list[bytes] = []
    after = b""
    while True:
        cut = page(cursor_over(there), after=after, most=most, **asked)
        names = sorted((*cut.rows, *cut.prefixes))
        assert len(names) == most or not cut.truncated
        assert cut.last == (names[-1] if names else b"")
        told += names
        if not cut.truncated:
            break
        after = cut.last
    assert told == naive(there, **asked)


@given(KEYS, TEXT, TEXT, TEXT)
def test_after_any_text_what_follows_it_is_told(
    keys: list[str], prefix: str, delimiter: str, after: str
) -> None:
    asked = {"prefix": prefix.encode(), "delimiter": delimiter.encode()}
    there = [key.encode() for key in keys]
    place = after.encode()
    following = [key for key in there if key > place]
    rest = place.removeprefix(prefix.encode())
    is_common = (
        delimiter and place.startswith(prefix.encode()) and rest.endswith(delimiter.encode())
    )
    if is_common and rest.find(delimiter.encode()) == len(rest) - len(delimiter.encode()):
        following = [key for key in following if not key.startswith(place)]
    cut = page(cursor_over(there), after=place, most=1000, **asked)
    assert sorted((*cut.rows, *cut.prefixes)) == naive(following, **asked)
    assert not cut.truncated


@given(st.lists(st.integers(1, 40), min_size=1, max_size=20), st.integers(1, 25))
def test_what_is_rolled_up_costs_nothing(sizes: list[int], most: int) -> None:
    """The rows that are taken from the cursor are as many as the page tells of, not as many as
    there are below its prefixes."""
    keys = [b"%04d/%04d" % (n, k) for n, size in enumerate(sizes) for k in range(size * 100)]
    taken = 0

    def cursor(place: bytes) -> Iterator[tuple[bytes, bytes]]:
        nonlocal taken
        for key in keys[next((n for n, key in enumerate(keys) if key >= place), len(keys)) :]:
            taken += 1
            yield key, key

    cut = page(cursor, prefix=b"", delimiter=b"/", after=b"", most=most)
    assert len(cut.prefixes) == min(most, len(sizes))
    assert taken <= (len(cut.prefixes) + 1) * (PEEK + 2)


def test_no_entry_and_nothing_asked_for() -> None:
    nothing = page(cursor_over([]), prefix=b"a", delimiter=b"/", after=b"", most=10)
    assert (nothing.rows, nothing.prefixes, nothing.truncated, nothing.last) == ((), (), False, b"")
    none = page(cursor_over([b"a"]), prefix=b"", delimiter=b"", after=b"", most=0)
    assert (none.rows, none.truncated) == ((), False)


@given(st.binary(max_size=4), st.binary(max_size=4))
def test_the_successor_is_behind_all_that_begin_so(prefix: bytes, rest: bytes) -> None:
    behind = successor(prefix)
    if behind is None:
        assert set(prefix) <= {0xFF}
        return
    assert prefix + rest < behind
    between = (bytes([byte]) for byte in range(256))
    assert not [k for k in between if prefix <= k < behind and not k.startswith(prefix)]
