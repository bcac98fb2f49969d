"""Archives for the artifact tests: honest ones, and such as no tar program would write.

Headers are made byte by byte, since `tarfile` refuses to write most of what an attacker sends.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

BLOCK = 512
END = b"\0" * (2 * BLOCK)
DEEP = "/".join(["d" * 200] * 6)


def header(
    name: bytes | str,
    size: int = 0,
    kind: bytes = b"0",
    *,
    target: str = "",
    mode: int = 0o644,
    uid: int = 0,
    size_field: bytes | None = None,
    prefix: bytes = b"",
) -> bytes:
    """One ustar header with a right checksum."""
    raw = name.encode() if isinstance(name, str) else name
    block = bytearray(BLOCK)
    block[0 : len(raw[:100])] = raw[:100]
    block[100:108] = b"%07o\0" % mode
    block[108:116] = b"%07o\0" % min(uid, 0o7777777)
    block[116:124] = b"%07o\0" % min(uid, 0o7777777)
    block[124:136] = size_field if size_field is not None else b"%011o\0" % size
    block[136:148] = b"%011o\0" % 0
    block[156:157] = kind
    block[157 : 157 + len(target.encode()[:100])] = target.encode()[:100]
    block[257:265] = b"ustar\x0000"
    block[345 : 345 + len(prefix)] = prefix
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % BLOCK)


def member(name: str, content: bytes = b"", kind: bytes = b"0", **more: object) -> bytes:
    """A header and its content; names over 100 bytes as GNU tar writes them."""
    long = b""
    if len(name.encode()) > 100:
        long = header("././@LongLink", len(name.encode()) + 1, b"L") + padded(name.encode() + b"\0")
    return long + header(name, len(content), kind, **more) + padded(content)  # type: ignore[arg-type]


def pax(records: Mapping[str, str], kind: bytes = b"x") -> bytes:
    """An extended header."""
    text = b""
    for keyword, value in records.items():
        rest = f" {keyword}={value}\n".encode()
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length += 1
        text += str(length).encode() + rest
    return header("PaxHeader", len(text), kind) + padded(text)


def packed(*members: bytes, end: bytes = END) -> bytes:
    return gzip.compress(b"".join(members) + end, 1)


def model_archive(files: Mapping[str, bytes]) -> bytes:
    """What `tar -czf … -C model .` writes, in essence."""
    return packed(header("./", kind=b"5"), *(member(f"./{n}", c) for n, c in files.items()))


def links_past_path_max(outside: Path) -> bytes:
    """The shape of CVE-2025-4517: a chain of links whose resolution exceeds PATH_MAX."""
    members, above = [], ""
    for letter in "abcdefghijklmnop":
        directory = "d" * 247
        members.append(header(above + directory, kind=b"5"))
        members.append(member(above + letter, kind=b"2", target=directory))
        above = f"{above}{directory}/"
    members.append(member("escape", kind=b"2", target=f"{'a/' * 16}{'../' * 40}{outside}"))
    members.append(member("escape/owned", b"owned"))
    return packed(*members)


Make = Callable[[Path], bytes]
"""Makes an archive, given a directory outside that it tries to reach."""

Hostile = tuple[str, Make, str]
"""What it is, how it is made, and what the reason has to say."""


def hostile() -> Iterator[Hostile]:
    """Archives of which not one byte may land outside, nor be served."""
    yield "dot-dot", lambda o: packed(member("../owned", b"x")), '".."'
    yield "dot-dot inside", lambda o: packed(member("a/../../owned", b"x")), '".."'
    yield "absolute", lambda o: packed(member(f"{o}/owned", b"x")), "absolute"
    yield "prefix dot-dot", lambda o: packed(header("owned", prefix=b"../../up")), '".."'
    yield "pax path", lambda o: packed(pax({"path": f"{o}/owned"}), member("m", b"x")), "absolute"
    yield "pax dot-dot", lambda o: packed(pax({"path": "../owned"}), member("m", b"x")), '".."'
    yield "sibling", lambda o: packed(member("../model-evil/owned", b"x")), '".."'
    yield (
        "symlink out",
        lambda o: packed(member("l", kind=b"2", target=str(o)), member("l/owned", b"x")),
        "--dereference",
    )
    yield (
        "symlink inside",
        lambda o: packed(member("m", b"x"), member("latest", kind=b"2", target="m")),
        'Member "latest" is a symbolic link to "m"',
    )
    yield (
        "symlink over a directory",
        lambda o: packed(header("d", kind=b"5"), member("d", kind=b"2", target=str(o))),
        "symbolic link",
    )
    yield (
        "hard link out",
        lambda o: packed(member("passwd", kind=b"1", target="/etc/passwd")),
        "--hard-dereference",
    )
    yield "links past PATH_MAX", links_past_path_max, "symbolic link"
    yield "character device", lambda o: packed(member("n", kind=b"3")), "character device"
    yield "block device", lambda o: packed(member("n", kind=b"4")), "block device"
    yield "named pipe", lambda o: packed(member("n", kind=b"6")), "named pipe"
    yield "GNU sparse", lambda o: packed(member("n", kind=b"S")), "sparse"
    yield (
        "pax sparse",
        lambda o: packed(pax({"GNU.sparse.major": "1"}), member("n", b"x")),
        "sparse",
    )
    yield "unknown type", lambda o: packed(member("n", kind=b"Z")), 'unknown type "Z"'
    yield "vendor type", lambda o: packed(member("n", kind=b"M")), 'unknown type "M"'
    yield "file twice", lambda o: packed(member("n", b"1"), member("n", b"2")), "twice"
    yield (
        "file twice, spelled otherwise",
        lambda o: packed(member("n", b"1"), member(".//n", b"2")),
        "twice",
    )
    yield (
        "file as directory",
        lambda o: packed(member("n", b"1"), member("n/m", b"2")),
        "both a file and a directory",
    )
    yield (
        "directory as file",
        lambda o: packed(member("n/m", b"2"), member("n", b"1")),
        "both a file and a directory",
    )
    yield "the root as file", lambda o: packed(member(".", b"1")), "directory itself"
    yield "blank part", lambda o: packed(member("a/ /b", b"1")), "blank"
    yield (
        "NUL in a pax path",
        lambda o: packed(pax({"path": "a\0b"}), member("m", b"x")),
        "NUL",
    )
    yield (
        "not UTF-8",
        lambda o: packed(header(b"caf\xe9", 1) + padded(b"x")),
        "not UTF-8",
    )
    yield (
        "escape codes in a name",
        lambda o: packed(member("\x1b[31m\nforged line", kind=b"2", target="x")),
        r"\x1b[31m\nforged line",
    )
    yield "global path", lambda o: packed(pax({"path": "x"}, b"g"), member("m")), "global"
    yield (
        "negative size",
        lambda o: packed(header("n", size_field=b"\xff" * 11 + b"\xfe")),
        "negative",
    )
    yield (
        "negative offset",
        lambda o: packed(header("n", size_field=b"-0000000512 ")),
        "not a number",
    )
    yield "negative pax size", lambda o: packed(pax({"size": "-512"}), member("n")), "not a number"
    yield (
        "size beyond the archive",
        lambda o: packed(header("n", size_field=b"\x80" + b"\0" * 2 + b"\xff" * 9)),
        "ends inside a member",
    )
    yield (
        "pax size beyond the archive",
        lambda o: packed(pax({"size": "9" * 18}), member("n", b"x")),
        "ends inside a member",
    )
    yield "pax bomb", lambda o: packed(header("p", 1 << 30, b"x"), b"\0" * 4096), "extended header"
    yield (
        "long name bomb",
        lambda o: packed(header("p", 1 << 30, b"L"), b"a" * 4096),
        "extended header",
    )
    yield (
        "pax headers without end",
        lambda o: packed(*[pax({"comment": "x"})] * 100, member("n")),
        "in a row",
    )
    yield (
        "malformed pax",
        lambda o: packed(header("p", 5, b"x") + padded(b"99 a="), member("n")),
        "malformed",
    )
    yield (
        "pax header for nothing",
        lambda o: packed(pax({"path": "n"})),
        "ends behind an extended header",
    )
    yield (
        "wrong checksum",
        lambda o: packed(b"not tar" + b"\1" * 505),
        "not a tar archive",
    )
    yield (
        "something behind the end",
        lambda o: packed(member("n", b"x"), END, member("second", b"x")),
        "follows the end of the tar archive",
    )
    yield "long name", lambda o: packed(member("n" * 300, b"x")), "at most 255"
    yield "long path", lambda o: packed(member(DEEP, b"x")), "at most 1024"
    yield "deep", lambda o: packed(member("d/" * 10_000 + "n", b"x")), "levels deep"


def damaged() -> Iterator[tuple[str, bytes, str]]:
    """What is not a whole gzip tar, and what the reason has to say."""
    whole = model_archive({"model.joblib": os.urandom(20_000)})
    yield "empty object", b"", "ends early"
    yield "half", whole[: len(whole) // 2], "cut short"
    yield "without its last byte", whole[:-1], "cut short"
    yield "wrong checksum", whole[:-8] + b"\0\0\0\0" + whole[-4:], "incorrect data check"
    yield "a flipped byte", whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:], ""
    yield "garbage behind", whole + b"garbage", "follows the gzip stream"
    yield "a zip file", b"PK\x03\x04" + b"\0" * 600, "zip"
    yield "a bare tar", header("n") + END, "tar archive without gzip"
    yield "a pickle", b"\x80\x04\x95", "pickle"
    yield "gzip of nothing", gzip.compress(b""), "it is empty"
    yield "gzip of something else", gzip.compress(b"hello" * 1000), "not a tar archive"
    yield (
        "cut inside a member",
        gzip.compress(header("n", 5000) + b"x" * 100),
        "ends inside a member",
    )
    yield "cut inside a header", gzip.compress(header("n")[:100]), "ends inside a header"
    yield "cut inside padding", gzip.compress(header("n", 5) + b"hello"), "ends inside a member"
