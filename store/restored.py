"""What a restored record must forget before it meets the world again. Called by `lablink restore`, on a database nobody uses yet.

The world went on after the backup: VMs came and went, people were bound, names and fencing tokens were used.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

SPARE = 1_000

# A VM that polls is free again; one that is silent may be in use by somebody bound after the backup.
CLOSE_SEATS = "UPDATE seat SET state = 'closed', free_since = NULL WHERE state = 'free'"
JUMP = """
UPDATE pool SET counter = greatest(counter, coalesce((%(highest)s::jsonb ->> name)::integer, 0)) + %(spare)s
"""
FENCE = "UPDATE lease SET token = token + %s, expires_at = now()"
END_RUNS = """
UPDATE run SET ended_at = now(), outcome = 'interrupted', message = 'it was under way when the backup was made'
 WHERE ended_at IS NULL
"""
UNLOCK = "UPDATE tf_state SET lock_token = NULL, lock_run = NULL, lock_info = NULL WHERE lock_info IS NOT NULL"
FORGET_LISTINGS = "DELETE FROM instance"
FORGET_PROCESSES = "DELETE FROM api_process"
TELL = """
INSERT INTO event (actor, subject, reason, message, detail) VALUES ('operator', 'deployment', 'Restored', %s, %s)
"""


def mend_restored(dsn: str, backup: str, highest: Mapping[str, int]) -> None:
    """`highest`: by pool, the highest number of a VM that AWS knows. All in one transaction."""
    message = f"the record was restored from {backup}"
    with psycopg.connect(dsn) as conn:
        conn.execute(CLOSE_SEATS)
        conn.execute(JUMP, {"highest": Jsonb(dict(highest)), "spare": SPARE})
        conn.execute(FENCE, (SPARE,))
        for statement in (END_RUNS, UNLOCK, FORGET_LISTINGS, FORGET_PROCESSES):
            conn.execute(statement)
        detail: dict[str, Any] = {"highest": dict(highest)}
        conn.execute(TELL, (message, Jsonb(detail)))
