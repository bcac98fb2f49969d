"""Streams that HTTP servers are attacked with, and what must become of each.

A stream is given with the requests that may come out of it, in order, and the status of the refusal
that ends it, if one does. Whatever is refused is refused with nothing behind it served.
"""

from __future__ import annotations

from dataclasses import dataclass

HOST = b"Host: a\r\n"


@dataclass(frozen=True)
class Stream:
    name: str
    sent: bytes
    requests: tuple[tuple[str, bytes, bytes], ...] = ()  # (method, target, body)
    refused: int | None = None


def ok(name: str, sent: bytes, *requests: tuple[str, bytes, bytes]) -> Stream:
    return Stream(name, sent, requests)


def bad(name: str, sent: bytes, status: int = 400) -> Stream:
    """Refused, and a whole request right behind it is not served either."""
    return Stream(name, sent + get(b"/behind"), (), status)


def get(target: bytes = b"/", *lines: bytes) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + HOST + _lines(lines) + b"\r\n"


def post(body: bytes, *lines: bytes, target: bytes = b"/p") -> bytes:
    return b"POST " + target + b" HTTP/1.1\r\n" + HOST + _lines(lines) + b"\r\n" + body


def _lines(lines: tuple[bytes, ...]) -> bytes:
    return b"".join(line + b"\r\n" for line in lines)


G = ("GET", b"/", b"")
TE = b"Transfer-Encoding: chunked"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"

