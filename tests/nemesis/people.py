"""What the trials have in common: client VMs that follow the rows, an admin who types sizes, and whether what was acknowledged is there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
from anyio import to_thread
from anyio.abc import TaskGroup

from tests.nemesis.clients import AGAIN, CALL_S, PAUSE_S, Callers, Person, Shipper, Vm, WrongAnswer
from tests.nemesis.history import History
from tests.nemesis.site import ADMIN, LOG_TOKEN, Site

LINES = "SELECT event_id, count(*) AS n FROM vm_log GROUP BY event_id"
SIZE = "SELECT version, document->'pools'->'client'->>'size' AS size FROM desired_version ORDER BY version DESC LIMIT 1"
OPEN = "SELECT email, hostname FROM assignment WHERE status = 'active'"
STRAYS = "SELECT id, email FROM assignment WHERE status <> 'ended'"
READY = "SELECT hostname FROM seat WHERE state = 'free'"


@dataclass
class People:
    """Everybody outside of the allocator."""

    site: Site
    around: Callers
    tasks: TaskGroup
    vms: dict[str, Vm] = field(default_factory=dict)
    lives: dict[str, anyio.CancelScope] = field(default_factory=dict)
    shippers: list[Shipper] = field(default_factory=list)
    seated: dict[str, str] = field(default_factory=dict)  # email → VM, of those whom an answer told so
    size: int = 0  # what an answer accepted
    numbers: int = 0

    async def follow_vms(self) -> None:
        """A client runs on each instance that Terraform knows of, as long as there is one."""
        while True:
            rows = await to_thread.run_sync(self.site.rows, "SELECT hostname FROM vm WHERE phase = 'live' AND in_state")
            names = {row["hostname"] for row in rows}
            for name in names - self.vms.keys():
                self.vms[name] = Vm(self.around, name, len(self.vms))
                self.lives[name] = anyio.CancelScope()
                self.tasks.start_soon(self._live, name)
            for name in self.lives.keys() - names:
                self.lives.pop(name).cancel()
            await anyio.sleep(PAUSE_S)

    async def _live(self, name: str) -> None:
        with self.lives[name]:
            await self.vms[name].live()

    def make_person(self) -> Person:
        self.numbers += 1
        return Person(self.around, f"person-{self.numbers}@example.org", self.numbers)

    async def seat(self, person: Person) -> None:
        """Until the person knows a VM and that VM the person."""
        name = await person.get()
        self.seated[person.email] = name
        while not self.is_told(name, person):
            await anyio.sleep(PAUSE_S)

    def is_told(self, name: str, person: Person) -> bool:
        return name in self.vms and self.vms[name].told.startswith(person.email.split("@")[0] + "-")

    async def leave(self, person: Person) -> None:
        del self.seated[person.email]
        await person.give_back()

    async def declare(self, size: int) -> None:
        """An admin types a size, again until it is accepted."""
        for url in self.around.choose(size):
            try:
                answer = await self.around.http.patch(
                    f"{url}/api/v1/pools/client", json={"size": size}, auth=ADMIN, timeout=CALL_S
                )
            except httpx.HTTPError:
                answer = None
            if answer is not None and answer.status_code == 200:
                self.size = size
                return
            if answer is not None and answer.status_code not in (409, *AGAIN):
                raise WrongAnswer(f"size {size} was answered {answer.status_code} {answer.text}")
            await anyio.sleep(PAUSE_S)

    async def ship(self, name: str) -> None:
        """An event of the log Lambda."""
        self.shippers.append(Shipper(self.around, name, len(self.shippers)))
        await self.shippers[-1].ship()

    async def send_strays_away(self) -> None:
        """A call that was given up may have come true since: its person asks for nothing any more, and an admin ends it."""
        for row in await to_thread.run_sync(self.site.rows, STRAYS):
            if row["email"] not in self.seated:
                ended = self.around.history.begin("end", row["email"])
                url = next(iter(self.around.choose(0)))
                answer = await self.around.http.delete(f"{url}/api/v1/assignments/{row['id']}", auth=ADMIN)
                answer.raise_for_status()
                self.around.history.end(ended, True)

    async def find_losses(self) -> list[str]:
        """What was acknowledged and is not there, or is there twice."""
        rows = self.site.rows
        lines, assignments, (newest,) = await to_thread.run_sync(lambda: (rows(LINES), rows(OPEN), rows(SIZE)))
        stored = {row["event_id"]: row["n"] for row in lines}
        there = {row["email"]: row["hostname"] for row in assignments}
        acknowledged = {line for shipper in self.shippers for line in shipper.stored}
        losses = [
            f"line {line} is stored {stored.get(line, 0)} times" for line in acknowledged if stored.get(line) != 1
        ]
        losses += [
            f"{who} was told {vm}, has {there.get(who)}" for who, vm in self.seated.items() if there.get(who) != vm
        ]
        if self.size and str(self.size) != newest["size"]:
            losses.append(f"size {self.size} was accepted, {newest} is in force")
        return losses

    def count_acknowledged(self) -> int:
        """How much `find_losses` looks for."""
        return sum(len(shipper.stored) for shipper in self.shippers) + len(self.seated) + bool(self.size)

    async def wait(self, what: str, condition: Any, within_s: float = 90) -> float:
        return await to_thread.run_sync(self.site.wait, what, condition, within_s)


@asynccontextmanager
async def meeting(site: Site) -> AsyncIterator[People]:
    """Clients of all APIs of a site, until the block ends."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    secret = site.lab.environment["LABLINK_DEPLOYMENT_SECRET"].encode()
    async with httpx.AsyncClient(limits=limits, trust_env=False) as http, anyio.create_task_group() as tasks:
        around = Callers(http, [site.url(name) for name in site.ports], History(), secret, LOG_TOKEN)
        people = People(site, around, tasks)
        tasks.start_soon(people.follow_vms)
        yield people
        tasks.cancel_scope.cancel()
