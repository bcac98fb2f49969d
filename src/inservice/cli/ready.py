"""Waiting until the endpoints of a server serve, and not only its API.

After `up` on existing records endpoints are InService, as they were, while their instances start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from inservice.cli import ours
from inservice.cli.server import Running

LOOK_SECONDS = 0.25


def short_of(endpoints: Iterable[Mapping[str, Any]]) -> list[str]:
    """Which endpoints do not serve with all that they should have, in words."""
    return [
        f"{one['EndpointName']} ({one['ServingInstanceCount']} of {one['DesiredInstanceCount']})"
        for one in endpoints
        if one["ServingInstanceCount"] < one["DesiredInstanceCount"]
    ]


def wait(running: Running, seconds: float, say: Callable[[str], None]) -> int:
    """Say what is waited for until every endpoint serves with all its instances. Gives an exit
    code: 0 when they do, 1 when the time was up first."""
    from botocore.exceptions import BotoCoreError, ClientError

    client = ours.client(running)
    deadline = time.monotonic() + seconds
    said = ""
    while True:
        try:
            endpoints = client.describe_server()["Endpoints"]
        except (BotoCoreError, ClientError) as failure:  # control may be starting again
            text = f"The server does not answer: {failure}"
        else:
            short = short_of(endpoints)
            if not short:
                say(f"All {len(endpoints)} endpoints serve." if endpoints else "No endpoints yet.")
                return 0
            text = f"Waiting for instances of {', '.join(short)}."
        if text != said:
            said = text
            say(text)
        if time.monotonic() > deadline:
            say(f"Not within {seconds:.0f} s; the server goes on. See `inservice status`.")
            return 1
        time.sleep(LOOK_SECONDS)
