"""Writes what a decision says of VM rows. Each statement restates what the decision saw; a row that moved on is left alone.

Called by `controller.commit` inside its fenced transaction. Every function answers with the host names or ids that were written.
The caller locks the pools and then the rows (`store.seat`), as everywhere: pool, VM rows by name, assignment, seat.
"""

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from psycopg.types.json import Jsonb

from schemas.decision import (
    AdoptVm,
    CorrectBase,
    CreateVm,
    EndBase,
    EndInstance,
    EndVm,
    MarkGone,
    MarkLost,
    RebootVm,
    RecordInstance,
    StartVm,
)
from store.assignment_tag import reread_assignments
from store.db import Connection, fetch
from store.session import GIVE_UP

CREATE = """
WITH n AS (SELECT * FROM unnest(%(hostname)s::text[], %(number)s::int[], %(shard)s::int[], %(spec)s::jsonb[],
                                %(spec_hash)s::text[], %(reason)s::text[])
                    AS n (hostname, number, shard, spec, spec_hash, reason)),
     p AS (UPDATE pool SET counter = greatest(counter, (SELECT max(number) FROM n)),
                           shards = greatest(shards, (SELECT max(shard) FROM n))
            WHERE name = %(pool)s RETURNING name, generation),
     v AS (INSERT INTO vm (hostname, pool, region, shard, generation, spec_hash, spec, phase, reason)
           SELECT n.hostname, p.name, n.spec->>'region', n.shard, p.generation, n.spec_hash, n.spec, 'planned', n.reason
             FROM n, p ON CONFLICT (hostname) DO NOTHING RETURNING hostname, pool)
INSERT INTO seat (hostname, pool) SELECT hostname, pool FROM v RETURNING hostname
"""


async def create_vms(conn: Connection, creates: Sequence[CreateVm]) -> list[str]:
    """New `planned` rows with closed seats; the pools' counters rise to cover their names and shards."""
    written = []
    for pool, group in groupby(sorted(creates, key=attrgetter("pool")), key=attrgetter("pool")):
        of_pool = list(group)
        params = {
            "pool": pool,
            "hostname": [c.hostname for c in of_pool],
            "number": [c.number for c in of_pool],
            "shard": [c.shard for c in of_pool],
            "spec": [Jsonb(c.spec.model_dump(mode="json")) for c in of_pool],
            "spec_hash": [c.spec_hash for c in of_pool],
            "reason": [c.reason for c in of_pool],
        }
        written += _hostnames(await fetch(conn, CREATE, params))
    return written


END = """
WITH e AS (SELECT * FROM unnest(%(hostname)s::text[], %(version)s::bigint[], %(reason)s::text[])
                    AS e (hostname, version, reason)),
     v AS (UPDATE vm SET phase = 'draining', reason = e.reason, version = vm.version + 1
             FROM e JOIN seat USING (hostname)
            WHERE vm.hostname = e.hostname AND vm.version = e.version AND vm.phase IN ('planned', 'live')
              AND seat.state <> 'taken'
        RETURNING vm.hostname)
UPDATE seat SET state = 'draining', free_since = NULL FROM v WHERE seat.hostname = v.hostname RETURNING seat.hostname
"""


async def end_vms(conn: Connection, ends: Sequence[EndVm]) -> list[str]:
    """`draining`, unless somebody was bound meanwhile. The caller holds the pools' locks (`store.seat.lock_pool`)."""
    return _hostnames(await fetch(conn, END, _restated(ends)))


LOSE = f"""
WITH l AS (SELECT * FROM unnest(%(hostname)s::text[], %(version)s::bigint[], %(reason)s::text[], %(moves)s::bool[])
                    AS l (hostname, version, reason, moves)),
     e AS (UPDATE vm SET phase = 'lost', reason = l.reason, version = vm.version + 1 FROM l
            WHERE vm.hostname = l.hostname AND vm.version = l.version AND vm.phase IN ('planned', 'live')
        RETURNING vm.hostname, l.reason, l.moves),
     a AS (UPDATE assignment a SET {GIVE_UP} FROM e WHERE a.hostname = e.hostname AND a.status IN ('offered', 'active')),
     s AS (UPDATE seat SET state = 'draining', free_since = NULL, assignment_id = NULL FROM e
            WHERE seat.hostname = e.hostname)
SELECT hostname FROM e
"""


