"""Whom this server asks for artifacts, and with which key: never itself, and never its own.

Credentials, region, profile, proxies and certificates are found as boto3 finds them. The address is
not quite: people who use InService have AWS_ENDPOINT_URL set to InService itself, and this server
must not ask itself for models. So the S3 endpoint is, in this order: AWS_ENDPOINT_URL_S3,
`endpoint_url` of `s3` in the profile's `services` section, and else AWS. The general
AWS_ENDPOINT_URL and the profile's general `endpoint_url` are ignored, but in a profile that the
operator named for artifacts alone, which comes before all of these.

The same people have InService's own root key in AWS_ACCESS_KEY_ID, or in the profile that they use,
when they start the server from that shell. Signing to a storage with it would tell a third party
its id, and be refused there. So this server's keys are struck out twice:

    found    each place where boto3 looks is asked, and one that gives a key of ours is passed over,
             so that the next place is asked as if the first were empty
    sent     a request that bears one of our keys is not sent, whatever signed it: a role that is
             assumed with it asks STS before there are any credentials to look at
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError

from inservice.artifacts.errors import ArtifactForbidden, shown
from inservice.artifacts.roles import Roles

CONNECT_SECONDS = 5.0
STALL_SECONDS = 10.0
"""A storage that sends nothing for this long is asked again, from where it stopped."""

AWS = "AWS"
"""What the storage is called when no endpoint is configured."""


@dataclass(frozen=True, slots=True)
class OwnServer:
    """This server as far as its S3 client must know it, to keep away from it."""

    is_key: Callable[[str], bool] = frozenset[str]().__contains__
    host: str = "127.0.0.1"  # what it listens on
    port: int = 0  # 0: nowhere

    def is_at(self, url: str) -> bool:
        """Whether requests to `url` would come to this server. A name that leads here through a
        proxy cannot be told; such requests are refused for their signature, as a stranger's are."""
        if not self.port or not url:
            return False
        try:
            parts = urlsplit(url if "://" in url else f"//{url}")
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:  # botocore has its own word for such an address
            return False
        return port == self.port and self._listens_at(parts.hostname)

    def _listens_at(self, host: str | None) -> bool:
        if not host or host == self.host:
            return bool(host)
        try:
            found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
        except (OSError, UnicodeError):
            return False
        return any(
            ipaddress.ip_address(address.partition("%")[0]).is_loopback or _is_of_this_host(address)
            for address in found
        )


class Storage:
    """An S3 client, and what an error has to call the two ends of its requests."""

    def __init__(
        self,
        client: Any,
        name: str,
        resolver: _Resolver,
        gate: _Gate,
        *,
        is_named: bool,
        roles: Roles[Storage] | None = None,
    ) -> None:
        self.client = client
        self.name = name  # the endpoint, or AWS
        self.is_named = is_named  # by whoever runs the server; else it is AWS because nobody was
        self._resolver = resolver
        self._gate = gate
        self._roles = roles

    def as_role(self, role: str | None) -> Storage:
        """The same, asked as an execution role, if there is an STS where one can be assumed."""
        return self if role is None or self._roles is None else self._roles.client_as(role)

    @property
    def key_id(self) -> str:
        """The access key of the latest request; empty before there was one."""
        return self._gate.key_id

    @property
    def passed_over(self) -> str:
        """The id of a key of this server that was found, and is not used; empty if none was."""
        return self._resolver.passed_over


def s3_client(
    endpoint_url: str = "",
    environment: Mapping[str, str] = os.environ,
    *,
    profile: str = "",
    own: OwnServer | None = None,
) -> Storage:
    """The storage that artifacts come from, without asking it for anything yet.

    `profile` is the server's own setting: a profile of the AWS files for artifacts alone; what the
    environment says of keys does not count then. Raises ArtifactForbidden when the storage would be
    this server itself, and for a profile that cannot be used.
    """
    own = own or OwnServer()
    try:
        making = _Making(environment, profile, own)
        chosen = endpoint_url or making.endpoint("s3")
        if own.is_at(chosen):
            raise ArtifactForbidden(
                f"The server's S3 endpoint is {shown(chosen)}, which is this server itself: it "
                "reads its own buckets where they are, and asks itself for no others. To read "
                "from another store, name that in AWS_ENDPOINT_URL_S3, or in the profile of "
                "INSERVICE_S3_PROFILE, before the server starts."
            )
        return making.storage(chosen, is_named=bool(chosen or profile))
    except (BotoCoreError, ValueError) as error:
        text = shown(str(error), characters_max=200)
        raise ArtifactForbidden(f"The server's S3 client cannot be made: {text}") from error


