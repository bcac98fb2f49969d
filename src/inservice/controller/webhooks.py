"""What an alarm does: an HTTP POST of the message that SNS would send.

An action that is an http or https URL is posted to, and tried again with growing pauses. Any other
action (an SNS topic, a Lambda function, an EC2 action) belongs to services that are not here: it is
kept and described, and its history says that it was not executed.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog

from inservice.alarms.alarm import AlarmState
from inservice.alarms.history import notification
from inservice.alarms.record import AlarmRecord
from inservice.clock import Clock, Instant

ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 1.0
"""Doubled after each attempt: 15 s in all. A receiver that restarts is back by then; one that is
down for longer should look at DescribeAlarms."""

TIMEOUT_SECONDS = 10.0
AT_ONCE = 16
"""Connections under way at one time, over all alarms."""

UNSUPPORTED = "InService executes http and https actions only; this one is kept and shown."

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A state whose actions are to be run."""

    record: AlarmRecord
    at: Instant


Post = Callable[[str, bytes], int]
"""Send a body to a URL; gives the status. Raises OSError or http.client.HTTPException."""


def post(url: str, body: bytes) -> int:
    """One POST without redirects, proxies or cookies: it goes to the host that the alarm names."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection = (
        http.client.HTTPSConnection(
            host, port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
        )
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    )
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(
            "POST",
            path,
            body,
            {
                "Content-Type": "text/plain; charset=UTF-8",  # what SNS sends, though it is JSON
                "x-amz-sns-message-type": "Notification",
            },
        )
        response = connection.getresponse()
        response.read(1024)
        return response.status
    finally:
        connection.close()


class Webhooks:
    """Runs actions."""

    def __init__(self, clock: Clock, send: Post = post) -> None:
        self._clock = clock
        self._send = send
        self._room = asyncio.Semaphore(AT_ONCE)

    async def run(self, action: str, delivery: Delivery) -> str:
        """Run one action for a state; gives an error, or an empty text."""
        record = delivery.record
        if not action.startswith(("http://", "https://")):
            _log.warning("alarm.action_unsupported", alarm=record.arn, action=action)
            return UNSUPPORTED
        message = notification(
            arn=record.arn,
            account=record.account,
            region=record.region,
            document=record.document,
            before=AlarmState(record.acted_on),
            after=record.state,
            configured_at=record.configured_at,
            at=delivery.at,
            message_id=str(uuid.uuid4()),
            action=action,
        )
        return await self._send_with_patience(action, json.dumps(message).encode())

    async def _send_with_patience(self, url: str, body: bytes) -> str:
        pause, error = FIRST_PAUSE_SECONDS, ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await self._clock.sleep(pause)
                pause *= 2
            try:
                async with self._room:
                    status = await asyncio.to_thread(self._send, url, body)
            except (OSError, http.client.HTTPException, ValueError) as problem:
                error = str(problem) or type(problem).__name__
                continue
            if 200 <= status < 300:
                return ""
            error = f"the receiver answered {status}"
        return f"{error}, after {ATTEMPTS} attempts"
