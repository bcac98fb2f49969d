"""`python -m inservice.runtimes.process.apart <view> <command>…`: run a command as a model is run.

For code of packages that is run to build them: it is of the same strangers as a model's, so it gets
the same: of a server of root's a user id that nobody else has, and of any server's a view of the
file system without the server's own directories, where the kernel grants it. Its output and its
exit status are the command's. Where nothing can be had, the command runs as it is, and a line says
so.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import msgspec

from inservice import linux
from inservice.runtimes.process.confinement import Confinement, enclose, surrender
from inservice.runtimes.process.isolation import Unavailable, mapped_ids, private_id
from inservice.runtimes.process.mounts import packages


class View(msgspec.Struct, frozen=True):
    """What the command may see, beside what everybody sees."""

    hidden: tuple[str, ...]
    shown: tuple[str, ...]
    own: tuple[str, ...]  # it may write to these, and they become its user's


def confine(view: View) -> None:
    """Give up what can be given up. Raises OSError."""
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        uid = gid = private_id(view.own[0], mapped_ids(), ())
    made = Confinement(
        uid=uid,
        gid=gid,
        hidden=view.hidden,
        shown=(*packages(sys.path), *view.shown),
        read_only=(),
        named=(),
        own=view.own,
    )
    if made.is_another_user:
        for path in view.own:
            _give(Path(path), uid)
    enclose(made)
    surrender(made)


def _give(top: Path, owner: int) -> None:
    os.chown(top, owner, owner, follow_symlinks=False)
    for directory, names, files in os.walk(top):
        for name in (*names, *files):
            os.chown(Path(directory) / name, owner, owner, follow_symlinks=False)


def main() -> NoReturn:
    """Be the command."""
    view = msgspec.json.decode(sys.argv[1], type=View)
    command = sys.argv[2:]
    directory = Path.cwd()
    try:
        confine(view)
    except (Unavailable, OSError) as error:
        sys.stderr.write(f"This host keeps nothing apart from its server: {error}\n")
        sys.stderr.flush()
    linux.set_no_new_privileges()
    linux.die_with_parent(signal.SIGKILL)  # which the kernel forgot with our user
    os.chdir(directory)  # in the view
    os.execvp(command[0], command)  # noqa: S606 - as it was called, no shell


if __name__ == "__main__":
    main()
