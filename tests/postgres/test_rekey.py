"""`lablink rekey`: what is sealed moves to a new key, at no instant is anything without a key that opens it, and older backups still open."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import psycopg
import pytest

from lablink.keys import PREVIOUS, write_keys
from schemas.settings import Settings
from store.secret import Cipher, SecretError, read_key
from tests.unit.cli import run_cli

SEALED = {"ssh-key/client/us-west-2": b"a key", "state client/us-west-2/1": b'{"version": 4}'}


@pytest.fixture
def keys(dsn: str, tmp_path: Path) -> Iterator[Path]:
    """The folder of an allocator's keys, and its environment."""
    folder = tmp_path / "keys"
    write_keys(folder, None, "")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LABLINK_", "AWS_"))}
    with patch.dict(os.environ, kept | {"LABLINK_KEYS": str(folder), "LABLINK_DATABASE_DSN": dsn}, clear=True):
        yield folder


def seal_all(dsn: str, cipher: Cipher) -> None:
    secret, state = SEALED
    with psycopg.connect(dsn) as conn:
        conn.execute("INSERT INTO secret (name, value) VALUES (%s, %s)", (secret, cipher.seal(secret, SEALED[secret])))
        conn.execute(
            "INSERT INTO tf_state (state_key, content) VALUES (%s, %s)",
            (state.removeprefix("state "), cipher.seal(state, SEALED[state])),
        )


def open_all(dsn: str, cipher: Cipher) -> dict[str, bytes]:
    with psycopg.connect(dsn) as conn:
        found = conn.execute(
            "SELECT name, value FROM secret UNION ALL SELECT 'state ' || state_key, content FROM tf_state"
        )
        return {name: cipher.open(name, content) for name, content in found}


def key_of(folder: Path, name: str = "encryption_key") -> bytes:
    return read_key((folder / name).read_text().strip())


def test_a_new_key_opens_all_and_the_former_one_only_what_is_older(dsn: str, keys: Path) -> None:
    former = key_of(keys)
    seal_all(dsn, Cipher(former))
    older_backup = Cipher(former).seal("backup", b"older")
    done = run_cli("rekey")
    assert (done.status, "2 sealed things are under it" in done.out) == (0, True), done.err
    assert (key_of(keys, PREVIOUS), (keys / PREVIOUS).stat().st_mode & 0o777) == (former, 0o600)
    assert open_all(dsn, Cipher(key_of(keys))) == SEALED
    with pytest.raises(SecretError):
        open_all(dsn, Cipher(former))
    assert Cipher.of(Settings()).open("backup", older_backup) == b"older"

    assert run_cli("rekey").status == 0
    assert open_all(dsn, Cipher(key_of(keys))) == SEALED
    with pytest.raises(SecretError):
        Cipher.of(Settings()).open("backup", older_backup)


def test_nothing_changes_while_somebody_is_connected_or_something_does_not_open(dsn: str, keys: Path) -> None:
    before = key_of(keys)
    with psycopg.connect(dsn):
        refused = run_cli("rekey", "--lost", "--yes")
    assert (refused.status, "in use by 1 sessions" in refused.err) == (1, True)
    seal_all(dsn, Cipher(bytes(32)))
    refused = run_cli("rekey")
    assert (refused.status, "lablink rekey --lost" in refused.err) == (1, True)
    assert (key_of(keys), (keys / PREVIOUS).exists()) == (before, False)
    done = run_cli("rekey", "--lost", "--yes")
    assert (done.status, "2 sealed things are forgotten" in done.out) == (0, True)
    assert open_all(dsn, Cipher(bytes(32))) == {}


def test_a_key_that_the_environment_gives_is_not_turned_behind_its_back(keys: Path) -> None:
    with patch.dict(os.environ, {"LABLINK_ENCRYPTION_KEY": base64.b64encode(bytes(32)).decode()}):
        refused = run_cli("rekey")
    assert (refused.status, "LABLINK_ENCRYPTION_KEY must not be set" in refused.err) == (1, True)
