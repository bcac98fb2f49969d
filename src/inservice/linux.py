"""The few things of Linux that Python has no function for, and what /proc says of a process."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

UNIX_PATH_BYTES_MAX = 107
"""Of a UNIX socket's path: `sun_path` less its terminating NUL."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
_FICLONE = 0x40049409
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE = 0x2, 0x80, 0x100
_EVENT = struct.Struct("iIII")  # struct inotify_event, whose name follows it


def die_with_parent(number: int) -> None:
    """Have the kernel send us this signal when the thread that started us ends. It forgets that
    when we change our user."""
    _prctl(_PR_SET_PDEATHSIG, number)


def sync_file_system(path: Path) -> None:
    """Have all that was written to the file system of a path survive the loss of power: a thousand
    files at the price of one. Raises OSError."""
    import ctypes  # here, since few who import this module need it

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)


def become_subreaper() -> None:
    """Orphans among our descendants become our children, so that we learn how they end."""
    _prctl(_PR_SET_CHILD_SUBREAPER)


def set_no_new_privileges() -> None:
    """Neither we nor any descendant can gain privileges by executing a setuid file."""
    _prctl(_PR_SET_NO_NEW_PRIVS)


def keep_memory(most: int) -> None:
    """Let glibc keep so many bytes that large bodies have used, and not return them after each.

    By default every buffer over 128 KiB is mapped, faulted in page by page, and unmapped again:
    490 page faults for a body of 1 MB, 7 % of its CPU. Other C libraries have no mallopt.
    """
    import ctypes  # here, since few who import this module need it

    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, most)


def born_at(pid: int) -> float:
    """When a process was started, in epoch seconds; 0 if it is not there (any more).

    To the digit as psutil has it, for it is a part of names that are on disk.
    """
    stat = process_stat(pid)
    if stat is None:
        return 0.0
    ticks = float(stat[START_TICKS])
    booted = re.search(rb"^btime (\d+)$", Path("/proc/stat").read_bytes(), re.MULTILINE)
    assert booted is not None
    return float(booted[1]) + ticks / os.sysconf("SC_CLK_TCK")


def clone(source: int, target: int) -> None:
    """Make the empty file behind the descriptor `target` share the blocks of `source`'s until one
    of them is written to. Raises OSError where the file system has no such thing."""
    fcntl.ioctl(target, _FICLONE, source)


def link_open(source: int, name: str, directory: int) -> None:
    """Give the file behind a descriptor another name in a directory, whatever its old ones have
    become meanwhile. Raises OSError, FileNotFoundError for a file that has no name left."""
    os.link(f"/proc/self/fd/{source}", name, dst_dir_fd=directory, follow_symlinks=True)


def enter_namespace(descriptor: int) -> None:
    """Have the calling thread be in a namespace from now on, by a descriptor of it. Raises OSError.

    One of users takes in whole processes only, which have one thread.
    """
    import ctypes  # here, since few who import this module need it

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Changes:
    """Which files of a directory are written to, told through a descriptor that can be waited for
    (inotify). Raises OSError where this user may watch no more."""

    def __init__(self, directory: Path) -> None:
        import ctypes  # here, since few who import this module need it

        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        written = _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE
        if self.fd < 0 or libc.inotify_add_watch(self.fd, os.fsencode(directory), written) < 0:
            number = ctypes.get_errno()
            self.close()
            raise OSError(number, os.strerror(number), str(directory))

    def take(self) -> set[str]:
        """The names of what was written to since. Empty if too much was: then anything may be."""
        names: set[str] = set()
        with contextlib.suppress(BlockingIOError):
            events = os.read(self.fd, 64 * 1024)
            while events:
                (length,) = struct.unpack_from("I", events, _EVENT.size - 4)
                name = events[_EVENT.size : _EVENT.size + length].rstrip(b"\0")
                if not name:
                    return set()
                names.add(os.fsdecode(name))
                events = events[_EVENT.size + length :]
        return names

    def close(self) -> None:
        """Watch no more."""
        if self.fd >= 0:
            os.close(self.fd)


def _prctl(option: int, value: int = 1) -> None:
    import ctypes  # here, since few who import this module need it

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@functools.cache
def boot_id() -> str:
    """The kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def pids() -> Iterator[int]:
    """Every process of this host."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - a Path for each process is most of the cost
        if name.isdecimal():
            yield int(name)


STATE, PARENT, SESSION, MINOR_FAULTS, MAJOR_FAULTS, USER_TICKS, SYSTEM_TICKS = 0, 1, 3, 7, 9, 11, 12
THREADS, START_TICKS, PAGES = 17, 19, 21
"""Where in `process_stat` is what; proc(5) counts from the pid, which is two before."""


def process_stat(pid: int) -> list[bytes] | None:
    """The fields of /proc/<pid>/stat from the state on; None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The command is in parentheses and may hold any byte, so count from the last closing one.
    return stat[stat.rindex(b")") + 2 :].split()


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if it is not there or a zombie."""
    stat = process_stat(pid)
    return None if stat is None or stat[STATE] in (b"Z", b"X") else int(stat[START_TICKS])
