"""Sticky sessions: which instance holds the state of a session.

A model opens a session by answering `X-Amzn-SageMaker-Session-Id: <id>; Expires=<time>`, of which
the client hears as New-Session-Id, and closes it with `X-Amzn-SageMaker-Closed-Session-Id: <id>`.
What is known of a session is a small file beside the routing table, so that every worker knows it,
also one that was started later. A file is read once per session and worker.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from inservice import disk
from inservice.errors import ValidationError

NEW_SESSION: Final = b"NEW_SESSION"

KNOWN_MAX: Final = 10_000
"""Sessions that a worker keeps in memory; the others are in their files."""

DEFAULT_SECONDS: Final = 24 * 3600.0
"""The life of a session whose model names no end."""

_HEADER: Final = re.compile(
    rb"([a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,255})"
    rb"(?:;\s?Expires=([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z))?"
)


@dataclass(frozen=True, slots=True)
class Session:
    """Where a session lives."""

    instance_id: str
    expires_at: float  # epoch seconds


def read_header(value: bytes, now: float) -> tuple[bytes, float] | None:
    """(id, epoch seconds of its end) from a model's header; None for what is no such header."""
    match = _HEADER.fullmatch(value)
    if match is None:
        return None
    if match[2] is None:
        return match[1], now + DEFAULT_SECONDS
    try:
        return match[1], datetime.strptime(match[2].decode(), "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except ValueError:
        return None


def new_session_header(id_: bytes, expires_at: float) -> bytes:
    """What the client is told of a session that was opened."""
    expires = datetime.fromtimestamp(expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return b"X-Amzn-SageMaker-New-Session-Id: %b; Expires=%b\r\n" % (id_, expires.encode())


class Sessions:
    """The sessions of all endpoints, shared by the workers through a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: OrderedDict[str, Session] = OrderedDict()

    def find(self, endpoint: tuple[str, str, str], id_: bytes, now: float) -> Session:
        """Raises ValidationError for a session that is unknown or over."""
        name = _name(endpoint, id_)
        session = self._known.get(name)
        if session is None or session.expires_at <= now:  # another worker may know it longer
            try:
                encoded = (self._directory / name).read_bytes()
                session = msgspec.json.decode(encoded, type=Session)
            except (OSError, msgspec.MsgspecError):
                session = None
        if session is None or session.expires_at <= now:
            self.close(endpoint, id_)
            words = f"Session {id_.decode()} of endpoint {endpoint[2]} not found or expired."
            raise ValidationError(words)
        self._remember(name, session)
        return session

    def open(self, endpoint: tuple[str, str, str], id_: bytes, session: Session) -> bool:
        """The model has opened a session on this instance. False on a full disk: the other workers
        would not find it, so there is none."""
        name = _name(endpoint, id_)
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            with disk.replacing(self._directory / name, synced=False) as file:
                file.write(msgspec.json.encode(session))
                file.flush()  # or the time of writing would be that of closing
                expires = session.expires_at, session.expires_at
                os.utime(file.fileno(), expires)  # what `tidy` goes by
        except OSError:
            return False
        self._remember(name, session)
        return True

    def close(self, endpoint: tuple[str, str, str], id_: bytes) -> None:
        """It is over."""
        name = _name(endpoint, id_)
        self._known.pop(name, None)
        (self._directory / name).unlink(missing_ok=True)

    def tidy(self, now: float) -> None:
        """Remove the files of sessions that ended by themselves: nobody else ever asks for them.

        Ten thousand files take 60 ms, so it is for a thread of its own.
        """
        with contextlib.suppress(
            OSError
        ):  # there was no session yet, or another worker was quicker
            for file in self._directory.iterdir():
                if file.suffix != ".new" and file.stat().st_mtime <= now:
                    file.unlink(missing_ok=True)

    def _remember(self, name: str, session: Session) -> None:
        self._known[name] = session
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)


def _name(endpoint: tuple[str, str, str], id_: bytes) -> str:
    """A file name that no id can lead astray, and that nobody can read an id from."""
    return sha256("\0".join(endpoint).encode() + b"\0" + id_).hexdigest()
