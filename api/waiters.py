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
SLOTS_A_S = 10
SLOTS = BEAT_S * SLOTS_A_S  # each call has one, so that no person waits while thousands are kept alive
SWEPT = 500  # of all so many are looked at in one query, so that who is notified of waits for no more
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
        self._swept: set[str] = set()
        self._wake = asyncio.Event()
        self._slots: tuple[set[HeldCall], ...] = tuple(set() for _ in range(SLOTS))
        self._taken = itertools.count()
        self._closed = False

    def __len__(self) -> int:
        return len(self._calls)

    async def hold(self, caller: Caller, address: str, receive: Receive, send: Send) -> None:
        """Holds a call until its VM has a person, or its end. Register, then read, then wait: no wake-up falls between."""
        now = asyncio.get_running_loop().time()
        call = HeldCall(caller.hostname, address, now, now + _draw_length_s(), send)
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
        slot = self._slots[next(self._taken) % SLOTS]
        slot.add(call)
        try:
            await call.wait(receive)
        finally:
            slot.discard(call)
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
        self._swept |= self._calls.keys()
        self._wake.set()

    def close(self) -> None:
        """Break off all calls, and every new one at once: the process ends."""
        self._closed = True
        for call in self._calls.values():
            call.break_off()

    async def run(self) -> None:
        """For ever: tell those who have a person, free the seats of the others who are due, and bind.

        Begins with all: a mistake that ended it has forgotten who was due.
        """
        self.sweep()
        async with anyio.create_task_group() as binds:
            while True:
                await self._wake.wait()
                self._wake.clear()
                due = self._take_due()
                if not due:
                    continue
                try:
                    told = await self._tell(sorted(due))
                    for pool in await self._free(sorted(due - told)) if due - told else ():
                        binds.start_soon(self._bind, pool)
                except UNREACHABLE as error:
                    log.warning("waiters.database_away", due=len(due), error=str(error).strip())
                    await anyio.sleep(RETRY_S)
                    self._due |= due
                    self._wake.set()

    def _take_due(self) -> set[str]:
        """All who are notified of, and beside them some of those who are swept."""
        due, self._due = self._due, set()
        while self._swept and len(due) < SWEPT:
            due.add(self._swept.pop())
        if self._swept:
            self._wake.set()
        return due & self._calls.keys()

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

    async def _tell(self, hostnames: Sequence[str]) -> set[str]:
        """Who has a person is told; their names."""
        async with self._db.connection() as conn:
            errands = await read_errands(conn, hostnames)
        told = {e.hostname: e.code_version for e in errands if await self._run_errand(e) and e.code_version}
        if told:
            async with self._db.connection() as conn:
                await record_handed_over(conn, told)
        return set(told)

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
        """For ever, each moment its share of the calls: a space, a contact, an end for the oldest."""
        loop = asyncio.get_running_loop()
        for slot in itertools.cycle(self._slots):
            await anyio.sleep(1 / SLOTS_A_S)
            for call in list(slot):
                if loop.time() > call.until:
                    call.break_off()
                await call.keep_alive()
                self._contacts.heard(Contact(call.hostname, call.address))
