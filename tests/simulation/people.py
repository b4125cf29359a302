"""Everybody who calls the API: VMs that boot, report and wait for people, people who ask, stay and leave, and an admin who edits.

They use the store as the API's processes do; what they were told is what `checks` holds the record to.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import anyio

from schemas.assignment import Assignment, AssignmentStatus
from schemas.lab import Lab
from schemas.vm import VmStatus
from store.api_process import report_up
from store.assignment import Claim, bind_waiting, read_assignment, request_seats
from store.db import UNREACHABLE, Db, transaction
from store.desired import Change, DesiredConflict, append_version, read_newest
from store.seat import free_seats, lock_pool
from store.tenancy import end_assignment
from store.vm import Contact, Report, record_reports, write_heard
from tests.simulation.checks import Checks
from tests.simulation.cloud import Cloud, Instance

ASKS_EVERY_S = 90.0
BOOTS_S = 60.0
API = UUID(int=1)


@dataclass
class People:
    db: Db
    cloud: Cloud
    checks: Checks
    heard_every_s: float = 20.0
    leaving: bool = False  # everybody goes home
    present: set[str] = field(default_factory=set)

    # -- VMs --------------------------------------------------------------------------------------

    async def serve_vms(self) -> None:
        """For ever: all VMs that are up call in."""
        while True:
            await anyio.sleep(self.heard_every_s)
            try:
                await self._serve_once()
            except UNREACHABLE:
                continue

    async def _serve_once(self) -> None:
        at = self.cloud.stage.at
        up = [one for one in self.cloud.existing() if one.state(at) == "running" and self._has_booted(one)]
        told = {
            one.hostname: one
            for one in up
            if one.health != "mute" and not (one.health == "silent" and at - one.runs_at > 300)
        }
        async with transaction(self.db) as conn:
            await report_up(conn, API)
            await write_heard(conn, [Contact(name, None) for name in told])
            await record_reports(conn, [self._report(one) for one in told.values()])
        async with transaction(self.db) as conn:
            await free_seats(conn, sorted(told))
        await self._bind(sorted({one.tags["lablink:pool"] for one in told.values()}))

    def _has_booted(self, one: Instance) -> bool:
        since = max(one.runs_at, one.boots_anew_at)
        if one.boots_anew_at and self.cloud.stage.at > since + BOOTS_S and one.number % 2:
            one.health = "well"  # a reboot has helped
        return self.cloud.stage.at > since + BOOTS_S

    def _report(self, one: Instance) -> Report:
        return Report(one.hostname, VmStatus.ERROR if one.health == "error" else VmStatus.RUNNING, reporter=True)

    async def _bind(self, pools: Iterable[str]) -> None:
        for pool in pools:
            async with transaction(self.db) as conn:
                await bind_waiting(conn, pool)

    # -- people -----------------------------------------------------------------------------------

    async def live(self, email: str, pool: str, stays_s: float) -> None:
        """Ask until a VM is there, stay, and leave; whoever cannot be answered asks again, and goes home only with an answer."""
        number, unanswered = 0, False
        while not self.leaving or unanswered:
            number += 1
            seated, unanswered = None, False
            try:
                seated = await self._ask(Claim(pool, email, f"4/{email}{number}", "123456", pin="123456"))
            except UNREACHABLE:
                unanswered = True
            if seated and seated.status is AssignmentStatus.ACTIVE:
                self.cloud.stage.note(f"{email} has {seated.hostname}")
                await self._stay(stays_s)
                break
            await self._stay(ASKS_EVERY_S)
        await self._leave(email)
        self.present.discard(email)

    async def _stay(self, seconds: float) -> None:
        until = self.cloud.stage.at + seconds
        while not self.leaving and self.cloud.stage.at < until:
            await anyio.sleep(min(20.0, until - self.cloud.stage.at))

    async def _ask(self, claim: Claim) -> Assignment | None:
        async with transaction(self.db) as conn:
            await lock_pool(conn, claim.pool)
            made = (await request_seats(conn, [claim])).get(claim.email)
        if made is None:
            return None
        self.checks.promised[claim.email] = str(made.id)
        await self._bind([claim.pool])
        async with self.db.connection() as conn:
            return await read_assignment(conn, made.id)

    async def _leave(self, email: str) -> None:
        while promised := self.checks.promised.get(email):
            try:
                async with transaction(self.db) as conn:
                    await end_assignment(conn, UUID(promised), "user", "done")
            except UNREACHABLE:
                await anyio.sleep(5)
                continue
            self.cloud.stage.note(f"{email} has left")
            return

    # -- the admin --------------------------------------------------------------------------------

    async def declare(self, document: dict[str, Any]) -> None:
        """Put in force, however often it takes: an answer that got lost is asked for again."""
        lab = Lab.model_validate(document)
        text = lab.model_dump_json()
        self.checks.declared.append((self.cloud.stage.at, lab))
        change = Change(text, lab, "admin", "api")
        while True:
            try:
                async with transaction(self.db) as conn:
                    newest = await read_newest(conn)
                    version = await append_version(conn, change, newest.version if newest else None)
            except UNREACHABLE:
                await anyio.sleep(3)
                continue
            except DesiredConflict:
                continue
            self.checks.versions[version.version] = text
            self.cloud.stage.note(f"version {version.version} is in force")
            return

    def start(self, group: Any, email: str, pool: str, stays_s: float) -> None:
        self.present.add(email)
        group.start_soon(partial(self.live, email, pool, stays_s))
