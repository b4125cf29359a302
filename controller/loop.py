"""The spine: what happens at each wake-up. Both loops are level-triggered; a crash anywhere is repaired by the next round."""

from controller.actuate import actuate_once
from controller.actuator import Actuator
from controller.commit import bind_people, commit_decision, commit_status
from controller.decide.invariants import drop_unlawful
from controller.decide.pool import decide
from controller.desired import sync_desired
from controller.observe import take_snapshot
from controller.unapplied import find_unapplied
from controller.world import Tick, World
from store.desired import read_in_force


async def reconcile_once(world: World) -> None:
    """Compare what is declared with what is, decide what follows, write it down, and wake who applies it. All pools at once."""
    version = await sync_desired(world)
    if not world.sight.listings and not world.sight.unseen:
        return  # this term has not looked at the cloud yet; the first look wakes us
    snapshot = await take_snapshot(world)
    if snapshot is None or snapshot.version != version:
        return  # accepted between the two reads: the rows of pools do not follow it yet, and its NOTIFY has woken us again
    decision = drop_unlawful(snapshot, decide(snapshot))
    await commit_decision(world, snapshot, decision)
    await commit_status(world, snapshot, decision)
    await bind_people(world.db)
    world.sight.tick = Tick(snapshot, decision)
    busy = not all(pool.converged for pool in decision.pools.values())
    if busy and not world.sight.busy:
        world.wake("look", "")
    world.sight.busy = busy
    for pool in find_unapplied(snapshot, decision):
        world.wake("actuate", pool)


async def actuate_pool(world: World, actuator: Actuator, pool: str) -> float | None:
    """Bring AWS to the rows of one pool through Terraform; seconds after which it is worth another look, if any."""
    async with world.db.connection() as conn:
        in_force = await read_in_force(conn)
    if in_force is None or world.sight.observe_only:
        return None
    declared = in_force.lab.pools.get(pool)
    if declared and declared.paused:  # also what was decided before the pause waits for its end
        return None
    outcome = await actuate_once(actuator, in_force.lab, pool, world.sight.listings)
    return 0.0 if outcome.more_work else outcome.retry_after_s
