"""A new record takes the place of one that is lost: from then on that one's VMs are its own. Called by `lablink adopt`."""

from collections.abc import Mapping
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from store.restored import SPARE

OWN = "SELECT id FROM deployment"
PRESENT = "SELECT count(*) FROM vm WHERE phase <> 'gone'"
BECOME = "UPDATE deployment SET id = %s"
JUMP = """
INSERT INTO pool AS p (name, counter) SELECT key, value::integer + %(spare)s FROM jsonb_each_text(%(highest)s)
    ON CONFLICT (name) DO UPDATE SET counter = greatest(p.counter, excluded.counter)
"""
TELL = """
INSERT INTO event (actor, subject, reason, message, detail) VALUES ('operator', 'deployment', 'Adopted', %s, %s)
"""


def read_own(conn: "psycopg.Connection[tuple[object, ...]]") -> tuple[UUID, int]:
    """The record's UUID, and how many VMs it has."""
    own, present = conn.execute(OWN).fetchone(), conn.execute(PRESENT).fetchone()
    assert own
    assert present
    return UUID(str(own[0])), int(str(present[0]))


def take_identity(dsn: str, record: UUID, highest: Mapping[str, int], message: str) -> None:
    """`highest`: by pool, the highest number of a VM that AWS knows. The lost record is not asked: it has to be lost."""
    with psycopg.connect(dsn) as conn:
        conn.execute(BECOME, (record,))
        conn.execute(JUMP, {"highest": Jsonb(dict(highest)), "spare": SPARE})
        conn.execute(TELL, (message, Jsonb({"record": str(record), "highest": dict(highest)})))
