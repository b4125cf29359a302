"""Keeps the rows of pools equal to the desired version in force, after `controller.desired_file` has had its say.

Called at the head of every reconcile; writes only when the version or a start-up script changed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from controller.amis import pin_amis
from controller.approval import weigh_version
from controller.desired_file import read_script, sync_file
from controller.roster import read_roster
from controller.world import World
from schemas.lab import Lab
from schemas.settings import Settings
from store.course import put_rosters
from store.deployment import read_deployment
from store.desired import read_in_force
from store.lease import fenced
from store.pool import declare_pool, forget_untouched_bases, remove_others


async def sync_desired(world: World) -> int | None:
    """File and record are equal afterwards, or a condition says why not; the version that the rows of pools follow now."""
    async with world.db.connection() as conn:
        deployment = await read_deployment(conn)
        in_force = await read_in_force(conn)
    if world.settings.desired_file:
        in_force = await sync_file(world, deployment, in_force)
    if in_force is None:
        return None
    scripts = read_scripts(in_force.lab, world.settings)
    rosters = read_rosters(in_force.lab, world.settings.desired_file)
    declared = (in_force.version, tuple(sorted(scripts.items())), tuple(sorted(rosters.items())))
    if declared != world.sight.declared:
        await declare(world, in_force.lab, scripts, rosters)
        await weigh_version(world, in_force)
        world.wake("look", "")  # a region may be new, and nothing is done in one that was never listed
        await pin_amis(world, in_force.lab)
        world.sight.declared = declared
        for pool in in_force.lab.pools:
            world.wake("actuate", pool)  # a base may have changed, which no VM tells
    return in_force.version


async def declare(
    world: World, lab: Lab, scripts: Mapping[str, str | None], rosters: Mapping[str, Sequence[str] | None]
) -> None:
    """Bring the rows of pools to a document; pools that it does not name are removed, their VMs drain."""
    async with fenced(world.db, world.lease) as conn:
        for name, pool in lab.pools.items():
            await declare_pool(conn, name, pool.region, pool.model_dump(mode="json"), scripts[name])
        await remove_others(conn, list(lab.pools))
        await put_rosters(conn, rosters)
        await forget_untouched_bases(conn, {name: pool.region for name, pool in lab.pools.items()})


def read_scripts(lab: Lab, settings: Settings) -> dict[str, str | None]:
    """The start-up script of each pool, read beside the file; None for one that cannot be read (any more).

    `sync_file` has refused a new version whose script is missing. One that is lost later leaves the pool as it was.
    """
    return {
        name: read_script(settings, pool.startup_script) if pool.startup_script else ""
        for name, pool in lab.pools.items()
    }


def read_rosters(lab: Lab, desired_file: Path | None) -> dict[str, tuple[str, ...] | None]:
    """The people of each course that has a roster, read beside the file; None for one that cannot be read (any more)."""
    return {
        name: read_roster(desired_file.parent / course.roster) if desired_file else None
        for name, course in lab.courses.items()
        if course.roster
    }
