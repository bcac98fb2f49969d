"""What others see of telemetry: what can be told and asked, and the values that say it.

What it is kept in is a `storage`, which only the parts of telemetry know; the parts themselves are
put together by the composition root, and everybody else has them as the protocols here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from inservice.channel.storage_counts import StorageCounts
from inservice.cloudwatch.alarms.history import HistoryItem
from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.cloudwatch.metrics.metric import Metric
from inservice.errors import InternalFailure
from inservice.placement.host import Claim, Host
from inservice.telemetry.names import VariantKey

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of the Prometheus page."""


class MetricsRefused(Exception):
    """The metrics cannot be opened; the message says why and what to do."""


class MetricsDamaged(InternalFailure):
    """What is kept of metrics is not what was written. It is not answered from."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The metrics are damaged: {why}. They are set aside at the next start of the server."
        )
        self.why = why


# ── samples and counts ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of one metric at one time."""

    metric: Metric
    unit: str
    at: float
    seen: Aggregate
    high_resolution: bool = True


@dataclass(frozen=True, slots=True)
class Use:
    """What an instance was seen to use, and how long it took to become ready."""

    variant: VariantKey
    values: Mapping[str, float]  # by the name of the metric, in its unit


@dataclass(frozen=True, slots=True)
class StepCount:
    """What one life of one worker counted for one fleet at one step: exact, for reports.

    These are in no graph, so they are not datapoints: they are sums by step, fleet and worker,
    added up in the transaction that journals the rows they are taken from. So they are counted once
    however often a row is sent, and survive what the journal survives.
    """

    generation: str  # of the endpoint: an endpoint made anew is another one
    number: int  # of the deployment, within the generation
    place: str  # "<row>", or "back/<row>" on the way back
    fleet: str
    worker: str  # "<pid>@<start time>": see `channel.publishing`
    invocations: int = 0  # sent to the model
    answered: int = 0  # of them: by the model, or found to be unanswerable and told so
    model_errors: int = 0  # of those
    abandoned: int = 0  # of the invocations: the client left before the answer
    gateway_errors: int = 0  # never sent to a model, answered by the gateway
    retried: int = 0  # moved to another instance before anything was sent


@dataclass(frozen=True, slots=True)
class Traffic:
    """The last seconds of one fleet; None for what no answer was there to tell."""

    seconds: float  # how long the window is
    requests_per_second: float
    error_percent: float | None  # of the answers, those of the gateway itself included
    p50_ms: float | None  # what the model took
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class RunningInstance:
    """An instance that has a process on this host."""

    variant: VariantKey
    pid: int
    started_at: float  # epoch seconds
    ready_at: float | None  # when /ping first answered 200
    devices: tuple[str, ...] | None = None
    """UUIDs of the GPUs that it has for itself; None where all share all of them."""


# ── alarms ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class AlarmKey:
    """Which alarm."""

    account: str
    region: str
    name: str


HISTORY_WORK = 5_000
"""Items of alarm history that are looked at for one page, whether or not they are of the kind that
is asked for: of a month of changes of state, the one change of configuration may be the last."""

HistoryRow = tuple[int, AlarmKey, str, HistoryItem]
"""(id, alarm, MetricAlarm or CompositeAlarm, item)"""


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Some of what was asked for, in the order asked for."""

    items: Sequence[HistoryRow]  # of a long way without any, none
    after: tuple[float, int] | None  # where to go on; None: nothing is left


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """One page of alarm history."""

    account: str
    region: str
    limit: int
    name: str | None = None
    alarm_types: tuple[str, ...] = ("MetricAlarm", "CompositeAlarm")
    type: str | None = None  # of the item
    start: float | None = None  # inclusive
    end: float | None = None  # exclusive
    newest_first: bool = True
    after: tuple[float, int] | None = None  # `HistoryPage.after` of the page before


# ── what control did, and how things stand ───────────────────────────────────────────────────────


class Ended(NamedTuple):
    """A kind of end of an endpoint's deployments."""

    account: str
    region: str
    endpoint: str
    strategy: str
    outcome: str  # Done, RolledBack, Failed, RollbackFailed


class Restarted(NamedTuple):
    """A kind of death of a variant's instances."""

    account: str
    region: str
    endpoint: str
    variant: str
    reason: str  # exit, signal, out_of_memory, unknown


class Started(NamedTuple):
    """A variant whose instances became ready."""

    account: str
    region: str
    endpoint: str
    variant: str
    config: str


class Posted(NamedTuple):
    """A kind of end of what was posted to a receiver."""

    kind: str  # alarm, deployment
    outcome: str  # delivered, failed, dropped


class FleetLabels(NamedTuple):
    """Whose value it is."""

    account: str
    region: str
    endpoint: str
    variant: str
    config: str
    fleet: str


@dataclass(frozen=True, slots=True)
class EndpointSeen:
    """An endpoint as it is."""

    account: str
    region: str
    endpoint: str
    status: str
    config: str
    step: int | None  # row of the deployment that its traffic belongs to


