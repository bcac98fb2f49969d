"""`python -m inservice.app.foreground.view DIRECTORY PROGRAM ARGUMENT…`: become a program that
finds a model where AWS's containers have it, in /opt/ml/model and read-only.

Whoever runs it is trusted with all that they may do anyway: nothing is hidden from the program. On
a host that grants no view it finds the model by SM_MODEL_DIR, and a line says why.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from inservice.contract import MODEL_DIR
from inservice.linux import die_with_parent
from inservice.runtimes.process import container_paths
from inservice.runtimes.process.confinement import Confinement, enclose, surrender


def main() -> NoReturn:
    """See above."""
    directory, *command = sys.argv[1:]
    found = directory
    bare = Confinement(
        uid=os.getuid(), gid=os.getgid(), hidden=(), shown=(), read_only=(), named=(), own=()
    )
    try:
        enclose(container_paths.with_model(bare, directory))
        surrender(bare)
        found = MODEL_DIR
    except OSError as error:
        sys.stderr.write(
            f"There is no {MODEL_DIR} here ({error}): code finds its files by "
            "the model_dir that model_fn is given.\n"
        )
        sys.stderr.flush()
    die_with_parent(signal.SIGTERM)  # now: who becomes somebody else is told no more
    os.execve(command[0], command, {**os.environ, "SM_MODEL_DIR": found})  # noqa: S606 - ours


if __name__ == "__main__":
    main()
