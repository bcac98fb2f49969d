"""Posting over real sockets, to receivers good and bad."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from inservice.clock import SystemClock
from inservice.controller.kit import dialing, posting
from inservice.controller.kit.posting import Poster
from inservice.controller.kit.receivers import Networks
from tests.acceptance.receivers import Receivers, receivers

BODY = b'{"text": "hello"}'


@pytest.fixture
def there() -> Iterator[Receivers]:
    with receivers() as there:
        yield there


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "EXCHANGE_SECONDS", 1.0)
    monkeypatch.setattr(posting, "FIRST_PAUSE_SECONDS", 0.001)


def poster(networks: str = "", **changes: Any) -> Poster:
    return Poster(SystemClock(), Networks(networks), **changes)


def deliver(url: str, **changes: Any) -> str:
    """From the event loop that control has."""
    return uvloop.run(poster(**changes).deliver(url, BODY, "application/json", x_from="us"))


def test_a_body_arrives_as_it_was_sent(there: Receivers) -> None:
    assert deliver(f"HTTP://me:secret@127.0.0.1:{there.port}/some/200?a=b") == ""
    [got] = there.received
    assert (got.path, got.body) == ("/some/200?a=b", BODY)
    assert got.headers["host"] == f"127.0.0.1:{there.port}"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["x-from"] == "us"
    assert got.headers["authorization"] == "Basic bWU6c2VjcmV0"


@pytest.mark.parametrize(
    ("path", "attempts", "why"),
    [
        ("200", 1, ""),
        ("204", 1, ""),
        ("early", 1, ""),
        ("endless", 1, ""),  # it said 200: what it goes on to say is its own affair
        ("503", 5, "the receiver answered 503, after 5 attempts"),
        ("429", 5, "the receiver answered 429, after 5 attempts"),
        ("404", 1, "the receiver answered 404"),
        ("redirect", 1, "the receiver answered 302, and redirects are not followed"),
        ("hang", 5, "the receiver did not answer in 1 s, after 5 attempts"),
        ("trickle", 5, "the receiver did not answer in 1 s, after 5 attempts"),
        ("garbage", 5, "the receiver's answer is not HTTP, after 5 attempts"),
        ("headers", 5, "the receiver's answer has no end to its headers, after 5 attempts"),
        ("close", 5, "the receiver closed the connection without an answer, after 5 attempts"),
    ],
)
def test_every_answer_comes_to_an_end(there: Receivers, path: str, attempts: int, why: str) -> None:
    assert deliver(there.url(path)) == why
    assert there.paths() == [f"/{path}"] * attempts


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "https://127.0.0.1:1/", "http:///x"])
def test_where_nobody_listens_is_said(url: str) -> None:
    assert deliver(url)


def test_tls_to_one_that_speaks_none_is_an_error(there: Receivers) -> None:
    assert "after 5 attempts" in deliver(there.url("200").replace("http:", "https:"))


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ssl.SSLContext]:
    """A server's certificate for 127.0.0.1 and good.test, which this host trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [
        x509.DNSName("good.test"),
        x509.IPAddress(IPv4Address("127.0.0.1")),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "receiver.pem"
    pem.write_bytes(
        certificate.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    dialing.trusted_authorities.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    yield context
    dialing.trusted_authorities.cache_clear()


@pytest.mark.parametrize("host", ["127.0.0.1", "good.test"])
def test_tls_is_spoken_with_whom_the_host_trusts(trusted: ssl.SSLContext, host: str) -> None:
    with receivers(trusted) as there:
        url = there.url("200", host).replace("http:", "https:")
        assert deliver(url, look_up=lambda *_: ["127.0.0.1"]) == ""
        assert there.paths() == ["/200"]


def test_a_certificate_of_another_name_is_not_trusted(trusted: ssl.SSLContext) -> None:
    with receivers(trusted) as there:
        url = there.url("200", "other.test").replace("http:", "https:")
        error = deliver(url, look_up=lambda *_: ["127.0.0.1"])
        assert "other.test" in error
        assert there.paths() == []


def test_the_address_that_was_judged_is_the_one_that_is_connected_to(there: Receivers) -> None:
    """A name server that answers otherwise the second time changes nothing: there is no second."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    asked = []

    def look_up(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers.pop(0)

    assert deliver(there.url("200", "moves.test"), networks="127.0.0.0/8", look_up=look_up) == ""
    assert asked == ["moves.test"]
    assert there.received[0].headers["host"] == f"moves.test:{there.port}"


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
def test_what_is_not_allowed_is_not_connected_to(there: Receivers, host: str) -> None:
    error = deliver(there.url("200", host), networks="10.0.0.0/8")
    assert error.endswith("is not allowed by INSERVICE_WEBHOOK_ALLOW")
    assert there.received == []


def test_of_several_addresses_the_first_that_answers_is_taken(there: Receivers) -> None:
    found = ["::1", "169.254.169.254", "127.0.0.1"]  # nobody listens · not allowed · there
    assert deliver(there.url("200", "many.test"), look_up=lambda *_: found) == ""


def test_a_name_server_that_hangs_delays_its_own_names_alone(there: Receivers) -> None:
    """Nor does it keep the process from ending: look-ups are daemons."""
    over = threading.Event()

    def look_up(host: str, port: int) -> list[str]:
        if host.startswith("slow"):
            over.wait(60)
        return ["127.0.0.1"]

    async def all_of_them() -> list[str]:
        post = poster(look_up=look_up)
        slow = [post.deliver(there.url("200", f"slow{n % 8}.test"), BODY, "x") for n in range(80)]
        waiting = [asyncio.create_task(one) for one in slow]
        await asyncio.sleep(0)  # they go first
        errors = [await post.deliver(there.url("200", "quick.test"), BODY, "x") for _ in range(3)]
        assert not any(task.done() for task in waiting)
        over.set()
        await asyncio.gather(*waiting)
        return errors

    assert uvloop.run(all_of_them()) == ["", "", ""]


def test_receivers_that_hang_leave_room_for_the_others(there: Receivers) -> None:
    """Fifty that hang, a hundred messages for each: the fifty-first gets its own at once."""

    async def all_of_them() -> str:
        post = poster(look_up=lambda *_: ["127.0.0.1"])
        hanging = [
            asyncio.create_task(post.deliver(there.url("hang", f"h{n % 50}.test"), BODY, "x"))
            for n in range(5_000)
        ]
        await asyncio.to_thread(there.wait_for, 50)
        error = await post.deliver(there.url("200", "good.test"), BODY, "x")
        assert not any(task.done() for task in hanging)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        return error

    assert uvloop.run(all_of_them()) == ""
