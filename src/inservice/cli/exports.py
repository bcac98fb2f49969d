"""The variables that point AWS's SDKs at a server, and the forms in which they are told.

Variables hold one key for all of AWS's services, so the address must be one for all as well, S3
included: a client of a service that is not here is answered NotImplemented by us. Were only the
services that are here pointed at us, its requests would go to AWS with the id of our root key in
them. For the same reason whatever would lead some requests elsewhere has to go: an address of one
service's own (it wins over the common one), and the switch that has all of them ignored. Another
store of objects stays for who names it again, in so many words (`--s3-endpoint-url`), since that
store has to take our key; who has another key for it takes a profile (`profiles.py`): then only
programs that choose it talk to us.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Final

from inservice.cli.target import Target

Variables = Mapping[str, str | None]
"""What each variable is to be; None: not set at all."""

OWN_ADDRESS: Final = "AWS_ENDPOINT_URL_"
"""How the variables begin that give one service an address of its own."""

OF_S3: Final = f"{OWN_ADDRESS}S3"

_NOT_SET: Final = (
    "AWS_SESSION_TOKEN",  # of the caller's real session: it would be sent along, and refused
    "AWS_SECURITY_TOKEN",  # its older name
    "AWS_CREDENTIAL_EXPIRATION",  # the same session's: botocore would want a fresh key
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",  # AWS_ENDPOINT_URL would count for nothing
    "AWS_USE_FIPS_ENDPOINT",  # refused together with an address
    "AWS_USE_DUALSTACK_ENDPOINT",
)

_FLAGS: Final = tuple(name for name in _NOT_SET if "_IGNORE_" in name or "_USE_" in name)

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+,=\[\]-]*")


def variables(
    target: Target, environment: Mapping[str, str], *, s3_endpoint_url: str | None = None
) -> Variables:
    """What a shell with this environment needs to talk to a server, and to nobody else but a store
    of objects that was named."""
    own_addresses = sorted(name for name in environment if name.startswith(OWN_ADDRESS))
    named = {} if s3_endpoint_url is None else {OF_S3: s3_endpoint_url}
    return {
        "AWS_ENDPOINT_URL": target.url,
        "AWS_ACCESS_KEY_ID": target.access_key_id,
        "AWS_SECRET_ACCESS_KEY": target.secret_access_key,
        # boto3 reads the one, the AWS CLI and the other SDKs prefer the other.
        "AWS_DEFAULT_REGION": target.region,
        "AWS_REGION": target.region,
        **dict.fromkeys((*_NOT_SET, *own_addresses)),
        **named,
    }


def as_shell(wanted: Variables) -> str:
    """For `eval` in a POSIX shell."""
    lines = [f"export {n}={shlex.quote(value)}" for n, value in wanted.items() if value is not None]
    lines.append("unset " + " ".join(name for name, value in wanted.items() if value is None))
    return "\n".join(lines) + "\n"


def as_json(wanted: Variables) -> str:
    """An object; null for what must not be set."""
    return json.dumps(wanted, indent=4) + "\n"


def as_dotenv(wanted: Variables) -> str:
    """For python-dotenv, Docker Compose and their like."""
    return "".join(f"{name}={_dotenv_quoted(value)}\n" for name, value in _settable(wanted).items())


def as_github(wanted: Variables) -> str:
    """For the file that `$GITHUB_ENV` names in a step of GitHub Actions."""
    return "".join(_github_entry(name, value) for name, value in _settable(wanted).items())


FORMS: Final[Mapping[str, Callable[[Variables], str]]] = {
    "shell": as_shell,
    "json": as_json,
    "dotenv": as_dotenv,
    "github": as_github,
}


def _settable(wanted: Variables) -> dict[str, str]:
    """The same for files that can set variables and not take any away.

    An address is said again and a switch set to false, which SDKs read as unset. A session's token
    is empty; profiles are left alone, since one without a name is an error to botocore.
    """
    told = {name: value for name, value in wanted.items() if value is not None}
    for name in wanted.keys() - told.keys():
        if name.startswith(OWN_ADDRESS):
            told[name] = told["AWS_ENDPOINT_URL"]
        elif name in _FLAGS:
            told[name] = "false"
        elif name.endswith("_TOKEN"):
            told[name] = ""
    return dict(sorted(told.items()))


def _dotenv_quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _github_entry(name: str, value: str) -> str:
    """One line, or a here-document for a value of several; its end is a line of none of them."""
    if "\n" not in value and "\r" not in value:
        return f"{name}={value}\n"
    end = "END_OF_VALUE"
    while end in value:
        end += "_"
    return f"{name}<<{end}\n{value}\n{end}\n"
