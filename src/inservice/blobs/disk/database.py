"""The records: one connection that writes, some that read, and commits that several share.

A commit costs a sync of the disk, however little is in it. So whoever has something to change puts
it into a queue. One of those who wait has the turn: it commits all that is queued by then in one
transaction, wakes whoever it was for, and hands the turn to the first that has come meanwhile. With
sixteen writers a sync serves some eight puts; alone, a put has its own.

    a change looks, refuses or decides, and only then writes    so a refusal leaves nothing behind,
                                                                and spoils nobody else's change
    a transaction that fails is made again, change by change    so a fault is told to whom it is of

SQLite is used as the store of the server uses it (see design 3): WAL, `synchronous=FULL`, readers
that can neither write nor checkpoint. By hand and not by SQLAlchemy: for a put that is an eighth of
the processor's time (see design 17).
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from inservice.blobs.disk.files import Files
from inservice.blobs.errors import BlobsDamaged
from inservice.errors import AwsError, InsufficientStorage, InternalFailure, ServiceUnavailable
from inservice.mark import Mark, Progress
from inservice.reserve import Room, is_full
from inservice.seal import seal_of

BUSY_SECONDS = 5
"""How long a foreign lock, a curious shell's, is waited for."""

STATEMENTS = 256
"""That each connection keeps prepared: all that there are."""

READER_KIB = 512
"""Of pages that each connection for reading keeps: there are as many as there were ever requests at
once, and the kernel keeps the pages as well."""

LOG_BYTES = 16 * 1024 * 1024
"""To which the write-ahead log is cut once it has been written back: to forget an upload of ten
thousand parts makes a long one."""

_log = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Counters:
    """How much there is, and how far the store has got."""

    store: str
    commits: int
    buckets: int
    objects: int
    bytes: int
    uploads: int
    settled: int  # see `files`
    following: int  # the next number that nothing has had

    @property
    def values(self) -> tuple[Any, ...]:
        """The columns of its row."""
        each = (self.store, self.commits, self.buckets, self.objects, self.bytes, self.uploads)
        return (*each, self.settled, self.following)


