"""How long a command line takes: ours beside AWS CLI, in one run, against the same local server.

    python benchmarks/cli_startup.py [--rounds N]

Each round runs every command of both, one after the other, so that what else the machine does falls
on both alike. The server answers at once; what is measured is starting, asking and printing. The
goals, on a warm machine, are 150 ms for the version and 250 ms for a describe.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROUNDS = 15

DESCRIBED = {
    "EndpointName": "e",
    "EndpointArn": "arn:aws:sagemaker:us-east-1:000000000000:endpoint/e",
    "EndpointConfigName": "c",
    "EndpointStatus": "InService",
    "CreationTime": 1700000000.123,
    "LastModifiedTime": 1700000001,
}

COMMANDS = {
    "--version": ["--version"],
    "describe-endpoint": ["sagemaker", "describe-endpoint", "--endpoint-name", "e"],
    "describe-endpoint, table": [
        *("sagemaker", "describe-endpoint", "--endpoint-name", "e"),
        *("--output", "table"),
    ],
    "create-endpoint, skeleton": ["sagemaker", "create-endpoint", "--generate-cli-skeleton"],
}
GOALS_MS = {"--version": 150, "describe-endpoint": 250}


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps(DESCRIBED).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def server() -> Iterator[str]:
    """A server that answers every request with a description. Yields its URL."""
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def rival() -> str | None:
    """AWS CLI version 2, wherever it is on the PATH; version 1 may stand before it."""
    places = [*os.environ["PATH"].split(os.pathsep), "/usr/bin", "/usr/local/bin"]
    for place in places:
        program = shutil.which("aws", path=place)
        if program is None:
            continue
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        if done.stdout.startswith("aws-cli/2"):
            return program
    return None


def milliseconds(words: list[str], environment: dict[str, str]) -> float:
    """How long one run takes. Raises CalledProcessError when it fails."""
    started = time.perf_counter()
    subprocess.run(
        words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    return (time.perf_counter() - started) * 1000


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description="How long a command line takes, beside AWS CLI.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds: int = parser.parse_args().rounds
    ours = str(Path(sys.executable).with_name("inservice"))
    theirs = rival()
    times: dict[tuple[str, str], list[float]] = {}
    with server() as url, tempfile.TemporaryDirectory() as home:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        for number in range(rounds + 1):
            for name, words in COMMANDS.items():
                for who, program in (("ours", ours), ("aws", theirs)):
                    if program is not None:
                        took = milliseconds([program, *words, "--endpoint-url", url], environment)
                        if number:  # the first round warms the disk's cache
                            times.setdefault((name, who), []).append(took)
    report(times, theirs)


def report(times: dict[tuple[str, str], list[float]], theirs: str | None) -> None:
    """Print medians, the ratio and the goals."""
    print(f"{'command':<28}{'ours':>10}{'aws':>10}{'ratio':>8}{'goal':>8}")
    for name in COMMANDS:
        own = statistics.median(times[name, "ours"])
        goal = GOALS_MS.get(name)
        goal_text = "" if goal is None else f"{goal} ms"
        if theirs is None:
            print(f"{name:<28}{own:>7.0f} ms{'-':>10}{'-':>8}{goal_text:>8}")
            continue
        other = statistics.median(times[name, "aws"])
        print(f"{name:<28}{own:>7.0f} ms{other:>7.0f} ms{own / other:>8.2f}{goal_text:>8}")
    runs = len(next(iter(times.values())))
    print(f"medians of {runs} runs; load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
