"""`python -m inservice.modelserver`: the model server by itself, as a container's `serve`."""

from __future__ import annotations

import argparse
import os
import sys

from inservice.modelserver.main import run_at, run_on_port

PORT = 8080
"""Where a SageMaker container listens unless SAGEMAKER_BIND_TO_PORT says otherwise."""


def main() -> int:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m inservice.modelserver", description=__doc__)
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--unix", metavar="PATH", help="listen on a UNIX socket")
    place.add_argument("--port", type=int, help=f"listen on a TCP port (default {PORT})")
    parser.add_argument("--host", default="", help="of the port (default all interfaces)")
    parser.add_argument("--model-dir", help="the extracted artifact (default /opt/ml/model)")
    given = parser.parse_args()
    if given.unix is not None:
        return run_at(given.unix, given.model_dir)
    port = given.port or int(os.environ.get("SAGEMAKER_BIND_TO_PORT", PORT))
    return run_on_port(port, given.model_dir, given.host)


if __name__ == "__main__":
    sys.exit(main())
