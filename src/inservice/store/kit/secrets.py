"""Secrets at rest: encrypted with a key that is not in the database.

A signature can only be checked with the plain secret, so it cannot be hashed. A copy of the
database alone, say in a backup, gives nothing away. Each secret is bound to the id of its access
key: moved to another row it no longer opens.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from inservice import disk
from inservice.store.errors import StoreDamaged

_KEY_BYTES = 32
_NONCE_BYTES = 12


class SecretBox:
    """Seals and opens texts with the key in a file."""

    def __init__(self, key_file: Path, *, create: bool) -> None:
        """Read the key, or make one if `create`.

        Raises StoreDamaged when the file is missing or not a key: a new key would open nothing that
        the old one sealed.
        """
        if create and not key_file.exists():
            disk.write(key_file, os.urandom(_KEY_BYTES))
        try:
            key = key_file.read_bytes()
        except FileNotFoundError:
            key = b""
        if len(key) != _KEY_BYTES:
            raise StoreDamaged(
                f"{key_file} is missing or not a key. The secrets of the access keys in the "
                "database were encrypted with it: restore it from a backup."
            )
        self._cipher = AESGCM(key)

    def seal(self, text: str, label: str) -> bytes:
        """Encrypt; only `open` with the same label gives it back."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text.encode(), label.encode())

    def open(self, sealed: bytes, label: str) -> str:
        """Decrypt. Raises StoreDamaged for anything that was not sealed so."""
        nonce, encrypted = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, encrypted, label.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise StoreDamaged(
                f"The secret of {label} does not open with the key file in use: "
                "one of the two is not the one that belongs to this database."
            ) from error
