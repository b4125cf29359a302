"""Terraform's states of the backend `database`: encrypted, each locked by at most one run, written by the holder of its lock alone.

Called by the state server and by actuation. A run that has ended, or whose lock was given on, can write nothing any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from store.db import Connection, fetch_one
from store.secret import Cipher

READ = "SELECT content FROM tf_state WHERE state_key = %s"


async def read_state(conn: Connection, cipher: Cipher, state_key: str) -> bytes | None:
    """The state's JSON, or None when there is none."""
    row = await fetch_one(conn, READ, (state_key,))
    return cipher.open(f"state {state_key}", bytes(row["content"])) if row and row["content"] else None


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the lock: one of our runs, or (`run_id` None) somebody else."""

    run_id: int | None
    info: Mapping[str, Any]  # as Terraform wrote it: ID, Operation, Who, Created …


LOCK = """
INSERT INTO tf_state AS s (state_key, lock_token, lock_run, lock_info)
SELECT %(state_key)s, r.token, r.id, %(info)s FROM run r WHERE r.id = %(run_id)s AND r.ended_at IS NULL
ON CONFLICT (state_key) DO UPDATE
   SET lock_token = excluded.lock_token, lock_run = excluded.lock_run, lock_info = excluded.lock_info
 WHERE s.lock_info IS NULL
RETURNING lock_run
"""
HOLDER = "SELECT lock_run, lock_info FROM tf_state WHERE state_key = %s AND lock_info IS NOT NULL"


async def lock_state(conn: Connection, state_key: str, run_id: int, info: Mapping[str, Any]) -> bool:
    """Take the lock for a run that is under way; False when somebody has it (`read_holder`), or the run has ended."""
    params = {"state_key": state_key, "run_id": run_id, "info": Jsonb(dict(info))}
    return await fetch_one(conn, LOCK, params) is not None


async def read_holder(conn: Connection, state_key: str) -> Holder | None:
    row = await fetch_one(conn, HOLDER, (state_key,))
    return Holder(row["lock_run"], row["lock_info"]) if row else None


WRITE = """
UPDATE tf_state SET content = %(content)s, serial = %(serial)s, changed_at = now()
 WHERE state_key = %(state_key)s AND lock_run = %(run_id)s AND lock_info->>'ID' = %(lock_id)s
   AND EXISTS (SELECT FROM run WHERE id = %(run_id)s AND ended_at IS NULL)
RETURNING serial
"""


async def write_state(conn: Connection, cipher: Cipher, held: "Held", serial: int, content: bytes) -> bool:
    """Replace the content; False when the lock is not (or no longer) held by this run under this id."""
    params = {
        "state_key": held.state_key,
        "run_id": held.run_id,
        "lock_id": held.lock_id,
        "serial": serial,
        "content": cipher.seal(f"state {held.state_key}", content),
    }
    return await fetch_one(conn, WRITE, params) is not None


@dataclass(frozen=True, slots=True)
class Held:
    """What a writer says of itself: which state, as which run, under which of Terraform's lock ids."""

    state_key: str
    run_id: int
    lock_id: str


UNLOCK = """
UPDATE tf_state SET lock_token = NULL, lock_run = NULL, lock_info = NULL
 WHERE state_key = %s AND lock_run = %s RETURNING state_key
"""


async def unlock_state(conn: Connection, state_key: str, run_id: int) -> bool:
    """Release the lock if this run has it. Also for a run that died: the caller knows that it has surely ended."""
    return await fetch_one(conn, UNLOCK, (state_key, run_id)) is not None


FORGET = "DELETE FROM tf_state WHERE state_key = %s AND lock_info IS NULL"


async def forget_state(conn: Connection, state_key: str) -> None:
    """An emptied state ends; the next VM of its shard begins a new one."""
    await conn.execute(FORGET, (state_key,))


RELEASE_DEAD = """
UPDATE tf_state s SET lock_token = NULL, lock_run = NULL, lock_info = NULL
  FROM run r WHERE s.state_key = %s AND r.id = s.lock_run AND r.ended_at IS NOT NULL
"""


async def release_dead_lock(conn: Connection, state_key: str) -> None:
    """A lock of one of our runs that has ended holds nobody. One that none of our runs took stays."""
    await conn.execute(RELEASE_DEAD, (state_key,))
