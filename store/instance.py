"""What EC2's whole listings said, kept so that two looks can be compared. Written only when something changed."""

from collections.abc import Sequence
from datetime import datetime

from psycopg.types.json import Jsonb

from schemas.vm import Instance
from store.db import Connection, fetch

MERGE = """
WITH seen AS (
     -- An instance may be on two pages when something changes between their reads.
     SELECT DISTINCT ON (instance_id) * FROM jsonb_to_recordset(%(seen)s) AS s (
            instance_id text, hostname text, pool text, generation bigint, state text, instance_type text, image_id text,
            security_groups text[], profile text, tags jsonb, assignment text, zone text, public_ip text, private_ip text,
            launched_at timestamptz)),
upsert AS (
     INSERT INTO instance AS i (instance_id, region, hostname, pool, generation, state, instance_type, image_id,
                                security_groups, profile, tags, assignment, zone, public_ip, private_ip, launched_at,
                                first_seen_at)
     SELECT instance_id, %(region)s, hostname, pool, generation, state, instance_type, image_id,
            security_groups, profile, tags, assignment, zone, public_ip, private_ip, launched_at, %(taken_at)s FROM seen
     ON CONFLICT (instance_id) DO UPDATE
        SET hostname = excluded.hostname, pool = excluded.pool, state = excluded.state,
            instance_type = excluded.instance_type, image_id = excluded.image_id,
            security_groups = excluded.security_groups, profile = excluded.profile, tags = excluded.tags,
            assignment = excluded.assignment, zone = excluded.zone, public_ip = excluded.public_ip, private_ip = excluded.private_ip, missing_since = NULL
      WHERE (i.hostname, i.pool, i.state, i.instance_type, i.image_id, i.security_groups, i.profile, i.tags, i.assignment, i.zone,
             i.public_ip, i.private_ip, i.missing_since)
            IS DISTINCT FROM (excluded.hostname, excluded.pool, excluded.state, excluded.instance_type, excluded.image_id,
                              excluded.security_groups, excluded.profile, excluded.tags, excluded.assignment, excluded.zone,
                              excluded.public_ip, excluded.private_ip, NULL)
  RETURNING i.instance_id),
missing AS (
     UPDATE instance i SET missing_since = %(taken_at)s
      WHERE region = %(region)s AND missing_since IS NULL AND first_seen_at < %(taken_at)s
        AND NOT EXISTS (SELECT FROM seen WHERE seen.instance_id = i.instance_id)
  RETURNING i.instance_id)
SELECT instance_id FROM upsert UNION SELECT instance_id FROM missing
"""

UNSEEN = """
INSERT INTO instance (instance_id, region, hostname, pool, generation, state, instance_type, image_id, zone, public_ip,
                      private_ip, launched_at, first_seen_at, missing_since)
SELECT v.instance_id, v.region, v.hostname, v.pool, v.generation, 'pending', v.spec->>'instance_type', v.spec->>'ami', v.zone,
       v.public_ip, v.private_ip, v.launched_at, %(taken_at)s, %(taken_at)s
  FROM vm v
 WHERE v.region = %(region)s AND v.phase <> 'gone' AND v.instance_id IS NOT NULL AND v.launched_at < %(taken_at)s
   AND NOT EXISTS (SELECT FROM instance i WHERE i.instance_id = v.instance_id)
ON CONFLICT DO NOTHING RETURNING instance_id
"""

FOLLOW = """
WITH moved AS (
     SELECT vm.hostname, i.public_ip, i.private_ip FROM vm JOIN instance i USING (instance_id)
      WHERE vm.region = %(region)s AND i.state = 'running' AND vm.phase = 'live'
        AND (vm.public_ip, vm.private_ip) IS DISTINCT FROM (i.public_ip, i.private_ip)
      ORDER BY vm.hostname FOR NO KEY UPDATE OF vm)
UPDATE vm SET public_ip = moved.public_ip, private_ip = moved.private_ip FROM moved WHERE vm.hostname = moved.hostname
"""

EXPIRE = """
DELETE FROM instance i
 WHERE region = %(region)s AND (missing_since < %(taken_at)s - interval '1 day')
   AND NOT EXISTS (SELECT FROM vm WHERE vm.instance_id = i.instance_id AND vm.phase <> 'gone')
"""


async def merge_listing(conn: Connection, region: str, taken_at: datetime, seen: Sequence[Instance]) -> list[str]:
    """Bring the table to one whole listing of a region; the ids that changed.

    An id that a row has recorded and that no listing ever held is entered as missing from the first one that lacks it.
    """
    rows = [i.model_dump(mode="json", exclude={"region", "first_seen_at", "missing_since", "verdict"}) for i in seen]
    params = {"region": region, "taken_at": taken_at, "seen": Jsonb(rows)}
    changed = await fetch(conn, MERGE, params) + await fetch(conn, UNSEEN, params)
    await conn.execute(FOLLOW, params)
    await conn.execute(EXPIRE, params)
    return [row["instance_id"] for row in changed]
