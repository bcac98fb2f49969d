"""The routing table on disk, cut off and damaged at any byte: what is read was published once."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inservice.channel.table_file import TableFile
from inservice.channel.tables import Delta, encode_table, table_after
from inservice.routing.table import EndpointRoute, FleetRoute, InstanceRoute, KeyRoute, RoutingTable


def route(name: str, life: int) -> EndpointRoute:
    instance = InstanceRoute(f"{name}-1-v/0", f"unix:/{name}/{life}")
    return EndpointRoute(
        "0", "r", name, (FleetRoute(f"{name}-1-v", "v", "c", 10_000, "RANDOM", (instance,)),)
    )


def next_delta(table: RoutingTable, name: str, life: int) -> Delta:
    after = table.version
    if name == "keys":
        return Delta(after, after + 2, keys=(KeyRoute(str(life), "s", "0", "arn"),))
    if name == "a key":
        gone = {str(other): None for other in range(life)}
        there = KeyRoute(str(life), "s", "0", "arn")
        return Delta(after, after + 2, key_changes={**gone, there.id: there})
    key = ("0", "r", name)
    return Delta(after, after + 2, endpoint=key, route=route(name, life) if life else None)


STEPS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "keys", "a key", "fold"]), st.integers(0, 3)), min_size=1
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS, data=st.data())
def test_whatever_is_cut_off_what_is_left_was_published(
    tmp_path: Path, steps: list[tuple[str, int]], data: st.DataObject
) -> None:
    path = tmp_path / "routes.json"
    table = RoutingTable(1, {}, {})
    file = TableFile(path)
    file.replace(encode_table(table), 1)
    published = [table]
    for name, life in steps:
        if name == "fold":
            file.replace(encode_table(table), table.version)
            continue
        delta = next_delta(table, name, life)
        table = table_after(table, [delta])
        file.append(delta, table)
        published.append(table)
        assert TableFile(path).read() == table
    journal = path.with_suffix(".journal")
    whole = journal.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    damage = data.draw(st.sampled_from([b"", b"\0", b"{}\n", b"\n", b"[[[["]))
    journal.write_bytes(whole[:cut] + damage)
    assert TableFile(path).read() in published


def test_a_reader_between_two_steps_of_a_fold_is_not_misled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after each step of writing a snapshot: the table is the one that was published."""
    path = tmp_path / "routes.json"
    table = RoutingTable(1, {}, {})
    file = TableFile(path)
    file.replace(encode_table(table), 1)
    for life in (1, 2, 3):
        delta = next_delta(table, "a", life)
        table = table_after(table, [delta])
        file.append(delta, table)
    renamed = Path.replace

    def looked_at(self: Path, target: Path) -> Path:
        assert TableFile(path).read() == table
        moved = renamed(self, target)
        assert TableFile(path).read() == table
        return moved

    monkeypatch.setattr(Path, "replace", looked_at)
    file.replace(encode_table(table), table.version)


def test_a_full_disk_leaves_what_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "routes.json"
    table = RoutingTable(1, {}, {})
    file = TableFile(path)
    file.replace(encode_table(table), 1)
    delta = next_delta(table, "a", 1)
    later = table_after(table, [delta])
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda fd, content: write(fd, content[:20]))
        with pytest.raises(OSError, match="No space left") as refused:
            file.append(delta, later)
    assert refused.value.errno == errno.ENOSPC
    assert TableFile(path).read() == table
    file.append(delta, later)
    assert TableFile(path).read() == later


@pytest.mark.parametrize("gone", ["routes.json", "routes.journal", "both", "touched"])
def test_files_that_somebody_removed_are_written_anew(tmp_path: Path, gone: str) -> None:
    path = tmp_path / "routes.json"
    table = RoutingTable(1, {}, {})
    file = TableFile(path)
    file.replace(encode_table(table), 1)
    for life in (1, 2):
        delta = next_delta(table, "a", life)
        table = table_after(table, [delta])
        file.append(delta, table)
        for name in ("routes.json", "routes.journal"):
            if gone in (name, "both"):
                (tmp_path / name).unlink()
        if gone == "touched":
            path.with_suffix(".journal").write_bytes(b"something else\n")
    delta = next_delta(table, "b", 1)
    table = table_after(table, [delta])
    file.append(delta, table)
    assert TableFile(path).read() == table
