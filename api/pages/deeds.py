"""What an admin may do to VMs that were chosen on a page, in the words that ask for it; done by the functions beneath `/api/v1/vms`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litestar.exceptions import HTTPException

from api.binder import Binder
from api.edits import edit_in_force
from api.in_force import DesiredInForce
from api.vms import cordon, reboot, release, replace, tell, uncordon
from schemas.lab import Lab
from schemas.vm import Seat, Vm
from store.assignment import release_vm
from store.db import Db, transaction
from store.seat import drain_seat

ALL = "loses it with all that is on it"


@dataclass(frozen=True, slots=True)
class Deed:
    """`loses`: what whoever has one of the VMs loses by it; it is confirmed first."""

    name: str
    label: str
    effect: str
    loses: str = ""


DEEDS: Mapping[str, Deed] = {
    deed.name: deed
    for deed in (
        Deed("cordon", "Cordon", "nobody new is given them; who has one keeps it"),
        Deed("uncordon", "Uncordon", "they can be given to people again"),
        Deed("reboot", "Reboot", "they are rebooted, and whoever has one keeps it", "loses what is not saved"),
        Deed(
            "release", "Release", "their assignments end; what becomes of the VMs, session.after of the pool says", ALL
        ),
        Deed("replace", "Replace", "they end, and new ones take their place", ALL),
        Deed("end", "Remove", "they end, and the declared size falls by as many", ALL),
    )
}


class Hand:
    """Acts for one admin, whom events name. `based_on`: the version that the question showed; sizes are lowered from no other."""

    def __init__(self, actor: str, db: Db, binder: Binder, desired: DesiredInForce, based_on: int | None) -> None:
        self._actor = actor
        self._based_on = based_on
        self._db = db
        self._binder = binder
        self._desired = desired

    async def act(self, deed: Deed, chosen: Sequence[Vm]) -> str:
        """One after the other; what could not be done to one keeps no other from it. A sentence on how it went.

        Raises DesiredConflict before anything is done.
        """
        if deed.name == "end":
            await self._shrink(chosen)
        done, failures = 0, []
        for vm in chosen:
            try:
                await self._act_on(deed.name, vm)
                done += 1
            except HTTPException as error:
                failures.append(error.detail)
        said = f"{deed.label}: done for {done} of {len(chosen)} VMs."
        return " ".join([said, *(f"{failure[:1].upper()}{failure[1:]}." for failure in failures[:5])])

    async def _act_on(self, name: str, vm: Vm) -> None:
        db, actor, host = self._db, self._actor, vm.hostname
        match name:
            case "cordon":
                await cordon(db, actor, host)
            case "uncordon":
                await uncordon(db, actor, host)
            case "reboot":
                await reboot(db, self._desired, actor, host)
            case "release":
                await release(db, self._binder, actor, host)
            case "replace":
                await replace(db, self._binder, actor, host, force=True)
            case "end":
                await self._end(vm)

    async def _end(self, vm: Vm) -> None:
        async with transaction(self._db) as conn:
            if not await drain_seat(conn, vm.pool, vm.hostname):
                await release_vm(conn, vm.pool, vm.hostname, self._actor, "removed by an admin", renew=False)
            await tell(conn, self._actor, vm, "RemoveAsked", "an admin removed it and lowered the declared size")

    async def _shrink(self, chosen: Sequence[Vm]) -> None:
        """A new version whose sizes are lower by what ends and was not ending before. An elastic size follows its demand by itself."""
        ending = Counter(vm.pool for vm in chosen if vm.seat is not Seat.DRAINING)

        def edit(lab: Lab) -> Mapping[str, Any]:
            fixed = {name: pool.size for name, pool in lab.pools.items() if isinstance(pool.size, int)}
            return {f"pools.{name}.size": max(0, size - ending[name]) for name, size in fixed.items() if ending[name]}

        await edit_in_force(self._db, self._desired, edit, self._actor, self._based_on)
