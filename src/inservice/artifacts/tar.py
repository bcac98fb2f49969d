"""A reader of tar archives for which nobody vouches.

It reads forwards only, holds one header and one piece of content at a time, and knows just what
tar programs write for files and directories: ustar, GNU long names, and the three pax records that
matter (path, linkpath, size). Everything else is refused by name rather than interpreted: the
standard library's `tarfile` has been led out of its directory through link chains
(CVE-2025-4517), into endless loops by negative sizes (CVE-2025-8194) and into unbounded memory by
pax headers, each time in code for features that a model archive does not need.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from inservice.artifacts.errors import ArchiveDamaged, LimitExceeded, UnsafeMember, shown
from inservice.artifacts.gunzip import PIECE_BYTES, Gunzip

BLOCK_BYTES = 512
EXTENSION_BYTES_MAX = 256 * 1024
"""For one long name or pax header. macOS puts extended attributes of some KiB there; a pax bomb
puts gigabytes there, and they would have to be held in memory."""
EXTENSIONS_IN_A_ROW_MAX = 8
"""Headers that only describe the next one. Two are usual (name and link name)."""


class Kind(StrEnum):
    """What a member is, in the word that an error uses."""

    FILE = "file"
    DIRECTORY = "directory"
    HARD_LINK = "hard link"
    SYMBOLIC_LINK = "symbolic link"
    CHARACTER_DEVICE = "character device"
    BLOCK_DEVICE = "block device"
    FIFO = "named pipe"
    SPARSE = "sparse file"
    UNKNOWN = "member of an unknown type"


_KINDS = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,  # "contiguous": a file on every system of this century
    b"1": Kind.HARD_LINK,
    b"2": Kind.SYMBOLIC_LINK,
    b"3": Kind.CHARACTER_DEVICE,
    b"4": Kind.BLOCK_DEVICE,
    b"5": Kind.DIRECTORY,
    b"6": Kind.FIFO,
    b"S": Kind.SPARSE,
}


@dataclass(frozen=True, slots=True)
class Member:
    """One header: a name as it is written in the archive, not yet judged as a path."""

    name: str
    kind: Kind
    size_bytes: int  # of the content that follows; 0 for all but files
    target: str = ""  # where a link points


class TarReader:
    """The members of one archive, in order; `content` gives the bytes of the latest."""

    def __init__(self, stream: Gunzip) -> None:
        self._stream = stream
        self._left = 0  # content of the latest member not read yet
        self._padding = 0

    def members(self) -> Iterator[Member]:
        """Each member; content that was not read is skipped.

        Raises ArchiveDamaged, UnsafeMember for what cannot be read safely, LimitExceeded, and what
        the stream raises. After the last member the stream was read to its end, so its checksum is
        verified.
        """
        said = _Said()
        extensions = 0
        while (header := self._next_header()) is not None:
            typeflag = header[156:157]
            size = _number(header[124:136], "size")
            if typeflag in (b"x", b"g", b"L", b"K"):
                extensions += 1
                if extensions > EXTENSIONS_IN_A_ROW_MAX:
                    raise LimitExceeded("It has more extended headers in a row than tar writes.")
                said = self._extended(said, typeflag, size)
                continue
            member = _member(header, typeflag, size if said.size is None else said.size, said)
            said, extensions = _Said(), 0
            self._expect(member.size_bytes)
            yield member
        if extensions:
            raise ArchiveDamaged("The archive ends behind an extended header. Upload it again.")

    def content(self) -> Iterator[bytes]:
        """The bytes of the latest member, in pieces. Raises as `members` does."""
        while self._left:
            piece = self._stream.read(min(self._left, PIECE_BYTES))
            if not piece:
                raise ArchiveDamaged(
                    "The archive ends inside a member: it was cut short. Upload it again."
                )
            self._left -= len(piece)
            yield piece

    def _expect(self, size: int) -> None:
        self._left = size
        self._padding = -size % BLOCK_BYTES

    def _next_header(self) -> bytes | None:
        for _ in self.content():  # what the caller did not want
            pass
        if len(self._stream.read_exactly(self._padding)) < self._padding:
            raise ArchiveDamaged("The archive ends inside a member. Upload it again.")
        self._padding = 0
        header = self._stream.read_exactly(BLOCK_BYTES)
        if not header and not self._stream.unpacked_bytes:
            raise ArchiveDamaged("There is no tar archive in the gzip stream: it is empty.")
        if not header.strip(b"\0"):  # the end mark, or the end of the stream without one
            self._refuse_rest()
            return None
        if len(header) < BLOCK_BYTES:
            raise ArchiveDamaged("The archive ends inside a header. Upload it again.")
        _check_sum(header)
        return header

    def _refuse_rest(self) -> None:
        while piece := self._stream.read(PIECE_BYTES):
            if piece.strip(b"\0"):
                raise ArchiveDamaged(
                    "Something follows the end of the tar archive, so which members are meant "
                    "is unclear. Pack it anew instead of joining archives."
                )

    def _extended(self, said: _Said, typeflag: bytes, size: int) -> _Said:
        if size > EXTENSION_BYTES_MAX:
            raise LimitExceeded(
                f"An extended header has {size:,} bytes; at most {EXTENSION_BYTES_MAX:,} are "
                'read. Pack without extended attributes: "tar --format=ustar".'
            )
        self._expect(size)
        text = b"".join(self.content())
        if typeflag == b"L":
            return _Said(_text(text.rstrip(b"\0")), said.target, said.size)
        if typeflag == b"K":
            return _Said(said.name, _text(text.rstrip(b"\0")), said.size)
        records = _pax_records(text)
        if typeflag == b"g":
            _refuse_global(records)
            return said
        return _Said(
            _text(records["path"]) if "path" in records else said.name,
            _text(records["linkpath"]) if "linkpath" in records else said.target,
            _decimal(records["size"]) if "size" in records else said.size,
        )


@dataclass(frozen=True, slots=True)
class _Said:
    """What extended headers say about the member that follows."""

    name: str | None = None
    target: str | None = None
    size: int | None = None


def _member(header: bytes, typeflag: bytes, size: int, said: _Said) -> Member:
    kind = _KINDS.get(typeflag, Kind.UNKNOWN)
    name = said.name if said.name is not None else _ustar_name(header)
    target = said.target if said.target is not None else _text(_field(header[157:257]))
    if kind is Kind.FILE and name.endswith("/"):  # tar of 1979 had no type for directories
        kind = Kind.DIRECTORY
    if kind is Kind.SPARSE:
        raise UnsafeMember(
            f'Member "{shown(name)}" is a sparse file. Pack without "--sparse" (-S).'
        )
    if kind is Kind.UNKNOWN:
        raise UnsafeMember(
            f'Member "{shown(name)}" has the unknown type "{shown(typeflag)}". Pack it with '
            '"tar --format=ustar".'
        )
    # A hard link may state the size of the file that it points to; it has no content either.
    if size and kind not in (Kind.FILE, Kind.HARD_LINK):
        raise ArchiveDamaged(f'Member "{shown(name)}" is a {kind} and has content.')
    return Member(name, kind, size if kind is Kind.FILE else 0, target)


def _ustar_name(header: bytes) -> str:
    name = _field(header[0:100])
    prefix = _field(header[345:500]) if header[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name)


def _check_sum(header: bytes) -> None:
    """The sum of the header's bytes with its own field blank; old tars summed signed bytes."""
    stated = _number(header[148:156], "checksum")
    blank = header[:148] + b" " * 8 + header[156:]
    unsigned = sum(blank)
    if stated != unsigned and stated != unsigned - 256 * sum(byte > 127 for byte in blank):
        raise ArchiveDamaged("A header's checksum is wrong, so this is not a tar archive.")


