"""A certificate authority for AWS's names, private to a data directory.

A program that names AWS's hosts itself speaks TLS to them. What answers it here needs a certificate
for the name that was asked, and the program has to believe who issued it. So an authority is made
at first use, and only programs that `inservice exec` starts are told of it: nothing is installed.

Whoever has its key can pretend to be a host towards a program that trusts it. That is bounded three
times: the key is in the data directory, mode 0600, beside the root key, which is worth more; the
certificate itself says that it counts for AWS's names alone (name constraints, which OpenSSL, Go
and Java heed), so that it opens nobody else's connections; and it is in no trust store but the
file that a program is handed for as long as it runs.
"""

from __future__ import annotations

import contextlib
import datetime
import ssl
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from inservice import disk
from inservice.cli.exec.hosts import SUFFIXES

FILE: Final = "exec-ca.pem"
"""In the data directory: the key and the certificate, in one file, so that they fit."""

_NAME: Final = "InService exec, for AWS's names on this host only"

_DAY: Final = datetime.timedelta(days=1)
_YEARS: Final = 3_650 * _DAY
_RENEWED: Final = 60 * _DAY
"""Before its end an authority is made anew: longer than any program is expected to run."""

_LEAF: Final = 30 * _DAY
_LEAVES_MAX: Final = 256
"""Hosts whose certificates are kept: buckets are hosts too."""


class Authority:
    """What issues certificates for AWS's names."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._leaves: OrderedDict[str, tuple[datetime.datetime, ssl.SSLContext]] = OrderedDict()

    @classmethod
    def of(cls, directory: Path) -> Authority:
        """That of a data directory, made if there is none, or none that lasts. Raises OSError.

        Two that make one at the same time each use their own: whoever trusts one is handed it.
        """
        path = directory / FILE
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
            pem = path.read_bytes()
            key = serialization.load_pem_private_key(pem, None)
            certificate = x509.load_pem_x509_certificate(pem)
            lasts = certificate.not_valid_after_utc > _now() + _RENEWED
            if isinstance(key, ec.EllipticCurvePrivateKey) and lasts and _is_for_all(certificate):
                path.chmod(0o600)
                return cls(key, certificate)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _own_certificate(key)
        disk.write(path, _key_pem(key) + certificate.public_bytes(serialization.Encoding.PEM))
        return cls(key, certificate)

    @property
    def pem(self) -> bytes:
        """Its certificate: what is trusted."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def server_context(self, host: str) -> ssl.SSLContext:
        """What a TLS server needs to be `host`, one of AWS's. No program outlives what it is shown:
        a certificate of which half is over is not used again."""
        kept = self._leaves.get(host)
        if kept is None or kept[0] < _now() + _LEAF / 2:
            kept = self._issued(host)
            self._leaves[host] = kept
        self._leaves.move_to_end(host)
        if len(self._leaves) > _LEAVES_MAX:
            self._leaves.popitem(last=False)
        return kept[1]

    def _issued(self, host: str) -> tuple[datetime.datetime, ssl.SSLContext]:
        now = _now()
        public, ca = self._leaf_key.public_key(), self._certificate
        certificate = (
            _certificate_of(public, now - _DAY, now + _LEAF)
            .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "InService")]))
            .issuer_name(ca.subject)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                    ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
                ),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        with tempfile.NamedTemporaryFile() as file:  # ssl reads files only; this one is ours alone
            file.write(
                _key_pem(self._leaf_key) + certificate.public_bytes(serialization.Encoding.PEM)
            )
            file.flush()
            context.load_cert_chain(file.name)
        return now + _LEAF, context


def _own_certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    now = _now()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    names = [x509.DNSName(suffix) for suffix in SUFFIXES]
    return (
        _certificate_of(key.public_key(), now - _DAY, now + _YEARS)
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(names, None), critical=True)
        .sign(key, hashes.SHA256())
    )


def _certificate_of(
    public: ec.EllipticCurvePublicKey, begins: datetime.datetime, ends: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)  # in the past: clocks differ
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _is_for_all(certificate: x509.Certificate) -> bool:
    """Whether it counts for every name of AWS's that is known by now, and for no other."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return False
    return found.permitted_subtrees == [x509.DNSName(suffix) for suffix in SUFFIXES]


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
