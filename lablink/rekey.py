"""`lablink rekey`: another encryption key for what the record keeps sealed; or, when the key is lost, the record without all that."""

import os
from typing import Annotated

import psycopg
import typer
from botocore.exceptions import BotoCoreError, ClientError

from lablink.errors import Failed
from lablink.host import reach_postgres
from lablink.keys import rotate_key
from lablink.output import print_line
from lablink.programs import read_settings
from schemas.settings import Settings
from store.sealed import count_sessions, forget_lost, seal_anew, tell
from store.secret import Cipher, SecretError, read_key


def rekey(
    lost: Annotated[
        bool, typer.Option("--lost", help="The former key is gone: forget what the present one does not open.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Take a new encryption key, while LabLink is stopped; the former one goes on opening older backups.

    With --lost no key is made: SSH keys of the pools, AWS keys that were set here and Terraform's states that no key opens are
    forgotten. States are rebuilt by importing what AWS has, pools get new SSH keys; no VM ends, nobody notices.
    """
    with reach_postgres():
        settings = read_settings()
        try:
            with psycopg.connect(settings.database_dsn, autocommit=True) as conn:
                if others := count_sessions(conn):
                    raise Failed(
                        f"The record is in use by {others} sessions: stop LabLink first (`systemctl stop lablink`)."
                    )
                if lost:
                    _forget(conn, settings, ask=not yes)
                else:
                    _renew(conn, settings)
        except (psycopg.Error, ClientError, BotoCoreError, OSError) as error:
            raise Failed(f"The key was not changed: {' '.join(str(error).split())}") from None
        except SecretError as error:
            raise Failed(f"Nothing was changed: {error}.") from None


def _renew(conn: "psycopg.Connection[tuple[object, ...]]", settings: Settings) -> None:
    """First all under the present key, so that the one before it is needed no more: whenever this is cut short, nothing is lost."""
    if settings.keys is None or "LABLINK_ENCRYPTION_KEY" in os.environ:
        raise Failed(
            "LABLINK_KEYS has to name a folder with the key, and LABLINK_ENCRYPTION_KEY must not be set beside it."
        )
    seal_anew(conn, Cipher.of(settings))
    number = seal_anew(conn, Cipher(*map(read_key, rotate_key(settings.keys))))
    tell(conn, "KeyRotated", f"{number} sealed things are under a new encryption key", [])
    print_line(
        f"A new key is in force; {number} sealed things are under it. Start LabLink, then `lablink backup`.", "green"
    )


def _forget(conn: "psycopg.Connection[tuple[object, ...]]", settings: Settings, *, ask: bool) -> None:
    if ask and not typer.confirm("Forget all that the present key does not open?", err=True):
        raise Failed("Nothing was changed.")
    names = forget_lost(conn, Cipher.of(settings))
    for name in names:
        print_line(f"  {name}: forgotten")
    print_line(f"{len(names)} sealed things are forgotten. Start LabLink, then `lablink backup`.", "green")
