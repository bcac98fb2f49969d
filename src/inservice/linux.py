"""The few things of Linux that Python has no function for."""

from __future__ import annotations

import ctypes
import os

_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38


def become_subreaper() -> None:
    """Orphans among our descendants become our children, so that we learn how they end."""
    _prctl(_PR_SET_CHILD_SUBREAPER)


def set_no_new_privileges() -> None:
    """Neither we nor any descendant can gain privileges by executing a setuid file."""
    _prctl(_PR_SET_NO_NEW_PRIVS)


def _prctl(option: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