@dataclass(frozen=True, slots=True)
class FleetSeen:
    """A fleet as it is."""

    labels: FleetLabels
    share: float | None  # of the endpoint's traffic; None: it is in no table
    desired: float | None  # the share that its deployment ends with; None: it takes no part
    instances: Mapping[str, int]  # by state


@dataclass(frozen=True, slots=True)
class Scrape:
    """How things stand at the moment of a scrape."""

    endpoints: Sequence[EndpointSeen]
    fleets: Sequence[FleetSeen]
    alarms: Sequence[tuple[str, str, str, str]]  # account, region, name, state
    workers: frozenset[int] = frozenset()  # process ids of the gateway workers that live
    at: float = 0.0  # epoch seconds
    set_aside: int = 0  # records that could not be read
    storage: StorageCounts | None = None  # of a server that keeps objects, once it has told
    capacity: tuple[Host, Sequence[Claim]] | None = None  # what there is, and who holds it


Render = Callable[[Scrape], bytes]
"""The Prometheus page of a scrape, with what was counted since control began. For one thread, since
what did not change is kept from one page to the next."""


# ── who is told and asked ────────────────────────────────────────────────────────────────────────


class History(Protocol):
    """What happened to alarms. May be used from any thread."""

    def add(self, alarm: AlarmKey, alarm_type: str, /, *items: HistoryItem) -> None:
        """Keep items; durable when it returns. `alarm_type`: MetricAlarm or CompositeAlarm."""
        ...

    def add_all(self, entries: Iterable[tuple[AlarmKey, str, HistoryItem]], /) -> None:
        """Keep items of several alarms: (alarm, its type, what happened)."""
        ...

    def page(self, query: HistoryQuery, /) -> HistoryPage:
        """One page, for which no more than HISTORY_WORK items are looked at."""
        ...


class Recent(Protocol):
    """What fleets were asked just now. May be used from any thread."""

    def of(self, fleet: str, step: str, *, since: float, now: float) -> Traffic:
        """A fleet at a step (`Deployment.step_id`) that began at `since`, epoch seconds."""
        ...


class Metrics(Protocol):
    """All metrics of this server. Every method may be called from any thread."""

    @property
    def history(self) -> History:
        """What happened to alarms."""
        ...

    @property
    def recent(self) -> Recent:
        """The last seconds, for a live view."""
        ...

    def put(self, samples: Sequence[Sample], now: float) -> None:
        """Count samples, durably. Raises BadValue when they are more metrics than there may be."""
        ...

    def note_idle(self, variants: Sequence[VariantKey], now: float, *, finely: bool = True) -> None:
        """Say zero for variants that are in service, in this second or, unless `finely`, in this
        minute. Where there were invocations it leaves no trace. Durable with the next fold only."""
        ...

    def note_use(self, uses: Sequence[Use], now: float) -> None:
        """Count what instances use, durably with the next fold only: it comes again."""
        ...

    def fold(self) -> None:
        """Make durable what was noted. Raises ServiceUnavailable on a full disk."""
        ...

    def expire(self, now: float) -> None:
        """Forget what is past its retention."""
        ...

    def read(
        self, metric: Metric, unit: str | None, start: int, end: int, period: int
    ) -> dict[int, Aggregate]:
        """What was seen in each period that has values, by its first second."""
        ...

    def units(self, metric: Metric) -> Sequence[str]:
        """The units in which there are values of the metric."""
        ...

    def heard_of(self, account: str, region: str, since: float) -> Collection[Metric]:
        """Every metric of an account in a region that has a value from `since` or later, once for
        each of its units."""
        ...

    def step_counts(self, generation: str, number: int) -> Sequence[StepCount]:
        """What was counted of one deployment; nothing of one that nobody invoked, or long past."""
        ...

    def counted_generations(self) -> frozenset[str]:
        """The endpoints of which there are counts by step."""
        ...

    def forget_step_counts(self, generations: Iterable[str]) -> None:
        """These endpoints are gone, and their reports with them."""
        ...


class Happened(Protocol):
    """Is told what control did. Every method may be called from any thread."""

    def deployment_ended(self, ended: Ended, seconds: float) -> None:
        """A deployment has its outcome, `seconds` after its call."""
        ...

    def instance_restarted(self, restarted: Restarted) -> None:
        """An instance was launched again in place of one whose process had died."""
        ...

    def webhook_ended(self, posted: Posted) -> None:
        """A receiver was told, or it was given up."""
        ...


class HostUse(Protocol):
    """Measures what instances use of this host, again and again."""

    def measure(self, instances: Sequence[RunningInstance], now: float) -> Sequence[Use]:
        """What every one of these instances uses that is still there."""
        ...

    def retain(self, instances: Sequence[RunningInstance]) -> None:
        """Forget what is known of others than these."""
        ...

    def newly_ready(self, instances: Sequence[RunningInstance]) -> Sequence[Use]:
        """How long those took to become ready of which nobody was told, once."""
        ...
