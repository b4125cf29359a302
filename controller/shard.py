"""Brings one shard to what its rows ask for: one apply that deletes, then one that creates and imports.

Called by `controller.actuate` for each shard that has work, several at once.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from functools import partial

from controller.actuator import Actuator
from controller.apply import apply_job
from controller.decide.impact import weigh_plan
from controller.decide.prices import PriceList
from controller.decide.state_change import ShardChange, decide_creates, decide_deletes, decide_imports, decide_target
from controller.decide.tfplan import check_plan
from controller.decide.tfvars import Site, Target, render_shard
from controller.errors import Cause
from controller.record import open_workspace, read_tf_state
from controller.result import FAILED, SUCCEEDED, Job, Place, Result
from schemas.tfstate import TfState
from schemas.vm import Phase, Vm
from store import actuation as rows
from store.db import Connection
from store.seat import lock_pool
from store.tfstate import forget_state

NOT_IMPORTED = "Cannot import non-existent remote object"


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard with its rows as last read, and what it may do now."""

    place: Place
    site: Site
    base: Mapping[str, str]  # outputs of the pool's base
    vms: tuple[Vm, ...]
    seen: frozenset[str]  # host names that a listed instance carries
    may_create: frozenset[str]  # planned VMs that nothing holds back
    certain: bool = True  # nothing can exist that neither state nor listing knows
    looked: bool = True  # the listing is newer than the last apply, so that what it shows is still there
    troubled: bool = False  # the last run did not succeed
    prices: PriceList = field(default_factory=PriceList)

    @property
    def deletes(self) -> ShardChange:
        return decide_deletes(self.vms)

    @property
    def additions(self) -> ShardChange:
        """Creates and imports; none while a run that was cut short may have made what no listing has shown yet."""
        imports = decide_imports(self.vms).imports if self.looked else {}
        creates = decide_creates(self.vms, self.seen) & self.may_create if self.certain else frozenset()
        return ShardChange(creates=creates, imports=imports)

    @property
    def waits_for_listing(self) -> bool:
        """Whether there is something to do once a newer listing is there."""
        creates = decide_creates(self.vms, self.seen) & self.may_create
        return bool((creates and not self.certain) or (decide_imports(self.vms) and not self.looked))


async def converge_shard(actuator: Actuator, shard: Shard) -> list[Result]:
    """The results of the runs that were needed, at most two. A delete that fails holds no create back."""
    results = []
    if shard.deletes:
        results.append(await apply_job(actuator, await make_job(actuator, shard, shard.deletes)))
        shard = await _read_again(actuator, shard)
    if shard.additions and all(result.outcome in (SUCCEEDED, FAILED) for result in results):
        results.append(await apply_job(actuator, await make_job(actuator, shard, shard.additions)))
    return results


async def make_job(actuator: Actuator, shard: Shard, change: ShardChange) -> Job:
    place = shard.place
    target = Target(place.pool, place.region, shard.base, decide_target(shard.vms, change), change.imports)
    versions = {vm.hostname: vm.version for vm in shard.vms if vm.hostname in change.hostnames}

    async def allow(conn: Connection) -> list[str]:
        return await rows.check_rows(conn, place.pool, versions, change.deletes)

    return Job(
        place=place,
        variables=render_shard(shard.site, target, actuator.secret),
        change={
            "creates": sorted(change.creates),
            "imports": sorted(change.imports),
            "deletes": sorted(change.deletes),
        },
        check=partial(check_plan, expected=change),
        allow=allow,
        record=partial(record_shard, place, change.creates),
        note=weigh_plan(shard.prices, shard.vms, change.creates, change.deletes),
        untaint=await _find_tainted(actuator, shard) if shard.troubled else (),
    )


async def _find_tainted(actuator: Actuator, shard: Shard) -> tuple[str, ...]:
    """VMs whose creation did not come to its end for Terraform, and that are at work all the same."""
    workspace = await open_workspace(actuator, shard.place)
    async with actuator.db.connection() as conn:
        state = await read_tf_state(conn, actuator, shard.place, workspace)
    heard = {vm.hostname for vm in shard.vms if vm.phase is Phase.LIVE and vm.heard_at}
    tainted = sorted(vm.hostname for vm in state.vms if vm.tainted) if state else []
    return tuple(f'aws_instance.vm["{hostname}"]' for hostname in tainted if hostname in heard)


async def _read_again(actuator: Actuator, shard: Shard) -> Shard:
    async with actuator.db.connection() as conn:
        pool = await rows.read_pool(conn, shard.place.pool)
    vms = (
        tuple(vm for vm in pool.vms if (vm.region, str(vm.shard)) == (shard.place.region, shard.place.part))
        if pool
        else ()
    )
    return replace(shard, vms=vms, looked=False)


async def record_shard(
    place: Place, creates: Set[str], conn: Connection, state: TfState | None, result: Result
) -> None:
    """What a run has brought about, whether it succeeded, failed or was killed."""
    await lock_pool(conn, place.pool)  # first, as in every transaction that drains
    if state is not None:
        await rows.record_instances(conn, place.pool, place.region, int(place.part), state.vms)
        await _end_half_made(conn, place, state)
        if not state.resources and result.outcome == SUCCEEDED:
            await forget_state(conn, place.state_key)
    made = state.hostnames if state else frozenset[str]()
    refused = [host for host in result.hosts(Cause.CAPACITY) if host in creates and host not in made]
    if refused:
        await rows.write_refusals(conn, refused, Cause.CAPACITY)
        await rows.drain_vms(
            conn, place.pool, refused, "AWS had no capacity for it: another place is tried under a new name"
        )
    if short := [host for host in result.hosts(Cause.QUOTA) if host in creates and host not in made]:
        await rows.write_refusals(conn, short, Cause.QUOTA)
    await rows.drop_imports(conn, [f.hostname for f in result.failures if f.hostname and NOT_IMPORTED in f.said])
    await _count(conn, place, creates, result)


async def _end_half_made(conn: Connection, place: Place, state: TfState) -> None:
    """A VM that was made but did not come up as it should is replaced, unless it is heard of: then it is untainted."""
    tainted = [vm.hostname for vm in state.vms if vm.tainted]
    if tainted:
        heard = await rows.read_heard(conn, tainted)
        silent = [hostname for hostname in tainted if hostname not in heard]
        await rows.drain_vms(conn, place.pool, silent, "its creation did not come to its end")


async def _count(conn: Connection, place: Place, creates: Set[str], result: Result) -> None:
    """Only runs that were to create count, and an interrupted one says nothing about the pool."""
    if creates and result.outcome == SUCCEEDED:
        await rows.count_success(conn, place.pool)
    elif creates and result.outcome == FAILED and (cause := _find_fault(result)):
        await rows.count_failure(conn, place.pool, cause.value)


def _find_fault(result: Result) -> Cause | None:
    """What the pool itself has to wait for. A refused place is remembered as such, and the next one is tried at once."""
    others = tuple(failure for failure in result.failures if failure.cause is not Cause.CAPACITY)
    return replace(result, failures=others).cause
