"""Where a command line arrives: one table from its first word to the module that answers it.

Nothing heavy is imported here, and no framework. Importing typer alone takes 50 ms, four times what
argparse takes, on every line; and AWS's half has a grammar of its own, which is argparse's with
AWS's words. The budget of 150 ms for `inservice --version` is for Python and this page, which does
without `dataclasses` too: they are half as much as Python. A command's module is imported when, and
only when, it is asked for.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NamedTuple

import inservice

DONE: Final = 0
FAILED: Final = 1
INTERRUPTED: Final = 130

GC_THRESHOLD: Final = 100_000
"""Objects made before a collection. Python's default is 700."""


class Command(NamedTuple):
    """One word of the command line. `module` has a function `run(argv) -> exit code`."""

    module: str
    summary: str


_AWS: Final = "inservice.cli.aws.driver"

COMMANDS: Final[dict[str, Command]] = {
    "up": Command("inservice.cli.up", "Start InService."),
    "down": Command("inservice.cli.down", "Stop it, and everything it started."),
    "reload": Command("inservice.cli.reload", "Replace the gateway workers, dropping nothing."),
    "restart": Command("inservice.cli.restart", "Run the code installed now, dropping nothing."),
    "status": Command("inservice.cli.status", "What runs, since when, and how it is."),
    "backup": Command("inservice.cli.backup", "Write everything that matters to one file."),
    "restore": Command("inservice.cli.restore", "Make a data directory of a backup."),
    "recover": Command("inservice.cli.recover", "What to do where the records are refused."),
    "env": Command("inservice.cli.env", "Print what points boto3 and aws at it."),
    "exec": Command("inservice.cli.exec", "Run a program that reaches it, and never AWS."),
    "credentials": Command("inservice.cli.credentials", "Print keys for a credential_process."),
    "doctor": Command("inservice.cli.doctor", "See what a client here would reach, and as whom."),
    "demo": Command("inservice.cli.demo", "Train a model, deploy it, invoke it, clean up."),
    "endpoint": Command("inservice.cli.endpoint", "Create, update, watch and invoke endpoints."),
    "config": Command("inservice.cli.config", "Create, list, show and delete endpoint configs."),
    "model": Command("inservice.cli.model", "Create, list, show, delete and look into models."),
    "image": Command("inservice.cli.image", "What this host can run; images of one's own."),
    "user": Command("inservice.cli.user", "Who else may use it: users, their keys and policies."),
    "policy": Command("inservice.cli.policy", "List and show policies; test who may do what."),
    "whoami": Command("inservice.cli.whoami", "Whose key is used here, and what they hold."),
    "audit": Command("inservice.cli.audit", "Who changed what, and who was refused."),
    "account": Command("inservice.cli.account", "Create, list and delete accounts beside its own."),
    "key": Command("inservice.cli.key", "Replace a root access key."),
    "completion": Command("inservice.cli.completion", "Print a completion script for a shell."),
    "version": Command("inservice.cli.version", "Print the version."),
}
"""The commands of InService's own, in the order that help lists them."""

SERVICES: Final[dict[str, str]] = {
    "sagemaker": "Models, endpoint configs and endpoints.",
    "sagemaker-runtime": "Invoke an endpoint.",
    "cloudwatch": "Metrics and alarms.",
    "logs": "What the instances print.",
    "application-autoscaling": "Scalable targets and policies; InService has none yet.",
    "iam": "Users, groups, roles and policies.",
    "sts": "Who am I.",
    "ecr": "Repositories of images; InService has none.",
    "resourcegroupstaggingapi": "Resources by their tags.",
}
"""The AWS services whose operations are commands, as `aws <service> <operation>` has them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Answer one command line and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    # Importing botocore makes so many objects that the default has them all walked 60 times over;
    # a command is over before there is anything to collect. It takes a tenth off most of them.
    gc.set_threshold(GC_THRESHOLD)
    atexit.register(gc.freeze)  # nor is it walked at the end, when all of it goes anyway
    try:
        return _answer(words)
    except KeyboardInterrupt:
        sys.stdout.write("\n")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (`head`, a closed pager) went away. Nothing is left to tell it,
        # and the interpreter must not try again when it flushes at exit.
        sys.stdout = open("/dev/null", "w", encoding="utf-8")  # noqa: SIM115, PTH123
        return FAILED


def _answer(words: list[str]) -> int:
    first = words[0] if words else ""
    if first in COMMANDS:
        run = import_module(COMMANDS[first].module).run
        return int(run(words[1:]))
    if not words or first in ("--help", "-h", "help"):
        return overview()  # a program that is called by its name alone is asked what it is
    if "--version" in words:
        sys.stdout.write(version_line() + "\n")
        return DONE
    # A service's name, a global option before it, or a word nobody knows: AWS's grammar decides.
    return int(import_module(_AWS).run(words))


def version_line() -> str:
    """The version of InService and of the Python that runs it, and whether the hot path is C."""
    v = sys.version_info
    line = f"inservice/{inservice.__version__} Python/{v.major}.{v.minor}.{v.micro}"
    names = os.listdir(f"{inservice.__path__[0]}/transport")  # noqa: PTH208 - pathlib is slow
    return f"{line} compiled" if any(name.endswith(".so") for name in names) else line


def overview() -> int:
    """Print what commands there are."""
    width = max(map(len, [*COMMANDS, *SERVICES]))
    out = ["usage: inservice <command> [options]", "", "InService's own commands:"]
    out += [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    out += ["", "AWS's commands, with every option that the AWS CLI gives them:"]
    out += [f"  {name:<{width}}  {summary}" for name, summary in SERVICES.items()]
    out += [
        "",
        "inservice <command> --help and inservice <service> [<operation>] help say more.",
        "New here? inservice demo shows it all; inservice up --detach starts a server.",
        "",
    ]
    sys.stdout.write("\n".join(out))
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
