"""The only reader of the world: lists EC2 per region on its own timer, checks whose account it is, and reads snapshots.

A listing that could not be read whole is no listing: nothing that it covers is acted on until the next whole one.
"""

from datetime import UTC, datetime

import anyio
import structlog

from controller.errors import CloudError
from controller.world import World
from schemas.snapshot import Listing, Snapshot
from store.db import fetch
from store.deployment import pin_account, read_deployment
from store.instance import merge_listing
from store.lease import fenced
from store.state import Observation, read_snapshot

log = structlog.get_logger()


async def take_snapshot(world: World) -> Snapshot | None:
    """One frozen view of the record and of the newest whole listings; None while nothing was ever declared."""
    sight = world.sight
    observation = Observation(sight.listings, sight.observe_only, world.settings.settle_s)
    return await read_snapshot(world.db, observation)


REGIONS = "SELECT DISTINCT region FROM base ORDER BY region"


async def observe_cloud(world: World) -> float | None:
    """List every region that a pool has ever lived in, and wake the reconciler; seconds to the next look, if sooner than usual."""
    async with world.db.connection() as conn:
        regions = [row["region"] for row in await fetch(conn, REGIONS)]
    if regions and world.sight.observe_only:
        world.sight.observe_only = await check_account(world)
    async with anyio.create_task_group() as group:
        for region in regions:
            group.start_soon(observe_region, world, region)
    world.wake("reconcile", "")
    return world.settings.busy_listing_s if world.sight.busy else None


async def observe_region(world: World, region: str) -> None:
    """Merge one whole listing into the record; on any error the region counts as unseen."""
    async with world.db.connection() as conn:
        deployment = await read_deployment(conn)
    taken_at = datetime.now(UTC)
    try:
        seen = await world.ec2.list_instances(region, deployment.id)
    except CloudError as error:
        world.sight.listings.pop(region, None)
        log.warning(
            "the instances could not be listed; nothing is done in this region", region=region, error=str(error)
        )
        return
    async with fenced(world.db, world.lease) as conn:
        await merge_listing(conn, region, taken_at, seen)
    world.sight.listings[region] = Listing(region=region, taken_at=taken_at)


async def check_account(world: World) -> str | None:
    """Pin the AWS account at first use; a sentence when the credentials are of another one, None when all is well."""
    async with world.db.connection() as conn:
        deployment = await read_deployment(conn)
    try:
        account_id = await world.ec2.read_account_id()
    except CloudError as error:
        return f"the AWS credentials could not be checked: {error}"
    if deployment.account_id is None:
        async with fenced(world.db, world.lease) as conn:
            await pin_account(conn, account_id)
    elif deployment.account_id != account_id:
        return (
            f"these credentials are of AWS account {account_id}, but this deployment lives in {deployment.account_id}: "
            "nothing is done until they are of that account again"
        )
    return None
