"""What an alarm does: an HTTP POST of the message that SNS would send.

An action that is an http or https URL is posted to, and tried again with growing pauses. Any other
action (an SNS topic, a Lambda function, an EC2 action) belongs to services that are not here: it is
kept and described, and its history says that it was not executed.
"""

from __future__ import annotations

import json
import uuid

import structlog

from inservice.cloudwatch.alarms.history import notification
from inservice.cloudwatch.alarms.record import AlarmRecord, Owed
from inservice.controller.kit.posting import Poster
from inservice.controller.kit.receivers import is_url
from inservice.telemetry.base import Happened, Posted
from inservice.values import Instant

UNSUPPORTED = "InService executes http and https actions only; this one is kept and shown."

_CONTENT_TYPE = "text/plain; charset=UTF-8"
"""What SNS sends, though it is JSON."""

_log = structlog.get_logger(__name__)


class Webhooks:
    """Runs actions."""

    def __init__(self, poster: Poster, happenings: Happened) -> None:
        self._poster = poster
        self._happenings = happenings

    async def run(self, action: str, record: AlarmRecord, change: Owed, at: Instant) -> str:
        """Run one action for a change of state; gives an error, or an empty text."""
        if not is_url(action):
            _log.warning("alarm.action_unsupported", alarm=record.arn, action=action)
            return UNSUPPORTED
        message = notification(
            arn=record.arn,
            account=record.account,
            region=record.region,
            document=record.document,
            before=change.before,
            after=change.after,
            configured_at=record.configured_at,
            at=at,
            message_id=str(uuid.uuid4()),
            action=action,
        )
        error = await self._poster.deliver(
            action,
            json.dumps(message).encode(),
            _CONTENT_TYPE,
            x_amz_sns_message_type="Notification",
        )
        self._happenings.webhook_ended(Posted("alarm", "failed" if error else "delivered"))
        return error
