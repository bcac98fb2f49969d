"""What can be wrong with a request about logs, in CloudWatch Logs' codes. Both are a 400."""

from __future__ import annotations

from inservice.errors import SenderError


class LogsParameterRefused(SenderError):
    """A parameter, a token or a filter pattern that cannot be; the message names it."""

    code = "InvalidParameterException"


class LogsNotFound(SenderError):
    """No such log group or stream."""

    code = "ResourceNotFoundException"
