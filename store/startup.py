"""Reads how a VM came up, from its row. Called by `api`."""

from schemas.startup import StartUp
from store.db import Connection, fetch_one

READ = """
SELECT hostname, terraform_s, cloud_init_s, container_s, created_at AS planned_at, applied_at, launched_at, cloud_init_started_at,
       cloud_init_ended_at, container_started_at, container_ended_at, ready_at, ended_at
  FROM vm WHERE hostname = %s
"""


async def read_startup(conn: Connection, hostname: str) -> StartUp | None:
    """None when there is no such VM, nor ever was."""
    row = await fetch_one(conn, READ, (hostname,))
    return StartUp(**row) if row else None
