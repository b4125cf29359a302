"""When VMs were last heard of: gathered in memory, written for all of them in one statement a second.

Losing the last second in a crash costs nothing: silence is judged in minutes.
"""

import anyio
import structlog

from store.db import UNREACHABLE, Db
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
            async with self._db.connection() as conn:
                await write_heard(conn, list(fresh.values()))
        except UNREACHABLE as error:
            log.warning("contacts.kept", vms=len(fresh), error=str(error).strip())
            self._fresh = {**fresh, **self._fresh}
