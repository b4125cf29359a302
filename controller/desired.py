"""Keeps the rows of pools equal to the desired version in force, after `controller.desired_file` has had its say.

Called at the head of every reconcile; writes only when the version or a start-up script changed, or an AMI is still unresolved.
"""

from collections.abc import Mapping
from pathlib import Path

import structlog

from controller.desired_file import read_script, sync_file
from controller.errors import CloudError
from controller.world import World
from schemas.lab import Lab, Pool
from store.deployment import read_deployment
from store.desired import read_in_force
from store.lease import fenced
from store.pool import declare_pool, read_amis, remove_others, resolve_ami

log = structlog.get_logger()


async def sync_desired(world: World) -> None:
    """File and record are equal afterwards, or a condition says why not; the rows of pools follow what is in force."""
    async with world.db.connection() as conn:
        deployment = await read_deployment(conn)
        in_force = await read_in_force(conn)
    if world.settings.desired_file:
        in_force = await sync_file(world, deployment, in_force)
    if in_force is None:
        return
    scripts = read_scripts(in_force.lab, world.settings.desired_file)
    declared = (in_force.version, tuple(sorted(scripts.items())))
    if declared != world.sight.declared:
        await declare(world, in_force.lab, scripts)
        world.wake("look", "")  # a region may be new, and nothing is done in one that was never listed
        world.sight.declared = declared if await resolve_amis(world, in_force.lab) else None


async def declare(world: World, lab: Lab, scripts: Mapping[str, str | None]) -> None:
    """Bring the rows of pools to a document; pools that it does not name are removed, their VMs drain."""
    async with fenced(world.db, world.lease) as conn:
        for name, pool in lab.pools.items():
            await declare_pool(conn, name, pool.region, pool.model_dump(mode="json"), scripts[name])
        await remove_others(conn, list(lab.pools))


async def resolve_amis(world: World, lab: Lab) -> bool:
    """Pin an AMI for each pool whose declared one changed; whether all are pinned now."""
    async with world.db.connection() as conn:
        pinned = await read_amis(conn)
    complete = True
    for name, pool in lab.pools.items():
        source = ami_source(pool)
        if pinned[name][0] == source and pinned[name][1]:
            continue
        ami = await resolve(world, pool.region, source)
        complete = complete and ami is not None
        async with fenced(world.db, world.lease) as conn:
            await resolve_ami(conn, name, source, ami)
    return complete


def ami_source(pool: Pool) -> str:
    """The AMI id or SSM parameter that the declaration names for the pool's region."""
    return pool.ami if isinstance(pool.ami, str) else pool.ami[pool.region]


async def resolve(world: World, region: str, source: str) -> str | None:
    """The AMI id behind an SSM parameter path; an id stands for itself. None while AWS does not answer."""
    if not source.startswith("/"):
        return source
    try:
        return await world.ec2.resolve_ami(region, source)
    except CloudError as error:
        log.warning("an AMI parameter could not be resolved", region=region, parameter=source, error=str(error))
        return None


def read_scripts(lab: Lab, desired_file: Path | None) -> dict[str, str | None]:
    """The start-up script of each pool, read beside the file; None for one that cannot be read (any more).

    `sync_file` has refused a new version whose script is missing. One that is lost later leaves the pool as it was.
    """
    return {name: _read_script(pool, desired_file) for name, pool in lab.pools.items()}


def _read_script(pool: Pool, desired_file: Path | None) -> str | None:
    if pool.startup_script is None:
        return ""
    return read_script(desired_file.parent / pool.startup_script.path) if desired_file else None
