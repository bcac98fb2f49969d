"""The options that every command has, and what their values mean.

They may stand anywhere on the line, before the service or after the operation; the last one wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from inservice.cli.aws.failures import PROGRAM, Refused
from inservice.cli.aws.parsing import Parser
from inservice.cli.main import version_line

OUTPUTS: Final = ("json", "text", "table", "yaml", "yaml-stream")
COLORS: Final = ("on", "off", "auto")
BINARY_FORMATS: Final = ("base64", "raw-in-base64-out")

_DEFAULT_TIMEOUT_SECONDS: Final = 60


class Query(Protocol):
    """A compiled JMESPath expression."""

    def search(self, value: Any) -> Any:
        """The part of the value that the expression takes."""


@dataclass(frozen=True, slots=True)
class GlobalOption:
    """One row of the table: the option, what argparse does with it, and its line of help."""

    name: str
    help: str
    argparse: dict[str, Any]


_ROWS: Final[tuple[tuple[str, dict[str, Any], str], ...]] = (
    ("debug", {"action": "store_true"}, "Write a log of everything that happens to stderr."),
    ("endpoint-url", {}, "Send the request to this URL instead of the usual one."),
    (
        "no-verify-ssl",
        {"action": "store_false", "dest": "verify_ssl"},
        "Do not check the server's certificate.",
    ),
    (
        "no-paginate",
        {"action": "store_false", "dest": "paginate"},
        "Ask for one page only, and show its token as the service sent it.",
    ),
    ("output", {"choices": list(OUTPUTS)}, "The format of the output."),
    ("query", {}, "A JMESPath expression: show this part of the answer."),
    ("profile", {}, "The profile of the AWS configuration to use."),
    ("region", {}, "The region; wins over the configuration and the environment."),
    ("version", {"action": "version", "version": version_line()}, "Print the version."),
    ("color", {"choices": list(COLORS), "default": "auto"}, "Colours in tables."),
    (
        "no-sign-request",
        {"action": "store_false", "dest": "sign_request"},
        "Do not sign the request; no credentials are looked for.",
    ),
    ("ca-bundle", {"dest": "ca_bundle"}, "The file of certificates to trust."),
    (
        "cli-read-timeout",
        {"dest": "read_timeout"},
        "Seconds to wait for a reply; 0 waits for ever. Default 60.",
    ),
    (
        "cli-connect-timeout",
        {"dest": "connect_timeout"},
        "Seconds to wait for a connection; 0 waits for ever. Default 60.",
    ),
    (
        "cli-binary-format",
        {"choices": list(BINARY_FORMATS)},
        "How blobs are written on the command line: base64 or raw text. fileb:// is always raw.",
    ),
    ("no-cli-pager", {"action": "store_true"}, "Do not send output through a pager."),
    ("cli-auto-prompt", {"action": "store_true"}, "Ask for the options, with completion."),
    ("no-cli-auto-prompt", {"action": "store_true"}, "Never ask for options."),
)

GLOBAL_OPTIONS: Final = tuple(GlobalOption(name, text, extra) for name, extra, text in _ROWS)


@dataclass(frozen=True, slots=True)
class Globals:
    """The values of the global options. A timeout of None waits for ever."""

    debug: bool
    endpoint_url: str | None
    verify: bool | str | None
    """False: do not check certificates. A path: trust these. None: as configured."""
    paginate: bool
    output: str | None
    query: Query | None
    profile: str | None
    region: str | None
    color: str
    sign_request: bool
    read_timeout_seconds: int | None
    connect_timeout_seconds: int | None
    binary_format: str | None
    no_cli_pager: bool
    data_dir: str | None
    """`--data-dir`, InService's own: whose endpoint and credentials to use."""


def parse_globals(
    words: list[str], commands: list[str] | None, data_dir: str | None
) -> tuple[Globals, str, list[str]]:
    """Take the global options and the command from a line.

    Returns them and the words that are left. Without `commands` there is none to take: "".
    Raises UsageError, Refused, SystemExit after `--version` printed it, and ValueError for a
    timeout that is no number.
    """
    parser = Parser()
    for option in GLOBAL_OPTIONS:
        parser.add_argument(f"--{option.name}", **option.argparse)
    if commands is not None:
        parser.add_argument("command", choices=commands)
    parsed, rest = parser.parse_known_args(words)
    verify = None if parsed.verify_ssl else False
    return (
        Globals(
            debug=parsed.debug,
            endpoint_url=_checked_url(parsed.endpoint_url),
            verify=parsed.ca_bundle if verify is None else verify,
            paginate=parsed.paginate,
            output=parsed.output,
            query=_compiled(parsed.query),
            profile=parsed.profile,
            region=parsed.region,
            color=parsed.color,
            sign_request=parsed.sign_request,
            read_timeout_seconds=_timeout(parsed.read_timeout),
            connect_timeout_seconds=_timeout(parsed.connect_timeout),
            binary_format=parsed.cli_binary_format,
            no_cli_pager=parsed.no_cli_pager,
            data_dir=data_dir,
        ),
        getattr(parsed, "command", ""),
        rest,
    )


_TAKING_VALUES: Final = frozenset(
    f"--{option.name}" for option in GLOBAL_OPTIONS if "action" not in option.argparse
)


def first_positional(words: list[str]) -> int | None:
    """Where the command stands: the first word that is neither an option nor its value."""
    at = 0
    while at < len(words):
        if not words[at].startswith("-"):
            return at
        at += 2 if words[at] in _TAKING_VALUES else 1
    return None


def take_data_dir(words: list[str]) -> tuple[str | None, list[str]]:
    """Take `--data-dir DIR` out of a line, wherever it stands.

    It is read before argparse and only when spelled out, so that no abbreviation of an option that
    AWS has (`--data` for `--data-capture-config`) changes its meaning.
    """
    rest: list[str] = []
    found: str | None = None
    remaining = iter(words)
    for word in remaining:
        if word == "--data-dir":
            found = next(remaining, None)
            if found is None:
                raise Refused(f"{PROGRAM}: error: argument --data-dir: expected one argument")
        elif word.startswith("--data-dir="):
            found = word.partition("=")[2]
        else:
            rest.append(word)
    return found, rest


def _checked_url(url: str | None) -> str | None:
    if url is not None and not urlsplit(url).scheme:
        raise Refused(
            f'Bad value for --endpoint-url "{url}": scheme is missing.  '
            "Must be of the form http://<hostname>/ or https://<hostname>/"
        )
    return url


def _compiled(query: str | None) -> Query | None:
    if query is None:
        return None
    import jmespath  # type: ignore[import-untyped]
    from jmespath.exceptions import JMESPathError  # type: ignore[import-untyped]

    try:
        compiled: Query = jmespath.compile(query)
    except JMESPathError as error:
        raise Refused(f"Bad value for --query {query}: {error}") from error
    return compiled


def _timeout(text: str | None) -> int | None:
    """Seconds; None for the command line's 0, which waits for ever."""
    return _DEFAULT_TIMEOUT_SECONDS if text is None else int(text) or None
