"""IAM's global condition keys, as far as a request has values for them.

What is known of the caller is in the caller's authority, what is known of the resource is said by
who looks it up; here is the rest. There is no multi-factor authentication, and TLS ends in front of
this server, which cannot vouch for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from inservice.identity.policies.variables import ContextValue


def request_context(
    *, account: str, region: str, now: float, source: str | None, agent: bytes | None, session: bool
) -> dict[str, ContextValue]:
    """By condition key, in small letters. `account` owns what is asked for, unless an ARN says
    who does; `now` is in epoch seconds; `source` is the client's address and `agent` its
    User-Agent, where there are any; `session` says whether the key is a temporary one."""
    context: dict[str, ContextValue] = {
        "aws:currenttime": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:epochtime": str(int(now)),
        "aws:requestedregion": region,
        "aws:resourceaccount": account,
        "aws:securetransport": "false",
        "aws:viaawsservice": "false",
        "aws:principalisawsservice": "false",
    }
    if source is not None:
        context["aws:sourceip"] = source
    if agent is not None:
        context["aws:useragent"] = agent.decode("utf-8", "replace")
    if session:
        context["aws:multifactorauthpresent"] = "false"
    return context


def owner_of(resource: str) -> dict[str, ContextValue]:
    """`aws:ResourceAccount` of a resource whose ARN says whose it is: policies of an account speak
    for its own resources, so what is another's must not be taken for the caller's."""
    fields = resource.split(":", 5)
    owner = fields[4] if len(fields) == 6 and fields[0] == "arn" else ""
    return {"aws:resourceaccount": owner} if owner.isdecimal() and len(owner) == 12 else {}


def tag_context(service: str, tags: Mapping[str, str]) -> dict[str, ContextValue]:
    """The tags of a resource, under the name that all services have for them and the service's."""
    return {
        f"{prefix}:resourcetag/{key.lower()}": value
        for key, value in tags.items()
        for prefix in dict.fromkeys(("aws", service))
    }
