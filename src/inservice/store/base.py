"""What the domain asks of its records, by name.

There is one writer. `transaction()` lets one caller at a time read and write, and what it did is
durable when the block ends: no `kill -9` takes it back. `reading()` sees what is committed, never
waits for the writer, and may be used by many threads at once. Both are synchronous and short: no
other I/O inside them.

Not-found and already-exists are raised here, as the ValidationExceptions that AWS makes of them,
because only the store can know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from inservice.deployment.events import Event
from inservice.deployment.facts import Facts
from inservice.deployment.state import Decision, Deployment
from inservice.errors import InternalFailure
from inservice.hosting.arn import ResourceArn
from inservice.hosting.endpoint import Endpoint
from inservice.hosting.endpoint_config import EndpointConfig
from inservice.hosting.model import Model
from inservice.identity.principal import AccessKey
from inservice.ids import EndpointKey
from inservice.store.client_logs import ClientLogsReading, ClientLogsWriting


class StoreRefused(Exception):
    """The store cannot be opened; the message says why and what to do. Nothing was changed."""


class StoreInUse(StoreRefused):
    """Another process has it open."""


class StoreDamaged(StoreRefused):
    """It is not a sound database of ours, and it is never replaced by an empty one."""


class StoreTooNew(StoreRefused):
    """A newer version of InService has written it."""


class RecordDamaged(InternalFailure):
    """A record is not what was written any more, which its seal tells. It is not answered from."""

    def __init__(self, table: str, key: Sequence[Any]) -> None:
        super().__init__(
            f"The record {name_of_record(table, key)} is damaged: what it holds is not what was "
            "written. See `inservice status` after a restart, and docs/howto/recover.md."
        )


def name_of_record(table: str, key: Sequence[Any]) -> str:
    """How people are told which record is meant."""
    return f"{table} {'/'.join(map(str, key))}"


class StaleDecision(Exception):
    """Someone newer has saved this endpoint, or it is gone: drop the decision, look again."""


class SortKey(StrEnum):
    """What a list can be sorted by. Only endpoints have a status."""

    NAME = "Name"
    CREATION_TIME = "CreationTime"
    STATUS = "Status"


EVENTS_KEPT = 1_000
"""Per endpoint. A linear deployment of a hundred steps writes a few hundred events."""

Position = tuple[str | float, str]
"""Where a page ended: the value that the list is sorted by, and the name key that breaks ties."""


@dataclass(frozen=True, slots=True)
class ListQuery:
    """One page of a list. Times are epoch seconds; None: no such filter."""

    account: str
    region: str
    limit: int
    sort_by: SortKey = SortKey.CREATION_TIME
    descending: bool = True
    after: Position | None = None  # the end of the page before
    name_contains: str | None = None  # with regard to case
    created_before: float | None = None  # strictly
    created_after: float | None = None  # or at that very moment
    modified_before: float | None = None  # strictly; endpoints only
    modified_after: float | None = None  # or at that very moment; endpoints only
    status: str | None = None  # endpoints only


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of a list."""

    name: str
    arn: str
    created_at: float
    modified_at: float | None = None  # endpoints only
    status: str | None = None  # endpoints only


@dataclass(frozen=True, slots=True)
class Page:
    """The lines of one page, and where it ended if there are more."""

    lines: tuple[Summary, ...]
    end: Position | None


AlarmName = tuple[str, str, str]
"""(account, region, exact name)."""


@dataclass(frozen=True, slots=True)
class AlarmQuery:
    """Alarms of one account in a region, by name. None: no such filter."""

    account: str
    region: str
    limit: int | None = None
    names: tuple[str, ...] | None = None
    prefix: str = ""
    after: str | None = None  # the last name of the page before
    state: str | None = None  # StateValue
    mentioning: str | None = None
    """A member or a text that the document has, as JSON: `"AlarmRule"`. Whoever asks looks again:
    it may stand for something else."""


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """An endpoint, the deployment that moves or keeps it, and what was last seen of it.

    `version` goes up by one with each save. A save names the record that it was decided from and
    is refused with StaleDecision unless that is still the newest: the fence.
    """

    endpoint: Endpoint
    deployment: Deployment
    facts: Facts
    version: int

    @property
    def key(self) -> EndpointKey:
        """(account, region, exact name)."""
        return self.endpoint.key


@dataclass(frozen=True, slots=True)
class SetAside:
    """A record that could not be read when the store was opened, and is kept apart as it was."""

    table: str
    name: str  # of the record, for people
    why: str
    at: float  # epoch seconds


@dataclass(frozen=True, slots=True)
class Commit:
    """What a committed transaction touched, for whoever must act on it. Names, never contents."""

    endpoints: frozenset[EndpointKey]
    access_keys: bool
    images: frozenset[str] = frozenset()  # of models that are new: what may be launched next
    alarms: frozenset[AlarmName] = frozenset()


