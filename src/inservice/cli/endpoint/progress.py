"""Waiting for an endpoint, and showing what it is doing meanwhile.

On a terminal one line is rewritten in place; elsewhere there is one plain line per change, so that
the log of a build reads well. Which of the two changes nothing else: not the waiting, not the code.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import ClientError
from rich.markup import escape

from inservice.cli.durations import elapsed, seconds_of
from inservice.cli.endpoint import EXIT_CODES_TOLD
from inservice.cli.printing import console

_FIRST_POLL_SECONDS: Final = 0.1
_POLL_SECONDS_MAX: Final = 2.0
"""A local endpoint is ready within a second, so AWS's thirty would be nearly all waiting. One that
takes minutes is asked less and less often: at AWS, too many questions are refused."""

DONE: Final = 0
ROLLED_BACK: Final = 3
OUT_OF_TIME: Final = 4
FAILED: Final = 5
ROLLBACK_FAILED: Final = 6

_GOING_ON: Final = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")

_STYLES: Final = {
    "InService": "green",
    "Failed": "bold red",
    "UpdateRollbackFailed": "bold red",
    "RollingBack": "yellow",
}


def add_waiting(parser: argparse.ArgumentParser, *, always: bool = False) -> None:
    """Add --timeout, and --wait unless the verb waits in any case; say the exit codes.

    It means one thing everywhere: stay until what was begun is over, and tell by the exit code how
    it ended.
    """
    parser.epilog = EXIT_CODES_TOLD
    if not always:
        parser.add_argument(
            "--wait", action="store_true", help="stay until it is over; the exit code says how"
        )
    parser.add_argument(
        "--timeout", type=seconds_of, default=1800.0, metavar="TIME", help="give up after (30m)"
    )


def after_waiting(name: str, code: int) -> tuple[str, ...]:
    """What one would do next with an endpoint that was created or updated."""
    if code == DONE:
        return (f"endpoint invoke {name} --body ...",)
    if code == OUT_OF_TIME:
        return (f"endpoint watch {name}",)
    seen = (f"endpoint logs {name}", f"endpoint history {name}")
    return (*seen, f"endpoint report {name}") if code == ROLLED_BACK else seen


def doing(endpoint: dict[str, Any]) -> str:
    """What an endpoint is doing now, in words: each variant, its instances, its step."""
    pending = endpoint.get("PendingDeploymentSummary", {}).get("ProductionVariants", [])
    parts = []
    for variant in pending or endpoint.get("ProductionVariants", []):
        steps = [status["Status"] for status in variant.get("VariantStatus", [])]
        ready, wanted = variant.get("CurrentInstanceCount"), variant.get("DesiredInstanceCount")
        count = f" {ready or 0}/{wanted} instances" if wanted is not None else ""
        parts.append(f"{variant['VariantName']}{count}{' ' if steps else ''}{', '.join(steps)}")
    return " · ".join(parts)


def style_of(status: str) -> str:
    """The colour of an EndpointStatus."""
    return _STYLES.get(status, "cyan")


def wait_for(client: Any, name: str, timeout_seconds: float, *, config: str | None = None) -> int:
    """Show an endpoint until it is settled, and return the exit code that its end deserves.

    `config` is the endpoint config that it is to have in the end: InService with another one means
    that it was rolled back. Raises ClientError when it cannot be described.
    """
    with _display() as show:
        endpoint, waited = _settle(client, name, timeout_seconds, show)
    status = endpoint["EndpointStatus"]
    out = console(stderr=True)
    if status in _GOING_ON:
        out.print(f"{escape(name)} is still {status} after {elapsed(waited)}", style="yellow")
        return OUT_OF_TIME
    reason = endpoint.get("FailureReason", "")
    if status == "InService" and config in (None, endpoint.get("EndpointConfigName")):
        return DONE
    if reason:
        out.print(escape(reason), style="red")
    if status == "InService":
        return ROLLED_BACK
    return ROLLBACK_FAILED if status == "UpdateRollbackFailed" else FAILED


def wait_until_gone(client: Any, name: str, timeout_seconds: float) -> int:
    """Show an endpoint until it is deleted."""
    with _display() as show:
        try:
            endpoint, _ = _settle(client, name, timeout_seconds, show, until=())
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationException":
                show("Deleted", "")
                return DONE
            raise
    return FAILED if endpoint["EndpointStatus"] == "Failed" else OUT_OF_TIME


def _settle(
    client: Any,
    name: str,
    timeout_seconds: float,
    show: Callable[[str, str], None],
    until: tuple[str, ...] | None = None,
) -> tuple[dict[str, Any], float]:
    """Describe an endpoint until its status is final (or, with `until` empty, never)."""
    started = time.monotonic()
    pause_seconds = _FIRST_POLL_SECONDS
    while True:
        endpoint: dict[str, Any] = client.describe_endpoint(EndpointName=name)
        status = endpoint["EndpointStatus"]
        show(status, doing(endpoint))
        waited = time.monotonic() - started
        settled = status not in _GOING_ON and until is None
        if settled or status == "Failed" or waited >= timeout_seconds:
            return endpoint, waited
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 1.25, _POLL_SECONDS_MAX)


@contextmanager
def _display() -> Iterator[Callable[[str, str], None]]:
    started = time.monotonic()
    out = console()
    if out.is_terminal and os.environ.get("TERM") != "dumb":
        with out.status("") as line:

            def rewrite(status: str, what: str) -> None:
                style = style_of(status)
                waited = elapsed(time.monotonic() - started)
                line.update(f"[{style}]{status}[/]  {waited}  {escape(what)}")
                if status not in _GOING_ON:
                    out.print(f"[{style}]{status}[/]  {waited}  {escape(what)}")

            yield rewrite
        return
    last = ""

    def append(status: str, what: str) -> None:
        nonlocal last
        if (now := f"{status}  {what}".rstrip()) != last:
            last = now
            sys.stdout.write(f"{elapsed(time.monotonic() - started):>8}  {now}\n")
            sys.stdout.flush()

    yield append
