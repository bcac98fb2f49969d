"""`inservice env`: the exports that point boto3 and the AWS CLI at this server."""

from __future__ import annotations

import shlex
import sys

from inservice.cli import server


def run(argv: list[str]) -> int:
    """0 with the exports on stdout; 1 when no server runs here."""
    parser = server.arguments("env", 'Print shell exports: eval "$(inservice env)".')
    settings = server.settings_of(parser.parse_args(argv))
    running = server.find(settings)
    if running is None:
        sys.stderr.write(
            f"inservice env: no server runs on {settings.data_dir}; start one with `inservice up`\n"
        )
        return 1
    exports = {
        "AWS_ENDPOINT_URL": running.url,
        "AWS_ACCESS_KEY_ID": running.access_key_id,
        "AWS_SECRET_ACCESS_KEY": running.secret_access_key,
        "AWS_DEFAULT_REGION": running.region,
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in exports.items()]
    # A session token of the caller's real AWS session would be sent along, and refused.
    lines.append("unset AWS_SESSION_TOKEN AWS_PROFILE")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
