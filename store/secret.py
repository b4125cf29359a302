"""Secrets in the database, encrypted with AES-256-GCM under the deployment's encryption key.

Called by actuation (SSH keys of pools, Terraform's states) and for the AWS keys that an admin sets. The database alone, or a dump of it, gives nothing away.
"""

import base64
import binascii
import os
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.settings import Settings
from store.db import Connection, fetch_one

NONCE_BYTES = 12
VERSION = b"\x01"


class SecretError(Exception):
    """A key that is none, or a value that this key does not open."""


class Cipher:
    """Seals bytes for one name: what was sealed for one name cannot be passed off as another's.

    The first key seals; the others, former ones, only open.
    """

    def __init__(self, *keys: bytes) -> None:
        for key in keys:
            if len(key) != 32:
                raise SecretError(
                    f"the encryption key has {len(key)} bytes: it must be 32 bytes (`openssl rand -base64 32`)"
                )
        self._aeads = [AESGCM(key) for key in keys]

    @classmethod
    def of(cls, settings: Settings) -> "Cipher":
        """That of the deployment's encryption key and of the one before it, if there is one."""
        texts = (settings.encryption_key.get_secret_value(), settings.encryption_key_previous.get_secret_value())
        return cls(*(read_key(text) for text in texts if text))

    def seal(self, name: str, value: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return VERSION + nonce + self._aeads[0].encrypt(nonce, value, name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """SecretError when it was sealed under another key or name, or was changed."""
        version, nonce, rest = sealed[:1], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        for aead in self._aeads if version == VERSION else []:
            with suppress(InvalidTag):
                return aead.decrypt(nonce, rest, name.encode())
        raise SecretError(
            f"the stored {name} does not open with this encryption key: start with the key that this database was made "
            "with, or forget what no key opens (`lablink rekey --lost`)"
        )


def read_key(text: str) -> bytes:
    """The 32 bytes of an encryption key that is written in base64."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise SecretError("the encryption key is not base64: make one with `openssl rand -base64 32`") from None


def ssh_key_name(pool: str, region: str) -> str:
    """Under which the private half of the key is kept that the VMs of a pool in a region accept."""
    return f"ssh-key/{pool}/{region}"


READ = "SELECT value FROM secret WHERE name = %s"


async def read_secret(conn: Connection, cipher: Cipher, name: str) -> bytes | None:
    row = await fetch_one(conn, READ, (name,))
    return cipher.open(name, bytes(row["value"])) if row else None


KEEP = "INSERT INTO secret (name, value) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING"


async def keep_secret(conn: Connection, cipher: Cipher, name: str, value: bytes) -> bytes:
    """Store a secret unless there is one already; the one that is stored."""
    await conn.execute(KEEP, (name, cipher.seal(name, value)))
    stored = await read_secret(conn, cipher, name)
    assert stored is not None
    return stored


PUT = "INSERT INTO secret (name, value) VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


async def put_secret(conn: Connection, cipher: Cipher, name: str, value: bytes) -> None:
    """Store a secret in the place of the one that there may be."""
    await conn.execute(PUT, (name, cipher.seal(name, value)))


FORGET = "DELETE FROM secret WHERE name = %s"


async def forget_secret(conn: Connection, name: str) -> bool:
    """False when there was none."""
    return (await conn.execute(FORGET, (name,))).rowcount > 0
