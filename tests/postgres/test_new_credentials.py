"""What new AWS keys change for pools that failed: those that failed for the old keys try again at once, others keep their pause."""

import base64
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from controller.credentials import follow_credentials
from controller.errors import Cause
from schemas.credentials import AwsKeys, Credentials
from store.credentials import put_credentials
from store.db import fetch, open_db
from store.secret import Cipher
from tests.controller_world import KEY, lead_world

pytestmark = pytest.mark.anyio

FAILED = """
INSERT INTO pool (name, failures, failed_at, failure, batch)
VALUES ('keys', 6, now(), %s, 1), ('room', 2, now(), 'capacity', 1), ('fine', 0, NULL, NULL, NULL)
"""


async def test_new_keys_forgive_failures_of_the_old_and_nothing_else(dsn: str) -> None:
    cipher = Cipher(base64.b64decode(KEY))
    woken: list[str] = []
    async with open_db(dsn) as db:
        world = replace(await lead_world(db, dsn), wake=lambda channel, key: woken.append(channel))
        async with db.connection() as conn:
            await conn.execute(FAILED, (Cause.CREDENTIALS,))
        await follow_credentials(world, cipher)  # nothing was set, and nothing is
        assert await read_failures(dsn) == {"keys": 6, "room": 2, "fine": 0}
        keys = AwsKeys(access_key_id="AKIAIOSFODNN7EXAMPLE", secret_access_key="s" * 40)
        known = Credentials(keys=keys, account_id="1" * 12, arn="arn:x", set_at=datetime.now(UTC), set_by="admin/ada")
        async with db.connection() as conn:
            await put_credentials(conn, cipher, known)
        await follow_credentials(world, cipher)
        assert await read_failures(dsn) == {"keys": 0, "room": 2, "fine": 0}
        assert (woken, "not been checked" in str(world.sight.observe_only)) == (["look"], True)


async def read_failures(dsn: str) -> dict[str, int]:
    async with open_db(dsn) as db, db.connection() as conn:
        return {row["name"]: row["failures"] for row in await fetch(conn, "SELECT name, failures FROM pool")}
