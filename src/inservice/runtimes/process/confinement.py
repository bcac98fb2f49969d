"""What an instance becomes before any of its code runs, done in its own process.

See `isolation` for who decides it, and why.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
from dataclasses import fields
from pathlib import Path

import msgspec

from inservice.runtimes.process.mounts import View, arrange

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_PR_SET_DUMPABLE = 4
_CAPABILITIES_V3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class Confinement(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance has to become before any of its code runs."""

    uid: int
    gid: int
    hidden: tuple[str, ...]
    shown: tuple[str, ...]
    read_only: tuple[str, ...]
    named: tuple[str, ...]
    own: tuple[str, ...]
    room: str = ""
    placed: tuple[tuple[str, str], ...] = ()
    scratch: str = ""
    scratch_bytes: int = 0

    @property
    def is_another_user(self) -> bool:
        """Whether the instance is to be somebody else than its server."""
        return self.uid != os.getuid()

    @property
    def environment(self) -> dict[str, str]:
        """Its user's name, for libraries that ask. A private id is in no table of users."""
        if not self.is_another_user:
            return {}
        name = "model"
        with contextlib.suppress(KeyError):
            name = pwd.getpwuid(self.uid).pw_name
        return {"USER": name, "LOGNAME": name}


def enclose(confinement: Confinement) -> None:
    """A view of its own; all rights are still there. Raises OSError."""
    stays = not confinement.is_another_user
    uid, gid = os.getuid(), os.getgid()
    in_user_namespace = stays and uid != 0
    _checked(_libc.unshare(_CLONE_NEWNS | (_CLONE_NEWUSER if in_user_namespace else 0)))
    if in_user_namespace:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    view = View(**{field.name: getattr(confinement, field.name) for field in fields(View)})
    arrange(view, confinement.uid, confinement.gid)


def surrender(confinement: Confinement) -> None:
    """Become the instance's user, with no rights but that user's, for good. Raises OSError.

    Root who stays root keeps the rights over files, in a user namespace: there they count for no
    process and no mount that is outside of it, so that nothing of the view can be taken back.
    """
    if confinement.is_another_user:
        os.setgroups([])
        os.setresgid(confinement.gid, confinement.gid, confinement.gid)
        os.setresuid(confinement.uid, confinement.uid, confinement.uid)
        # The kernel takes its own files in /proc from a process that changes its user. They are
        # of nobody else here, and some libraries read them.
        _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    elif confinement.uid == 0:
        _be_root_of_nothing_else()
    else:
        header = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0)
        _checked(_libc.capset(header, (ctypes.c_uint32 * 6)()))


def _be_root_of_nothing_else() -> None:
    """Enter a user namespace in which every id is what it was. Only who stays outside of it may
    write such a table, so a child does."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.close(writer)
            os.read(reader, 1)  # until there is a namespace, or none can be had
            for kind in ("uid", "gid"):
                ids = [line.split() for line in _table(kind).read_text().splitlines()]
                table = "".join(f"{first} {first} {count}\n" for first, _, count in ids)
                _table(kind, os.getppid()).write_text(table)
            os._exit(0)
        os._exit(1)
    os.close(reader)
    try:
        _checked(_libc.unshare(_CLONE_NEWUSER))
    finally:
        os.close(writer)
        _, status = os.waitpid(child, 0)
    if status != 0:
        raise OSError(0, "its user namespace cannot be given the ids of this one")


def _table(kind: str, pid: int | str = "self") -> Path:
    return Path(f"/proc/{pid}/{kind}_map")


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
