"""The AWS keys that an admin has set: one sealed secret. Whoever works with them hears of a change and reads them again."""

from schemas.credentials import Credentials
from store.db import Connection, notify
from store.secret import Cipher, forget_secret, put_secret, read_secret

NAME = "aws-credentials"
CHANNEL = "credentials"  # no key


async def read_credentials(conn: Connection, cipher: Cipher) -> Credentials | None:
    """None when AWS's own ways are to be used. Raises SecretError with another encryption key than they were sealed with."""
    sealed = await read_secret(conn, cipher, NAME)
    return Credentials.model_validate_json(sealed) if sealed else None


async def put_credentials(conn: Connection, cipher: Cipher, credentials: Credentials) -> None:
    """In the place of those that were set before."""
    await put_secret(conn, cipher, NAME, credentials.model_dump_json().encode())
    await notify(conn, CHANNEL)


async def forget_credentials(conn: Connection) -> bool:
    """False when none were set."""
    forgotten = await forget_secret(conn, NAME)
    await notify(conn, CHANNEL)
    return forgotten
