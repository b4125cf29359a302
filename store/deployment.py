"""The one row of the deployment: its identity, its conditions, and what was last seen of `lablink.yaml`."""

from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from schemas.frozen import Frozen
from schemas.status import Condition
from store.db import Connection, fetch_one

READ = "SELECT id, account_id, conditions, file_hash, file_version, file_text, now() AS read_at FROM deployment"


class Deployment(Frozen):
    """`file_version` is the desired version that the file with `file_hash` was equal to; `file_text` one that conflicts."""

    id: UUID
    account_id: str | None
    conditions: dict[str, Condition]
    file_hash: str | None
    file_version: int | None
    file_text: str | None
    read_at: datetime  # by the database's clock, which all instants in the record are of


async def read_deployment(conn: Connection) -> Deployment:
    return Deployment.model_validate(await fetch_one(conn, READ))


PIN_ACCOUNT = "UPDATE deployment SET account_id = %s WHERE account_id IS NULL"


async def pin_account(conn: Connection, account_id: str) -> None:
    """Remember the AWS account of the first use; a later one is never written over it."""
    await conn.execute(PIN_ACCOUNT, (account_id,))


SEE_FILE = "UPDATE deployment SET file_hash = %s, file_version = %s, file_text = %s"


async def see_file(conn: Connection, text_hash: str, version: int | None, conflict: str | None = None) -> None:
    """The file has this hash now and is equal to `version`; or, with `conflict`, it holds a text that could not be taken."""
    await conn.execute(SEE_FILE, (text_hash, version, conflict))


SET_CONDITION = "UPDATE deployment SET conditions = conditions || %s"


async def set_condition(conn: Connection, condition: Condition) -> None:
    """Write a condition of the deployment in the place of the one of its type."""
    await conn.execute(SET_CONDITION, (Jsonb({condition.type: condition.model_dump(mode="json")}),))