def _number(field: bytes, what: str) -> int:
    """Octal, or for large numbers base 256 with the first bit set. Never negative."""
    if field[0] & 0x80:
        if field[0] != 0x80:  # 0xff begins a negative number
            raise ArchiveDamaged(f"A header has a {what} that is negative or absurd.")
        return int.from_bytes(field[1:])
    digits = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", digits):
        raise ArchiveDamaged(f"A header's {what} is not a number, so this is not a tar archive.")
    return int(digits or b"0", 8)


def _field(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


def _text(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise UnsafeMember(
            f'The name "{shown(name)}" is not UTF-8. Rename the file, or pack on a system that '
            "uses UTF-8."
        ) from None


def _decimal(digits: bytes) -> int:
    if not re.fullmatch(rb"[0-9]{1,19}", digits):
        raise ArchiveDamaged("A pax header has a size that is not a number.")
    return int(digits)


def _pax_records(text: bytes) -> dict[str, bytes]:
    """`<length> <keyword>=<value>\\n` again and again; the length counts the whole record."""
    records: dict[str, bytes] = {}
    at = 0
    while at < len(text):
        match = re.compile(rb"([0-9]{1,6}) ([^=\n]+)=").match(text, at)
        end = at + int(match[1]) if match else 0
        if not match or end <= match.end() or end > len(text) or text[end - 1 : end] != b"\n":
            if not text[at:].strip(b"\0"):
                break
            raise ArchiveDamaged("A pax header is malformed.")
        keyword = match[2].decode("utf-8", "replace")
        if keyword.startswith("GNU.sparse."):
            raise UnsafeMember('It holds a sparse file. Pack without "--sparse" (-S).')
        records[keyword] = text[match.end() : end - 1]
        at = end
    return records


def _refuse_global(records: dict[str, bytes]) -> None:
    """A global header may carry a comment, as git's does; names and sizes for all are a trick."""
    for keyword in ("path", "linkpath", "size"):
        if keyword in records:
            raise UnsafeMember(f'A global pax header sets "{keyword}" for every member.')
