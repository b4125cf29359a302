"""Makes the cloud what the rows of a pool ask for, through Terraform: its base first, then its shards, several at once.

Called by the controller's runtime for one pool at a time whenever its rows changed, and by a timer. Whatever was left half done by
a killed Terraform or a dead controller is closed first; nothing is created where something may exist that no listing has shown.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import anyio
import structlog
from anyio import to_thread

from controller.actuator import Actuator, find_place, make_site
from controller.base import BaseWork, converge_base, declared_ingress
from controller.decide.backoff import pause_s
from controller.decide.prices import PriceList
from controller.decide.state_change import decide_creates
from controller.decide.tfvars import Site
from controller.errors import ADVICE, UNCERTAIN, Cause, CloudError, NeedsOperator, RetryLater
from controller.evidence import keep_evidence
from controller.instance_orders import act_on_instances
from controller.record import CONDITIONS, close_dead_run
from controller.result import FAILED, SUCCEEDED, Place, Recorder, Result
from controller.s3_states import workspace_of
from controller.shard import Shard, converge_shard, record_shard
from controller.workspace import prune_workspaces
from schemas.lab import Lab
from schemas.pool import Base
from schemas.snapshot import Listing
from schemas.tfstate import TfState
from schemas.vm import Vm
from store import actuation as rows
from store.db import Connection
from store.deployment import read_deployment
from store.lease import LeaseLost, fenced
from store.run import Past, read_pasts
from store.tfstate import read_holder
from store.usage import read_live_prices

log = structlog.get_logger()

NOT_THERE_S = 30.0
OPEN_RUN_S = 2.0
CLOUD_S = 10.0
LOOK_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether there is more to do at once, or after how many seconds; neither: the pool is as its rows ask."""

    more_work: bool = False
    retry_after_s: float | None = None


async def actuate_once(actuator: Actuator, lab: Lab, pool: str, listings: Mapping[str, Listing]) -> Outcome:
    """One round for one pool; never two of the same pool at once. `listings` are the newest whole ones by region.

    Raises LeaseLost, RetryLater, NeedsOperator, and what psycopg raises while the database is away. When cancelled, running
    Terraforms get SIGINT and are waited for.
    """
    round_ = await _open_round(actuator, lab, pool, listings)
    if round_ is None:
        return Outcome()
    await _check_binary(actuator, pool)
    await round_.guarded(partial(keep_evidence, actuator, pool))
    async with anyio.create_task_group() as group:
        group.start_soon(round_.guarded, partial(act_on_instances, actuator, pool))
        for base in round_.pool.bases:
            group.start_soon(round_.guarded, partial(round_.converge_region, base))
    await to_thread.run_sync(prune_workspaces, actuator.work_dir, pool, {base.region for base in round_.pool.bases})
    await round_.report()
    return Outcome(any(result.outcome == SUCCEEDED for result in round_.results), min(round_.waits_s, default=None))


async def _open_round(actuator: Actuator, lab: Lab, pool: str, listings: Mapping[str, Listing]) -> "Round | None":
    """Reads the rows, after closing what a dead controller left open."""
    async with actuator.db.connection() as conn:
        pasts = await read_pasts(conn, pool, actuator.terraform.pace.surely_over_s, UNCERTAIN)
    for past in pasts.values():
        if past.dead:
            await _close_dead(actuator, lab, past)
    async with actuator.db.connection() as conn:
        found = await rows.read_pool(conn, pool)
        pasts = await read_pasts(conn, pool, actuator.terraform.pace.surely_over_s, UNCERTAIN)
        deployment = await read_deployment(conn)
        prices = PriceList.of(lab.prices, await read_live_prices(conn))
    if found is None or deployment.account_id is None:
        return None
    site = make_site(actuator, lab, str(deployment.id), deployment.account_id)
    return Round(actuator, lab, found, pasts, site, listings, prices)


async def _close_dead(actuator: Actuator, lab: Lab, past: Past) -> None:
    pool, region, part = past.state_key.split("/")
    place = find_place(actuator, lab, pool, region, part)
    record: Recorder = _record_nothing if part == "base" else partial(record_shard, place, frozenset())
    await close_dead_run(actuator, past.run_id, place, record)


