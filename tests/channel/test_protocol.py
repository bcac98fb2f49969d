"""Both ends of the channel, and everything that can happen to two processes and what is between.

Workers and control are killed and started at any point, the table on disk is lost, connections end
for one side before the other, lines are lost, come twice or in another order, and strangers call.
Whatever happens: no worker goes back, none serves by anything but a table that was published whole,
and control believes no acknowledgement that the worker did not give. When it is over and both ends
run, they agree.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from inservice.channel.control import Alive, ControlEnd, Encode, Event, HangUp, Outbid, Send
from inservice.channel.messages import Acknowledged, Garbled, Hello, Missed, encode
from inservice.channel.table_file import TableFile
from inservice.channel.tables import Delta, decode_table, encode_table, table_after
from inservice.channel.worker import WorkerEnd
from inservice.routing.table import EndpointRoute, FleetRoute, InstanceRoute, KeyRoute, RoutingTable
from tests.depth import examples

NAMES = ("a", "b", "c")

STRANGER = 10_000

MOSTLY = (True, True, True, True, True, False)


def route(name: str, life: int) -> EndpointRoute:
    instances = (InstanceRoute(f"{name}-1-v/{life}", f"unix:/{name}/{life}"),)
    fleet = FleetRoute(f"{name}-1-v", "v", "c", 10_000, "RANDOM", instances)
    return EndpointRoute("0", "r", name, (fleet,), str(life))


@dataclass
class Worker:
    """A worker process: what it serves by is its own, whatever becomes of its connections."""

    pid: int
    table: RoutingTable
    went_back: bool = False
    call: Call | None = None
    end: WorkerEnd = field(init=False)

    def __post_init__(self) -> None:
        self.end = WorkerEnd(self, self.pid, 0)

    def serve(self, table: RoutingTable, delta: Delta | None = None) -> None:
        self.went_back |= table.version <= self.table.version
        self.table = table


@dataclass
class Call:
    """A connection, with what is on its way in either direction."""

    number: int
    pid: int
    to_control: list[bytes] = field(default_factory=list)
    to_worker: list[bytes] = field(default_factory=list)
    ended_by_worker: bool = False
    ended_by_control: bool = False
    faulty: bool = False


class Ends(RuleBasedStateMachine):
    """Control, its workers, and the calls between them."""

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory(prefix="channel")
        self.path = Path(self.place.name) / "routes.json"
        self.now = 1_000
        self.life = 0
        self.pids = self.numbers = 0
        self.published: dict[int, RoutingTable] = {}
        self.workers: dict[int, Worker] = {}
        self.unreaped: set[int] = set()
        self.calls: dict[int, Call] = {}
        self.file: TableFile | None = None
        self.control: ControlEnd | None = None
        self.encoding: list[RoutingTable] = []
        self.start_control(lost=False)
        self.start_worker(reads=True)
        self.start_worker(reads=True)

    def teardown(self) -> None:
        try:
            self.agree()
        finally:
            self.place.cleanup()

    # ── the edge, as `publishing` has it ────────────────────────────────────────────────────────
    def act(self, events: Iterable[Event]) -> None:
        assert self.control is not None
        assert self.file is not None
        for event in events:
            match event:
                case Send(to, line) if to in self.calls and not self.calls[to].ended_by_control:
                    self.calls[to].to_worker.append(line)
                case Encode(table):
                    self.encoding.append(table)
                case Outbid(table):
                    self.note(table)
                    self.file.replace(encode_table(table), table.version)
                case HangUp(origin):
                    self.hang_up(self.calls[origin])
                case _:
                    pass

    def note(self, table: RoutingTable) -> None:
        """One version is one table for ever."""
        assert self.published.setdefault(table.version, table) == table

    def alive(self) -> list[int]:
        """As the supervisor says: a worker that has ended is among them until it is reaped."""
        return [*self.workers, *self.unreaped]

    def hang_up(self, call: Call) -> None:
        if not call.ended_by_control:
            call.ended_by_control = True
            if self.control is not None:
                self.act(self.control.gone(call.number))

    def hear(self, call: Call, line: bytes) -> None:
        assert self.control is not None
        try:
            self.act(self.control.hear(call.number, line, self.alive()))
        except Garbled:
            self.hang_up(call)

    def listen(self, worker: Worker, line: bytes) -> None:
        assert worker.call is not None
        try:
            answer = worker.end.hear(line).answer
        except Garbled:
            self.leave(worker)
            return
        if answer:
            worker.call.to_control += answer.splitlines(keepends=True)

    def leave(self, worker: Worker) -> None:
        if worker.call is not None:
            worker.call.ended_by_worker = True
            worker.call.to_worker.clear()
            worker.call = None

    def dial(self, worker: Worker) -> None:
        assert self.control is not None
        self.numbers += 1
        worker.call = self.calls[self.numbers] = Call(self.numbers, worker.pid)
        self.control.connected(self.numbers, worker.pid)
        worker.call.to_control.append(worker.end.greeting())

    # ── what is meant to happen ─────────────────────────────────────────────────────────────────
    @precondition(lambda self: self.control is not None and not self.control.recovering)
    @rule(
        names=st.lists(st.sampled_from((*NAMES, "keys")), min_size=2, max_size=4, unique=True),
        lost=st.booleans(),
    )
    def publish_in_a_row(self, names: list[str], lost: bool) -> None:
        """To workers that are up to date, of which one may never get the first of it."""
        self.talk()
        for name in names:
            self.publish(name, there=True, told=True)
            for worker in list(self.workers.values())[:1] if lost else ():
                if worker.call is not None and worker.call.to_worker:
                    del worker.call.to_worker[-1]
                    worker.call.faulty = True
            lost = False

    @precondition(lambda self: self.control is not None and not self.control.recovering)
    @rule(name=st.sampled_from((*NAMES, "keys")), there=st.booleans(), told=st.sampled_from(MOSTLY))
    def publish(self, name: str, there: bool, told: bool) -> None:
        """Control may be killed after it has written down, and before it has `told` anybody."""
        assert self.control is not None
        assert self.file is not None
        self.now += 1
        self.life += 1
        after, version = self.control.table.version, self.control.next_version()
        if name == "keys":
            keys = (KeyRoute(str(self.life), "s", "0", "arn"),) if there else ()
            delta = Delta(after, version, keys=keys)
        else:
            life = route(name, self.life) if there else None
            delta = Delta(after, version, endpoint=("0", "r", name), route=life)
        table = table_after(self.control.table, [delta])
        encoded = self.file.append(delta, table)
        self.note(table)
        if told:
            self.act(self.control.published(delta, encoded, table))
        else:
            self.kill_control()

    @precondition(lambda self: self.control is not None and self.encoding)
    @rule()
    def finish_encoding(self) -> None:
        assert self.control is not None
        table = self.encoding.pop()
        self.act(self.control.encoded(table, encode_table(table)))

    @precondition(lambda self: self.control is not None)
    @rule()
    def fold(self) -> None:
        assert self.control is not None
        assert self.file is not None
        if self.control.table.version and not self.control.recovering:
            self.file.replace(encode_table(self.control.table), self.control.table.version)

    @precondition(lambda self: len(self.workers) < 4)
    @rule(reads=st.booleans())
    def start_worker(self, reads: bool) -> None:
        """Some find a table on disk, and some cannot read it."""
        self.pids += 1
        table = RoutingTable(-1, {}, {})
        if reads and self.path.exists():
            table = TableFile(self.path).read()
        self.workers[self.pids] = Worker(self.pids, table)

    @precondition(lambda self: self.control is not None)
    @rule()
    def talk(self) -> None:
        """Whoever can calls, and all that is on its way arrives."""
        for worker in self.workers.values():
            if worker.call is not None and worker.call.ended_by_control:
                self.leave(worker)
            if worker.call is None:
                self.dial(worker)
        self.settle()

    @precondition(lambda self: self.control is not None)
    @rule(data=st.data())
    def connect(self, data: st.DataObject) -> None:
        idle = [one for one in self.workers.values() if one.call is None]
        if idle:
            self.dial(data.draw(st.sampled_from(idle)))

    @rule(data=st.data())
    def deliver_to_worker(self, data: st.DataObject) -> None:
        some = [one for one in self.workers.values() if one.call and one.call.to_worker]
        if some:
            worker = data.draw(st.sampled_from(some))
            assert worker.call is not None
            self.listen(worker, worker.call.to_worker.pop(0))

    @precondition(lambda self: self.control is not None)
    @rule(data=st.data())
    def deliver_to_control(self, data: st.DataObject) -> None:
        some = [one for one in self.calls.values() if one.to_control and not one.ended_by_control]
        if some:
            call = data.draw(st.sampled_from(some))
            self.hear(call, call.to_control.pop(0))

    @precondition(lambda self: self.control is not None)
    @rule()
    def look_who_lives(self) -> None:
        assert self.control is not None
        self.now += 1
        self.act(self.control.looked(self.alive()))

    @precondition(lambda self: self.control is not None and self.control.recovering)
    @rule(patient=st.booleans())
    def recover(self, patient: bool) -> None:
        """When all have told, or it took too long."""
        assert self.control is not None
        assert self.file is not None
        told = self.control.have_told(self.alive())
        if not told and patient:
            return
        self.now += 1
        if told:
            newest = max((one.table.version for one in self.workers.values()), default=0)
            assert newest <= 0 or self.control.table == self.published[newest]
        self.act(self.control.recovered(self.alive()))
        if self.control.table.version:
            table = self.control.table
            self.file.replace(encode_table(table), table.version)

    # ── what is not ─────────────────────────────────────────────────────────────────────────────
    @precondition(lambda self: self.control is not None)
    @rule()
    def kill_control(self) -> None:
        """What it has sent may still arrive, and what it was sent does not."""
        self.control, self.file = None, None
        self.encoding.clear()
        for call in self.calls.values():
            call.ended_by_control = True
            call.to_control.clear()

    @precondition(lambda self: self.control is None)
    @rule(lost=st.sampled_from(MOSTLY).map(lambda kept: not kept))
    def start_control(self, lost: bool) -> None:
        self.now += 1
        if lost:
            for path in (self.path, self.path.with_suffix(".journal")):
                path.unlink(missing_ok=True)
        self.file = TableFile(self.path)
        self.control = ControlEnd(self.file.sequel, lambda: self.now)
        try:
            self.control.table = self.file.read()
        except FileNotFoundError:
            self.control.recovering = bool(self.published)
        else:
            table = self.control.table
            self.file.replace(encode_table(table), table.version)

    @rule(data=st.data(), reaped=st.booleans())
    def kill_worker(self, data: st.DataObject, reaped: bool) -> None:
        if not self.workers:
            return
        worker = data.draw(st.sampled_from(list(self.workers.values())))
        self.leave(worker)
        del self.workers[worker.pid]
        if not reaped:
            self.unreaped.add(worker.pid)

    @rule(data=st.data(), by_worker=st.booleans())
    def cut_off(self, data: st.DataObject, by_worker: bool) -> None:
        """One side notices first."""
        some = [one for one in self.workers.values() if one.call]
        if some:
            worker = data.draw(st.sampled_from(some))
            assert worker.call is not None
            self.leave(worker) if by_worker else self.hang_up(worker.call)

    @rule(data=st.data(), way=st.sampled_from(("lose", "repeat", "reorder")), up=st.booleans())
    def disturb(self, data: st.DataObject, way: str, up: bool) -> None:
        calls = [one for one in self.calls.values() if (one.to_control if up else one.to_worker)]
        if not calls:
            return
        call = data.draw(st.sampled_from(calls))
        lines, call.faulty = call.to_control if up else call.to_worker, True
        which = data.draw(st.integers(0, len(lines) - 1))
        if way == "lose":
            del lines[which]
        elif way == "repeat":
            lines.insert(data.draw(st.integers(which, len(lines))), lines[which])
        else:
            lines.insert(data.draw(st.integers(0, len(lines) - 1)), lines.pop(which))

    @precondition(lambda self: self.control is not None)
    @rule(
        line=st.one_of(
            st.binary(max_size=40),
            st.builds(
                lambda kind, version: encode(kind(version)),
                st.sampled_from((Acknowledged, Missed)),
                st.integers(-1, 3_000),
            ),
            st.builds(
                lambda pid, version: encode(Hello(pid, version)),
                st.one_of(st.integers(1, 8), st.just(STRANGER)),
                st.integers(-1, 3_000),
            ),
        )
    )
    def be_called_by_a_stranger(self, line: bytes) -> None:
        """Who is none of the workers, whatever it says."""
        assert self.control is not None
        self.numbers += 1
        call = self.calls[self.numbers] = Call(self.numbers, STRANGER, faulty=True)
        self.control.connected(call.number, STRANGER)
        self.hear(call, line)

    # ── what holds ──────────────────────────────────────────────────────────────────────────────
    @invariant()
    def no_worker_goes_back_or_serves_a_mix(self) -> None:
        for worker in self.workers.values():
            assert not worker.went_back
            if worker.table.version > 0:
                assert worker.table == self.published[worker.table.version]

    @invariant()
    def control_believes_nothing_that_was_not_said(self) -> None:
        if self.control is None:
            return
        believed = self.control.acknowledged(self.alive())
        assert all(believed <= worker.table.version for worker in self.workers.values())

    @invariant()
    def no_stranger_moves_the_table(self) -> None:
        assert self.control is None or self.control.table.version <= self.now + 100

    def agree(self) -> None:
        """Nothing is broken any more, and everybody calls again who was disturbed."""
        if self.control is None:
            self.start_control(lost=False)
        self.unreaped.clear()
        for worker in self.workers.values():
            if worker.call and (worker.call.faulty or worker.call.ended_by_control):
                self.hang_up(worker.call)
                self.leave(worker)
            if worker.call is None:
                self.dial(worker)
        self.settle()
        assert self.control is not None
        if self.control.recovering:
            assert self.control.have_told(self.alive())
            self.recover(patient=True)
        self.now += 1
        self.act(self.control.looked(self.alive()))
        self.settle()
        version = self.control.table.version
        for worker in self.workers.values():
            assert worker.call is not None
            assert not worker.call.ended_by_control
            assert worker.table == self.control.table
        if self.workers:
            assert self.control.acknowledged(self.alive()) == version
        if version:
            assert decode_table(encode_table(self.control.table)) == self.control.table
            assert TableFile(self.path).read() == self.control.table

    def settle(self) -> None:
        for _ in range(1_000):
            moved = False
            while self.encoding:
                self.finish_encoding()
            for worker in self.workers.values():
                call = worker.call
                while call and call.to_worker:
                    self.listen(worker, call.to_worker.pop(0))
                    moved = True
                while call and call.to_control and not call.ended_by_control:
                    self.hear(call, call.to_control.pop(0))
                    moved = True
            if not moved and not self.encoding:
                return
        raise AssertionError("the two ends never come to rest")


Ends.TestCase.settings = settings(max_examples=examples(200), stateful_step_count=50, deadline=None)
TestEnds = Ends.TestCase


# ── and it would be noticed ─────────────────────────────────────────────────────────────────────
def _takes_any_delta(self: WorkerEnd, delta: Delta) -> bytes:
    if delta.version > self._serving.table.version:
        self._serving.serve(table_after(self._serving.table, [delta]), delta)
    return self._version_served()


def _acknowledges_what_it_was_sent(self: WorkerEnd, delta: Delta) -> bytes:
    FOLLOW(self, delta)
    return encode(Acknowledged(delta.version))


def _believes_what_was_sent(self: ControlEnd, alive: Alive) -> int:
    pids = self._workers if alive is None else alive
    return min((self._workers[p].sent if p in self._workers else -1 for p in pids), default=-1)


def _forgets_who_has_not_called(self: ControlEnd, alive: Alive) -> int:
    return min((peer.version for peer in self._workers.values()), default=2_000)


def _says_nothing_to_who_waited(self: ControlEnd, table: RoutingTable, encoded: bytes) -> Any:
    events = ENCODED(self, table, encoded)
    return [event for event in events if isinstance(event, Encode)]


def _believes_whoever_is_ahead(self: ControlEnd, alive: Alive) -> Any:
    return LOOKED(self, None)


def _asks_nobody(self: ControlEnd, peer: Any, table: RoutingTable, alive: Alive) -> Any:
    peer.asked = False
    return []


FOLLOW, ENCODED, LOOKED = WorkerEnd._follow, ControlEnd.encoded, ControlEnd.looked


@pytest.mark.parametrize(
    ("end", "method", "mutant"),
    [
        (WorkerEnd, "_follow", _takes_any_delta),
        (WorkerEnd, "_follow", _acknowledges_what_it_was_sent),
        (ControlEnd, "acknowledged", _believes_what_was_sent),
        (ControlEnd, "acknowledged", _forgets_who_has_not_called),
        (ControlEnd, "encoded", _says_nothing_to_who_waited),
        (ControlEnd, "looked", _believes_whoever_is_ahead),
        (ControlEnd, "_told", _asks_nobody),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__.strip("_"),
)
def test_an_end_that_is_wrong_is_found(
    monkeypatch: pytest.MonkeyPatch, end: type, method: str, mutant: Callable[..., Any]
) -> None:
    """Each within some hundreds of examples. Which those are depends on what this process has
    imported, whose constants are tried too: so the search goes on until it has found."""
    monkeypatch.setattr(end, method, mutant)
    looking = settings(
        max_examples=50_000,
        stateful_step_count=50,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Ends, settings=looking)
