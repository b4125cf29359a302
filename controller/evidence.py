"""Keeps what failed VMs leave behind before they end: console output, the end of their log, their last Terraform run.

Called by `controller.actuate` before the deletes of a pool. What cannot be read is said in its place; nothing waits for it.
"""

import anyio

from controller.actuator import Actuator
from controller.errors import CloudError
from schemas.redact import redact_lines
from store.evidence import Suspect, list_suspects, write_evidence
from store.lease import fenced

MOST_AT_ONCE = 10  # in one round of a pool; the others' turn comes in the next, or they end without
MOST_CONSOLE = 32_000  # characters, from the end


async def keep_evidence(actuator: Actuator, pool: str) -> None:
    """Raises what psycopg raises while the database is away, and LeaseLost."""
    async with actuator.db.connection() as conn:
        suspects = await list_suspects(conn, pool, MOST_AT_ONCE)
    consoles: dict[str, str] = {}
    async with anyio.create_task_group() as group:
        for suspect in suspects:
            group.start_soon(_read_console, actuator, suspect, consoles)
    if suspects:
        async with fenced(actuator.db, actuator.lease) as conn:
            for suspect in suspects:
                await write_evidence(conn, suspect, consoles[suspect.instance_id])


async def _read_console(actuator: Actuator, suspect: Suspect, consoles: dict[str, str]) -> None:
    try:
        text = await actuator.ec2.read_console(suspect.region, suspect.instance_id)
    except CloudError as error:
        text = f"(the console output could not be read: {error})"
    lines = redact_lines(text.replace("\0", "").splitlines())
    consoles[suspect.instance_id] = "\n".join(lines)[-MOST_CONSOLE:]
