"""The VMs that wait for their person: one held call each, no thread and no database connection.

`look` is the only way in: who begins to wait, who is notified of and who is swept are gathered, read in one query, told.
"""

import asyncio
import itertools
import random
from collections.abc import Sequence

import anyio
import structlog
from litestar.types import Receive, Send

from api.binder import Binder
from api.contact import Contacts
from api.crd import render_command
from api.held_call import HeldCall
from store.assignment import RECONCILE, Errand, read_errands, record_handed_over
from store.db import UNREACHABLE, Db, notify, transaction
from store.event import write_event
from store.seat import free_seats
from store.vm import Caller, Contact

log = structlog.get_logger()

BEAT_S = 20  # between two spaces of a call, and two contacts of its VM
LONGEST_S = (50 * 60.0, 58 * 60.0)  # a call is broken off at a random moment between: below every proxy's hour
RIVALS_S = 60.0  # two callers of one name within this time are looked at
RETRY_S = 1.0


def _draw_length_s() -> float:
    return random.SystemRandom().uniform(*LONGEST_S)


class Waiters:
    """All held calls of this process. `run` tells, `beat` keeps alive, `sweep` has everybody looked at again."""

    def __init__(self, db: Db, binder: Binder, contacts: Contacts) -> None:
        self._db = db
        self._binder = binder
        self._contacts = contacts
        self._calls: dict[str, HeldCall] = {}
        self._due: set[str] = set()
        self._wake = asyncio.Event()
        self._slots = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._calls)

    async def hold(self, caller: Caller, address: str, receive: Receive, send: Send) -> None:
        """Holds a call until its VM has a person, or its end. Register, then read, then wait: no wake-up falls between."""
        now = asyncio.get_running_loop().time()
        self._slots += 1
        slot = self._slots % BEAT_S
        call = HeldCall(caller.hostname, address, now, now + _draw_length_s(), slot, send)
        await call.begin()
        while rival := self._calls.get(caller.hostname):  # again, because another may have come while we looked at one
            if not await self._takes_over(call, rival, caller):
                return  # without a whole answer: the connection breaks
            if self._calls.get(caller.hostname) is rival:
                del self._calls[caller.hostname]
        if self._closed:
            return
        self._calls[caller.hostname] = call
        self._contacts.heard(Contact(caller.hostname, address))
        self.look(caller.hostname)
        try:
            await call.wait(receive)
        finally:
            if self._calls.get(caller.hostname) is call:
                del self._calls[caller.hostname]

    async def _takes_over(self, call: HeldCall, rival: HeldCall, caller: Caller) -> bool:
        """The newer call of a name is served (a VM that came back), unless only the older comes from the VM's address."""
        recorded = (caller.public_ip, caller.private_ip)
        if not rival.over and call.address != rival.address and call.since - rival.since < RIVALS_S:
            async with transaction(self._db) as conn:
                message = f"two callers within a minute: {rival.address} and {call.address}"
                await write_event(conn, "api", f"vm/{caller.hostname}", "TwoPollers", message)
            if rival.address in recorded and call.address not in recorded:
                return False
        rival.break_off()
        return True

    def look(self, hostname: str) -> None:
        """See soon whether there is something to tell this VM."""
        if hostname in self._calls:
            self._due.add(hostname)
            self._wake.set()

    def sweep(self) -> None:
        """Look at all: notifications may have been missed."""
        self._due |= self._calls.keys()
        self._wake.set()

    def close(self) -> None:
        """Break off all calls, and every new one at once: the process ends."""
        self._closed = True
        for call in self._calls.values():
            call.break_off()

    async def run(self) -> None:
        """For ever: free the seats of those who are due, bind, and tell those who have a person.

        Begins with all: a mistake that ended it has forgotten who was due.
        """
        self.sweep()
        async with anyio.create_task_group() as binds:
            while True:
                await self._wake.wait()
                self._wake.clear()
                due, self._due = self._due & self._calls.keys(), set()
                if not due:
                    continue
                try:
                    for pool in await self._free(sorted(due)):
                        binds.start_soon(self._bind, pool)
                    await self._tell(sorted(due))
                except UNREACHABLE as error:
                    log.warning("waiters.database_away", due=len(due), error=str(error).strip())
                    await anyio.sleep(RETRY_S)
                    self._due |= due
                    self._wake.set()

    async def _free(self, hostnames: Sequence[str]) -> set[str]:
        """VMs that ask are free unless somebody has them; the pools in which a seat came free."""
        async with transaction(self._db) as conn:
            freed = await free_seats(conn, hostnames)
            for hostname, _, first in freed:
                if first:
                    await write_event(conn, "api", f"vm/{hostname}", "Ready", "it asks for a person for the first time")
            pools = {pool for _, pool, _ in freed}
            for pool in sorted(pools):
                await notify(conn, RECONCILE, pool)
        return pools

    async def _bind(self, pool: str) -> None:
        try:
            await self._binder.bind(pool)
        except UNREACHABLE as error:  # the controller's next tick binds, too
            log.warning("bind.failed", pool=pool, error=str(error).strip())

    async def _tell(self, hostnames: Sequence[str]) -> None:
        async with self._db.connection() as conn:
            errands = await read_errands(conn, hostnames)
        told = {e.hostname: e.code_version for e in errands if await self._run_errand(e) and e.code_version}
        if told:
            async with self._db.connection() as conn:
                await record_handed_over(conn, told)

    async def _run_errand(self, errand: Errand) -> bool:
        call = self._calls.get(errand.hostname)
        if call is None:
            return False
        if errand.ended:
            call.break_off()
        if errand.crd_code is None or errand.pin is None:
            return False
        return await call.answer(render_command(errand.crd_code), errand.pin)

    async def beat(self) -> None:
        """For ever, each second its share of the calls: a space, an end for the oldest, a contact for all."""
        loop = asyncio.get_running_loop()
        for second in itertools.count():
            await anyio.sleep(1.0)
            calls = list(self._calls.values())
            for call in calls:
                if call.slot == second % BEAT_S:
                    if loop.time() > call.until:
                        call.break_off()
                    await call.keep_alive()
            if second % BEAT_S == 0:
                for call in calls:
                    self._contacts.heard(Contact(call.hostname, call.address))
