"""As whom requests are signed, and whether the server knows them."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from inservice.cli.doctor.finding import Finding, ok, problem
from inservice.cli.doctor.places import POINT_HERE
from inservice.cli.doctor.scene import Key, Scene

_SOURCES = {
    "env": "AWS_ACCESS_KEY_ID of this shell",
    "shared-credentials-file": "the credentials file",
    "config-file": "the config file",
    "custom-process": "the profile's credential_process",
    "container-role": "AWS_CONTAINER_CREDENTIALS_FULL_URI",
}

LONG_TERM = "AKIA"
"""How the id of a key begins that has no token with it."""


def keys(scene: Scene) -> Iterator[Finding]:
    """Whose the key is."""
    if scene.broken:
        return
    if scene.leads_to_aws(scene.urls["sts"]) and not scene.is_inside_exec():
        return  # nothing is asked of AWS, not even for the keys of a role there
    try:
        key = scene.key()
    except BotoCoreError as error:
        yield problem("key", str(error), POINT_HERE)
        return
    if key is None:
        yield problem("key", "there is none", POINT_HERE)
        return
    source = _SOURCES.get(key.source, key.source)
    yield _whose(scene, key, f"{key.id}, from {source}")


def _whose(scene: Scene, key: Key, told: str) -> Finding:
    try:
        arn = scene.client("sts").get_caller_identity()["Arn"]
    except ClientError as error:
        if key.token and key.id.startswith(LONG_TERM):
            return problem(
                "key",
                f"{told}: a session token of another key goes with it",
                "unset AWS_SESSION_TOKEN",
            )
        code = error.response["Error"].get("Code", "")
        if code == "ExpiredToken":
            return problem("key", f"{told}: it has ended", POINT_HERE)
        why = error.response["Error"].get("Message", code)
        return problem("key", f"{told}: the server does not take it: {why}", POINT_HERE)
    except (BotoCoreError, ResponseParserError, KeyError) as error:  # the last: no STS at all
        return problem("key", f"{told}: nobody could be asked whose it is: {error}", POINT_HERE)
    return ok("key", f"{told}: {arn}")
