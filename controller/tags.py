"""Keeps AWS's tags equal to who has which VM: what is left of it when the record is lost. A call a change, none at rest.

First comes what the tags know and the record does not (after a restore), so that nothing is written over unread.
"""

import structlog

from controller.errors import CloudError, RetryLater
from controller.world import World
from schemas.token import assignment_tag
from store.assignment_tag import Untold, read_forgotten, read_untold, record_told, reread_assignments
from store.lease import fenced

log = structlog.get_logger()

AGAIN_S = 30.0


async def keep_tags(world: World) -> None:
    """Raises RetryLater while AWS refuses; the other VMs are told all the same."""
    if world.sight.observe_only:
        return
    async with world.db.connection() as conn:
        forgotten = await read_forgotten(conn)
    if forgotten:
        async with fenced(world.db, world.lease) as conn:
            found = await reread_assignments(conn)
        log.warning("tags know people whom the record had forgotten", hosts=found)
    async with world.db.connection() as conn:
        untold = await read_untold(conn)
    refused = [error for one in untold if (error := await _tell(world, one))]
    if refused:
        raise RetryLater(AGAIN_S, f"{len(refused)} VMs could not be tagged: {refused[0]}")


async def _tell(world: World, one: Untold) -> CloudError | None:
    """Say it, and remember that it was said."""
    tag = None
    if one.id is not None and one.email is not None:
        secret = world.settings.deployment_secret.get_secret_value().encode()
        tag = assignment_tag(secret, one.id, one.email)
    try:
        if tag is None:
            await world.ec2.untag_assignment(one.region, one.instance_id)
        else:
            await world.ec2.tag_assignment(one.region, one.instance_id, tag)
    except CloudError as error:
        return error
    async with fenced(world.db, world.lease) as conn:
        await record_told(conn, one.instance_id, tag)
    return None
