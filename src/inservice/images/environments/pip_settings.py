"""Where packages come from: pip's usual settings, which whoever runs a server has made already.

uv is what installs here, and it does not read them. So they are read as pip reads them (pip.conf of
the host, of the user or that of PIP_CONFIG_FILE, of this Python, then `PIP_*` variables; each later
one wins, and in a file [install] wins over [global]) and are said again in uv's words. An
index that is reached through a setting is reached by both, and no other one is.

    index-url, extra-index-url, find-links, no-index     where packages are
    constraint, pre, only-binary, no-binary              which of them
    trusted-host, cert, client-cert, proxy, timeout      how they are reached

The addresses may hold passwords. They are given on in a file that only its owner may read, never as
an argument, which everybody sees in `ps`; and `Secrets` takes them out of whatever an installer
says.
"""

from __future__ import annotations

import configparser
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

_LISTS = {"extra-index-url", "find-links", "trusted-host", "constraint", "only-binary", "no-binary"}
_SWITCHES = {"no-index", "pre"}
_TEXTS = {"index-url", "cert", "client-cert", "proxy", "timeout"}
_OTHER_NAMES = {"default-timeout": "timeout", "pypi-url": "index-url"}
"""Older names of pip's options, which it still takes."""


class PipSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What pip is told on this host, as far as it says where packages come from."""

    index_url: str = ""  # "": the public index
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    only_binary: tuple[str, ...] = ()
    no_binary: tuple[str, ...] = ()
    pre: bool = False
    cert: str = ""
    client_cert: str = ""
    proxy: str = ""
    timeout: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Everything that may hold a password."""
        found = (self.index_url, *self.extra_index_urls, *self.find_links, self.proxy)
        return tuple(filter(None, found))

    @property
    def local_paths(self) -> tuple[str, ...]:
        """What of it lies on this host."""
        given = (self.index_url, *self.extra_index_urls, *self.find_links)
        paths = (unquote(urlsplit(each).path) if "://" in each else each for each in given if each)
        remote = [each for each in given if "://" in each and not each.startswith("file:")]
        far = {unquote(urlsplit(each).path) for each in remote}
        files = (*self.constraints, self.cert, self.client_cert)
        return tuple(p for p in (*paths, *files) if p.startswith("/") and p not in far)


def read(variables: Mapping[str, str] = os.environ) -> PipSettings:
    """Pip's settings as they are now. A file that cannot be read says nothing."""
    found: dict[str, str] = {}
    if variables.get("PIP_CONFIG_FILE") != os.devnull:
        for file in _files(variables):
            found.update(_of_file(file))
    for name, value in variables.items():
        if name.startswith("PIP_") and value:
            key = name.removeprefix("PIP_").lower().replace("_", "-")
            found[_OTHER_NAMES.get(key, key)] = value
    known = {key: value for key, value in found.items() if key in _LISTS | _SWITCHES | _TEXTS}
    return PipSettings(
        index_url=known.get("index-url", "").strip(),
        extra_index_urls=_several(known.get("extra-index-url", "")),
        find_links=_several(known.get("find-links", "")),
        no_index=_is_on(known.get("no-index", "")),
        trusted_hosts=_several(known.get("trusted-host", "")),
        constraints=_several(known.get("constraint", "")),
        only_binary=_packages(known.get("only-binary", "")),
        no_binary=_packages(known.get("no-binary", "")),
        pre=_is_on(known.get("pre", "")),
        cert=known.get("cert", "").strip(),
        client_cert=known.get("client-cert", "").strip(),
        proxy=known.get("proxy", "").strip(),
        timeout=known.get("timeout", "").strip(),
    )