class _Making:
    """Sessions of botocore that look for credentials as boto3 does and never bear a key of ours."""

    def __init__(self, environment: Mapping[str, str], profile: str, own: OwnServer) -> None:
        self._environment = environment
        self._profile = profile
        self._own = own
        self._gate = _Gate(own)
        self._session = self._new_session(self._gate)
        # A shell that points at this server holds a key for it, also one that was rotated since.
        points_here = own.is_at(environment.get("AWS_ENDPOINT_URL", ""))
        found_by = self._session.get_component("credential_provider").providers
        self._resolver = _Resolver(found_by, own, points_here=points_here)
        self._session.register_component("credential_provider", self._resolver)

    def _new_session(self, gate: _Gate) -> botocore.session.Session:
        session = botocore.session.Session(profile=self._profile or None)
        session.set_config_variable("ignore_configured_endpoint_urls", True)
        session.register("before-send", gate.look)  # before a client is made: each takes a copy
        return session

    def endpoint(self, service: str) -> str:
        """What is configured for S3, or STS; empty for AWS."""
        profile = self._session.get_scoped_config()
        section = self._session.full_config.get("services", {}).get(profile.get("services")) or {}
        in_section = str(section.get(service, {}).get("endpoint_url") or "")
        in_environment = self._environment.get(f"AWS_ENDPOINT_URL_{service.upper()}", "")
        if not self._profile:
            return in_environment or in_section
        general = str(profile.get("endpoint_url") or "") if service == "s3" else ""
        return in_section or general or in_environment

    def storage(self, endpoint_url: str, *, is_named: bool) -> Storage:
        """The storage at an address, or AWS."""
        name, roles = endpoint_url or AWS, self._roles(endpoint_url)
        client = _client(self._session, endpoint_url)
        return Storage(client, name, self._resolver, self._gate, is_named=is_named, roles=roles)

    def _roles(self, endpoint_url: str) -> Roles[Storage] | None:
        """Roles are assumed where an STS was named. AWS's own has to be named too: most who read
        their models from AWS may not assume the roles that these run as there, which trust
        SageMaker alone."""
        sts = self.endpoint("sts")
        if not sts or self._own.is_at(sts):
            return None
        region = self._session.get_config_variable("region") or "us-east-1"
        client = self._session.create_client(
            "sts", region_name=region, endpoint_url=sts, config=_config()
        )
        return Roles(client, lambda held: self._storage_with(held, endpoint_url))

    def _storage_with(self, held: DeferredRefreshableCredentials, endpoint_url: str) -> Storage:
        gate = _Gate(self._own)
        session = self._new_session(gate)
        session.register_component("data_loader", self._session.get_component("data_loader"))
        session.register_component("credential_provider", _Only(held))
        client = _client(session, endpoint_url)
        return Storage(client, endpoint_url or AWS, self._resolver, gate, is_named=True)


class _Only:
    """A place to look for credentials, where there are these."""

    def __init__(self, credentials: DeferredRefreshableCredentials) -> None:
        self._credentials = credentials

    def load_credentials(self) -> DeferredRefreshableCredentials:
        """Them."""
        return self._credentials


def _config() -> Config:
    return Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=STALL_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 1},  # ours know the deadline
        # Many S3-compatible stores know no additional checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent_extra="inservice",
    )


def _client(session: botocore.session.Session, endpoint_url: str) -> Any:
    client = session.create_client(
        "s3",
        region_name=session.get_config_variable("region") or "us-east-1",
        endpoint_url=endpoint_url or None,
        config=_config(),
    )
    if endpoint_url:
        client.meta.events.register_last("before-parameter-build.s3", _stay_in_region)
    return client


def _stay_in_region(context: dict[str, Any], **_: object) -> None:
    """Tell botocore that it has already looked for the bucket's region.

    It does so on a redirect, with a HeadBucket that may be redirected in turn: a storage that
    redirects everything sends it into a recursion of requests. Of AWS, regions are believed.
    """
    context.setdefault("s3_redirect", {})["redirected"] = True


class _Resolver:
    """boto3's chain of places to look for credentials, less those that hold a key of ours."""

    def __init__(self, providers: Sequence[Any], own: OwnServer, *, points_here: bool) -> None:
        self._providers = providers
        self._own = own
        self._points_here = points_here
        self.passed_over = ""

    def load_credentials(self) -> Credentials | None:
        """The first credentials that are not ours, as botocore's own resolver gives the first."""
        for provider in self._providers:
            credentials: Credentials | None = provider.load()
            if credentials is None:
                continue
            if isinstance(credentials, DeferredRefreshableCredentials):
                return credentials  # to be had from STS, and not before they are needed
            ours = self._own.is_key(credentials.access_key)
            if ours or (self._points_here and credentials.method == "env"):
                self.passed_over = credentials.access_key
                continue
            return credentials
        return None


class _Gate:
    """The last look at a request before it leaves: whose key does it bear?"""

    def __init__(self, own: OwnServer) -> None:
        self._own = own
        self.key_id = ""

    def look(self, **event: Any) -> None:
        """Raises ArtifactForbidden for a key of ours; botocore then sends nothing."""
        request = event["request"]
        header = request.headers.get("Authorization") or b""
        said = header.decode("latin-1") if isinstance(header, bytes) else str(header)
        found = _BEARS.search(said) or _BEARS.search(unquote(request.url))
        key_id = found[1] if found else ""
        if key_id and self._own.is_key(key_id):
            raise ArtifactForbidden(
                f"A request with the access key {shown(key_id)}, which is of this server itself, "
                f"was about to leave it and was not sent. {OWN_KEY_ADVICE}"
            )
        if event["event_name"].startswith("before-send.s3"):
            self.key_id = key_id


_BEARS = re.compile(r"(?:Credential=|AWSAccessKeyId=|^AWS )([A-Za-z0-9_.=-]{1,128}?)(?=[/:&,]|$)")
"""The key of a request: Signature Version 4 in a header or a query, and the two forms of 2."""

OWN_KEY_ADVICE = (
    "Give the server credentials for the store: start it from a shell that did not run "
    '"inservice env", or name a profile for artifacts in INSERVICE_S3_PROFILE.'
)


def _is_of_this_host(address: str) -> bool:
    """Whether a socket can be bound to it, which is so of this host's own addresses alone."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
