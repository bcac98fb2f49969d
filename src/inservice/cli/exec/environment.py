"""What a program that `inservice exec` starts finds in its environment.

AWS's SDKs, `requests`, curl, Node and whatever else heeds the variables for proxies and trust go
through the proxy with everything but this host, and believe it. What points elsewhere is not there:
a profile, a role, a token or a configuration of the user's real account would be preferred to what
is meant here, or sent along with it.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from inservice.cli import exports, profiles
from inservice.cli.target import Target

_BUNDLES: Final = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
"""Files with all that is trusted: they stand in the place of what a program would trust else."""

_BESIDE: Final = "NODE_EXTRA_CA_CERTS"
"""A file with what is trusted beside it."""

_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
_DIRECT: Final = ("NO_PROXY", "no_proxy")
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")

_ELSEWHERE: Final = (
    *("AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    *("AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    *("AWS_ACCOUNT_ID", "ALL_PROXY", "all_proxy"),
)
"""Other ways to keys, and a proxy for whatever has none of its own."""


@dataclass(frozen=True, slots=True)
class Place:
    """What is there for one program while it runs."""

    directory: Path  # private, and removed with it
    proxy_url: str
    credentials_url: str
    token: str

    @property
    def bundle(self) -> Path:
        """All that is trusted."""
        return self.directory / "ca-bundle.pem"

    @property
    def authority(self) -> Path:
        """Our authority's certificate alone."""
        return self.directory / "ca.pem"

    @property
    def aws_files(self) -> tuple[Path, Path]:
        """An AWS configuration that names nobody: config, credentials."""
        return self.directory / "config", self.directory / "credentials"


def lay_out(place: Place, authority: bytes, environment: Mapping[str, str]) -> None:
    """Write the files of a program. Raises OSError."""
    place.authority.write_bytes(authority)
    place.bundle.write_bytes(b"\n".join((*_trusted(environment), authority)))
    config, credentials = place.aws_files
    config.write_text(profiles.with_settings("", "default", dict((profiles.PRESIGNED,)), "config"))
    credentials.touch()


def _trusted(environment: Mapping[str, str]) -> list[bytes]:
    """What a program with this environment trusts without us: what it was told to, which may be a
    company's own; else what this host does, or what botocore brings along."""
    own = [Path(environment[name]) for name in _BUNDLES if environment.get(name)]
    paths = ssl.get_default_verify_paths()
    usual = [Path(path) for path in (paths.cafile, paths.openssl_cafile) if path]
    found = {path.read_bytes(): None for path in own if path.is_file()}
    if not found:
        found = {path.read_bytes(): None for path in usual if path.is_file()}
    if not found:
        import botocore

        found = {Path(botocore.__file__).with_name("cacert.pem").read_bytes(): None}
    return list(found)


def with_keys(keys: Target | None, place: Place) -> exports.Variables:
    """The variables that say as whom: long-term keys, or where a session's are to be had."""
    if keys is not None:
        return {}
    return {
        "AWS_ACCESS_KEY_ID": None,
        "AWS_SECRET_ACCESS_KEY": None,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": place.credentials_url,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": place.token,
    }


def environment_of(
    environment: Mapping[str, str], server: Target, keys: Target | None, place: Place
) -> dict[str, str]:
    """The environment of a program that was to have this one. `keys` are long-term ones; None: it
    is a session, whose keys it asks for."""
    config, credentials = place.aws_files
    host = urlsplit(server.url).hostname or ""
    direct = ",".join(dict.fromkeys((*_LOOPBACK, host)))
    wanted: dict[str, str | None] = {
        **exports.variables(server if keys is None else keys, environment),
        **dict.fromkeys(_ELSEWHERE),
        **with_keys(keys, place),
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
        "AWS_EC2_METADATA_DISABLED": "true",  # it is refused; who knows that need not ask
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",  # nobody is called `streaming-127.0.0.1`
        **dict.fromkeys(_BUNDLES, str(place.bundle)),
        _BESIDE: str(place.authority),
        **dict.fromkeys(_PROXIES, place.proxy_url),
        **dict.fromkeys(_DIRECT, direct),
    }
    return {
        **{name: value for name, value in environment.items() if name not in wanted},
        **{name: value for name, value in wanted.items() if value is not None},
    }