async def _record_nothing(_conn: Connection, _state: TfState | None, _result: Result) -> None:
    """Of a base that was cut short nothing is known but that it has to be looked for."""


async def _check_binary(actuator: Actuator, pool: str) -> None:
    if actuator.terraform.find() is None:
        message = f"{actuator.terraform.binary} is not there or cannot be run. {ADVICE[Cause.NO_TERRAFORM]}"
        async with fenced(actuator.db, actuator.lease) as conn:
            await rows.set_condition(conn, pool, "ApplyFailed", Cause.NO_TERRAFORM, message)
        raise RetryLater(NOT_THERE_S, message)


@dataclass
class Round:
    """One call of `actuate_once`: what it read, and what its parts report."""

    actuator: Actuator
    lab: Lab
    pool: rows.PoolRows
    pasts: Mapping[str, Past]
    site: Site
    listings: Mapping[str, Listing]
    prices: PriceList = field(default_factory=PriceList)
    results: list[Result] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    locked: list[Place] = field(default_factory=list)
    refused: list[CloudError] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.may_create = self._choose_creates()

    async def guarded(self, part: Callable[[], Awaitable[None]]) -> None:
        """What goes wrong in one part stops no other."""
        try:
            await part()
        except CloudError as error:
            log.warning("AWS refused", pool=self.pool.name, error=str(error))
            self.refused.append(error)
            self.waits_s.append(CLOUD_S)
        except Exception as error:
            self.errors.append(error)

    async def converge_region(self, base: Base) -> None:
        """The base first; its shards once it has outputs, also those of an earlier apply."""
        base = await self._converge_base(base)
        if not base.outputs:
            return
        by_shard: dict[int, list[Vm]] = {}
        for vm in self.pool.vms:
            if vm.region == base.region:
                by_shard.setdefault(vm.shard, []).append(vm)
        async with anyio.create_task_group() as group:
            for number, vms in sorted(by_shard.items()):
                group.start_soon(self.guarded, partial(self._converge_shard, base, number, tuple(vms)))

    async def _converge_base(self, base: Base) -> Base:
        place = find_place(self.actuator, self.lab, base.pool, base.region, "base")
        ingress = declared_ingress(self.lab, base)
        if (ingress is None and base.wanted) or not self._may_run(place):
            return base
        declared = self.lab.pools.get(base.pool)
        corrects = declared is not None and declared.drift == "correct"
        work = BaseWork(place, self.site, base, ingress or (), self._left_nothing(place), corrects)
        result = await converge_base(self.actuator, work)
        if result is None:
            return base
        self._take(place, result)
        async with self.actuator.db.connection() as conn:
            again = await rows.read_pool(conn, base.pool)
        return next((b for b in again.bases if b.region == base.region), base) if again else base

    async def _converge_shard(self, base: Base, number: int, vms: tuple[Vm, ...]) -> None:
        place = find_place(self.actuator, self.lab, base.pool, base.region, str(number))
        past = self.pasts.get(place.state_key)
        shard = Shard(
            place=place,
            site=self.site,
            base=base.outputs,
            vms=vms,
            seen=self.pool.seen,
            may_create=self.may_create,
            certain=self._is_certain(place),
            looked=self._was_listed_since(place, past.applied_ended_at if past else None),
            troubled=past is not None and past.outcome != SUCCEEDED,
            prices=self.prices,
        )
        if shard.waits_for_listing:
            self.waits_s.append(LOOK_AGAIN_S)
        if (shard.deletes or shard.additions) and self._may_run(place):
            for result in await converge_shard(self.actuator, shard):
                self._take(place, result)

    def _may_run(self, place: Place) -> bool:
        """Not beside another run of the state, and after a failed one only when its pause is over."""
        past = self.pasts.get(place.state_key)
        if past is None:
            return True
        if past.ended_at is None:
            self.waits_s.append(OPEN_RUN_S)
            return False
        if past.cause == Cause.CAPACITY:  # other VMs in other places are tried now
            return True
        left_s = (past.ended_at - self.pool.now).total_seconds() + pause_s(past.troubles)
        if left_s > 0:
            self.waits_s.append(left_s)
        return left_s <= 0

    def _left_nothing(self, place: Place) -> bool:
        """Whether the last run that was let through cannot have made what its state does not know."""
        past = self.pasts.get(place.state_key)
        return past is None or past.applied_outcome in (None, SUCCEEDED)

    def _is_certain(self, place: Place) -> bool:
        """Whether nothing can exist that neither state nor listing knows. A later run that succeeded did not look for what an earlier one left."""
        past = self.pasts.get(place.state_key)
        if past is None:
            return True
        settled_at = past.unsure_at and past.unsure_at + timedelta(seconds=self.actuator.settle_s)
        return self._was_listed_since(place, past.failed_at) and self._was_listed_since(place, settled_at)

    def _was_listed_since(self, place: Place, instant: datetime | None) -> bool:
        listing = self.listings.get(place.region)
        return instant is None or (listing is not None and listing.taken_at > instant)

    def _choose_creates(self) -> frozenset[str]:
        """After failures few at once, the oldest first; none while the pause after a failure lasts."""
        planned = decide_creates(self.pool.vms, self.pool.seen)
        if self.pool.failed_at is not None:
            left_s = (self.pool.failed_at - self.pool.now).total_seconds() + pause_s(self.pool.failures)
            if left_s > 0 and planned:
                self.waits_s.append(left_s)
                return frozenset()
        oldest = sorted(
            (vm for vm in self.pool.vms if vm.hostname in planned), key=lambda vm: (vm.created_at, vm.hostname)
        )
        return frozenset(vm.hostname for vm in oldest[: self.pool.batch])

    def _take(self, place: Place, result: Result) -> None:
        self.results.append(result)
        if result.outcome != SUCCEEDED:
            self.waits_s.append(LOOK_AGAIN_S)
        if result.outcome == FAILED and result.cause is Cause.LOCK:
            self.locked.append(place)

    async def report(self) -> None:
        """Raise what went wrong: a lost lease before all, a lock that is not ours to release at last."""
        for error in sorted(self.errors, key=lambda error: not isinstance(error, LeaseLost)):
            raise error
        if not self.results and not self.waits_s:
            await self._forget_troubles()
        for refusal in self.refused[:1]:
            async with fenced(self.actuator.db, self.actuator.lease) as conn:
                await rows.set_condition(conn, self.pool.name, "ApplyFailed", refusal.cause, str(refusal))
        if self.locked:
            message = " ".join([await self._explain_lock(place) for place in self.locked])
            async with fenced(self.actuator.db, self.actuator.lease) as conn:
                await rows.set_condition(conn, self.pool.name, "ApplyFailed", Cause.LOCK, message)
            raise NeedsOperator(message)

    async def _forget_troubles(self) -> None:
        """What could not be applied is not asked for any more."""
        async with fenced(self.actuator.db, self.actuator.lease) as conn:
            for kind in CONDITIONS.values():
                await rows.clear_condition(conn, self.pool.name, kind, "nothing is left to apply")

    async def _explain_lock(self, place: Place) -> str:
        key, folder = place.state_key, self.actuator.work_dir / "states" / place.backend / place.state_key
        if place.bucket:
            command = f"TF_WORKSPACE={workspace_of(key)} terraform -chdir={folder} force-unlock ID"
            return f"The state {key} in {place.bucket.name} is locked by somebody else: let it end, or `{command}`."
        if place.backend == "local":
            command = f"terraform -chdir={folder} force-unlock ID"
            return f"The state {key} is locked by a process that is none of ours: end it, or `{command}`."
        async with self.actuator.db.connection() as conn:
            holder = await read_holder(conn, key)
        who = holder.info.get("Who", "somebody") if holder else "somebody"
        update = f"UPDATE tf_state SET lock_info = NULL, lock_run = NULL WHERE state_key = '{key}'"
        return f'The state {key} is locked by {who}, which is no run of ours. When that is over: `psql $LABLINK_DATABASE_DSN -c "{update}"`.'
