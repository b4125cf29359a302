"""The VMs that wait for their person: one held call each, no thread and no database connection.

Who begins to wait, who is notified of and who is swept are gathered, read in one query, told. Whoever binds a person in this process
tells the VM at once (`tell`), without the way through the database.
"""

import asyncio
import itertools
import random
from collections.abc import Iterable, Sequence

import anyio
import structlog
from anyio.abc import TaskGroup
from litestar.types import Receive, Send

from api.binder import Binder
from api.contact import Contacts
from api.crd import render_command
from api.held_call import HeldCall
from api.meters import WAKE_UP_SECONDS, WAKE_UPS
from schemas.assignment import Assignment, AssignmentStatus
from store.assignment import RECONCILE, Errand, read_errands, record_handed_over
from store.db import UNREACHABLE, Db, lazy_transaction, notify, transaction
from store.event import write_event
from store.seat import free_seats
from store.vm import Caller, Contact

log = structlog.get_logger()

BEAT_S = 20  # between two spaces of a call, and two contacts of its VM
SLOTS_A_S = 10
SLOTS = BEAT_S * SLOTS_A_S  # each call has one, so that no person waits while thousands are kept alive
SOME = 500  # so many are looked at in one query
PAUSE_S = 0.05  # between two such looks of a sweep, in which others have the database
NOTE_S = 0.2  # what VMs were told is written down together
LONGEST_S = (50 * 60.0, 58 * 60.0)  # a call is broken off at a random moment between: below every proxy's hour
RIVALS_S = 60.0  # two callers of one name within this time are looked at
RETRY_S = 1.0


def _draw_length_s() -> float:
    return random.SystemRandom().uniform(*LONGEST_S)


class Due:
    """Host names to be looked at in the order in which they came, each once however often it is named meanwhile."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}
        self._rung = asyncio.Event()

    def add(self, names: Iterable[str]) -> None:
        self._names |= dict.fromkeys(names)
        self._rung.set()

    async def take(self) -> set[str]:
        """The first of them, once there are any."""
        await self._rung.wait()
        some = set(itertools.islice(self._names, SOME))
        for name in some:
            del self._names[name]
        if not self._names:
            self._rung.clear()
        return some


class Waiters:
    """All held calls of this process. `run` tells, `beat` keeps alive, `sweep` has everybody looked at again."""

    def __init__(self, db: Db, binder: Binder, contacts: Contacts) -> None:
        self._db = db
        self._binder = binder
        self._contacts = contacts
        self._calls: dict[str, HeldCall] = {}
        self._due = Due()
        self._swept = Due()  # apart, so that nobody who is due waits while thousands are looked at
        self._told: dict[str, int] = {}
        self._noting = asyncio.Event()
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
        call = self._calls.get(hostname)
        if call and not call.over:
            self._due.add((hostname,))

    def sweep(self) -> None:
        """Look at all: notifications may have been missed."""
        self._swept.add(self._calls)

    async def tell(self, people: Iterable[Assignment]) -> None:
        """Those whose VM waits here, by who has just committed what they say. Other processes are told by NOTIFY."""
        await self._run_errands(
            Errand(one.hostname, False, one.crd_code or None, one.pin, one.code_version)
            for one in people
            if one.status is AssignmentStatus.ACTIVE and one.hostname
        )

    def close(self) -> None:
        """Break off all calls, and every new one at once: the process ends."""
        self._closed = True
        for call in self._calls.values():
            call.break_off()

    async def run(self) -> None:
        """For ever: see to who is due, beside them to all who are swept, and note what they were told.

        Begins with all: a mistake that ended it has forgotten who was due.
        """
        self.sweep()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._see_to_all, self._due, 0.0, tasks)
            tasks.start_soon(self._see_to_all, self._swept, PAUSE_S, tasks)
            tasks.start_soon(self._note_all)

    async def _see_to_all(self, due: Due, pause_s: float, binds: TaskGroup) -> None:
        while True:
            await anyio.sleep(pause_s)
            some = await due.take() & self._calls.keys()
            try:
                if some:
                    await self._see_to(some, binds)
            except UNREACHABLE as error:
                log.warning("waiters.database_away", due=len(some), error=str(error).strip())
                await anyio.sleep(RETRY_S)
                due.add(some)

    async def _see_to(self, some: set[str], binds: TaskGroup) -> None:
        """Tell those who have a person, free the seats of the others, and bind."""
        async with self._db.connection() as conn:
            errands = await read_errands(conn, sorted(some))
        others = some - await self._run_errands(errands)
        for pool in await self._free(sorted(others)) if others else ():
            binds.start_soon(self._bind, pool)

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

    async def _run_errands(self, errands: Iterable[Errand]) -> set[str]:
        """Who has a person is told; their names."""
        known = asyncio.get_running_loop().time()
        told = {e.hostname: e.code_version for e in errands if await self._run_errand(e, known) and e.code_version}
        if told:
            WAKE_UPS.inc(len(told))
            self._told |= told
            self._noting.set()
        return set(told)

    async def _run_errand(self, errand: Errand, known: float) -> bool:
        """Timed where the VM waited before: what one missed that asked too late says nothing of us."""
        call = self._calls.get(errand.hostname)
        if call is None:
            return False
        if errand.ended:
            call.break_off()
        if errand.crd_code is None or errand.pin is None:
            return False
        answered = await call.answer(render_command(errand.crd_code), errand.pin)
        if answered and known - call.since >= errand.age_s:
            WAKE_UP_SECONDS.observe(errand.age_s + asyncio.get_running_loop().time() - known)
        return answered

    async def _note_all(self) -> None:
        while True:
            await self._noting.wait()
            await anyio.sleep(NOTE_S)
            await self.note()

    async def note(self) -> None:
        """Write down the numbers of the commands that VMs were told; no VM and no person waits for this."""
        self._noting.clear()
        told, self._told = self._told, {}
        if not told:
            return
        try:
            async with lazy_transaction(self._db) as conn:
                await record_handed_over(conn, told)
        except UNREACHABLE as error:
            log.warning("waiters.unnoted", told=len(told), error=str(error).strip())
            self._told = {**told, **self._told}
            self._noting.set()

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