async def lose_vms(conn: Connection, lost: Sequence[MarkLost]) -> list[str]:
    """`lost`; an assignment on it ends with the same reason, or its person is first in line for another VM."""
    return _hostnames(await fetch(conn, LOSE, _restated(lost) | {"moves": [one.moves for one in lost]}))


FORGET = """
WITH e AS (SELECT * FROM unnest(%(hostname)s::text[], %(version)s::bigint[], %(reason)s::text[])
                    AS e (hostname, version, reason)),
     v AS (UPDATE vm SET phase = 'gone', ended_at = now(), version = vm.version + 1 FROM e
            WHERE vm.hostname = e.hostname AND vm.version = e.version AND vm.phase IN ('draining', 'lost') AND NOT in_state
        RETURNING vm.hostname),
     s AS (DELETE FROM seat USING v WHERE seat.hostname = v.hostname),
     h AS (DELETE FROM vm_heard USING v WHERE vm_heard.hostname = v.hostname)
SELECT hostname FROM v
"""


async def forget_vms(conn: Connection, gone: Sequence[MarkGone]) -> list[str]:
    """`gone`: the row stays as history, its seat and its heartbeat do not."""
    return _hostnames(await fetch(conn, FORGET, _restated(gone)))


RECORD = """
UPDATE vm SET instance_id = i.instance_id, public_ip = i.public_ip, private_ip = i.private_ip, zone = i.zone,
              launched_at = i.launched_at, version = vm.version + 1,
              phase = CASE vm.phase WHEN 'planned' THEN 'live' ELSE vm.phase END
  FROM instance i
 WHERE vm.hostname = %(hostname)s AND vm.version = %(version)s AND vm.instance_id IS NULL AND i.instance_id = %(instance_id)s
RETURNING vm.hostname
"""


async def record_instances(conn: Connection, records: Sequence[RecordInstance]) -> list[str]:
    """The instance that a killed run left is the row's from now on; the next apply imports it."""
    return await _each(conn, RECORD, [r.model_dump(include={"hostname", "version", "instance_id"}) for r in records])


ADOPT = """
WITH p AS (UPDATE pool SET counter = greatest(counter, %(number)s), shards = greatest(shards, %(shard)s)
            WHERE name = %(pool)s RETURNING name, generation),
     v AS (INSERT INTO vm (hostname, pool, region, shard, generation, spec_hash, spec, phase, reason,
                           instance_id, public_ip, private_ip, zone, launched_at, ready_at)
           SELECT %(hostname)s, p.name, i.region, %(shard)s, coalesce(i.generation, p.generation), %(spec_hash)s, %(spec)s,
                  'live', %(reason)s, i.instance_id, i.public_ip, i.private_ip, i.zone, i.launched_at,
                  -- Older than the record: that it never called proves nothing, and somebody may be at work on it.
                  CASE WHEN i.launched_at < d.created_at THEN i.launched_at END
             FROM p, deployment d, instance i WHERE i.instance_id = %(instance_id)s
           ON CONFLICT (hostname) DO UPDATE
              SET phase = 'live', reason = excluded.reason, instance_id = excluded.instance_id, ended_at = NULL,
                  public_ip = excluded.public_ip, private_ip = excluded.private_ip, zone = excluded.zone,
                  shard = excluded.shard, launched_at = excluded.launched_at, version = vm.version + 1
            WHERE vm.phase = 'gone'
        RETURNING hostname, pool)
INSERT INTO seat (hostname, pool) SELECT hostname, pool FROM v RETURNING hostname
"""


