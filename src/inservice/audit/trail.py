"""What control writes of the audit trail.

    begin(entry)   noted as under way: outlives a kill           before anything is changed
    end(…)         its line is in the trail, synced              before the answer leaves
    denied(entry)  a line in a file beside, synced               before the answer leaves

Nothing is changed that cannot be told of: a change has room for its line, in its slot, before it
is made, and is refused where all slots hold lines for which there was no other. Denials go on
being denials whether there is room or not. So many are written in a second and the rest is counted,
because who may do nothing here must not fill the disk with it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Final

import msgspec

from inservice.audit.begun import Begun
from inservice.audit.entry import Entry, entry_in, line_of
from inservice.audit.files import FILE_BYTES, Lines
from inservice.errors import InsufficientStorage
from inservice.reserve import Room

CHANGES: Final = "changes"
DENIALS: Final = "denials"
UNDER_WAY: Final = "begun"
"""The files of a trail, by what their names begin with."""

DENIALS_A_SECOND: Final = 20
"""Written down: a person, or a script that goes through a list, is told whole. Half a gigabyte in a
day, of which a few files are kept."""

DENIALS_AT_ONCE: Final = 100
"""Written down of a burst, after a while without any."""


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """A change that is under way."""

    entry: Entry
    slot: int


class Trail:
    """The audit trail of a data directory. Safe for threads; one process has it open."""

    def __init__(
        self,
        directory: Path,
        *,
        kept: int,
        room: Room = contextlib.nullcontext,
        file_bytes: int = FILE_BYTES,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """`kept` files each of changes and of denials. Changes are written within `room` where
        there is no other. Raises OSError."""
        missing = [each for each in (directory, *directory.parents) if not each.exists()]
        for each in reversed(missing):  # `parents` would let anybody look into the one above
            each.mkdir(mode=0o700, exist_ok=True)
        self._changes = Lines(directory, CHANGES, kept=kept, room=room, file_bytes=file_bytes)
        self._denials = Lines(directory, DENIALS, kept=kept, file_bytes=file_bytes)
        with room():
            self._begun = Begun(directory / UNDER_WAY)
        self._lock = threading.Lock()
        self._owed: dict[int, bytes] = {}  # by slot: lines that are not in the trail yet
        self._unkept = False  # a line that is owed is not on the platter either
        self._unwritten = 0
        self._tokens = float(DENIALS_AT_ONCE)
        self._seconds = seconds
        self._counted_at = seconds()
        self._recover()

    def begin(self, entry: Entry) -> Change:
        """Note a change before it is made, with an outcome that is not known. Raises
        InsufficientStorage while the trail has no room: then nothing may be changed."""
        if self._owed:
            self._pay()
        try:
            slot = None if self._unkept else self._begun.take(line_of(entry))
        except OSError as error:
            raise InsufficientStorage(f"The audit trail cannot be written: {error}.") from error
        if slot is None:
            raise InsufficientStorage(
                "The audit trail has no room for what was changed last, so nothing is changed "
                "until there is; reading goes on."
            )
        return Change(entry, slot)

    def end(self, change: Change, outcome: str, made: Iterable[str] = ()) -> None:
        """Write how it came out, and which things it `made` whose names were not known before. It
        is durable when this returns; where the trail has no room, in its slot."""
        entry = change.entry
        resources = (*entry.resources, *made)
        line = line_of(msgspec.structs.replace(entry, outcome=outcome, resources=resources))
        try:
            self._changes.append(line)
            self._begun.empty(change.slot)
        except OSError as error:
            _log.error("the audit trail cannot be written: %s", error)
            with self._lock:
                self._owed[change.slot] = line
            try:
                self._begun.keep(change.slot, line)
            except OSError:  # it is there, if not on the platter
                self._unkept = True

    def denied(self, entry: Entry) -> None:
        """Write that somebody was refused, or count it where there are too many. Raises nothing."""
        with self._lock:
            if not self._may_be_written():
                self._unwritten += 1
                return
            unwritten, self._unwritten = self._unwritten, 0
        more = entry.unwritten_before + unwritten
        try:
            self._denials.append(line_of(msgspec.structs.replace(entry, unwritten_before=more)))
        except OSError as error:
            _log.error("a denial is not in the audit trail: %s", error)
            with self._lock:
                self._unwritten += 1 + more

    def close(self) -> None:
        """Let go of the files."""
        self._changes.close()
        self._denials.close()
        self._begun.close()

    def _may_be_written(self) -> bool:
        now = self._seconds()
        more = (now - self._counted_at) * DENIALS_A_SECOND
        self._tokens, self._counted_at = min(DENIALS_AT_ONCE, self._tokens + more), now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _recover(self) -> None:
        """Write what an earlier control had under way when it was killed."""
        if not self._begun.left:
            return
        tail = self._changes.tail()
        for slot, line in self._begun.left.items():
            entry = entry_in(line)
            if entry is None or f'"{entry.request_id}"'.encode() in tail:
                self._begun.empty(slot)
            else:
                self._owed[slot] = line
        self._pay()

    def _pay(self) -> None:
        """Write the lines that are owed, as far as there is room."""
        with self._lock:
            for slot, line in sorted(self._owed.items(), key=itemgetter(1)):  # by time
                try:
                    self._changes.append(line)
                    self._begun.empty(slot)
                except OSError:
                    return
                del self._owed[slot]
            self._unkept = False