def _files(variables: Mapping[str, str]) -> Iterator[Path]:
    """Where pip looks, the one that wins last (pip's documentation, "Configuration files")."""
    home = Path(variables.get("HOME") or "~").expanduser()
    hosts = variables.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    for directory in reversed(hosts.split(":")):
        yield Path(directory, "pip", "pip.conf")
    yield Path("/etc/pip.conf")
    chosen = Path(variables.get("PIP_CONFIG_FILE", ""))
    if not chosen.is_file():  # else it takes the place of the user's
        yield home / ".pip" / "pip.conf"
        yield Path(variables.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    yield Path(sys.prefix) / "pip.conf"
    if chosen.is_file():
        yield chosen


def _of_file(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, configparser.Error):
        return {}
    found: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            for key, value in parser.items(section):
                name = key.replace("_", "-")
                found[_OTHER_NAMES.get(name, name)] = value
    return found


def _several(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _packages(text: str) -> tuple[str, ...]:
    return tuple(each for part in text.split() for each in part.split(",") if each)


def _is_on(text: str) -> bool:
    return text.strip().lower() in ("1", "true", "yes", "on", "y", "t")


def uv_document(settings: PipSettings) -> dict[str, object]:
    """The same in uv's words, as its configuration file has them.

    Where several indexes have a package pip takes the best version of all; uv's own rule would be
    the first index that knows its name.
    """
    document: dict[str, object] = {"index-strategy": "unsafe-best-match"}
    if settings.index_url:
        document["index-url"] = settings.index_url
    if settings.extra_index_urls:
        document["extra-index-url"] = list(settings.extra_index_urls)
    if settings.find_links:
        document["find-links"] = list(settings.find_links)
    if settings.no_index:
        document["no-index"] = True
    if settings.trusted_hosts:
        document["allow-insecure-host"] = list(settings.trusted_hosts)
    if settings.pre:
        document["prerelease"] = "allow"
    return document


def as_toml(document: Mapping[str, object]) -> str:
    """A document of texts, lists of texts and switches. JSON's strings are TOML's."""
    lines = (f"{key} = {msgspec.json.encode(value).decode()}" for key, value in document.items())
    return "\n".join(lines) + "\n"


def as_pip_conf(settings: PipSettings) -> str:
    """The same for a pip that is to be told by one file alone."""
    texts = {"index-url": settings.index_url, "cert": settings.cert, "proxy": settings.proxy}
    texts |= {"client-cert": settings.client_cert, "timeout": settings.timeout}
    lists = {
        "extra-index-url": settings.extra_index_urls,
        "find-links": settings.find_links,
        "trusted-host": settings.trusted_hosts,
        "constraint": settings.constraints,
        "only-binary": settings.only_binary,
        "no-binary": settings.no_binary,
    }
    switches = {"no-index": settings.no_index, "pre": settings.pre}
    lines = ["[global]", "disable-pip-version-check = true", "no-input = true"]
    lines += [f"{key} = {value}" for key, value in texts.items() if value]
    lines += [f"{key} =\n    " + "\n    ".join(value) for key, value in lists.items() if value]
    lines += [f"{key} = true" for key, value in switches.items() if value]
    return "\n".join(lines) + "\n"


def reaching(settings: PipSettings, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that say how the network is reached, for either installer."""
    found = {
        name: value
        for name, value in variables.items()
        if name.lower() in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
        or name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT")
    }
    if settings.cert:
        found["SSL_CERT_FILE"] = settings.cert
    if settings.client_cert:
        found["SSL_CLIENT_CERT"] = settings.client_cert
    if settings.proxy:
        found |= {"HTTPS_PROXY": settings.proxy, "HTTP_PROXY": settings.proxy}
    if settings.timeout.replace(".", "", 1).isdecimal():
        found["UV_HTTP_TIMEOUT"] = str(max(1, int(float(settings.timeout))))
    return found


class Secrets:
    """What must not be told on: passwords in the addresses of indexes."""

    _ANY = re.compile(r"(?<=://)[^/@\s'\"]+(?=@)")
    """Whoever is named in an address. A token is often the user's name, and the password empty."""

    def __init__(self, addresses: Iterable[str]) -> None:
        """`addresses` are those that are known; others are found by their form."""
        self._known = sorted({*_passwords(addresses)}, key=len, reverse=True)

    def hidden(self, text: str) -> str:
        """The text without them."""
        text = self._ANY.sub("****", text)
        for secret in self._known:
            text = text.replace(secret, "****")
        return text


def _passwords(addresses: Iterable[str]) -> Iterator[str]:
    for address in addresses:
        try:
            parts = urlsplit(address if "://" in address else f"//{address}")
            named = [parts.password or "", *([] if parts.password else [parts.username or ""])]
        except ValueError:
            continue
        if parts.scheme in ("git+ssh", "ssh"):
            continue
        for each in filter(None, named):
            # A password of a letter or two would take every such letter out of every line.
            yield from (word for word in (each, unquote(each)) if len(word) >= 4)
