"""Write docs/reference/cli.md from the tables that the command line itself is made of.

Run `python -m tests.cli.reference` after changing a command; the suite compares the page with them.
"""

from __future__ import annotations

from argparse import ArgumentParser, HelpFormatter
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

from inservice.cli.aws.globals import GLOBAL_OPTIONS
from inservice.cli.main import COMMANDS, SERVICES
from inservice.cli.verbs import Verb
from tests.cli.differences import INTENDED

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"

INTRODUCTION = """\
# The command line

This page is written by `python -m tests.cli.reference` from the tables that the commands are made
of.

`inservice` has two halves. AWS's half, `inservice <service> <operation>`, takes the options of AWS
CLI version 2 and prints what it prints, so `alias aws=inservice` works for the services below. Its
own half starts and stops the server and handles endpoints the short way.

## Where commands go

Without a word about it, to the InService of the data directory: `--data-dir`, else
`INSERVICE_DATA_DIR`, else the user's own. A running server leaves its URL, region and root access
key there. Anything that names another place or identity turns that off: `--endpoint-url`,
`--profile`, `AWS_ENDPOINT_URL` (also `AWS_ENDPOINT_URL_SAGEMAKER` and its like), `AWS_PROFILE`,
`AWS_DEFAULT_PROFILE` and `AWS_ACCESS_KEY_ID`. `--data-dir` wins over the environment. When no
server is found the command stops, AWS's half with exit code 253 and InService's own with 1: it
never falls through to AWS.

Times are UTC, as in `2026-01-02T03:04:05Z`. What is for a person alone is shown on a terminal only:
colours (none with `NO_COLOR`), the live picture, and the next step, `→ inservice …`.

## InService's own commands
"""

NOUNS = ("endpoint", "config", "model", "image", "account", "user", "policy", "key")
"""Commands that have verbs."""

EXIT_CODES = """\
## Exit codes

Of InService's own commands:

| code | meaning |
|---|---|
| 0 | done; also a noun or the program alone, which are answered with their help |
| 1 | refused by the server, nobody answers there, the artifact would fail, or it is denied |
| 2 | the command line is wrong; nothing was asked |
| 3 | with `--wait`, `wait` and `watch`: the deployment was rolled back |
| 4 | still going on when `--timeout` was over |
| 5 | the endpoint is `Failed`; of `image build`, the build failed |
| 6 | the rollback failed: `UpdateRollbackFailed` |
| 130 | interrupted; what was begun on the server goes on |

`policy test` says by 1 that something is denied, and by 3 that it could not find out.

`--wait` means the same everywhere: stay until what was begun is over; the code says how it ended.
After `abort --wait` a rollback is what was asked for, and 0.

Of AWS's half, which are AWS CLI's:

| code | meaning |
|---|---|
| 0 | done |
| 130 | interrupted |
| 252 | the command line is wrong: unknown option, missing option, a value that does not parse |
| 253 | not set up: no server, no credentials, no region, no pager |
| 254 | the service answered with an error |
| 255 | anything else: connection refused, unknown profile, a waiter that gave up |

A first word that is no command ends with 252 as well.

## Values

- `file://path` and `fileb://path` put the contents of a file in the place of any value, as text and
  as bytes. `~` and environment variables in the path are expanded. Text is UTF-8 unless
  `AWS_CLI_FILE_ENCODING` names another encoding.
- Structures, and lists and maps of them, are JSON or shorthand: `Key=a,Value=b`,
  `A={B=c,D=[1,2]}`, `'quoted, with a comma'`, `a\\,b`, `Key@=file://path`.
- Blobs are base64 unless `--cli-binary-format raw-in-base64-out`; `fileb://` is always raw.
"""


def page() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield INTRODUCTION
    yield from _table(("command", "what it does"), {n: c.summary for n, c in COMMANDS.items()})
    for noun in NOUNS:
        for verb, row in verbs_of(noun).items():
            yield f"### `inservice {noun} {verb}`\n"
            yield "```text"
            yield _help_of(f"inservice {noun} {verb}", row.module)
            yield "```\n"
    yield "## AWS's services\n"
    yield from _table(("service", "what it is"), SERVICES)
    yield "Each has `help`, and so has each operation: `inservice sagemaker list-tags help`.\n"
    yield "## Global options\n"
    yield from _table(("option", "what it does"), _options())
    yield EXIT_CODES
    yield "## Where this differs from AWS CLI 2.9.19\n"
    yield "Held by `tests/cli/test_differential.py`, which compares everything else.\n"
    yield from _differences()


def verbs_of(noun: str) -> dict[str, Verb]:
    """The verbs of one of NOUNS."""
    verbs: dict[str, Verb] = import_module(COMMANDS[noun].module).VERBS
    return verbs


def _options() -> dict[str, str]:
    options = {f"--{option.name}": option.help for option in GLOBAL_OPTIONS}
    return {**options, "--data-dir": "Whose endpoint and credentials to use; InService's own."}


def _table(head: tuple[str, str], rows: dict[str, str]) -> Iterator[str]:
    yield f"| {head[0]} | {head[1]} |"
    yield "|---|---|"
    yield from (f"| `{name}` | {text} |" for name, text in rows.items())
    yield ""


def _help_of(prog: str, module: str) -> str:
    parser: ArgumentParser = import_module(module).parser(prog)
    # The page must not depend on the width of the terminal that it is written from.
    parser.formatter_class = partial(HelpFormatter, width=96)
    return parser.format_help().rstrip()


def _differences() -> Iterator[str]:
    yield "- The program has its own name in usage and error lines, and in the User-Agent."
    yield "- Colours are reset once after each coloured text, not twice."
    yield "- `--help` at the end of a command is `help`; AWS CLI refuses it."
    yield "- `help` pages are plain text through the pager, not man pages."
    yield "- The newest models: newer members and operations, `AWS_ENDPOINT_URL`, `key@=file://`."
    yield "- A whole list in a table may have rows of different lengths; AWS CLI stops there."
    yield "- Without a pager configured and without `less`, output goes straight out."
    yield "- Credentials and endpoint of the local server are used when no others are named."
    reasons = {difference.reason for difference in INTENDED.values()}
    yield from (f"- On the lines tested: {reason}." for reason in sorted(reasons))


def main() -> None:
    """Write the page."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
