"""Access keys: all of them known to control, and told to the gateways.

They are asked for with every request, so they are in memory (see `kit.following`). Only those are
known that may sign: not one that is switched off, nor one whose user or role is gone, as when the
record of it was damaged and set aside. Each is read and told by itself, so that a change costs the
same however many there are. A session that has ended is known for a while, so that who signs with
it is told so (see `upkeep.tidying`).

When a key was last used is written down as well, once a minute: nobody who signs a request waits
for that, and a server that is stopped may forget the last minute's. Of a session it is written down
with its role.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

import structlog

from inservice.controller.kit.following import Following
from inservice.controller.kit.tables import Tables
from inservice.errors import AwsError
from inservice.identity.principal import AccessKey, KeyUse, Principal
from inservice.routing.table import KeyRoute, SessionRoute
from inservice.store.base import Reading, Store, Transaction
from inservice.store.collections.access_keys import ACCESS_KEYS
from inservice.store.collections.sessions import SESSIONS
from inservice.store.errors import StoreRefused
from inservice.threads import Threads

USES_SECONDS = 60.0
"""Between two writings of when keys were used. AWS's own record is late by more than that."""

_Route = TypeVar("_Route", bound=KeyRoute)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Changed:
    """What is to be told."""

    keys: frozenset[str] = frozenset()  # ids of permanent ones
    sessions: frozenset[str] = frozenset()  # and of temporary ones
    whole: bool = False  # all there are, and that there are no others

    def and_also(self, later: _Changed) -> _Changed:
        return _Changed(
            self.keys | later.keys, self.sessions | later.sessions, self.whole or later.whole
        )


class Keys:
    """The access keys of this server."""

    def __init__(self, store: Store, tables: Tables) -> None:
        self._store = store
        self._tables = tables
        self._reading = threading.Lock()  # readings are in the threads that committed
        self._known: dict[str, AccessKey] = {}
        self._sessions: dict[str, AccessKey] = {}
        self._due = _Changed()
        self._uses: dict[str, tuple[AccessKey, KeyUse]] = {}  # not written down yet
        self._lock = threading.Lock()
        self._used = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads = Threads("keys")
        self._following = Following("keys", whole=self._all, know=self._know, tell=self._tell)

    def find(self, key_id: str) -> AccessKey | None:
        """An access key by its id."""
        return self._known.get(key_id) or self._sessions.get(key_id)

    def note_use(self, key: AccessKey, use: KeyUse) -> None:
        """A key has signed something. May be called in any thread."""
        with self._lock:
            self._uses[key.id] = key, use
        if not self._used.is_set() and self._loop is not None:
            self._loop.call_soon_threadsafe(self._used.set)

    async def follow(self) -> None:
        """Know what the store knows from now on, and tell the gateways whom to believe."""
        self._loop = asyncio.get_running_loop()
        self._following.heed(self._store.feed, ACCESS_KEYS, self._of_keys)
        self._following.heed(self._store.feed, SESSIONS, self._of_sessions)
        await self._following.begin()

    async def keep_told(self) -> None:
        """Tell again what could not be told, until cancelled."""
        await self._following.keep_told()

    def close(self) -> None:
        """Follow no more."""
        self._following.close()

    # ── reading ─────────────────────────────────────────────────────────────────────────────────
    def _all(self) -> _Changed:
        with self._reading, self._store.reading() as records:
            alive = records.roles.ids() | records.users.ids()
            self._known = {
                key.id: key
                for key in records.access_keys.all()
                if key.is_active and (not key.principal.id or key.principal.id in alive)
            }
            every = records.sessions.all()
            self._sessions = {key.id: key for key in every if _stands(key, alive)}
            return _Changed(whole=True)

    def _of_keys(self, ids: Collection[str]) -> _Changed:
        with self._reading, self._store.reading() as records:
            for key_id in ids:
                key = records.access_keys.find(key_id)
                if key is not None and key.is_active and _has_owner(records, key.principal):
                    self._known[key_id] = key
                else:
                    self._known.pop(key_id, None)
            return _Changed(keys=frozenset(ids))

    def _of_sessions(self, ids: Collection[str]) -> _Changed:
        """The sessions of a role that is deleted go with it, and are told of like any other."""
        with self._reading, self._store.reading() as records:
            for key_id in ids:
                key = records.sessions.find(key_id)
                if key is None:
                    self._sessions.pop(key_id, None)
                else:
                    self._sessions[key_id] = key
            return _Changed(sessions=frozenset(ids))

    # ── telling ─────────────────────────────────────────────────────────────────────────────────
    def _know(self, changed: _Changed) -> None:
        self._due = self._due.and_also(changed)

    def _tell(self) -> None:
        due = self._due
        if due.whole:
            known, sessions = dict(self._known), dict(self._sessions)
            self._tables.renew_keys({key.id: _route_of(key) for key in known.values()})
            self._tables.renew_sessions({key.id: _session_route(key) for key in sessions.values()})
        if not due.whole and due.keys:
            self._tables.publish_keys(_told(due.keys, self._known, _route_of))
        if not due.whole and due.sessions:
            self._tables.publish_sessions(_told(due.sessions, self._sessions, _session_route))
        self._due = _Changed()

    # ── when they were used ─────────────────────────────────────────────────────────────────────
    async def keep_uses(self) -> None:
        """Write down when keys were used, until cancelled."""
        while True:
            await self._used.wait()
            self._used.clear()  # before they are read: what is used meanwhile is written later
            with self._lock:
                uses, self._uses = self._uses, {}
            try:
                await self._threads.run(self._write_uses, uses)
            except (AwsError, StoreRefused) as error:
                _log.error("keys.uses_not_written", error=str(error))
                with self._lock:
                    self._uses = {**uses, **self._uses}
                self._used.set()
            await asyncio.sleep(USES_SECONDS)

    def _write_uses(self, uses: Mapping[str, tuple[AccessKey, KeyUse]]) -> None:
        with self._store.transaction(by="keys") as tx:
            for key, use in uses.values():
                if key.session is None:
                    tx.access_keys.used(key.id, use)
            _write_uses_of_roles(tx, [(key, use) for key, use in uses.values() if key.session])


