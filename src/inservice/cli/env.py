"""`inservice env`: what points boto3 and the AWS CLI at this server, as variables or a profile."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace

from inservice.cli import credentials, exports, server
from inservice.cli.addresses import url_from_elsewhere
from inservice.cli.connection import explained
from inservice.cli.credentials import add_identity_options
from inservice.cli.role_keys import role_keys
from inservice.cli.server import Running
from inservice.config import Settings

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
    if options.profile is not None:
        return explained(lambda chosen: _write_profile(chosen, settings, running), options)
    told = _as_told(running, options)
    wanted = exports.variables(told, os.environ, s3_endpoint_url=options.s3_endpoint_url)
    sys.stdout.write(exports.FORMS[options.output](wanted))
    _tell_what_is_overruled(options.output, wanted)
    return 0


def _as_told(running: Running, options: argparse.Namespace) -> Running:
    """The server by the address that is told to others."""
    return replace(running, url=url_from_elsewhere(running.url, running.host, options.host))


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
        "--s3-endpoint-url",
        metavar="URL",
        help="leave S3 to another store, which has to take this server's key "
        "(default: S3 is this server's as well)",
    )
    parser.add_argument(
        "--host",
        metavar="NAME",
        help="the name or address by which others reach this host "
        "(default: where the server listens; its own address if that is everywhere)",
    )
    add_identity_options(parser)
    options = parser.parse_args(argv)
    if (options.root or options.role) and options.profile is None:
        parser.error("--root and --role say as whom the programs of a --profile are")
    if options.s3_endpoint_url is not None:
        if options.profile is not None:
            parser.error("--s3-endpoint-url does not go with --profile, which has one address")
        if not options.s3_endpoint_url.startswith(("http://", "https://")):
            parser.error(f"{options.s3_endpoint_url!r} is not an http or https URL")
    return options


def _write_profile(options: argparse.Namespace, settings: Settings, running: Running) -> int:
    from inservice.cli import profiles

    name, files = options.profile, profiles.Files.of(os.environ)
    try:
        if not options.root:  # whoever will ask for them hears now if there are none
            role_keys(settings.data_dir, running, options.role)
        process = credentials.command(settings.data_dir, options.role, root=options.root)
        profiles.write(name, _as_told(running, options), files, process=process)
    except (profiles.ProfileRefused, OSError) as refused:
        return _refuse(str(refused))
    who = "root" if options.root else options.role or "the default execution role"
    sys.stdout.write(
        f"Profile {name} leads to {_as_told(running, options).url} as {who}: {files.config}\n"
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


def _tell_what_is_overruled(form: str, wanted: exports.Variables) -> None:
    """What a shell has set on purpose is not taken away without a word."""
    own = sorted(
        name
        for name in os.environ
        if name.startswith(exports.OWN_ADDRESS) and wanted.get(name) is None
    )
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
