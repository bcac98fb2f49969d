"""What can go wrong with a command line, and what each costs: words on stderr and an exit code.

    252  the command line is wrong                 UsageError, UnknownOptions, BadParameter, Refused
    253  this machine is not set up for it         NotConfigured, NoPager
    254  the service answered with an error        botocore's ClientError
    255  everything else
    130  interrupted

The numbers and the shape of the lines are AWS CLI version 2's: scripts that read them go on
working.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TextIO

from inservice.cli.spelling import did_you_mean

PROGRAM: Final = "inservice"

USAGE: Final = (
    f"{PROGRAM} [options] <command> <subcommand> [<subcommand> ...] [parameters]\n"
    "To see help text, you can run:\n"
    "\n"
    f"  {PROGRAM} help\n"
    f"  {PROGRAM} <command> help\n"
    f"  {PROGRAM} <command> <subcommand> help\n"
)

PARAMETERS_RC: Final = 252
CONFIGURATION_RC: Final = 253
SERVICE_RC: Final = 254
GENERAL_RC: Final = 255
INTERRUPTED_RC: Final = 130

NOBODY_ANSWERS: Final = (
    f"Is InService running there? `{PROGRAM} status` says; `{PROGRAM} up --detach` starts it."
)
"""Below botocore's own sentence, where the place that does not answer is InService's."""

_SET_UP: Final = 'by running "aws configure".'


_UPGRADE: Final = (
    f"; install the newer version (pip install --upgrade inservice), then {PROGRAM} restart"
)

_ELSEWHERE: Final = {"upgrade": _UPGRADE, "update": _UPGRADE}
"""What other programs have as a command. It would have to know how each of them was installed."""


class CommandLineError(Exception):
    """Wrong before anything was sent."""

    exit_code = PARAMETERS_RC


class UsageError(CommandLineError):
    """The words do not parse. The message carries the usage block."""


class Refused(CommandLineError):
    """Each word is fine, and together they make no sense."""


class UnknownOptions(CommandLineError):
    """Words were left over."""

    def __str__(self) -> str:
        return f"usage: {USAGE}\n{self.args[0]}\n"


class UnknownCommand(CommandLineError):
    """The first word is neither a service nor a command of ours."""

    def __init__(self, word: str, known: Sequence[str]) -> None:
        meant = _ELSEWHERE.get(word) or did_you_mean(word, known)
        super().__init__(f'{PROGRAM}: there is no command "{word}"{meant}\nSee:  {PROGRAM} --help')


class BadParameter(CommandLineError):
    """One option's value does not parse. `option` is named as AWS names it in that case."""

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"Error parsing parameter '{option}': {problem}")


class NotConfigured(CommandLineError):
    """No region, no server, an unknown setting: nothing that other words would mend."""

    exit_code = CONFIGURATION_RC


class NoPager(NotConfigured):
    """The configured pager cannot be started."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(
            "Unable to redirect output to pager. Received the following error when opening pager:\n"
            f"{cause}\n\nLearn more about configuring the output pager by running "
            f'"{PROGRAM} help config-vars".'
        )


def exit_code_of(error: BaseException) -> int:
    """The exit code that AWS CLI version 2 gives to this error."""
    from botocore import exceptions

    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED_RC
    if isinstance(error, CommandLineError):
        return error.exit_code
    if isinstance(error, exceptions.ParamValidationError):
        return PARAMETERS_RC
    if isinstance(error, (exceptions.NoRegionError, exceptions.NoCredentialsError)):
        return CONFIGURATION_RC
    if isinstance(error, exceptions.ClientError):
        return SERVICE_RC
    return GENERAL_RC


def explain(error: BaseException, stdout: TextIO, stderr: TextIO) -> int:
    """Write what went wrong and return the exit code."""
    from botocore import exceptions

    if isinstance(error, KeyboardInterrupt):
        stdout.write("\n")
    elif isinstance(error, exceptions.NoRegionError):
        stderr.write(f"\n{error} You can also configure your region {_SET_UP}\n")
    elif isinstance(error, exceptions.NoCredentialsError):
        stderr.write(f"\n{error}. You can configure credentials {_SET_UP}\n")
    else:
        stderr.write(f"\n{error}\n")
    return exit_code_of(error)