def _told(
    ids: Collection[str], known: Mapping[str, AccessKey], route_of: Callable[[AccessKey], _Route]
) -> dict[str, _Route | None]:
    """What is told of some keys: of one that is not known, that there is none."""
    found = ((key_id, known.get(key_id)) for key_id in ids)
    return {key_id: None if key is None else route_of(key) for key_id, key in found}


def _has_owner(records: Reading, owner: Principal) -> bool:
    """Whether whose key it is still is there; root always is."""
    named = owner.account, owner.id
    return not owner.id or bool(records.users.by_id(*named) or records.roles.by_id(*named))


def _stands(key: AccessKey, alive: Collection[str]) -> bool:
    """Whether whose session it is still is there."""
    session = key.session
    return session is not None and (session.is_of_root or session.owner in alive)


def _write_uses_of_roles(tx: Transaction, uses: Collection[tuple[AccessKey, KeyUse]]) -> None:
    newest: dict[tuple[str, str], KeyUse] = {}
    for key, use in uses:
        owner = key.principal.account, key.principal.id
        if owner not in newest or newest[owner].at < use.at:
            newest[owner] = use
    for (account, role_id), use in newest.items():
        if (role := tx.roles.by_id(account, role_id)) is not None:
            tx.roles.save(replace(role, used_at=use.at, used_region=use.region))


def _route_of(key: AccessKey) -> KeyRoute:
    return KeyRoute(
        id=key.id,
        secret=key.secret,
        account=key.principal.account,
        principal=key.principal.arn,
        session_token=key.session_token,
        expires_at=key.expires_at,
    )


def _session_route(key: AccessKey) -> SessionRoute:
    assert key.session is not None
    terms = json.dumps(key.session.to_plain(), separators=(",", ":"))
    return SessionRoute(**asdict(_route_of(key)), session=terms)
