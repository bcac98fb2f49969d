"""The parts of `inservice exec`: which hosts are AWS's, whom its authority can stand for, and what
is in a program's environment."""

from __future__ import annotations

import json
import os
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import botocore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from inservice.cli.exec import authority
from inservice.cli.exec.authority import Authority
from inservice.cli.exec.environment import Place, environment_of, lay_out
from inservice.cli.exec.hosts import SUFFIXES, is_aws, is_loopback, named
from inservice.cli.target import Target

SERVER = Target("http://127.0.0.1:7420", "eu-west-1", "AKIAROOT", "secret")


# ── hosts ───────────────────────────────────────────────────────────────────────────────────────
def test_every_suffix_that_botocore_knows_is_aws_s() -> None:
    data = Path(botocore.__file__).with_name("data")
    partitions = json.loads((data / "partitions.json").read_text())["partitions"]
    suffixes = ("dnsSuffix", "dualStackDnsSuffix")
    known = {each["outputs"][suffix] for each in partitions for suffix in suffixes}
    assert known <= set(SUFFIXES)
    endpoints = json.loads((data / "endpoints.json").read_text())["partitions"]
    assert {each["dnsSuffix"] for each in endpoints} <= set(SUFFIXES)


@pytest.mark.parametrize(
    "host",
    [
        "sts.us-east-1.amazonaws.com",
        "STS.US-EAST-1.AmazonAWS.com.",
        "my.bucket.with-dots.s3.eu-west-1.amazonaws.com",
        "s3.cn-north-1.amazonaws.com.cn",
        "runtime.sagemaker.eusc-de-east-1.amazonaws.eu",
        "logs.us-east-1.api.aws",
        "streaming-logs.us-east-1.amazonaws.com",
        "abc.lambda-url.us-east-1.on.aws",
        "683313688378.dkr.ecr.us-east-1.amazonaws.com",
    ],
)
def test_names_of_aws(host: str) -> None:
    assert is_aws(named(host))


@pytest.mark.parametrize(
    "host",
    [
        *("amazonaws.com.example.net", "notamazonaws.com", "amazonaws.com@example.net", "aws"),
        *(
            "example.com",
            "127.0.0.1",
            "169.254.169.254",
            "[::1]",
            "",
            "a b.amazonaws.com",
            "..",
            "é",
        ),
        *("x\r\n.amazonaws.com", "a..amazonaws.com", f"{'a' * 64}.amazonaws.com"),
        "1." * 125 + "amazonaws.com",
    ],
)
def test_names_that_only_look_like_it(host: str) -> None:
    assert not is_aws(named(host))


def test_this_host_by_its_names() -> None:
    assert all(map(is_loopback, map(named, ("127.0.0.1", "[::1]", "127.9.9.9", "a.localhost"))))
    assert not any(map(is_loopback, map(named, ("0.0.0.0", "10.0.0.1", "localhost.example"))))


# ── the authority ───────────────────────────────────────────────────────────────────────────────
def handshake(server: ssl.SSLContext, pem: bytes, host: str) -> None:
    """Raises SSLError where a client that trusts `pem` does not take it for `host`."""
    client = ssl.create_default_context(cadata=pem.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 has it
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=host)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (near, far):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    near.do_handshake()


@pytest.mark.parametrize(
    "host",
    [
        "sts.us-east-1.amazonaws.com",
        "b.s3.cn-north-1.amazonaws.com.cn",
        "a" * 63 + ".s3.amazonaws.com",
    ],
)
def test_it_stands_for_aws_s_hosts(host: str, tmp_path: Path) -> None:
    made = Authority.of(tmp_path)
    context = made.server_context(host)
    handshake(context, made.pem, host)
    assert made.server_context(host) is context
    with pytest.raises(ssl.SSLError, match="Hostname mismatch"):
        handshake(context, made.pem, "iam.amazonaws.com")


@pytest.mark.parametrize("host", ["bank.example", "example.com", "amazonaws.com.example.net"])
def test_it_can_stand_for_nobody_else(host: str, tmp_path: Path) -> None:
    """Even with its key."""
    made = Authority.of(tmp_path)
    with pytest.raises(ssl.SSLError, match="permitted subtree violation"):
        handshake(made.server_context(host), made.pem, host)


