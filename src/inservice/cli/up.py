"""`inservice up`: start the server in this terminal, or behind it with --detach."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading

from inservice import config
from inservice.cli import server
from inservice.cli.addresses import url_from_elsewhere
from inservice.cli.server import Running
from inservice.config import BadSetting, Settings
from inservice.reserve import Reserve

START_SECONDS = 60.0
"""A cold disk and a migration of an old database; a warm start takes about a second."""


READY_SECONDS = 300.0
"""Models that load for minutes are no rarity; for those that take longer there is --timeout."""


def run(argv: list[str]) -> int:
    """0 when it ran and was stopped (or, detached, when it answers, or its endpoints do); 1 when it
    could not start, or the endpoints did not serve in time."""
    options = _parse(argv)
    try:
        settings = config.load(
            data_dir=options.data_dir,
            host=options.host,
            port=options.port,
            workers=options.workers,
            account_id=options.account_id,
            region=options.region,
            storage=options.storage,
            runtime=options.runtime,
            limits=options.limits,
            gpus=options.gpus,
            requirements=options.requirements,
            insecure_http=options.insecure_http or None,
            strict=options.strict or None,
        )
    except BadSetting as bad:
        return _refuse(str(bad))
    if pid := server.supervisor_pid(settings.data_dir):
        return _refuse(
            f"a server with pid {pid} already runs on {settings.data_dir}; see `inservice status`, "
            "stop it with `inservice down`, or choose another --data-dir"
        )
    Reserve(settings.data_dir).give()  # on a full disk the first small files need it
    patience = options.timeout if options.wait_ready else None
    return _detached(settings, patience) if options.detach else _attached(settings, patience)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = server.arguments("up", "Start InService: one port for the AWS APIs and invocations.")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help=f"default {config.PORT}; 0 picks a free one")
    parser.add_argument("--workers", type=int, help="gateway processes (default 2)")
    parser.add_argument("--account-id", help="12 digits (default 000000000000)")
    parser.add_argument("--region", help="of `inservice env` and the CLI (default us-east-1)")
    parser.add_argument(
        "--storage",
        choices=(config.ON, config.OFF),
        help="whether S3 is answered here too (default on); off: another store keeps the objects",
    )
    parser.add_argument(
        "--runtime",
        choices=config.RUNTIMES,
        help="what runs models (default auto: environments as processes, other images with Podman "
        "or Docker); process: no container is ever run; oci: AWS's images are containers, too",
    )
    parser.add_argument(
        "--limits",
        choices=(config.OFF, config.SOFT, config.ENFORCED),
        help="what instance types are (default off: counted only); soft: whoever asks for more "
        "than this host has is warned; enforced: it is refused, and no instance gets more",
    )
    parser.add_argument(
        "--gpus",
        choices=(config.EXCLUSIVE, config.SHARED),
        help="who sees the GPUs (default exclusive: an instance those of its type, and nobody "
        "else); shared: every instance all of them",
    )
    parser.add_argument(
        "--requirements",
        choices=(config.INSTALL, config.REFUSE),
        help="what becomes of a model that brings a requirements.txt (default install); refuse: "
        "it fails, and whoever runs the server alone says what is installed",
    )
    parser.add_argument("--detach", action="store_true", help="return when the server answers")
    parser.add_argument(
        "--wait-ready",
        action="store_true",
        help="say, and with --detach return, only when every endpoint on record serves again",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=READY_SECONDS,
        metavar="SECONDS",
        help=f"of --wait-ready (default {READY_SECONDS:.0f}); exit code 1 when it is over",
    )
    parser.add_argument(
        "--insecure-http",
        action="store_true",
        help="allow a --host that is not loopback although requests then travel unencrypted",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse fields that are about AWS's machines and have no effect here, instead of "
        "keeping and warning of them",
    )
    return parser.parse_args(argv)


def _attached(settings: Settings, patience: float | None) -> int:
    # Imported here: the detached form, and every refusal above, does without it.
    from inservice.supervision.files import why
    from inservice.supervision.supervisor import REFUSALS, Supervisor

    waiting = threading.Thread(target=_greet, args=[settings, patience], daemon=True)
    waiting.start()
    try:
        return Supervisor(settings).run()
    except REFUSALS as refused:
        return _refuse(why(settings, refused))


def _greet(settings: Settings, patience: float | None) -> None:
    running = server.wait_until_it_answers(settings, START_SECONDS, gone=lambda: False)
    if running is not None and running.pid == os.getpid():
        _introduce(settings, running, "Ctrl-C stops it.")
        _await_endpoints(running, patience)


def _detached(settings: Settings, patience: float | None) -> int:
    from inservice.supervision import files

    try:
        for directory in (settings.data_dir, settings.run_dir, settings.log_dir):
            files.private_directory(directory)
        files.write_private(settings.settings_file, config.to_document(settings))
        log = settings.log_dir / "server.log"
        output = log.open("ab")
    except OSError as refused:
        return _refuse(files.why(settings, refused))
    with output:
        begin = log.stat().st_size
        command = [sys.executable, "-m", "inservice.starting", "inservice.supervision.__main__"]
        popen = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [*command, f"--settings={settings.settings_file}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    running = server.wait_until_it_answers(
        settings, START_SECONDS, gone=lambda: popen.poll() is not None
    )
    if running is None:
        silent = popen.poll() is None
        popen.terminate()
        with log.open("rb") as said:
            said.seek(begin)
            sys.stderr.write(said.read().decode(errors="replace"))
        what = f"did not answer within {START_SECONDS:.0f} s" if silent else "did not start"
        return _refuse(f"the server {what}; its log is {log}")
    _introduce(settings, running, "`inservice down` stops it.")
    return _await_endpoints(running, patience)


def _await_endpoints(running: Running, patience: float | None) -> int:
    if patience is None:
        return 0
    from inservice.cli import ready

    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    return ready.wait(running, patience, say)


def _introduce(settings: Settings, running: Running, how_to_stop: str) -> None:
    option = "" if settings.data_dir == config.default_data_dir() else _option(settings)
    away = url_from_elsewhere(running.url, running.host)
    elsewhere = "" if away == running.url else f"From other machines: {away}\n"
    sys.stdout.write(
        f"InService answers at {running.url} (account {running.account_id}, pid {running.pid}).\n"
        f"{elsewhere}Records: {settings.data_dir}\n"
        f'Point boto3 and the AWS CLI at it:  eval "$(inservice env{option})"\n'
        f"{how_to_stop}\n"
    )
    sys.stdout.flush()


def _option(settings: Settings) -> str:
    return f" --data-dir {settings.data_dir}"


def _refuse(why: str) -> int:
    sys.stderr.write(f"inservice up: {why}\n")
    return 1
