"""Pins the AMI of each pool: an id at once, what an SSM parameter holds as soon as AWS says so.

Asking AWS is a handler of its own, a pool at a time, so that a region that does not answer delays no other pool.
"""

from controller.errors import CloudError, RetryLater
from controller.world import World
from schemas.lab import Lab
from store.actuation import clear_condition, set_condition
from store.desired import read_in_force
from store.lease import fenced
from store.pool import pin_ami, read_amis, resolve_ami

AGAIN_S = 30.0
UNREADABLE = "AmiUnreadable"


async def pin_amis(world: World, lab: Lab) -> None:
    """What is declared by id is pinned; of a pool that now names another parameter no AMI is known until AWS was asked."""
    async with world.db.connection() as conn:
        pinned = await read_amis(conn)
    for name, pool in lab.pools.items():
        source, known = pool.ami_source, pinned[name]
        ami = pool.literal_ami
        if known[0] != source:
            async with fenced(world.db, world.lease) as conn:
                await pin_ami(conn, name, source, ami)
                await clear_condition(conn, name, UNREADABLE, "another AMI is declared")
        if ami is None and (known[0] != source or known[1] is None):
            world.wake("resolve", name)


async def resolve_pool(world: World, name: str) -> None:
    """Ask AWS for the AMI of one pool, unless it is known; raises RetryLater while AWS does not say, which is then a condition."""
    async with world.db.connection() as conn:
        in_force = await read_in_force(conn)
        source, ami = (await read_amis(conn)).get(name, (None, None))
    pool = in_force.lab.pools.get(name) if in_force else None
    if pool is None or ami is not None or source != pool.ami_source:
        return
    try:
        ami = await world.ec2.resolve_ami(pool.region, pool.declared_ami)
    except CloudError as error:
        async with fenced(world.db, world.lease) as conn:
            await set_condition(conn, name, UNREADABLE, error.cause, str(error))
        raise RetryLater(AGAIN_S, str(error)) from error
    async with fenced(world.db, world.lease) as conn:
        await resolve_ami(conn, name, source, ami)
        await clear_condition(conn, name, UNREADABLE, "AWS has said which AMI it is")
    world.wake("reconcile", "")
