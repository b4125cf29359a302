"""What the controller would decide right now: the same pure function over a fresh snapshot. For status, why, previews.

Nothing is written. What only the controller knows is taken from the conditions that it wrote; while one leads, its listings are
taken as fresh, and while none does, nothing is known of the cloud.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from anyio import to_thread

from api.batch import Batch
from api.errors import NotNowError
from controller.decide.approval import weigh_change
from controller.decide.pool import decide
from controller.decide.prices import PriceList
from schemas.decision import Decision, Judgement
from schemas.lab import Lab
from schemas.pool import PoolRow
from schemas.snapshot import Listing, Snapshot
from schemas.vm import Vm
from store.db import Db
from store.deployment import read_deployment
from store.lease import is_led
from store.state import Observation, read_snapshot

FRESH_S = 1.0
SHARE = 0.1  # of this process's time at most: a large fleet is looked at less often


@dataclass(frozen=True, slots=True)
class View:
    """A snapshot and what follows from it."""

    snapshot: Snapshot
    decision: Decision
    fresh_until: float
    judged: Mapping[str, Judgement] = field(default_factory=dict)  # by host name
    warned: Mapping[str, Sequence[Vm]] = field(default_factory=dict)  # VMs whose person was told something, by pool


class Outlook:
    """Reads and decides at most once a second, however many ask; decides in a worker thread, so that held calls go on."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._view: View | None = None
        self._look = Batch(self._look_once)

    async def read(self) -> View:
        """At most a second old, or ten times as long as it takes to look. Raises NotNowError while no desired version was ever accepted."""
        if self._view and monotonic() < self._view.fresh_until:
            return self._view
        return await self._look(None)

    async def preview(self, lab: Lab | None) -> Decision:
        """What this document would make happen, or without one what is going to happen anyway."""
        return (await self.look_ahead(lab)).decision

    async def look_ahead(self, lab: Lab | None, seen: View | None = None) -> View:
        """The same with the snapshot as it would be: the document in force, and waiting for approval where it costs too much more.

        Of the world as it is `seen` already, where both are compared; else of this moment's.
        """
        snapshot = seen.snapshot if seen else await self._snapshot()
        if lab is not None:
            snapshot = _put_in_force(snapshot, lab)
        return View(snapshot, await to_thread.run_sync(decide, snapshot), 0.0)

    async def _look_once(self, askers: Sequence[None]) -> Sequence[View]:
        began = monotonic()
        snapshot = await self._snapshot()
        decision = await to_thread.run_sync(decide, snapshot)
        now = monotonic()
        judged = {one.subject: one for one in decision.judgements}
        self._view = View(snapshot, decision, now + max(FRESH_S, (now - began) / SHARE), judged, _list_warned(snapshot))
        return [self._view] * len(askers)

    async def _snapshot(self) -> Snapshot:
        seen = await read_snapshot(self._db, Observation(listings={}))
        if seen is None:
            raise NotNowError("no desired state was accepted yet; put lablink.yaml in force with `lablink apply`")
        async with self._db.connection() as conn:
            deployment, led = await read_deployment(conn), await is_led(conn)
        barred = deployment.conditions.get("ObserveOnly")
        regions = {pool.region for pool in seen.lab.pools.values()} | {vm.region for vm in seen.vms} if led else set()
        listings = {region: Listing(region=region, taken_at=seen.now) for region in regions - find_unseen(seen)}
        observe_only = barred.message if barred and barred.status else None
        return seen.model_copy(update={"listings": listings, "observe_only": observe_only})


def _put_in_force(seen: Snapshot, lab: Lab) -> Snapshot:
    """As if the document were accepted now. What waits for approval already is compared with what was clear before it."""
    version, before = seen.version + 1, seen.approval
    cleared = before.cleared_usd if before and before.state == "waiting" else None
    approval = weigh_change(version, seen.lab, lab, PriceList.of(lab.prices, seen.live_prices), cleared)
    changed = {"lab": lab, "version": version, "pools": declare_rows(seen, lab), "approval": approval}
    return seen.model_copy(update=changed)


def declare_rows(seen: Snapshot, lab: Lab) -> dict[str, PoolRow]:
    """The rows of pools as they would be once the document is in force; what a parameter stands for AWS would have to be asked."""
    rows = {name: row.model_copy(update={"removed": name not in lab.pools}) for name, row in seen.pools.items()}
    for name, pool in lab.pools.items():
        row = rows.get(name, PoolRow(name=name))
        ami = row.ami if row.ami_source == pool.ami_source else pool.literal_ami
        rows[name] = row.model_copy(update={"ami": ami, "ami_source": pool.ami_source})
    return rows


def find_unseen(seen: Snapshot) -> set[str]:
    """Regions of which the controller has said, in a condition of a pool there, that it could not list them."""
    observed = {name: row.conditions.get("Observed") for name, row in seen.pools.items()}
    return {pool.region for name, pool in seen.lab.pools.items() if (one := observed.get(name)) and not one.status}


def _list_warned(snapshot: Snapshot) -> dict[str, list[Vm]]:
    warned: dict[str, list[Vm]] = {}
    for vm in snapshot.vms:
        if vm.warning:
            warned.setdefault(vm.pool, []).append(vm)
    return warned
