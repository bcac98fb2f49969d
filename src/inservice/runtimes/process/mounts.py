"""A private view of the file system: what a model may see of what its server can.

    hidden     directories that are empty in the view, but for what of them is shown
    shown      what may be read, and be run: the interpreter, its packages, the model's artifact
    named      the same, by somebody who must not get at what is hidden by naming it
    own        what may be written to: the working directory, the socket

A path is of no use below a directory that its reader may not pass, and much of what a model needs
is below one: a server of root keeps its records, and often its Python, in /root, which is closed to
everybody else. So each directory that closes the way to something that is shown is covered by an
empty one, and what is shown is mounted into that at its old path. Nothing of the host is changed:
all of it is in a mount namespace that one instance has to itself, and ends with.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_MS_RDONLY = 0x1
_MS_NOSUID = 0x2
_MS_NODEV = 0x4
_MS_REMOUNT = 0x20
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000

_KEPT = {
    os.ST_NOEXEC: 0x8,
    os.ST_NOATIME: 0x400,
    os.ST_NODIRATIME: 0x800,
    os.ST_RELATIME: 0x200000,
}
"""Flags of a mount, as statvfs tells and as mount(2) takes them. Within a user namespace a mount
cannot be changed to be without one that it has."""

_COVER = b"mode=0755,size=1m,nr_inodes=4k"
"""An empty directory takes no memory; what is made in it are places to mount things at."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class View:
    """What is to be seen. Paths are absolute; those that do not exist are left out."""

    hidden: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()  # shown, and not to be written to by whoever could
    named: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


def arrange(view: View, uid: int, gid: int) -> None:
    """Make the view that of this process, which has a mount namespace of its own already, for a
    reader who is `uid` and `gid`. Raises OSError."""
    _mount("none", "/", flags=_MS_REC | _MS_PRIVATE)  # nothing of what follows gets out
    wanted = _wanted(view)
    covers = {*view.hidden, *(c for path in wanted for c in _closed(path, uid, gid))}
    covers = {os.path.realpath(path) for path in covers if Path(path).is_dir()}
    held = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in wanted}
    _let_go_of_hidden(held, view)
    laid: list[str] = []
    try:
        # From the root downwards, so that each is seen through what is above it; a directory that
        # is hidden and has something to show is first covered.
        steps = sorted({*covers, *held}, key=lambda path: (len(Path(path).parts), path))
        for path in steps:
            if path in covers and Path(path).is_dir():
                _mount("tmpfs", path, "tmpfs", _MS_NOSUID | _MS_NODEV, _COVER)
                laid.append(path)
            if path in held and (path in view.read_only or not _is_there(path, held[path])):
                _bind(held[path], path, writable=path in view.own)
    finally:
        for descriptor in held.values():
            os.close(descriptor)
    for path in laid:
        _mount("none", path, flags=_MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def _wanted(view: View) -> list[str]:
    """Everything that is to be there, under its own name and under the one that its links lead to;
    without what is inside something else that is."""
    names = {
        os.path.normpath(path) for path in (*view.shown, *view.read_only, *view.named, *view.own)
    }
    names = {path for path in (*names, *map(os.path.realpath, names)) if os.path.lexists(path)}
    apart = {*view.read_only, *view.own}
    whole = names & {*view.shown, *map(os.path.realpath, view.shown)}
    return [
        path
        for path in names
        if path in apart or not any(str(above) in whole for above in Path(path).parents)
    ]


def _let_go_of_hidden(held: dict[str, int], view: View) -> None:
    """Judged by what was opened, and not by a path that may have become a link since."""
    hidden = [Path(os.path.realpath(path)) for path in view.hidden]
    may_be_inside = {*view.shown, *view.read_only, *view.own}
    may_be_inside |= set(map(os.path.realpath, may_be_inside))
    for path in [path for path in held if path not in may_be_inside]:
        opened = Path(f"/proc/self/fd/{held[path]}").readlink()
        if any(opened.is_relative_to(directory) for directory in hidden):
            os.close(held.pop(path))


def _closed(path: str, uid: int, gid: int) -> Iterator[str]:
    """The first directory above a path that the reader may not pass."""
    for above in reversed(Path(path).parents):
        if not may(above.stat(), 0o1, uid, gid):
            yield str(above)
            return


def may(status: os.stat_result, permission: int, uid: int, gid: int) -> bool:
    """Whether a user of one group has this permission (of rwx) by the mode of a file."""
    if uid == 0:
        return True
    shift = 6 if status.st_uid == uid else 3 if status.st_gid == gid else 0
    return (status.st_mode >> shift) & permission == permission


def _is_there(path: str, descriptor: int) -> bool:
    """Whether the path leads to the open file as things are in the view by now."""
    try:
        return os.path.samestat(Path(path).stat(), os.fstat(descriptor))
    except OSError:
        return False


def _bind(descriptor: int, path: str, *, writable: bool) -> None:
    _make_place(Path(path), is_directory=stat.S_ISDIR(os.fstat(descriptor).st_mode))
    flags = _MS_REMOUNT | _MS_BIND | _MS_NOSUID | _MS_NODEV | (0 if writable else _MS_RDONLY)
    has = os.statvfs(f"/proc/self/fd/{descriptor}").f_flag
    flags |= sum(flag for told, flag in _KEPT.items() if has & told)
    _mount(f"/proc/self/fd/{descriptor}", path, flags=_MS_BIND | _MS_REC)
    _mount("none", path, flags=flags)


def _make_place(place: Path, *, is_directory: bool) -> None:
    """Something to mount on, in a cover of ours, with a way to it that is open to all."""
    if os.path.lexists(place):
        return
    for above in reversed(place.parents):
        if not above.exists():
            above.mkdir()
            above.chmod(0o755)
    if is_directory:
        place.mkdir()
    else:
        place.touch()


def _mount(
    source: str, target: str, kind: str | None = None, flags: int = 0, data: bytes | None = None
) -> None:
    done = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        data,
    )
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def packages(paths: Iterable[str]) -> tuple[str, ...]:
    """What Python code is read from, of the interpreter that runs this and of these paths."""
    import sys

    found = (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *paths)
    return tuple(dict.fromkeys(path for path in found if path.startswith("/")))
