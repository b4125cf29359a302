"""Rows of pools: what a new desired version means for them, and the conditions that hold now."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from schemas.status import Condition
from store.db import Connection, fetch

DECLARE = """
INSERT INTO pool AS p (name, spec, startup_script)
VALUES (%(name)s, %(spec)s, coalesce(%(script)s, (SELECT startup_script FROM pool WHERE name = %(name)s), ''))
ON CONFLICT (name) DO UPDATE
   SET spec = excluded.spec, startup_script = excluded.startup_script, removed = false, generation = p.generation + 1
 WHERE (p.spec, p.startup_script, p.removed) IS DISTINCT FROM (excluded.spec, excluded.startup_script, false)
RETURNING name
"""
WANT_BASE = """
INSERT INTO base (pool, region) VALUES (%(name)s, %(region)s)
ON CONFLICT (pool, region) DO UPDATE SET wanted = true WHERE NOT base.wanted
"""


async def declare_pool(conn: Connection, name: str, region: str, spec: Mapping[str, Any], script: str | None) -> bool:
    """The pool is declared like this from now on; whether that changed anything. Without a `script` the pool keeps the one that it had.

    Its counters survive a removal."""
    rows = await fetch(conn, DECLARE, {"name": name, "spec": Jsonb(dict(spec)), "script": script})
    await conn.execute(WANT_BASE, {"name": name, "region": region})
    return bool(rows)


REMOVE = """
UPDATE pool SET removed = true, generation = generation + 1 WHERE NOT removed AND name <> ALL(%s) RETURNING name
"""


async def remove_others(conn: Connection, declared: Sequence[str]) -> list[str]:
    """Pools that are not declared any more: their VMs drain, their counters stay."""
    return [row["name"] for row in await fetch(conn, REMOVE, (list(declared),))]


UNTOUCHED = """
DELETE FROM base b
 WHERE NOT EXISTS (SELECT FROM unnest(%s::text[], %s::text[]) AS d (pool, region) WHERE (d.pool, d.region) = (b.pool, b.region))
   AND applied_hash IS NULL
   AND NOT EXISTS (SELECT FROM vm WHERE vm.pool = b.pool AND vm.region = b.region AND phase <> 'gone')
   AND NOT EXISTS (SELECT FROM run WHERE state_key = b.pool || '/' || b.region || '/base'
                      AND (applying_at IS NOT NULL OR ended_at IS NULL))
"""


async def forget_untouched_bases(conn: Connection, declared: Mapping[str, str]) -> None:
    """Forget bases in regions that pools (by name, with their region) were declared in by mistake and nothing was ever made in.

    Such a region may never answer, so nothing that waits for its listing would end them.
    """
    await conn.execute(UNTOUCHED, (list(declared), list(declared.values())))


PIN_AMI = "UPDATE pool SET ami = %(ami)s, ami_source = %(source)s WHERE name = %(name)s"


async def pin_ami(conn: Connection, name: str, source: str, ami: str | None) -> None:
    """Another AMI is declared: `ami` until the declaration changes, or None while nobody knows what `source` stands for."""
    await conn.execute(PIN_AMI, {"name": name, "source": source, "ami": ami})


RESOLVE_AMI = "UPDATE pool SET ami = %(ami)s WHERE name = %(name)s AND ami_source = %(source)s AND ami IS NULL"


async def resolve_ami(conn: Connection, name: str, source: str, ami: str) -> None:
    """Pin what `source` stands for, unless the declaration has moved on meanwhile."""
    await conn.execute(RESOLVE_AMI, {"name": name, "source": source, "ami": ami})


AMI_SOURCES = "SELECT name, ami, ami_source FROM pool"


async def read_amis(conn: Connection) -> dict[str, tuple[str | None, str | None]]:
    """By pool: the pinned AMI and the declared one that it was resolved from."""
    return {row["name"]: (row["ami_source"], row["ami"]) for row in await fetch(conn, AMI_SOURCES)}


SET_CONDITIONS = """
UPDATE pool SET conditions = conditions || %(conditions)s,
                observed_generation = CASE WHEN %(converged)s THEN %(generation)s ELSE observed_generation END
 WHERE name = %(name)s
"""


async def set_conditions(
    conn: Connection, name: str, conditions: Sequence[Condition], generation: int, converged: bool
) -> None:
    """Merge these conditions into the pool's; those of other authors stay. A converged pool has met its generation."""
    merged = {c.type: c.model_dump(mode="json") for c in conditions}
    params = {"name": name, "conditions": Jsonb(merged), "generation": generation, "converged": converged}
    await conn.execute(SET_CONDITIONS, params)


RETRY = "UPDATE pool SET failures = 0, failed_at = NULL, failure = NULL, batch = 1 WHERE name = %s AND failures > 0 RETURNING name"


async def retry_pool(conn: Connection, name: str) -> bool:
    """Forget the failures, so that the next tick tries again with one VM; whether there were any."""
    return bool(await fetch(conn, RETRY, (name,)))


FORGIVE = "UPDATE pool SET failures = 0, failed_at = NULL, failure = NULL, batch = 1 WHERE failure = %s"


async def forgive_failures(conn: Connection, cause: str) -> None:
    """What failed for this cause alone need not wait any longer: it is gone."""
    await conn.execute(FORGIVE, (cause,))