SOUND = [
    ok("one", get(), G),
    ok("two pipelined", get() + get(b"/2"), G, ("GET", b"/2", b"")),
    ok("body by length", post(b"abc", b"Content-Length: 3"), ("POST", b"/p", b"abc")),
    ok("no body", post(b"", b"Content-Length: 0"), ("POST", b"/p", b"")),
    ok("no length", post(b""), ("POST", b"/p", b"")),
    ok("chunks", post(CHUNKS, TE), ("POST", b"/p", b"abc")),
    ok("chunks in capitals", post(CHUNKS, b"TRANSFER-ENCODING: CHUNKED"), ("POST", b"/p", b"abc")),
    ok("many chunks", post(b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", TE), ("POST", b"/p", b"abc")),
    ok("chunk extension", post(b"3;a=b\r\nabc\r\n0\r\n\r\n", TE), ("POST", b"/p", b"abc")),
    ok(
        "hex in capitals", post(b"A\r\n0123456789\r\n0\r\n\r\n", TE), ("POST", b"/p", b"0123456789")
    ),
    ok(
        "chunks, then another",
        post(CHUNKS, TE) + get(b"/2"),
        ("POST", b"/p", b"abc"),
        ("GET", b"/2", b""),
    ),
    ok(
        "length, then another",
        post(b"GET / HTTP/1.1\r\n\r\n", b"Content-Length: 18") + get(b"/2"),
        ("POST", b"/p", b"GET / HTTP/1.1\r\n\r\n"),
        ("GET", b"/2", b""),
    ),
    ok("one blank line first", b"\r\n" + get(), G),
    ok("two blank lines first", b"\r\n\r\n" + get(), G),
    ok("blank line between", get() + b"\r\n" + get(b"/2"), G, ("GET", b"/2", b"")),
    ok("port in Host", b"GET / HTTP/1.1\r\nHost: a.b:7420\r\n\r\n", G),
    ok("IPv6 Host", b"GET / HTTP/1.1\r\nHost: [::1]:7420\r\n\r\n", G),
    ok("close", get(b"/", b"Connection: close") + get(b"/2"), G),
    ok("HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\n\r\n" + get(b"/2"), G),
    ok(
        "HTTP/1.0 keep-alive",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n" + get(b"/2"),
        G,
        ("GET", b"/2", b""),
    ),
    ok("query", get(b"/a?b=c&d"), ("GET", b"/a?b=c&d", b"")),
    ok("double slash", get(b"//a//b"), ("GET", b"//a//b", b"")),
    ok("encoded slash", get(b"/a%2Fb"), ("GET", b"/a%2Fb", b"")),
    ok("dots", get(b"/a/../b"), ("GET", b"/a/../b", b"")),
    ok("repeated ordinary header", get(b"/", b"X-A: 1", b"X-A: 2"), G),
    ok("empty value", get(b"/", b"X-A:"), G),
    ok("tab in value", get(b"/", b"X-A: a\tb"), G),
    ok("a hundred headers", get(b"/", *(b"X-%d: 1" % i for i in range(99))), G),
    ok(
        "expect, body behind",
        post(b"abc", b"Expect: 100-continue", b"Content-Length: 3"),
        ("POST", b"/p", b"abc"),
    ),
    ok("expect in capitals", post(b"abc", b"Expect: 100-CONTINUE", b"Content-Length: 3"),
       ("POST", b"/p", b"abc")),
    ok("expect, nothing to wait for", post(b"", b"Expect: 100-continue"), ("POST", b"/p", b"")),
    ok("GET with a body", get(b"/", b"Content-Length: 25") + get(b"/hid")[:25] + get(b"/2"),
       ("GET", b"/", get(b"/hid")[:25]), ("GET", b"/2", b"")),
    ok("GET with chunks", get(b"/", TE) + CHUNKS + get(b"/2"),
       ("GET", b"/", b"abc"), ("GET", b"/2", b"")),
    ok("HEAD, then another", b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + get(b"/2"),
       ("HEAD", b"/", b""), ("GET", b"/2", b"")),
    ok("length 0, then another", post(b"", b"Content-Length: 0") + get(b"/2"),
       ("POST", b"/p", b""), ("GET", b"/2", b"")),
    ok("length with zeros before", post(b"abc", b"Content-Length: 003"), ("POST", b"/p", b"abc")),
    ok("last chunk of many zeros", post(b"3\r\nabc\r\n000\r\n\r\n", TE) + get(b"/2"),
       ("POST", b"/p", b"abc"), ("GET", b"/2", b"")),
    ok("extension of the last chunk", post(b"3\r\nabc\r\n0;a=b\r\n\r\n", TE),
       ("POST", b"/p", b"abc")),
    ok("quoted extension", post(b'3;a="b;c d"\r\nabc\r\n0\r\n\r\n', TE), ("POST", b"/p", b"abc")),
    ok("blank before an extension", post(b"3 ;a=b\r\nabc\r\n0\r\n\r\n", TE),
       ("POST", b"/p", b"abc")),
    ok("underscore for a hyphen is another header",
       post(b"abc", b"Content-Length: 3", b"Content_Length: 9", b"Transfer_Encoding: chunked"),
       ("POST", b"/p", b"abc")),
    ok("trailer", post(b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n", TE), ("POST", b"/p", b"abc")),
    ok(
        "trailer named as a signed header",
        post(b"3\r\nabc\r\n0\r\nAuthorization: x\r\nHost: b\r\nContent-Length: 9\r\n\r\n", TE)
        + get(b"/2"),
        ("POST", b"/p", b"abc"),
        ("GET", b"/2", b""),
    ),
    ok("unfinished head", b"GET / HTTP/1.1\r\nHost: a\r\n"),
    ok("unfinished body", post(b"ab", b"Content-Length: 3")),
    ok("unfinished chunk", post(b"5\r\nabc", TE)),
    ok("unfinished trailer", post(b"3\r\nabc\r\n0\r\nX-T: 1\r\n", TE)),
    ok("fifty pipelined", get() * 50, *[G] * 50),
]  # fmt: skip

OFFERS = {
    "h2c": (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAEAAEAA"),
    "websocket": (
        b"Connection: keep-alive, Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"Sec-WebSocket-Version: 13",
    ),
    "TLS": (b"Connection: Upgrade", b"Upgrade: TLS/1.2, HTTP/1.1"),
    "unknown": (b"connection: upgrade", b"upgrade: x/9"),
    "two lines": (b"Connection: Upgrade", b"Upgrade: h2c", b"Upgrade: websocket"),
    "nothing": (b"Connection: Upgrade", b"Upgrade:"),
    "not named in Connection": (b"Upgrade: h2c",),
    "Connection alone": (b"Connection: Upgrade",),
}
"""Of another protocol: ignored (RFC 9110 7.8). What is behind the head stays what it is."""

HIDDEN = get(b"/hidden")

OFFERED = [
    stream
    for name, lines in OFFERS.items()
    for stream in (
        ok(f"offer of {name}", get(b"/", *lines) + get(b"/2"), G, ("GET", b"/2", b"")),
        ok(f"offer of {name}, HEAD", b"HEAD / HTTP/1.1\r\n" + HOST + _lines(lines) + b"\r\n",
           ("HEAD", b"/", b"")),
        ok(
            f"offer of {name} with a body that is a request",
            post(HIDDEN, *lines, b"Content-Length: %d" % len(HIDDEN)) + get(b"/2"),
            ("POST", b"/p", HIDDEN),
            ("GET", b"/2", b""),
        ),
        ok(
            f"offer of {name} with chunks that are a request",
            post(b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN), *lines, TE) + get(b"/2"),
            ("POST", b"/p", HIDDEN),
            ("GET", b"/2", b""),
        ),
        ok(f"offer of {name}, no length", post(b"", *lines) + get(b"/2"),
           ("POST", b"/p", b""), ("GET", b"/2", b"")),
        ok(f"offer of {name} again and again", get(b"/", *lines) * 5, *[G] * 5),
        ok(f"offer of {name}, expecting",
           post(b"abc", *lines, b"Expect: 100-continue", b"Content-Length: 3") + get(b"/2"),
           ("POST", b"/p", b"abc"), ("GET", b"/2", b"")),
        ok(f"offer of {name} in 1.0",
           b"GET / HTTP/1.0\r\n" + HOST + _lines(lines) + b"\r\n" + get(b"/2"),
           *[G, ("GET", b"/2", b"")][: 2 if b"keep-alive" in lines[0] else 1]),
        bad(f"offer of {name}, and two lengths",
            post(b"abc", *lines, b"Content-Length: 3", b"Content-Length: 5")),
        bad(f"offer of {name}, and an unknown method",
            b"TRACE / HTTP/1.1\r\n" + HOST + _lines(lines) + b"\r\n", 405),
    )
]  # fmt: skip

LINES = [
    bad("two spaces", b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("two spaces before version", b"GET /  HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("tab for a space", b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("space first", b" GET / HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("space behind version", b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n"),
    bad("space in target", b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("no version", b"GET /\r\n" + HOST + b"\r\n"),
    bad("HTTP/2.0", b"GET / HTTP/2.0\r\n" + HOST + b"\r\n"),
    bad("HTTP/1.2", b"GET / HTTP/1.2\r\n" + HOST + b"\r\n"),
    bad("HTTP/0.9", b"GET / HTTP/0.9\r\n" + HOST + b"\r\n"),
    bad("HTTP/1.10", b"GET / HTTP/1.10\r\n" + HOST + b"\r\n"),
    bad("http/1.1", b"GET / http/1.1\r\n" + HOST + b"\r\n"),
    bad("lower-case method", b"get / HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    bad("CONNECT", b"CONNECT a:80 HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("CONNECT to a path", b"CONNECT / HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("TRACE", b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    bad("unknown method", b"FROB / HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("absolute target", b"GET http://b/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("absolute target with TLS", b"GET https://b/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("absolute target of another scheme", b"GET file:///etc HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("authority alone", b"GET b:80 HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("backslash for a slash", b"GET \\a HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("query without a path", b"GET ?a HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("HTTP/1.1 and more", b"GET / HTTP/1.1.1\r\n" + HOST + b"\r\n"),
    bad("HTTP/01.1", b"GET / HTTP/01.1\r\n" + HOST + b"\r\n"),
    bad("HTTP/1,1", b"GET / HTTP/1,1\r\n" + HOST + b"\r\n"),
    bad("HTTPS/1.1", b"GET / HTTPS/1.1\r\n" + HOST + b"\r\n"),
    bad("an answer for a request", b"HTTP/1.1 200 OK\r\n" + HOST + b"\r\n"),
    bad("blank line with a space first", b" \r\n" + get()),
    bad("asterisk", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("fragment", b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("relative target", b"GET a HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("NUL in target", b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("byte over ASCII in target", b"GET /\xe9 HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("bare LF", b"GET / HTTP/1.1\n" + HOST + b"\r\n"),
    bad("bare LF throughout", b"GET / HTTP/1.1\nHost: a\n\n"),
    bad("bare CR", b"GET / HTTP/1.1\rHost: a\r\r"),
    bad("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    bad("three blank lines first", b"\r\n\r\n\r\n" + get()),
]

HEADERS = [
    bad("no Host", b"GET / HTTP/1.1\r\n\r\n"),
    bad("no Host, 1.0", b"GET / HTTP/1.0\r\n\r\n"),
    bad("empty Host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    bad("two Hosts", get(b"/", b"Host: b")),
    bad("two equal Hosts", get(b"/", b"Host: a")),
    bad("user in Host", b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    bad("path in Host", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    bad("list in Host", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    bad("port that is none", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    bad("Host of a first line that is a path", b"GET / HTTP/1.1\r\nHost: /\r\n\r\n"),
    bad("Host with a query", b"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"),
    bad("space before Host's colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    bad("space before colon", get(b"/", b"X-A : 1")),
    bad("space in name", get(b"/", b"X A: 1")),
    bad("no colon", get(b"/", b"X-A")),
    bad("empty name", get(b"/", b": 1")),
    bad("folded line", get(b"/", b"X-A: 1", b" 2")),
    bad("first line folded", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    bad("NUL in value", get(b"/", b"X-A: a\0b")),
    bad("CR in value", get(b"/", b"X-A: a\rb")),
    bad("LF in value", get(b"/", b"X-A: a\nb")),
    bad("DEL in value", get(b"/", b"X-A: a\x7fb")),
    bad("byte over ASCII in value", get(b"/", b"X-A: \xe9")),
    bad("byte over ASCII in name", get(b"/", b"X-\xe9: a")),
    bad("two Authorizations", get(b"/", b"Authorization: a", b"Authorization: b")),
    bad("two X-Amz-Date", get(b"/", b"X-Amz-Date: a", b"x-amz-date: b")),
    bad("two Content-Types", get(b"/", b"Content-Type: a", b"Content-Type: b")),
    bad("Connection takes Authorization", get(b"/", b"Connection: authorization")),
    bad("Connection takes Host", get(b"/", b"Connection: close, host")),
    bad("Connection takes the date", get(b"/", b"Connection: close, x-amz-date")),
    bad(
        "two expectations",
        post(b"abc", b"Expect: 100-continue", b"Expect: 100-continue", b"Content-Length: 3"),
    ),
    bad(
        "list of expectations",
        post(b"abc", b"Expect: 100-continue, 100-continue", b"Content-Length: 3"),
        417,
    ),
    bad(
        "expectation with more",
        post(b"abc", b"Expect: 100-continue;q=1", b"Content-Length: 3"),
        417,
    ),
    bad("expectation of nothing", post(b"abc", b"Expect:", b"Content-Length: 3"), 417),
    bad("another expectation", post(b"", b"Expect: 200-ok", b"Content-Length: 3"), 417),
    bad("too many headers", get(b"/", *(b"X-%d: 1" % i for i in range(100))), 431),
    bad("long line", get(b"/", b"X-A: " + b"a" * 16_400), 431),
    bad("long headers", get(b"/", *(b"X-%d: %b" % (i, b"a" * 9_000) for i in range(9))), 431),
    bad("long target", get(b"/" + b"a" * 8_192), 414),
    bad("target without end", b"GET /" + b"a" * 9_000, 414),
]

LENGTHS = [
    bad("two lengths", post(b"abc", b"Content-Length: 3", b"Content-Length: 5")),
    bad("two equal lengths", post(b"abc", b"Content-Length: 3", b"Content-Length: 3")),
    bad("list of lengths", post(b"abc", b"Content-Length: 3, 3")),
    bad("list of different lengths", post(b"abc", b"Content-Length: 3, 5")),
    bad(
        "length, two headers, second in a list",
        post(b"abc", b"Content-Length: 0", b"Content-Length: 3, 3"),
    ),
    bad("space before the length's colon", post(b"abc", b"Content-Length : 3")),
    bad("folded length", post(b"abc", b"Content-Length:", b" 3")),
    bad("length behind a folded line", post(b"abc", b"X: y", b" Content-Length: 3")),
    bad("length behind a bare CR", post(b"abc", b"X: y\rContent-Length: 3")),
    bad("length behind a bare LF", post(b"abc", b"X: y\nContent-Length: 3")),
    bad("length with an underscore", post(b"abc", b"Content-Length: 1_0")),
    bad("length with an exponent", post(b"abc", b"Content-Length: 3e0")),
    bad("length with a vertical tab", post(b"abc", b"Content-Length: \x0b3")),
    bad("length with a NUL", post(b"abc", b"Content-Length: 3\0")),
    bad("length in other digits", post(b"abc", "Content-Length: \u0663".encode())),
    bad("signed length", post(b"abc", b"Content-Length: +3")),
    bad("negative length", post(b"abc", b"Content-Length: -1")),
    bad("hexadecimal length", post(b"abc", b"Content-Length: 0x3")),
    bad("length with a point", post(b"abc", b"Content-Length: 3.0")),
    bad("empty length", post(b"abc", b"Content-Length:")),
    bad("blank length", post(b"abc", b"Content-Length:  ")),
    bad("spaced length", post(b"abc", b"Content-Length: 1 3")),
    bad("length of 2**64 + 3", post(b"abc", b"Content-Length: 18446744073709551619")),
    bad("length of twenty digits", post(b"abc", b"Content-Length: 00000000000000000003")),
    bad("length over the limit", post(b"", b"Content-Length: 26214401"), 413),
    bad("length and chunks", post(CHUNKS, b"Content-Length: 3", TE)),
    bad("chunks and length", post(CHUNKS, TE, b"Content-Length: 3")),
    bad("chunks and length 0", post(CHUNKS, TE, b"Content-Length: 0")),
    bad("chunks in 1.0", b"POST / HTTP/1.0\r\nHost: a\r\n" + TE + b"\r\n\r\n" + CHUNKS),
    bad("underscore for hyphen, and a length", post(CHUNKS, b"Content-Length: 3", TE, b"X: 1")),
]

CODINGS = [
    bad(f"coding {number}: {value!r}", post(CHUNKS, b"Transfer-Encoding:" + value))
    for number, value in enumerate(
        (
            b" gzip, chunked",
            b" chunked, gzip",
            b" chunked, chunked",
            b" ,chunked",
            b" chunked,",
            b" identity",
            b" identity, chunked",
            b" chunked, identity",
            b" gzip",
            b" xchunked",
            b" chunkedx",
            b" chunked;q=1",
            b' "chunked"',
            b" 'chunked'",
            b" chunk ed",
            b" chunked chunked",
            b" \x0bchunked",
            b" chunked\x0b",
            b" \x0cchunked",
            b" \0chunked",
            b" chunked\0",
            b" \xa0chunked",
            b" chunked\xff",
            b"",
            b" ",
            b" cow",
            b" chunked\r\n\tx",
            b" x\r\n chunked",
            b" deflate\r\nTransfer-Encoding: chunked",
            b" chunked\r\nTransfer-Encoding: chunked",
            b" chunked\r\ntransfer-encoding: identity",
        )
    )
] + [
    bad(f"name {name!r}", post(CHUNKS, name + b": chunked", b"Content-Length: 13"))
    for name in (b"Transfer-Encoding ", b" Transfer-Encoding", b"\tTransfer-Encoding",
                 b"Transfer\x0bEncoding", b"Transfer-Encoding\0", b"\0Transfer-Encoding",
                 b"Transfer-Encoding\t", b"Tr\xc0nsfer-Encoding", b"Transfer Encoding")
]  # fmt: skip

CHUNKED = [
    bad(f"chunks {number}: {body[:24]!r}", post(body, TE))
    for number, body in enumerate(
        (
            b"g\r\nabc\r\n0\r\n\r\n",
            b"-3\r\nabc\r\n0\r\n\r\n",
            b"+3\r\nabc\r\n0\r\n\r\n",
            b"0x3\r\nabc\r\n0\r\n\r\n",
            b" 3\r\nabc\r\n0\r\n\r\n",
            b"3 \r\nabc\r\n0\r\n\r\n",
            b"\r\nabc\r\n0\r\n\r\n",
            b";a=b\r\nabc\r\n0\r\n\r\n",
            b"3\nabc\n0\n\n",
            b"3\rabc\r0\r\r",
            b"3\r\nabcd\r\n0\r\n\r\n",
            b"3\r\nabc0\r\n\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b"3\r\nabc\rx0\r\n\r\n",
            b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
            b"00000000000003\r\nabc\r\n0\r\n\r\n",
            b"3;" + b"a" * 300 + b"\r\nabc\r\n0\r\n\r\n",
            b"3;a\n\r\nabc\r\n0\r\n\r\n",
            # TERM.EXT, EXT.TERM, SPILL: where a line ends, and what two bytes are skipped
            b"3;a\rb\r\nabc\r\n0\r\n\r\n",
            b"3;\nabc\r\n0\r\n\r\n",
            b"3\n;a\r\nabc\r\n0\r\n\r\n",
            b"3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n",
            b"3;\xe9\r\nabc\r\n0\r\n\r\n",
            b"3;a\x7f\r\nabc\r\n0\r\n\r\n",
            b"3 a\r\nabc\r\n0\r\n\r\n",
            b"3,a\r\nabc\r\n0\r\n\r\n",
            b"3\r\n\r\nabc\r\n0\r\n\r\n",
            b"3\r\nabcXX0\r\n\r\n",
            b"3\r\nabc\n\r0\r\n\r\n",
            b"3\r\nabc\r\n0\r\nX : 1\n\r\n",
            b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
            b"3h\r\nabc\r\n0\r\n\r\n",
            b"3.0\r\nabc\r\n0\r\n\r\n",
            b"\xd9\xa3\r\nabc\r\n0\r\n\r\n",
            b"3;\0\r\nabc\r\n0\r\n\r\n",
            b"3\r\nabc\r\n0\r\nno colon\r\n\r\n",
            b"3\r\nabc\r\n0\r\n folded: 1\r\n\r\n",
            b"3\r\nabc\r\n0\r\nX: a\nY: b\r\n\r\n",
        )
    )
] + [
    bad("endless trailers", post(b"0\r\n" + b"X: 1\r\n" * 2_000, TE), 431),
    bad("endless extension", post(b"3;" + b"a" * 70_000, TE)),
]  # fmt: skip

STREAMS = [*SOUND, *OFFERED, *LINES, *HEADERS, *LENGTHS, *CODINGS, *CHUNKED]