async def adopt_vms(conn: Connection, adopts: Sequence[AdoptVm]) -> list[str]:
    """A `live` row for an instance that had none (or a gone one revived), with a closed seat until it polls.

    One that its tag says is somebody's is taken at once. The caller holds the pools' locks.
    """
    specs = [Jsonb(one.spec.model_dump(mode="json")) for one in adopts]
    plain = [one.model_dump(exclude={"kind", "spec"}) for one in adopts]
    adopted = await _each(conn, ADOPT, [one | {"spec": spec} for one, spec in zip(plain, specs, strict=True)])
    await reread_assignments(conn)
    return adopted


START = """
UPDATE vm SET started_at = now(), version = version + 1
 WHERE hostname = %(hostname)s AND version = %(version)s AND started_at IS NULL
RETURNING hostname
"""


async def start_vms(conn: Connection, starts: Sequence[StartVm]) -> list[str]:
    """Marks stopped VMs as to be started; actuation does it, once."""
    return await _each(conn, START, [s.model_dump(include={"hostname", "version"}) for s in starts])


REBOOT = """
WITH v AS (UPDATE vm SET reboot_asked_at = now(), version = version + 1
            WHERE hostname = %(hostname)s AND version = %(version)s AND phase = 'live'
              AND NOT EXISTS (SELECT FROM seat WHERE seat.hostname = vm.hostname AND seat.state = 'taken')
        RETURNING hostname)
UPDATE seat SET state = 'closed', free_since = NULL FROM v
 WHERE seat.hostname = v.hostname AND seat.state IN ('free', 'closed') RETURNING seat.hostname
"""


async def reboot_vms(conn: Connection, reboots: Sequence[RebootVm]) -> list[str]:
    """Marks free VMs as to be rebooted, which actuation does; their seats stay closed until they are. The caller holds the pools' locks."""
    return await _each(conn, REBOOT, [one.model_dump(include={"hostname", "version"}) for one in reboots])


END_INSTANCE = """
UPDATE instance SET verdict = 'terminate' WHERE instance_id = %(instance_id)s AND verdict IS NULL
RETURNING instance_id AS hostname
"""


async def end_instances(conn: Connection, ends: Sequence[EndInstance]) -> list[str]:
    """Marks instances that no state holds as to be terminated."""
    return await _each(conn, END_INSTANCE, [e.model_dump(include={"instance_id"}) for e in ends])


END_BASE = """
UPDATE base SET wanted = false
 WHERE pool = %(pool)s AND region = %(region)s AND wanted
   AND NOT EXISTS (SELECT FROM vm WHERE pool = %(pool)s AND region = %(region)s AND phase <> 'gone')
RETURNING pool || '/' || region AS hostname
"""


async def end_bases(conn: Connection, ends: Sequence[EndBase]) -> list[str]:
    """The base of an empty pool and region is no longer wanted; actuation destroys it."""
    return await _each(conn, END_BASE, [e.model_dump(include={"pool", "region"}) for e in ends])


CORRECT_BASE = """
UPDATE base SET applied_hash = NULL
 WHERE pool = %(pool)s AND region = %(region)s AND wanted AND drift <> '' AND applied_hash IS NOT NULL
RETURNING pool || '/' || region AS hostname
"""


async def correct_bases(conn: Connection, corrections: Sequence[CorrectBase]) -> list[str]:
    """Marks bases as to be applied again."""
    return await _each(conn, CORRECT_BASE, [c.model_dump(include={"pool", "region"}) for c in corrections])


async def _each(conn: Connection, sql: str, actions: Sequence[dict[str, Any]]) -> list[str]:
    return [name for action in actions for name in _hostnames(await fetch(conn, sql, action))]


def _restated(actions: Sequence[EndVm] | Sequence[MarkLost] | Sequence[MarkGone]) -> dict[str, list[Any]]:
    return {
        "hostname": [a.hostname for a in actions],
        "version": [a.version for a in actions],
        "reason": [a.reason for a in actions],
    }


def _hostnames(rows: Sequence[Any]) -> list[str]:
    return [row["hostname"] for row in rows]