def test_it_is_made_once_and_is_its_owner_s_alone(tmp_path: Path) -> None:
    first = Authority.of(tmp_path)
    path = tmp_path / authority.FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert Authority.of(tmp_path).pem == first.pem
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [authority.FILE]


def ending(key: ec.EllipticCurvePrivateKey, days: int) -> bytes:
    now = datetime.now(UTC)
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("days", [-1, 10, 1_000])
def test_one_that_ends_or_is_for_everybody_is_replaced(days: int, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    old = ending(key, days)
    (tmp_path / authority.FILE).write_bytes(pem + old)
    made = Authority.of(tmp_path)
    assert made.pem != old
    handshake(made.server_context("s3.amazonaws.com"), made.pem, "s3.amazonaws.com")


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\n", b"\xff"])
def test_a_damaged_one_is_replaced(damage: bytes, tmp_path: Path) -> None:
    (tmp_path / authority.FILE).write_bytes(damage)
    made = Authority.of(tmp_path)
    assert Authority.of(tmp_path).pem == made.pem


# ── the environment ─────────────────────────────────────────────────────────────────────────────
def place(directory: Path) -> Place:
    return Place(directory, "http://127.0.0.1:9", "http://127.0.0.1:9/credentials", "token")


def test_nothing_of_another_account_is_left(tmp_path: Path) -> None:
    theirs = {
        "AWS_ACCESS_KEY_ID": "THEIRS",
        "AWS_SECRET_ACCESS_KEY": "theirs",
        "AWS_SESSION_TOKEN": "theirs",
        "AWS_PROFILE": "theirs",
        "AWS_ROLE_ARN": "theirs",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/theirs",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/theirs",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/theirs",
        "AWS_ENDPOINT_URL_S3": "https://theirs",
        "AWS_CONFIG_FILE": "/theirs",
        "AWS_SHARED_CREDENTIALS_FILE": "/theirs",
        "ALL_PROXY": "http://theirs",
        "https_proxy": "http://theirs",
        "NO_PROXY": ".amazonaws.com,theirs",
        "NODE_EXTRA_CA_CERTS": "/theirs",
        "PATH": "/bin",
        "GREETING": "hello",
    }
    own = environment_of(theirs, SERVER, None, place(tmp_path))
    assert not [name for name, value in own.items() if "theirs" in value.lower()]
    assert (own["PATH"], own["GREETING"]) == ("/bin", "hello")
    assert own["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == "http://127.0.0.1:9/credentials"
    assert "AWS_ACCESS_KEY_ID" not in own
    assert "amazonaws" not in own["NO_PROXY"]
    assert own["HTTPS_PROXY"] == own["https_proxy"] == own["HTTP_PROXY"] == "http://127.0.0.1:9"


def test_long_term_keys_are_variables(tmp_path: Path) -> None:
    own = environment_of({}, SERVER, SERVER, place(tmp_path))
    assert (own["AWS_ACCESS_KEY_ID"], own["AWS_SECRET_ACCESS_KEY"]) == ("AKIAROOT", "secret")
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" not in own


def test_the_host_of_the_server_is_not_asked_of_the_proxy(tmp_path: Path) -> None:
    at = Target("http://models.internal:7420", "eu-west-1", "AKIAROOT", "secret")
    direct = environment_of({}, at, None, place(tmp_path))["no_proxy"].split(",")
    assert {"localhost", "127.0.0.1", "::1", "models.internal"} == set(direct)


def test_it_presigns_as_s3_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(place(tmp_path), b"ours", {})
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment_of({}, SERVER, SERVER, place(tmp_path)).items():
        monkeypatch.setenv(name, value)
    url = boto3.Session().client("s3").generate_presigned_url("list_buckets")
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url


def test_what_was_trusted_is_trusted_still(tmp_path: Path) -> None:
    company, directory = tmp_path / "company.pem", tmp_path / "place"
    directory.mkdir()
    company.write_bytes(b"company's")
    lay_out(place(directory), b"ours", {"REQUESTS_CA_BUNDLE": str(company)})
    assert place(directory).bundle.read_bytes() == b"company's\nours"
    assert place(directory).authority.read_bytes() == b"ours"
    lay_out(place(directory), b"ours", {"SSL_CERT_FILE": "/nowhere"})
    assert place(directory).bundle.read_bytes().count(b"BEGIN CERTIFICATE") > 50