@dataclass(slots=True)
class Change:
    """What a transaction has done so far: it runs statements, and says here what that came to."""

    connection: sqlite3.Connection
    buckets: int = 0
    objects: int = 0
    bytes: int = 0
    uploads: int = 0
    made: list[int] = field(default_factory=list)  # files that have a record now
    gone: list[int] = field(default_factory=list)  # files that have none any more

    def one(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        """The row that a statement finds first, if there is one."""
        found: tuple[Any, ...] | None = self.connection.execute(sql, values).fetchone()
        return found

    def all(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows that a statement finds."""
        return self.connection.execute(sql, values).fetchall()

    def run(self, sql: str, *values: object) -> int:
        """Run a statement that writes; how many rows it has changed."""
        return self.connection.execute(sql, values).rowcount


def _held() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True, eq=False)
class _Turn(Generic[Result]):
    """One change that waits to be made, and what became of it."""

    make: Callable[[Change], Result]
    frees: bool
    done: bool = False
    result: Result | None = None
    error: BaseException | None = None
    ready: threading.Lock = field(default_factory=_held)


class Database:
    """The records of one store. Safe for threads; one process has them open."""

    def __init__(self, path: Path, files: Files, mark: Mark, room: Room) -> None:
        """Of a file that is locked, checked and made. Changes that free something are made within
        `room` where the disk is full."""
        self._path = path
        self._files = files
        self._mark = mark
        self._room = room
        self._writer = connect(path)
        self._writer.execute("PRAGMA synchronous = FULL")
        self._writer.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        self._writing = threading.Lock()
        self._queue: list[_Turn[Any]] = []
        self._queueing = threading.Lock()
        self._is_led = False  # somebody has the turn, and hands it over
        self._readers: list[sqlite3.Connection] = []
        self._refused = ""  # why nothing is written any more
        self._closed = False
        self.counters = counters_in(self._writer)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read with. Each statement sees one state; several do between BEGIN and
        COMMIT."""
        if self._closed:
            raise ServiceUnavailable("The storage is closed.")
        try:
            connection = self._readers.pop()
        except IndexError:
            connection = connect(self._path)
            connection.execute("PRAGMA query_only = ON")
            connection.execute(f"PRAGMA cache_size = -{READER_KIB}")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        try:
            with told():
                yield connection
        finally:
            if connection.in_transaction:
                connection.rollback()
            self._readers.append(connection)

    def change(self, make: Callable[[Change], Result], *, frees: bool = False) -> Result:
        """Make a change; it is durable when this returns. It may be tried more than once. Raises
        what it raises, which it has to do before it writes anything, InsufficientStorage and
        ServiceUnavailable."""
        turn = _Turn(make, frees)
        with self._queueing:
            self._queue.append(turn)
            leads, self._is_led = not self._is_led, True
        if not leads:
            turn.ready.acquire()  # it is done, or it leads now
        gone = [] if turn.done else self._lead()
        self._files.remove(gone)
        if turn.error is not None:
            raise turn.error
        return turn.result  # type: ignore[return-value]  # which may be None

    def forget(self) -> None:
        """Remove the rows of garbage whose files are gone. Raises InsufficientStorage."""
        with self._writing, self._room():
            self._commit([], forgetting=True)

    def close(self) -> None:
        """Readers first: the last connection to go checkpoints, and that must be the writer's."""
        with self._writing:
            if not self._refused:
                with contextlib.suppress(OSError, AwsError):
                    self._commit([], forgetting=True)
            self._refused, self._closed = "It is closed.", True
            while self._readers:
                self._readers.pop().close()
            self._writer.close()
            self._mark.close()

    def _lead(self) -> list[int]:
        """Make all changes that wait, and hand over to the first that has come meanwhile; the files
        that have to go. Who is handed over to, and not whoever is first at a lock, finds all others
        waiting with it."""
        turns: list[_Turn[Any]] = []
        try:
            with self._writing:
                with self._queueing:
                    turns, self._queue = self._queue, []
                return self._make_all(turns)
        finally:
            with self._queueing:
                following = self._queue[:1]
                self._is_led = bool(following)
            for turn in turns:
                if not turn.done:
                    turn.error, turn.done = InternalFailure("The change was given up."), True
            for turn in (*following, *turns):
                turn.ready.release()

    def _make_all(self, turns: list[_Turn[Any]]) -> list[int]:
        try:
            return self._commit(turns)
        except Exception as error:  # noqa: BLE001 - each is told to whom it is of
            full = isinstance(error, InsufficientStorage)
            if len(turns) == 1 and not (full and turns[0].frees):
                turns[0].error, turns[0].done = error, True
                return []
        gone = []
        for turn in turns:
            try:
                with self._room() if full and turn.frees else contextlib.nullcontext():
                    gone += self._commit([turn])
            except Exception as error:  # noqa: BLE001
                turn.error, turn.done = error, True
        return gone

    def _commit(self, turns: list[_Turn[Any]], *, forgetting: bool = False) -> list[int]:
        """Make these changes in one transaction. Raises what one of them does, and then none of
        them was made."""
        if self._refused:
            raise ServiceUnavailable(f"The storage does not answer. {self._refused}")
        with self._translated(), self._files.forgetting(all_of_them=forgetting) as forgotten:
            change = Change(self._writer)
            before = self._writer.total_changes
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                outcomes = [_outcome(turn, change) for turn in turns]
                for number in forgotten:
                    change.run("DELETE FROM garbage WHERE number = ?", number)
                is_new = self._writer.total_changes != before
                counters = self._counted(change) if is_new else self.counters
                self._files.sync_directories(change.made)
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
        if is_new:
            self.counters = counters
            self._mark.write(Progress(counters.store, counters.commits))
        self._files.settle(change.made)
        for turn, (result, error) in zip(turns, outcomes, strict=True):
            turn.result, turn.error, turn.done = result, error, True
        return change.gone

    def _counted(self, change: Change) -> Counters:
        """Write down how much there is after a change."""
        before = self.counters
        settled, following = self._files.settled()
        after = replace(
            before,
            commits=before.commits + 1,
            buckets=before.buckets + change.buckets,
            objects=before.objects + change.objects,
            bytes=before.bytes + change.bytes,
            uploads=before.uploads + change.uploads,
            settled=settled,
            following=following,
        )
        change.run(
            "UPDATE counters SET store = ?, commits = ?, buckets = ?, objects = ?, bytes = ?, "
            "uploads = ?, settled = ?, following = ?, seal = ?",
            *after.values,
            seal_of("counters", "seal", after.values),
        )
        return after

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """A full disk and a locked file, as what they are. After any other fault of the disk nobody
        knows what was committed: nothing is written or removed until the store is opened again."""
        try:
            with told():
                yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "") or ""
            if name.startswith(("SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB")):
                self._refused = f"Its records could not be written: {error}."
                self._files.leave_alone()
                _log.error("the records of objects cannot be written: %s", error)
            raise InternalFailure("The records of the storage cannot be written.") from error


def connect(path: Path) -> sqlite3.Connection:
    """A connection on which nothing begins by itself."""
    return sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,  # one thread at a time, not only one
        cached_statements=STATEMENTS,
    )


def _outcome(turn: _Turn[Result], change: Change) -> tuple[Result | None, AwsError | None]:
    """What one change comes to, in the transaction."""
    before = change.connection.total_changes
    try:
        return turn.make(change), None
    except AwsError as refused:
        if change.connection.total_changes != before:
            raise InternalFailure("A change was refused after it had begun.") from refused
        return None, refused


def counters_in(connection: sqlite3.Connection) -> Counters:
    """What there is, by the records. Raises BlobsDamaged."""
    *values, seal = connection.execute(
        "SELECT store, commits, buckets, objects, bytes, uploads, settled, following, seal "
        "FROM counters"
    ).fetchone()
    counters = Counters(*values)
    if counters.commits and seal_of("counters", "seal", counters.values) != seal:
        raise BlobsDamaged("What the objects come to is not what was written.")
    return counters


@contextlib.contextmanager
def told() -> Iterator[None]:
    """What can only be waited out, as what it is."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        if is_full(error):
            raise InsufficientStorage("The disk of the storage is full.") from error
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise ServiceUnavailable("The records of the storage are locked.") from error
        raise
