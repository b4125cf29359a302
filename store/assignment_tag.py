"""Whose each VM is, beside the record: what AWS's tags should say of it, and what they say that the record does not know any more.

Called by the controller alone. A tag is written for active assignments only, so one that the record does not know comes from
before a loss: its VM is taken, whoever has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow

from store.db import Connection, fetch
from store.seat import lock_pool, lock_vms

ALIVE = "('pending', 'running', 'stopping', 'stopped')"
NOBODY_KNOWN = "'unknown-' || {} || '@lablink.invalid'"
"""The email of an assignment that only its tag remembers (RFC 2606: a domain that is nobody's)."""
ID = "split_part(i.assignment, ':', 1)"
OURS = "'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9a-f]{32}$'"


@dataclass(frozen=True, slots=True)
class Untold:
    """An instance whose tag differs from the record; `id` and `email` None: the tag has to go."""

    instance_id: str
    region: str
    id: UUID | None
    email: str | None


UNTOLD = f"""
SELECT i.instance_id, i.region, a.id, a.email
  FROM vm v JOIN instance i USING (instance_id) LEFT JOIN assignment a ON a.hostname = v.hostname AND a.status = 'active'
 WHERE v.phase <> 'gone' AND i.missing_since IS NULL AND i.state IN {ALIVE}
   AND coalesce(a.id::text, '') <> coalesce({ID}, '')
   AND NOT coalesce((SELECT (document->'pools'->v.pool->>'paused')::boolean
                       FROM desired_version ORDER BY version DESC LIMIT 1), false)
 ORDER BY i.instance_id
"""


async def read_untold(conn: Connection) -> list[Untold]:
    """Of pools that are not paused."""
    return [Untold(**row) for row in await fetch(conn, UNTOLD)]


RECORD = "UPDATE instance SET assignment = %s WHERE instance_id = %s"


async def record_told(conn: Connection, instance_id: str, tag: str | None) -> None:
    """What AWS was told just now; the next listing shows it, too."""
    await conn.execute(RECORD, (tag, instance_id))


# An offer that was accepted, or somebody who was in line, at the time of a backup: the tag says how it went on.
FORGOTTEN = f"""
SELECT v.hostname, v.pool, i.id
  FROM (SELECT instance_id, CASE WHEN i.assignment ~ {OURS} THEN {ID}::uuid END AS id FROM instance i
         WHERE i.missing_since IS NULL AND i.state IN {ALIVE}) AS i
  JOIN vm v USING (instance_id) JOIN seat s ON s.hostname = v.hostname LEFT JOIN assignment a ON a.id = i.id
 WHERE i.id IS NOT NULL AND v.phase = 'live'
   AND CASE WHEN s.state IN ('closed', 'free') THEN a.id IS NULL OR (a.status = 'waiting' AND a.hostname IS NULL)
            ELSE s.state = 'taken' AND a.status = 'offered' AND a.hostname = v.hostname END
 ORDER BY v.hostname
"""
TAKE = f"""
WITH t AS (SELECT * FROM unnest(%(hostname)s::text[], %(pool)s::text[], %(id)s::uuid[]) AS t (hostname, pool, id)),
     seated AS (
     UPDATE seat s SET state = 'taken', assignment_id = t.id, free_since = NULL FROM t
      WHERE s.hostname = t.hostname AND (s.state IN ('closed', 'free') OR s.assignment_id = t.id)
     RETURNING s.hostname, s.pool, t.id)
INSERT INTO assignment AS a (id, pool, email, status, hostname, crd_code, pin, delivered_version, bound_at, code_at)
SELECT id, pool, {NOBODY_KNOWN.format("id")}, 'active', hostname, '', gen_random_uuid()::text, 1, now(), now() FROM seated
    ON CONFLICT (id) DO UPDATE
   SET status = 'active', hostname = excluded.hostname, bound_at = now(), offered_until = NULL
 WHERE a.status IN ('waiting', 'offered')
RETURNING hostname
"""
TELL = """
INSERT INTO event (actor, subject, reason, message)
SELECT 'controller', 'vm/' || hostname, 'Assigned', 'its tag says that it is somebody''s; the record had forgotten it'
  FROM unnest(%s::text[]) AS hostname
"""


async def read_forgotten(conn: Connection) -> list[DictRow]:
    """Host names, pools and ids; nearly always none."""
    return await fetch(conn, FORGOTTEN)


async def reread_assignments(conn: Connection) -> list[str]:
    """Seats whose person only a tag still knows are taken again; their host names.

    The caller is in a transaction, and holds no VM's row without its pool's lock. Who it is shows when the browser's cookie, which
    names the assignment, comes back; by email nobody can be found.
    """
    found = await read_forgotten(conn)
    if not found:
        return []
    for pool in sorted({row["pool"] for row in found}):
        await lock_pool(conn, pool)
    await lock_vms(conn, [row["hostname"] for row in found])
    found = await read_forgotten(conn)  # under the locks: somebody may have been bound meanwhile
    columns = {name: [row[name] for row in found] for name in ("hostname", "pool", "id")}
    taken = [row["hostname"] for row in await fetch(conn, TAKE, columns)]
    await conn.execute(TELL, (taken,))
    return taken


RECOGNISE = f"""
UPDATE assignment a SET email = c.email, pin = coalesce(c.pin, c.drawn_pin)
  FROM unnest(%(proven)s::uuid[], %(email)s::text[], %(pin)s::text[], %(drawn_pin)s::text[]) AS c (proven, email, pin, drawn_pin)
 WHERE a.id = c.proven AND a.status = 'active' AND a.email = {NOBODY_KNOWN.format("a.id")}
   AND NOT EXISTS (SELECT FROM assignment o WHERE o.email = c.email AND o.status <> 'ended')
"""


async def recognise(conn: Connection, columns: Mapping[str, list[Any]]) -> None:
    """Somebody of whom only a tag was left shows the cookie of that assignment: it gets email and PIN again. By columns of claims."""
    if any(columns["proven"]):
        await conn.execute(RECOGNISE, columns)
