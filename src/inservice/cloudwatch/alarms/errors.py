"""What can be wrong with a request about alarms or metrics, in CloudWatch's codes.

    SenderError
    ├── AlarmRefused                   400  ValidationError: the alarm asked for cannot be
    ├── AlarmLimitExceeded             400  LimitExceeded
    ├── AlarmNotFound                  404  ResourceNotFound
    ├── TaggedNotFound                 404  ResourceNotFoundException
    ├── DashboardNotFound              404  ResourceNotFound, by its shape's name
    ├── DashboardRefused               400  InvalidParameterInput, by its shape's name
    ├── BadReasonData                  400  InvalidFormat
    ├── BadToken                       400  InvalidNextToken
    ├── BadValue                       400  InvalidParameterValue
    ├── BadCombination                 400  InvalidParameterCombination
    └── MissingValue                   400  MissingParameter

CloudWatch is the one service here whose not-found is a 404. The codes are those of its query
protocol, which clients of every protocol are shown.
"""

from __future__ import annotations

from inservice.errors import SenderError


class AlarmRefused(SenderError):
    """An alarm, a rule or an expression that cannot be; the message names the field."""

    code = "ValidationError"


class AlarmLimitExceeded(SenderError):
    """The account has as many alarms as it may have."""

    code = "LimitExceeded"


class AlarmNotFound(SenderError):
    """No alarm of that name."""

    code = "ResourceNotFound"
    status = 404


class TaggedNotFound(SenderError):
    """Nothing that could have tags has this ARN: another code for the same, in these operations."""

    code = "ResourceNotFoundException"
    status = 404


class DashboardNotFound(SenderError):
    """No dashboard of that name. Of three errors of one code its name tells this one."""

    code = "DashboardNotFoundError"
    status = 404


class DashboardRefused(SenderError):
    """A dashboard's body that is none; the members say where."""

    code = "DashboardInvalidInputError"


class BadReasonData(SenderError):
    """StateReasonData that is not JSON."""

    code = "InvalidFormat"


class BadToken(SenderError):
    """A NextToken that this server did not give, or not for this request."""

    code = "InvalidNextToken"


class BadValue(SenderError):
    """A value out of its range, or a metric too many."""

    code = "InvalidParameterValue"


class BadCombination(SenderError):
    """Parameters that exclude each other."""

    code = "InvalidParameterCombination"


class MissingValue(SenderError):
    """A parameter that is needed."""

    code = "MissingParameter"
