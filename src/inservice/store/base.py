"""What the domain asks of its records: `Store`, and what is had from it.

There is one writer, which holds the lease (see `lease`). `transaction()` lets one caller at a time
read and write, and what it did is durable when the block ends: no `kill -9` takes it back.
`reading()` sees what is committed, never waits for the writer, and may be used by many threads at
once. Both are synchronous and may wait for a disk or a network, so they are not for an event loop;
`remembered()` is: it answers from memory or not at all. No other I/O belongs inside of any of them.

A reading and a transaction have one member for each noun of `collections`, which says what can be
asked and written. What is damaged is never answered from: every question that needs it raises
RecordDamaged. Not-found and already-exists are raised by the collections, as the
ValidationExceptions that AWS makes of them, because only the store can know.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from inservice.store.collections.access_keys import AccessKeysReading, AccessKeysWriting
from inservice.store.collections.accounts import AccountsReading, AccountsWriting
from inservice.store.collections.alarms import AlarmsReading, AlarmsWriting
from inservice.store.collections.client_logs import ClientLogsReading, ClientLogsWriting
from inservice.store.collections.dashboards import DashboardsReading, DashboardsWriting
from inservice.store.collections.endpoint_configs import (
    EndpointConfigsReading,
    EndpointConfigsWriting,
)
from inservice.store.collections.endpoints import EndpointsReading, EndpointsWriting
from inservice.store.collections.groups import GroupsReading, GroupsWriting
from inservice.store.collections.models import ModelsReading, ModelsWriting
from inservice.store.collections.oidc_providers import (
    OidcProvidersReading,
    OidcProvidersWriting,
)
from inservice.store.collections.policies import PoliciesReading, PoliciesWriting
from inservice.store.collections.roles import RolesReading, RolesWriting
from inservice.store.collections.sessions import SessionsReading, SessionsWriting
from inservice.store.collections.set_aside import SetAsideReading
from inservice.store.collections.tags import TagsReading, TagsWriting
from inservice.store.collections.users import UsersReading, UsersWriting
from inservice.store.feed import CALLER, Feed
from inservice.store.lease import Holding as Holding  # what a Store is opened with


@dataclass(frozen=True)
class Reading:
    """What can be asked, by noun."""

    access_keys: AccessKeysReading
    accounts: AccountsReading
    alarms: AlarmsReading
    client_logs: ClientLogsReading
    dashboards: DashboardsReading
    endpoint_configs: EndpointConfigsReading
    endpoints: EndpointsReading
    groups: GroupsReading
    models: ModelsReading
    oidc_providers: OidcProvidersReading
    policies: PoliciesReading
    roles: RolesReading
    sessions: SessionsReading
    set_aside: SetAsideReading
    tags: TagsReading
    users: UsersReading


@dataclass(frozen=True)
class Transaction(Reading):
    """What can be written, by noun: all of it or, when the block raises, nothing. It reads its own
    writes."""

    access_keys: AccessKeysWriting
    accounts: AccountsWriting
    alarms: AlarmsWriting
    client_logs: ClientLogsWriting
    dashboards: DashboardsWriting
    endpoint_configs: EndpointConfigsWriting
    endpoints: EndpointsWriting
    groups: GroupsWriting
    models: ModelsWriting
    oidc_providers: OidcProvidersWriting
    policies: PoliciesWriting
    roles: RolesWriting
    sessions: SessionsWriting
    tags: TagsWriting
    users: UsersWriting


class Store(Protocol):
    """Opens transactions and tells of commits.

    What is asked raises ServiceUnavailable when the database cannot be reached or is locked, and of
    those InsufficientStorage when its disk is full, and StaleLease when somebody else decides by
    now; what was under way then did not happen.
    """

    @property
    def feed(self) -> Feed:
        """Tells of what was committed."""
        ...

    @property
    def holding(self) -> Holding:
        """The lease that this store was opened with."""
        ...

    def reading(self) -> AbstractContextManager[Reading]: ...

    def remembered(self) -> Reading:
        """A reading for an event loop, as of each question: what memory does not know raises
        NotRemembered."""
        ...

    def transaction(self, by: str = CALLER) -> AbstractContextManager[Transaction]:
        """`by` is who writes, for the feed: CALLER, or the name of a part of control."""
        ...

    def confirm(self) -> None:
        """Ask the database whether the lease is still ours. Raises StaleLease if it is not."""
        ...

    def close(self) -> None:
        """Let go of the database, once nobody uses it any more, and of the lease with it."""
        ...
