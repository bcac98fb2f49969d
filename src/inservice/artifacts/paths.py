"""Which names may become paths below a model's directory.

One rule for members of an archive and for keys below an S3 prefix: a name is a list of parts, every
part is an ordinary file name, and no two names want the same place. Whatever is left of a name is
then used with `openat`, part by part, so there is no string in which a `..` could hide.
"""

from __future__ import annotations

from inservice.artifacts.errors import LimitExceeded, UnsafeMember, shown
from inservice.artifacts.limits import Limits

Parts = tuple[str, ...]
"""A relative path; empty for the directory itself."""


def parts_of_member(name: str, *, directory: bool) -> Parts:
    """The path of a tar member. `./a`, `a/` and `a//b` are what tar programs write, and mean
    `a`, `a` and `a/b`.

    A *directory* whose name has no part at all is the model's directory, absolute or not: the
    SageMaker SDK packs with `arcname=os.path.sep`, and each of its archives begins with `/`.
    Raises UnsafeMember.
    """
    is_root = directory and not name.strip("./") and ".." not in name
    if name.startswith("/") and not is_root:
        raise UnsafeMember(f'Member "{shown(name)}" has an absolute path. {_PACK_ADVICE}')
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    _refuse_bad_parts(parts, name, "Member")
    return parts


def parts_of_key(relative: str, key: str) -> Parts:
    """The path of an object below an S3 prefix: the key without the prefix.

    AWS allows no empty, `.` or `..` part, so the zero-byte "folder" object that the S3 console
    makes, whose key ends in `/`, fails the deployment there and here. Raises UnsafeMember.
    """
    parts = tuple(relative.split("/"))
    if "" in parts or "." in parts:
        raise UnsafeMember(
            f'Object "{shown(key)}" has an empty or "." part in its name, so it cannot become a '
            'file. Delete it (a key that ends in "/" is a folder marker of the S3 console) or '
            "upload it under another name."
        )
    _refuse_bad_parts(parts, key, "Object")
    return parts


class Outline:
    """The names taken so far, and whether one more may join them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._files: set[Parts] = set()
        self._directories: set[Parts] = {()}

    def add_directory(self, parts: Parts) -> None:
        """Take a directory and all above it; the same one twice is what tar programs write.

        Raises UnsafeMember and LimitExceeded.
        """
        if parts in self._directories:
            return
        self._refuse_long(parts)
        for length in range(1, len(parts) + 1):
            above = parts[:length]
            if above in self._files:
                raise UnsafeMember(
                    f'"{shown("/".join(above))}" is both a file and a directory. '
                    "Rename one of them."
                )
            self._directories.add(above)
        self._refuse_many()

    def add_file(self, parts: Parts) -> None:
        """Take a file and the directories above it. Raises UnsafeMember and LimitExceeded."""
        name = shown("/".join(parts))
        if not parts:
            raise UnsafeMember("A member stands for the model's directory itself and is a file.")
        self.add_directory(parts[:-1])
        self._refuse_long(parts)
        if parts in self._files:
            raise UnsafeMember(
                f'"{name}" is there twice. Pack the archive anew: "tar --append" keeps old copies.'
            )
        if parts in self._directories:
            raise UnsafeMember(f'"{name}" is both a file and a directory. Rename one of them.')
        self._files.add(parts)
        self._refuse_many()

    def _refuse_long(self, parts: Parts) -> None:
        limits = self._limits
        name = "/".join(parts)
        if len(parts) > limits.depth_max:
            raise LimitExceeded(
                f'"{shown(name)}" is {len(parts)} levels deep; at most {limits.depth_max} are '
                "unpacked. Flatten the directories."
            )
        if len(name.encode()) > limits.path_bytes_max:
            raise LimitExceeded(
                f'The path "{shown(name)}" has {len(name.encode())} bytes; at most '
                f"{limits.path_bytes_max} are unpacked. Use shorter names."
            )
        for part in parts:
            if len(part.encode()) > limits.part_bytes_max:
                raise LimitExceeded(
                    f'The name "{shown(part)}" has {len(part.encode())} bytes; a file name has '
                    f"at most {limits.part_bytes_max}. Rename it."
                )

    def _refuse_many(self) -> None:
        count = len(self._files) + len(self._directories) - 1
        if count > self._limits.entries_max:
            raise LimitExceeded(
                f"It holds more than {self._limits.entries_max:,} files and directories. "
                "Leave out what the model does not read, or pack small files into one."
            )


_PACK_ADVICE = 'Pack it from inside the model\'s directory: "tar -czf model.tar.gz -C model .".'


def _refuse_bad_parts(parts: Parts, name: str, what: str) -> None:
    if ".." in parts:
        raise UnsafeMember(
            f'{what} "{shown(name)}" would leave the model\'s directory by "..". {_PACK_ADVICE}'
        )
    for part in parts:
        if "\0" in part or not part.strip():
            raise UnsafeMember(
                f'{what} "{shown(name)}" has a part that is blank or holds a NUL character. '
                "Rename it."
            )
