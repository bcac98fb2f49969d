"""A private view of the file system: what a model may see of what its server can.

    hidden     directories that are empty in the view, but for what of them is shown
    shown      what may be read, and be run: the interpreter, its packages
    named      the same, by somebody who must not get at what is hidden by naming it
    read_only  shown, and not to be written to by whoever could
    own        what may be written to: the working directory, the socket
    placed     what is seen under another path than the host's, below `room`: the model's artifact
    scratch    a directory that is empty at first, in memory, of a bounded size

A path is of no use below a directory that its reader may not pass, and much of what a model needs
is below one: a server of root keeps its records, and often its Python, in /root, which is closed to
everybody else. So each directory that closes the way to something that is shown is covered by an
empty one, and what is shown is mounted into that at its old path. Nothing of the host is changed:
all of it is in a mount namespace that one instance has to itself, and ends with.

What is placed may have to be where the host has no directory, and where nobody may make one. Then
the deepest directory above it that is there is covered by one of ours with everything in it that
was in it before (links stay links), and ours has room for more. Where that is the root directory,
the instance gets a new root.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from inservice.runtimes.process import mounting

_FILE_BYTES = 16 * 1024
"""Of a file in a scratch directory, on average: the kernel keeps about 1 KiB beside each."""


@dataclass(frozen=True, slots=True)
class View:
    """What is to be seen. Paths are absolute; those that do not exist are left out."""

    hidden: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    room: str = ""
    placed: tuple[tuple[str, str], ...] = ()
    """Names in `room`, each with what is seen there; "" is an empty directory."""
    scratch: str = ""
    scratch_bytes: int = 0


def arrange(view: View, uid: int, gid: int) -> None:
    """Make the view that of this process, which has a mount namespace of its own already, for a
    reader who is `uid` and `gid`. Raises OSError."""
    mounting.mount("none", "/", flags=mounting.MS_REC | mounting.MS_PRIVATE)  # none of it gets out
    if uid == os.getuid():
        mounting.hide_disks()
    _Arranging(view, uid, gid).run()


class _Arranging:
    """One view while it is made."""

    def __init__(self, view: View, uid: int, gid: int) -> None:
        self._view = view
        self._laid: list[str] = []  # covers of ours, to be closed in the end
        self._devices: set[int] = set()  # the file systems of everything of ours
        self._new_root: mounting.NewRoot | None = None
        self._scratch = os.path.realpath(view.scratch) if view.scratch else ""
        wanted = _wanted(view)
        ways = [*wanted, os.path.realpath(f"{view.room}/_")] if view.room else wanted
        self._hidden = [name for path in view.hidden for name in _names(path)]
        closed = [above for path in ways for above in _closed(path, uid, gid)]
        covers = map(os.path.realpath, (*self._hidden, *closed))
        self._covers = {path for path in covers if Path(path).is_dir()}
        self._held = {path: mounting.hold(path) for path in wanted}
        self._placed = {name: mounting.hold(path) for name, path in view.placed if path}

    def run(self) -> None:
        """Everything that the view asks for."""
        try:
            _let_go_of_hidden(self._held, self._view, self._hidden)
            for path in self._steps():
                self._step(path)
            if self._view.room:
                self._fill_room()
        finally:
            for descriptor in (*self._held.values(), *self._placed.values()):
                os.close(descriptor)
        if self._new_root is not None:
            self._new_root.finish()
        for path in self._laid:
            mounting.close_cover(path)

    def _steps(self) -> list[str]:
        """From the root downwards, so that each is seen through what is above it; a directory that
        is hidden and has something to show is first covered."""
        paths = {*self._covers, *self._held}
        if self._scratch and Path(self._scratch).is_dir():
            paths.add(self._scratch)
        return sorted(paths, key=lambda path: (len(Path(path).parts), path))

    def _step(self, path: str) -> None:
        if path == self._scratch:
            files = max(1024, self._view.scratch_bytes // _FILE_BYTES)
            data = f"mode=1777,size={self._view.scratch_bytes},nr_inodes={files}"
            mounting.cover(path, data.encode())
            self._devices.add(_device(path))
            return
        if path in self._covers and (Path(path).is_dir() or self._leads_to_something(path)):
            mounting.make_place(Path(path), is_directory=True)
            self._lay(path, mounting.cover)
        if path in self._held:
            descriptor = self._held[path]
            if path in self._view.read_only or not _is_there(path, descriptor):
                mounting.bind(descriptor, path, writable=path in self._view.own)

    def _lay(self, path: str, how: Callable[[str], None]) -> None:
        how(path)
        self._laid.append(path)
        self._devices.add(_device(path))

    def _leads_to_something(self, path: str) -> bool:
        """Whether anything shown is below a directory that a cover above it has taken away."""
        return any(Path(path) in Path(held).parents for held in self._held)

    def _fill_room(self) -> None:
        room = os.path.realpath(self._view.room)
        self._make_room(room)
        for name, path in self._view.placed:
            mounting.make_place(Path(room, name), is_directory=True)
            if path:
                mounting.bind(self._placed[name], f"{room}/{name}", writable=False)

    def _make_room(self, room: str) -> None:
        """Have the directory on a cover of ours, with everything that was in it but the names that
        are to be something else."""
        there, missing = room, {name for name, _ in self._view.placed}
        while not Path(there).is_dir():
            there, missing = str(Path(there).parent), {Path(there).name}
        if _device(there) not in self._devices:
            if there == "/":
                self._new_root = mounting.NewRoot(missing)
                self._laid.append(there)
            else:
                self._lay(there, lambda path: mounting.cover_and_show_again(path, missing))
        mounting.make_place(Path(room), is_directory=True)


def _device(path: str) -> int:
    return Path(path).stat().st_dev


def _names(hidden: str) -> list[str]:
    """A directory that is to be hidden, and where else it is to be seen."""
    real = os.path.realpath(hidden)
    return [real, *mounting.other_names(real)]


def _wanted(view: View) -> list[str]:
    """Everything that is to be there, under its own name and under the one that its links lead
    to."""
    names = {
        os.path.normpath(path) for path in (*view.shown, *view.read_only, *view.named, *view.own)
    }
    return [path for path in {*names, *map(os.path.realpath, names)} if os.path.lexists(path)]


def _let_go_of_hidden(held: dict[str, int], view: View, hidden: Iterable[str]) -> None:
    """Judged by what was opened, and not by a path that may have become a link since."""
    hidden = tuple(hidden)
    may_be_inside = {*view.shown, *view.read_only, *view.own}
    may_be_inside |= set(map(os.path.realpath, may_be_inside))
    for path in [path for path in held if path not in may_be_inside]:
        opened = Path(f"/proc/self/fd/{held[path]}").readlink()
        if any(opened.is_relative_to(directory) for directory in hidden):
            os.close(held.pop(path))


def _closed(path: str, uid: int, gid: int) -> Iterator[str]:
    """The first directory above a path that the reader may not pass."""
    for above in filter(Path.exists, reversed(Path(path).parents)):
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


def packages(paths: Iterable[str]) -> tuple[str, ...]:
    """What Python code is read from, of the interpreter that runs this and of these paths."""
    import sys

    found = (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *paths)
    return tuple(dict.fromkeys(path for path in found if path.startswith("/")))
