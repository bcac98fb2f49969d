"""A gzip stream, decompressed a piece at a time, with a cap on what may come out.

Nothing is ever decompressed beyond what was asked for, so a bomb costs no memory, and it is stopped
at the cap however small its archive is.
"""

from __future__ import annotations

import zlib
from typing import Protocol

from inservice.artifacts.errors import ArchiveDamaged, LimitExceeded
from inservice.artifacts.limits import GIB, Limits, Watch

PIECE_BYTES = 256 * 1024
GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = zlib.MAX_WBITS | 16  # 16 asks zlib for gzip's header, checksum and length


class ByteReader(Protocol):
    """Where packed bytes come from."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; b"" only at the end."""
        ...


class Gunzip:
    """Reads like a file. Members that follow one another are one stream, as in gzip(1)."""

    def __init__(self, source: ByteReader, limits: Limits, watch: Watch) -> None:
        self._source = source
        self._limits = limits
        self._watch = watch
        self._inflate = zlib.decompressobj(_GZIP_WINDOW)
        self._pending = b""  # packed, not yet decompressed
        self._ended = False
        self.packed_bytes = 0
        self.unpacked_bytes = 0

    def read_exactly(self, size: int) -> bytes:
        """`size` bytes, or fewer at the end of the stream. Keep `size` small: it is held."""
        pieces = []
        while size > 0 and (piece := self.read(size)):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; b"" only at the end.

        Raises ArchiveDamaged for what is not gzip, ends early, has a wrong checksum or anything but
        zeros behind its end; LimitExceeded past a cap; and what the source and the watch raise.
        """
        while not self._ended:
            self._watch.check()
            if not self._pending:
                self._pending = self._source.read(PIECE_BYTES)
                self.packed_bytes += len(self._pending)
            packed, self._pending = self._pending, b""
            try:
                piece = self._inflate.decompress(packed, min(size, PIECE_BYTES))
            except zlib.error as error:
                raise ArchiveDamaged(self._what_is_wrong(packed, error)) from None
            self._pending = self._inflate.unconsumed_tail
            if self._inflate.eof:
                self._begin_next_member()
            elif not packed and not piece:
                raise ArchiveDamaged(
                    f"The gzip stream ends early, after {self.packed_bytes:,} bytes: the upload "
                    "was cut short. Upload it again."
                )
            if piece:
                self._count(len(piece))
                return piece
        return b""

    def _begin_next_member(self) -> None:
        rest = self._inflate.unused_data
        while len(rest) < len(GZIP_MAGIC) and (more := self._source.read(PIECE_BYTES)):
            self.packed_bytes += len(more)
            rest += more
        if rest.startswith(GZIP_MAGIC):
            self._inflate = zlib.decompressobj(_GZIP_WINDOW)
            self._pending = rest
            return
        while rest:  # tapes and block devices pad with zeros; anything else is not ours to guess
            self._watch.check()
            if rest.strip(b"\0"):
                raise ArchiveDamaged(
                    "Something that is not gzip follows the gzip stream. Pack the archive anew."
                )
            rest = self._source.read(PIECE_BYTES)
            self.packed_bytes += len(rest)
        self._ended = True

    def _count(self, size: int) -> None:
        limits = self._limits
        self.unpacked_bytes += size
        if self.unpacked_bytes > limits.unpacked_bytes_max:
            raise LimitExceeded(
                f"It unpacks to more than {limits.unpacked_bytes_max / GIB:g} GiB, the most that "
                "this server unpacks for one model."
            )
        if self.unpacked_bytes > max(limits.ratio_free_bytes, limits.ratio_max * self.packed_bytes):
            raise LimitExceeded(
                f"It unpacks to more than {limits.ratio_max} times its size, as a decompression "
                "bomb does. A model that is so repetitive can be stored uncompressed: "
                "CompressionType None."
            )

    def _what_is_wrong(self, packed: bytes, error: zlib.error) -> str:
        if self.unpacked_bytes == 0 and not packed.startswith(GZIP_MAGIC):
            return (
                f"It does not begin as gzip does{_guess(packed)}. Pack it with "
                '"tar -czf model.tar.gz -C model .".'
            )
        return f"The gzip stream is damaged ({error}). Upload it again."


def _guess(start: bytes) -> str:
    """What people upload instead, by its first bytes."""
    kinds = {
        b"PK\x03\x04": "it looks like a zip file",
        b"BZh": "it looks like bzip2",
        b"\xfd7zXZ": "it looks like xz",
        b"\x28\xb5\x2f\xfd": "it looks like zstd",
        b"\x80": "it looks like a pickle",
        b"<": "it looks like HTML or XML",
        b"{": "it looks like JSON",
    }
    if start[257:262] == b"ustar":
        return ": it is a tar archive without gzip"
    return next((f": {kind}" for magic, kind in kinds.items() if start.startswith(magic)), "")
