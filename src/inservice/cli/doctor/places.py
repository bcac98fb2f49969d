"""Where requests go: the server, each service's address, proxies and certificates on the way."""

from __future__ import annotations

import email.utils
import http.client
import ssl
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from inservice.cli.doctor.finding import Finding, note, ok, problem
from inservice.cli.doctor.scene import Scene

_IGNORES = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
_BUNDLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
_FLAGS = ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")

CLOCK_SECONDS_MAX = 5 * 60
"""What a signature's time may be off: AWS's rule."""

CLOCK_SECONDS_SEEN = 30

POINT_HERE = 'eval "$(inservice env)", or run it by `inservice exec -- COMMAND`'


def server(scene: Scene) -> Iterator[Finding]:
    """Whether one runs on the data directory."""
    if scene.running is None:
        yield problem(
            "server",
            f"no server runs on {scene.data_dir}",
            "inservice up --detach, or name another one with --data-dir",
        )
    else:
        yield ok("server", f"{scene.running.url}, of {scene.data_dir}")


def configuration(scene: Scene) -> Iterator[Finding]:
    """Whether clients can be made at all, and for which region."""
    if scene.broken:
        yield problem("configuration", scene.broken, "mend ~/.aws/config, or unset AWS_PROFILE")
        return
    yield from _switches(scene)
    region = scene.region
    if not region:
        yield problem("region", "none is set", "export AWS_DEFAULT_REGION; inservice env does")
    elif scene.running is not None and region != scene.running.region:
        yield note(
            "region",
            f"{region}; the CLI and `inservice env` have {scene.running.region}",
            "what is in one region is not seen in another",
        )
    else:
        yield ok("region", region)


def _switches(scene: Scene) -> Iterator[Finding]:
    profile = scene.session.get_config_variable("profile")
    scoped = scene.session.get_scoped_config()
    if scene.environment.get(_IGNORES, "").lower() == "true":
        yield problem("configuration", f"{_IGNORES} has every address ignored", f"unset {_IGNORES}")
    if str(scoped.get("ignore_configured_endpoint_urls", "")).lower() == "true":
        yield problem(
            "configuration",
            f"ignore_configured_endpoint_urls of profile {profile or 'default'} has every address "
            "ignored",
            "take the line out of the AWS config file, or choose another AWS_PROFILE",
        )
    for name in _FLAGS:
        if scene.environment.get(name, "").lower() == "true":
            yield problem("configuration", f"{name} is refused with an address", f"unset {name}")
    if "endpoint_url" in scoped and scene.environment.get("AWS_ENDPOINT_URL"):
        yield note(
            "configuration",
            f"the profile's endpoint_url, {scoped['endpoint_url']}, does not count",
            "AWS_ENDPOINT_URL of this shell does",
        )


def addresses(scene: Scene) -> Iterator[Finding]:
    """Where each service's clients go."""
    by_url: dict[str, list[str]] = {}
    for service, url in scene.urls.items():
        by_url.setdefault(url, []).append(service)
    to_aws = [name for name, url in scene.urls.items() if scene.leads_to_aws(url)]
    if to_aws and scene.is_inside_exec():
        yield ok("address", f"{', '.join(to_aws)}: AWS's own names, which lead here")
    elif to_aws:
        yield problem(
            "address",
            f"{', '.join(to_aws)} lead to AWS, as {scene.urls[to_aws[0]]}",
            POINT_HERE,
        )
    for url, services in by_url.items():
        if scene.leads_to_aws(url):
            continue
        told = f"{', '.join(services)}: {url}"
        if scene.leads_here(url):
            yield ok("address", told)
        elif services == ["s3"]:
            yield note("address", f"{told}, a storage of its own")
        else:
            yield note("address", f"{told}, which is not the server of this data directory")


def certificates(scene: Scene) -> Iterator[Finding]:
    """Files of what is trusted."""
    for name in _BUNDLES:
        path = scene.environment.get(name)
        if not path:
            continue
        if not Path(path).exists():
            yield problem(
                "certificates", f"{name} names {path}, which is not there", f"unset {name}"
            )
            continue
        try:
            ssl.create_default_context(cafile=path)
        except (ssl.SSLError, OSError) as error:
            yield problem(
                "certificates", f"{path} of {name} cannot be read: {error}", f"mend {path}"
            )


def ways(scene: Scene) -> Iterator[Finding]:
    """Whether each address is reached, by way of whom, and by which clock."""
    for url in dict.fromkeys(scene.urls.values()):
        if scene.leads_to_aws(url):
            continue
        parts = urlsplit(url)
        proxy = urllib.request.getproxies_environment().get(parts.scheme)
        if proxy and not urllib.request.proxy_bypass(parts.netloc):
            yield problem(
                "proxy",
                f"requests to {url} go through {proxy}",
                f"export NO_PROXY={parts.hostname} (and no_proxy)",
            )
            continue
        yield from _asked(url)


def _asked(url: str) -> Iterator[Finding]:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = connect(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request("GET", "/ping")
        answer = connection.getresponse()
        answer.read()
    except ssl.SSLCertVerificationError as error:
        yield problem(
            "reached",
            f"{url} shows a certificate that is not trusted here: {error.verify_message}",
            "export AWS_CA_BUNDLE with the file of who issued it",
        )
    except (OSError, http.client.HTTPException) as error:
        yield problem("reached", f"{url} does not answer: {error}", "inservice status says more")
    else:
        yield from _clock(url, answer.getheader("Date", ""))
    finally:
        connection.close()


def _clock(url: str, date: str) -> Iterator[Finding]:
    try:
        off = time.time() - email.utils.parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        yield ok("reached", f"{url} answers, and does not tell the time")
        return
    told = f"this clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} that of {url}"
    if abs(off) > CLOCK_SECONDS_MAX:
        yield problem("clock", told, "set it: signatures are refused that are 5 minutes off")
    elif abs(off) > CLOCK_SECONDS_SEEN:
        yield note("clock", told)
    else:
        yield ok("reached", f"{url} answers, by the same clock")
