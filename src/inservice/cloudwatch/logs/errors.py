"""What can be wrong with a request about logs, in CloudWatch Logs' codes. All are a 400."""

from __future__ import annotations

from inservice.errors import SenderError


class LogsParameterRefused(SenderError):
    """A parameter, a token or a filter pattern that cannot be; the message names it."""

    code = "InvalidParameterException"


class LogsNotFound(SenderError):
    """No such log group or stream."""

    code = "ResourceNotFoundException"


class LogsAlreadyThere(SenderError):
    """A log group or stream of this name is there."""

    code = "ResourceAlreadyExistsException"


class LogsLimitExceeded(SenderError):
    """The account has as many log groups as it may have."""

    code = "LimitExceededException"


class TooManyLogTags(SenderError):
    """A log group would have more tags than it may."""

    code = "TooManyTagsException"