class Reading(Protocol):
    """What can be asked. Lookups by name disregard case, since names are unique without it.

    `model`, `endpoint_config` and `endpoint` raise AWS's not-found. What is damaged is never
    answered from: every question that needs it raises RecordDamaged.
    """

    def model(self, account: str, region: str, name: str) -> Model: ...

    def models(self, query: ListQuery) -> Page: ...

    def endpoint_config(self, account: str, region: str, name: str) -> EndpointConfig: ...

    def endpoint_configs(self, query: ListQuery) -> Page: ...

    def endpoint(self, account: str, region: str, name: str) -> EndpointRecord: ...

    def endpoints(self, query: ListQuery) -> Page: ...

    def find_endpoint(self, key: EndpointKey) -> EndpointRecord | None:
        """The same as `endpoint` for one who can do without: None if there is none."""
        ...

    def endpoint_keys(self) -> Sequence[EndpointKey]:
        """Every endpoint of every account and region."""
        ...

    def deployment_events(
        self, key: EndpointKey, *, after: int = 0, limit: int = 100
    ) -> Sequence[tuple[int, Event]]:
        """Events of an endpoint with a number above `after`, oldest first, each with its number.

        The numbers of one endpoint count from 1; only the newest EVENTS_KEPT are kept.
        """
        ...

    def tags(self, arn: ResourceArn) -> Mapping[str, str]:
        """The tags of a resource, sorted by key; none if it has none or does not exist."""
        ...

    def alarm_states(self, account: str, region: str, names: Sequence[str]) -> Mapping[str, str]:
        """StateValue by name of those of `names` that exist."""
        ...

    def alarm_owners(self) -> Sequence[tuple[str, str]]:
        """Every (account, region) that has alarms."""
        ...

    def alarm(self, account: str, region: str, name: str) -> Mapping[str, Any] | None:
        """The document of one alarm; None if there is none."""
        ...

    def alarms(self, query: AlarmQuery) -> Mapping[str, Mapping[str, Any]]:
        """The documents of alarms, by name, sorted. What it costs is what it gives, but for a
        filter by `mentioning`, for which the database reads all."""
        ...

    def alarm_count(self, account: str, region: str) -> int:
        """How many alarms there are."""
        ...

    def access_keys(self) -> Sequence[AccessKey]:
        """Every access key, with its secret."""
        ...

    def set_aside(self) -> Sequence[SetAside]:
        """What could not be read, the oldest first."""
        ...

    @property
    def client_logs(self) -> ClientLogsReading:
        """The logs that clients write, and their dashboards."""
        ...


class Transaction(Reading, Protocol):
    """What can be written, all of it or, when the block raises, nothing. It reads its own writes.

    The `add_` methods raise AWS's already-exists, the `delete_` methods of named things its
    not-found. What is deleted takes its tags along.
    """

    def add_model(self, model: Model) -> None: ...

    def delete_model(self, account: str, region: str, name: str) -> None: ...

    def add_endpoint_config(self, config: EndpointConfig) -> None: ...

    def delete_endpoint_config(self, account: str, region: str, name: str) -> None: ...

    def add_endpoint(self, decision: Decision) -> None:
        """Keep a new endpoint with its first deployment, and announce it after the commit."""
        ...

    def save_endpoint(
        self, record: EndpointRecord, decision: Decision, *, announce: bool = True
    ) -> None:
        """Keep what was decided from `record`, its events included, or remove it if it is gone.

        Announced after the commit unless the caller is the controller, which need not be woken by
        itself. Raises StaleDecision, and IllegalMove for a status that the last one does not lead
        to.
        """
        ...

    def save_facts(self, record: EndpointRecord, facts: Facts) -> None:
        """Keep what was seen, for DescribeEndpoint. No decision, so no version and no fence.

        Nothing happens if this incarnation of the endpoint is gone.
        """
        ...

    def add_event(self, record: EndpointRecord, event: Event) -> None:
        """Tell what happened to an endpoint beside its decisions.

        Nothing happens if this incarnation of the endpoint is gone.
        """
        ...

    def set_tags(self, arn: ResourceArn, tags: Mapping[str, str]) -> None:
        """These are the tags of the resource from now on."""
        ...

    def save_alarm(
        self,
        account: str,
        region: str,
        name: str,
        *,
        state: str,
        document: Mapping[str, Any],
        announce: bool = True,
    ) -> None:
        """Keep an alarm, in place of any of that name. Announced after the commit unless the
        caller is the controller, which knows what it decided."""
        ...

    def delete_alarm(self, account: str, region: str, name: str) -> None:
        """Forget an alarm; nothing happens if there is none."""
        ...

    def add_access_key(self, key: AccessKey) -> None:
        """Keep an access key, in place of any with that id."""
        ...

    def delete_access_key(self, key_id: str) -> None:
        """Forget an access key; nothing happens if there is none."""
        ...

    @property
    def client_logs(self) -> ClientLogsWriting:
        """The logs that clients write, and their dashboards."""
        ...


class Store(Protocol):
    """Opens transactions and tells of commits.

    Both raise ServiceUnavailable when the database cannot be reached, is locked or is full; what
    was under way then did not happen.
    """

    def reading(self) -> AbstractContextManager[Reading]: ...

    def transaction(self) -> AbstractContextManager[Transaction]: ...

    def on_commit(self, listener: Callable[[Commit], None]) -> None:
        """Have `listener` called after each commit that touched an endpoint, an access key or an
        alarm.

        It runs in the thread that committed, before `transaction()` returns, so it must be quick
        and must not raise.
        """
        ...

    def close(self) -> None:
        """Let go of the database, once nobody uses it any more."""
        ...
