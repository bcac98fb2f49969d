"""`inservice env`: what points boto3 and the AWS CLI at this server, as variables or a profile."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace

from inservice.cli import exports, server
from inservice.cli.addresses import url_from_elsewhere
from inservice.cli.server import Running

REWRITTEN_SECONDS = 5.0
"""A server writes its files anew within a second of losing them; a busy host may take longer."""

_WINS_OVER_PROFILES = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID")


def run(argv: list[str]) -> int:
    """0 with the variables on stdout, or the profile written; 1 when no server runs here."""
    options = _parse(argv)
    settings = server.settings_of(options)
    running = server.wait_until_it_answers(
        settings, REWRITTEN_SECONDS, gone=lambda: server.supervisor_pid(settings.data_dir) is None
    )
    if running is None:
        return _refuse(
            f"no server runs on {settings.data_dir}; start one with `inservice up`"
            if server.supervisor_pid(settings.data_dir) is None
            else f"the server of {settings.data_dir} does not say where it is; "
            f"its log is {settings.log_dir / 'server.log'}"
        )
    url = url_from_elsewhere(running.url, running.host, options.host)
    running = replace(running, url=url)
    if options.profile is not None:
        return _write_profile(options.profile, running)
    sys.stdout.write(exports.FORMS[options.output](exports.variables(running, os.environ)))
    _tell_what_is_overruled(options.output)
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = server.arguments(
        "env", 'Print what points AWS\'s SDKs at this server: eval "$(inservice env)".'
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--output",
        choices=[*exports.FORMS],
        default="shell",
        help="form of the variables (default: shell); github is for $GITHUB_ENV",
    )
    how.add_argument(
        "--profile",
        metavar="NAME",
        help="write a profile of the AWS configuration instead: only programs that choose it "
        "talk to this server",
    )
    parser.add_argument(
        "--host",
        metavar="NAME",
        help="the name or address by which others reach this host "
        "(default: where the server listens; its own address if that is everywhere)",
    )
    return parser.parse_args(argv)


def _write_profile(name: str, running: Running) -> int:
    from inservice.cli import profiles

    files = profiles.Files.of(os.environ)
    try:
        profiles.write(name, running, files)
    except (profiles.ProfileRefused, OSError) as refused:
        return _refuse(str(refused))
    sys.stdout.write(
        f"Profile {name} leads to {running.url}: {files.config}, {files.credentials}\n"
        f"Choose it with AWS_PROFILE={name}, aws --profile {name}, or "
        f'boto3.Session(profile_name="{name}").\n'
    )
    switch = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
    stronger = [
        variable
        for variable in sorted(os.environ)
        if variable in _WINS_OVER_PROFILES or variable.startswith(exports.OWN_ADDRESS)
    ]
    if os.environ.get(switch, "").lower() == "true":
        stronger.append(switch)
    if stronger:
        sys.stderr.write(
            f"inservice env: this shell has {', '.join(stronger)}, which count more than a "
            f"profile: unset {' '.join(stronger)}\n"
        )
    return 0


def _tell_what_is_overruled(form: str) -> None:
    """What a shell has set on purpose is not taken away without a word."""
    own = sorted(name for name in os.environ if name.startswith(exports.OWN_ADDRESS))
    if own and form == "shell":
        sys.stderr.write(
            f"inservice env: unsets {', '.join(own)}, where requests would go that are signed "
            "with this server's key; to use both, see inservice env --profile\n"
        )
    profiles = [name for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE") if os.environ.get(name)]
    if profiles and form in ("dotenv", "github"):
        sys.stderr.write(
            f"inservice env: this form cannot unset {' and '.join(profiles)}; some SDKs prefer "
            "a profile to these variables\n"
        )


def _refuse(why: str) -> int:
    sys.stderr.write(f"inservice env: {why}\n")
    return 1
