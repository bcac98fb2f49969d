"""Single mounts in a namespace that this process has to itself, and what is mounted in it already.

Sources are open descriptors, so that what is shown is what was looked at, whatever has been mounted
over its path since.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
_MNT_DETACH = 0x2
_COVERED = MS_NOSUID | MS_NODEV

_KEPT = {
    os.ST_RDONLY: MS_RDONLY,
    os.ST_NOSUID: MS_NOSUID,
    os.ST_NODEV: MS_NODEV,
    os.ST_NOEXEC: 0x8,
    os.ST_NOATIME: 0x400,
    os.ST_NODIRATIME: 0x800,
    os.ST_RELATIME: 0x200000,
}
"""Flags of a mount, as statvfs tells and as mount(2) takes them. Within a user namespace a mount
cannot be changed to be without one that it has."""

COVER = b"mode=0755,size=1m,nr_inodes=8k"
"""An empty directory takes no memory; what is made in it are places to mount things at."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_libc = ctypes.CDLL(None, use_errno=True)


def mount(
    source: str, target: str, kind: str | None = None, flags: int = 0, data: bytes | None = None
) -> None:
    """mount(2). Raises OSError."""
    done = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        data,
    )
    _checked(done, target)


def hold(path: str) -> int:
    """A descriptor of whatever is at a path now, good for mounting it elsewhere. Raises OSError."""
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def cover(path: str, data: bytes = COVER) -> None:
    """An empty directory over a directory, writable as yet."""
    mount("tmpfs", path, "tmpfs", _COVERED, data)


def close_cover(path: str) -> None:
    """Nobody makes anything in a cover any more."""
    mount("none", path, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | _COVERED)


def bind(descriptor: int, path: str, *, writable: bool) -> None:
    """Show what is open at a path, which is made; read-only with everything that is mounted in it.
    No file of devices or of another user's rights works there."""
    make_place(Path(path), is_directory=stat.S_ISDIR(os.fstat(descriptor).st_mode))
    mount(f"/proc/self/fd/{descriptor}", path, flags=MS_BIND | MS_REC)
    for place in [path] if writable else mounted_in(path):
        _remount(place, _COVERED | (0 if writable else MS_RDONLY))


def _remount(path: str, more: int) -> None:
    has = os.statvfs(path).f_flag
    kept = sum(flag for told, flag in _KEPT.items() if has & told)
    mount("none", path, flags=MS_REMOUNT | MS_BIND | kept | more)


def make_place(place: Path, *, is_directory: bool) -> None:
    """Something to mount on, in a cover of ours, with a way to it that is open to all."""
    if os.path.lexists(place):
        return
    for above in reversed(place.parents):
        if not above.exists():
            above.mkdir()
            above.chmod(0o755)
    if is_directory:
        place.mkdir()
        place.chmod(0o755)
    else:
        place.touch()


def cover_and_show_again(path: str, without: Collection[str]) -> None:
    """Replace a directory by one of ours, in which everything of it is but these names: then
    something can be put there beside it. Not for the root directory."""
    inside = os.open(path, _DIRECTORY)
    try:
        listable = stat.S_IMODE(os.fstat(inside).st_mode) & 0o004
        cover(path, COVER if listable else COVER.replace(b"0755", b"0711"))
        _show_again(inside, path, without)
    finally:
        os.close(inside)


def _show_again(inside: int, path: str, without: Collection[str]) -> None:
    with os.scandir(inside) as entries:
        for entry in entries:
            if entry.name in without:
                continue
            target = f"{path}/{entry.name}"
            if entry.is_symlink():
                Path(target).symlink_to(os.readlink(entry.name, dir_fd=inside))
                continue
            make_place(Path(target), is_directory=entry.is_dir(follow_symlinks=False))
            mount(f"/proc/self/fd/{inside}/{entry.name}", target, flags=MS_BIND | MS_REC)


def hide_disks() -> None:
    """Cover every disk of /dev with /dev/null: root, and whoever is in its group, could change the
    files of any through it."""
    null = hold(os.devnull)
    try:
        for directory, _, files in os.walk("/dev"):
            for path in (f"{directory}/{name}" for name in files):
                if stat.S_ISBLK(os.lstat(path).st_mode):
                    mount(f"/proc/self/fd/{null}", path, flags=MS_BIND)
    finally:
        os.close(null)


class NewRoot:
    """A root directory of our own, with everything of the old one in it but these names.

    The old one stays mounted on top of it, out of sight, until `finish`: what was opened in it can
    be mounted until then.
    """

    def __init__(self, without: Collection[str]) -> None:
        self._old = os.open("/", _DIRECTORY)
        cover("/")
        # Our root is still the old one, below the cover; its parent is what is on top of it.
        os.chdir("/..")
        if os.path.samestat(Path().stat(), os.fstat(self._old)):
            raise OSError(0, "no root directory of its own can be had", "/")
        _show_again(self._old, ".", without)
        _checked(_libc.pivot_root(b".", b"."), "/")

    def finish(self) -> None:
        """Let go of the old root. Raises OSError."""
        os.fchdir(self._old)
        _checked(_libc.umount2(b".", _MNT_DETACH), "/")
        os.chdir("/")
        os.close(self._old)


def _checked(result: int, path: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


# ── what is mounted ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of /proc/self/mountinfo."""

    device: str
    root: str  # what of the file system is mounted
    at: str


_ESCAPED = re.compile(rb"\\([0-7]{3})")


def mounted() -> Iterator[Mount]:
    """All of this namespace."""
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        _, _, device, root, at, *_ = line.split(b" ")
        yield Mount(device.decode(), _unescaped(root), _unescaped(at))


def _unescaped(field: bytes) -> str:
    return os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), field))


def mounted_in(path: str) -> list[str]:
    """Where something is mounted at a path and below it."""
    real = os.path.realpath(path)
    return [each.at for each in mounted() if _below(each.at, real) is not None]


def other_names(path: str) -> list[str]:
    """Where else on this host the directory of a path, or a part of it, is to be seen, because its
    file system is mounted more than once."""
    everything = list(mounted())
    over = [each for each in everything if _below(path, each.at) is not None]
    if not over:
        return []
    under = max(over, key=lambda each: len(each.at))
    inside = str(Path(under.root, _below(path, under.at) or ""))
    found = []
    for each in everything:
        if each.device != under.device:
            continue
        if (way := _below(inside, each.root)) is not None:
            name = str(Path(each.at, way))
        elif _below(each.root, inside) is not None:
            name = each.at
        else:
            continue
        with contextlib.suppress(OSError):
            if name != path and (way is None or Path(name).samefile(path)):
                found.append(name)
    return found


def _below(path: str, directory: str) -> str | None:
    """The way from a directory to a path; None if it is not below it, "" if it is the same."""
    if path == directory:
        return ""
    above = directory.rstrip("/") + "/"
    return path[len(above) :] if path.startswith(above) else None
