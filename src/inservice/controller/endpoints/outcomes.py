"""Deployments that ended are told of: INSERVICE_DEPLOYMENT_WEBHOOK is posted each outcome.

What is to be told is on disk from the moment it is known, and the file also says of which
deployment of each endpoint it is known. A control that was killed before it had written that finds
the outcome in the store when it starts; one that was killed while it told tells again. So no
outcome is lost, some come twice, and they come in order.

A receiver that hangs delays the next outcome and nothing else. What it does not take at all is in
the endpoint's history.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import structlog

from inservice.clock import Clock, Instant
from inservice.cloudwatch.alarms.history import TEXT_CHARACTERS_MAX
from inservice.controller.kit.posting import Poster
from inservice.deployment.facts import Facts
from inservice.deployment.state import Deployment
from inservice.deployment.views.picture import outcome, picture
from inservice.errors import AwsError
from inservice.ids import EndpointKey
from inservice.store.base import EndpointRecord, Store
from inservice.telemetry.happenings import Happenings, Posted
from inservice.threads import Threads

WAITING_MAX = 1_000
"""Outcomes that wait for the receiver; beyond it the oldest is given up, and counted."""

FILE = "deployment-webhook.json"

_SHOWN = (
    "EndpointName",
    "EndpointStatus",
    "DeploymentId",
    "Kind",
    "Strategy",
    "FromEndpointConfigName",
    "ToEndpointConfigName",
    "StartedAt",
    "EndedAt",
    "Outcome",
    "Reason",
)
"""Of DescribeDeployment's members."""

_log = structlog.get_logger(__name__)


class _Waiting(msgspec.Struct):
    """An outcome that the receiver has not been told of."""

    key: EndpointKey
    deployment: str
    message: dict[str, Any]


class _Kept(msgspec.Struct):
    """What the file holds."""

    known: dict[str, str] = {}
    """Endpoint as `account/region/name` → the newest deployment whose outcome was noted."""
    waiting: list[_Waiting] = []


@dataclass
class Outcomes:
    """Tells a receiver of deployments that ended."""

    store: Store
    poster: Poster
    happenings: Happenings
    clock: Clock
    url: str  # empty: nobody is told
    data_dir: Path
    _known: dict[str, str] = field(default_factory=dict)
    _waiting: deque[_Waiting] = field(default_factory=deque)
    _due: asyncio.Event = field(default_factory=asyncio.Event)
    _threads: Threads = field(default_factory=lambda: Threads("outcomes"))

    def ended(self, key: EndpointKey, deployment: Deployment) -> None:
        """A deployment came to its outcome, which is saved. Called in the event loop."""
        if not self.url:
            return
        with self.store.reading() as reading:
            record = reading.find_endpoint(key)
        if record is not None and record.deployment.id == deployment.id:
            self._note(record)

    async def run(self) -> None:
        """Tell until cancelled."""
        while self.url:
            self._due.clear()
            await self._threads.run(self._keep)
            if self._waiting:
                await self._tell(self._waiting[0])
            else:
                await self._due.wait()

    async def _tell(self, waiting: _Waiting) -> None:
        error = await self.poster.deliver(
            self.url, msgspec.json.encode(waiting.message), "application/json"
        )
        self.happenings.webhook_ended(Posted("deployment", "failed" if error else "delivered"))
        if error:
            await self._threads.run(self._remember, waiting, error)
        if self._waiting and self._waiting[0] is waiting:
            self._waiting.popleft()

    def _note(self, record: EndpointRecord) -> None:
        """Have the outcome of a record's deployment told, unless that is known already."""
        deployment, name = record.deployment, "/".join(record.key)
        if outcome(deployment) is None or self._known.get(name) == deployment.id:
            return
        self._known[name] = deployment.id
        self._waiting.append(_Waiting(record.key, deployment.id, message(record)))
        if len(self._waiting) > WAITING_MAX:
            dropped = self._waiting.popleft()
            _log.error("outcome.dropped", endpoint=dropped.key, deployment=dropped.deployment)
            self.happenings.webhook_ended(Posted("deployment", "dropped"))
        self._due.set()

    def _remember(self, waiting: _Waiting, error: str) -> None:
        """Write down in the endpoint's history that nobody could be told."""
        _log.warning("outcome.not_told", endpoint=waiting.key, error=error)
        try:
            with self.store.transaction() as tx:
                record = tx.find_endpoint(waiting.key)
                if record is not None and record.deployment.id == waiting.deployment:
                    what = f"The deployment webhook could not be told of the outcome: {error}."
                    tx.add_event(record, record.deployment.event(self.clock.now(), what))
        except AwsError as full:
            _log.error("outcome.not_recorded", endpoint=waiting.key, error=str(full))

    # ── what survives a crash ───────────────────────────────────────────────────────────────────
    def recover(self) -> None:
        """Know what was known, and note what ended while nobody looked. Where nothing was ever
        noted, the outcomes there are by now are old: they are known, not told.

        Before any deployment can end, so that none ends unseen in between.
        """
        if not self.url:
            return
        with self.store.reading() as reading:
            found = [reading.find_endpoint(key) for key in reading.endpoint_keys()]
        records = [record for record in found if record is not None]
        try:
            kept = msgspec.json.decode((self.data_dir / FILE).read_bytes(), type=_Kept)
        except (FileNotFoundError, msgspec.MsgspecError):
            self._known = {
                "/".join(record.key): record.deployment.id
                for record in records
                if outcome(record.deployment) is not None
            }
            return
        names = {"/".join(record.key) for record in records}
        self._known = kept.known
        self._waiting.extend(kept.waiting)
        for record in records:
            self._note(record)
        self._known = {name: known for name, known in self._known.items() if name in names}

    def _keep(self) -> None:
        kept = msgspec.json.encode(_Kept(dict(self._known), list(self._waiting)))
        path = self.data_dir / FILE
        fresh = path.with_name(f"{FILE}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(kept)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as full:
            _log.error("outcomes.not_kept", error=str(full))


def message(record: EndpointRecord) -> dict[str, Any]:
    """What the receiver is posted: DescribeDeployment's members, and a text for people."""
    endpoint, deployment = record.endpoint, record.deployment
    ended_at: Instant = deployment.ended_at or deployment.looked_at
    shown = picture(endpoint, deployment, Facts(), ended_at)
    return {
        "text": _text(shown),
        "EndpointArn": endpoint.arn,
        "Account": endpoint.account,
        "Region": endpoint.region,
        **{member: shown[member] for member in _SHOWN if member in shown},
    }


def _text(shown: Mapping[str, Any]) -> str:
    mark = "✔" if shown["Outcome"] == "Done" else "✖"
    scaling = shown["Kind"] == "Scale"
    words = {
        "Done": "is scaled" if scaling else "is deployed",
        "RolledBack": "was rolled back",
        "Failed": "failed",
        "RollbackFailed": "failed, and so did its rollback",
    }[shown["Outcome"]]
    ends = [shown.get("FromEndpointConfigName"), shown.get("ToEndpointConfigName")]
    if shown["Outcome"] == "RolledBack":
        ends.reverse()
    start, end = ends
    way = f" from {start}" if start and start != end else ""
    way += f" to {end}" if end else ""
    reason = f": {shown['Reason']}" if shown.get("Reason") else ""
    text = f"{mark} {shown['EndpointName']} {words}{'' if scaling else way}{reason}"
    return text[:TEXT_CHARACTERS_MAX]
