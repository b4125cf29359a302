"""When VMs were last heard of, and their gauges: gathered in memory, written for all of them in two statements a second.

Losing the last second in a crash costs nothing: silence is judged in minutes.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import anyio
import structlog
from psycopg.errors import CheckViolation

from store.db import UNREACHABLE, Db, lazy_transaction
from store.metric import TABLE, write_gauges
from store.partition import make_days
from store.vm import MOST_GAUGES, Contact, write_heard

log = structlog.get_logger()

FLUSH_S = 1.0


class Contacts:
    """`heard` is called for every call of a VM; `run` writes."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._fresh: dict[str, Contact] = {}

    def heard(self, contact: Contact) -> None:
        """Remember a contact; gauges of the same VM within the second are merged."""
        known = self._fresh.get(contact.hostname)
        if known:
            gauges = {**known.gauges, **contact.gauges}
            gauges = gauges if len(gauges) <= MOST_GAUGES else dict(contact.gauges)
            contact = Contact(contact.hostname, contact.address or known.address, gauges)
        self._fresh[contact.hostname] = contact

    async def run(self) -> None:
        """For ever: write what came in."""
        while True:
            await anyio.sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Write at once; what cannot be written now is written with the next flush."""
        fresh, self._fresh = self._fresh, {}
        if not fresh:
            return
        try:
            async with lazy_transaction(self._db) as conn:
                await write_heard(conn, list(fresh.values()))
            await self._keep_history(fresh)
        except UNREACHABLE as error:
            log.warning("contacts.kept", vms=len(fresh), error=str(error).strip())
            self._fresh = {**fresh, **self._fresh}

    async def _keep_history(self, fresh: Mapping[str, Contact]) -> None:
        gauges = {name: contact.gauges for name, contact in fresh.items() if contact.gauges}
        if not gauges:
            return
        try:
            async with lazy_transaction(self._db) as conn:
                await write_gauges(conn, gauges)
        except CheckViolation:  # nobody has made today
            async with self._db.connection() as conn:
                await make_days(conn, TABLE, [datetime.now(UTC).date()])
                await write_gauges(conn, gauges)
