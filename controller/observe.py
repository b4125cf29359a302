"""The only reader of the world: lists EC2 per region on its own timer, checks whose account it is, and reads snapshots.

A listing that could not be read whole is no listing: nothing that it covers is acted on until the next whole one.
"""

import structlog

from controller.errors import Cause, CloudError
from controller.say import say, say_no_more
from controller.world import World
from schemas.snapshot import Listing, Snapshot
from store.db import UNREACHABLE, fetch
from store.deployment import Deployment, pin_account, read_deployment
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


async def observe_cloud(world: World, region: str) -> float | None:
    """Look at one region; without one, have every region that a pool has ever lived in looked at.

    Each by itself, so that none waits for another. Seconds to the next round, if sooner than usual.
    """
    if region:
        await observe_region(world, region)
        return None
    async with world.db.connection() as conn:
        regions = [row["region"] for row in await fetch(conn, REGIONS)]
    if regions and world.sight.observe_only:
        await check_account(world)
    if world.sight.unseen.keys() - set(regions):  # no pool is there any more
        world.sight.unseen = {each: why for each, why in world.sight.unseen.items() if each in regions}
        await say_what_is_unseen(world)
    for each in regions:
        world.wake("look", each)
    return world.settings.busy_listing_s if world.sight.busy else None


async def observe_region(world: World, region: str) -> None:
    """Merge one whole listing into the record; on any error the region counts as unseen. Either way the reconciler is woken."""
    async with world.db.connection() as conn:
        deployment = await read_deployment(conn)
    taken_at = deployment.read_at
    try:
        seen = await world.ec2.list_instances(region, deployment.id)
        async with fenced(world.db, world.lease) as conn:
            await merge_listing(conn, region, taken_at, seen)
    except CloudError as error:
        world.sight.listings.pop(region, None)
        world.sight.unseen[region] = str(error)
        log.warning("the instances could not be listed; nothing is done there", region=region, error=str(error))
        if error.cause is Cause.CREDENTIALS:  # better ones may be of another account
            await check_account(world)
    except UNREACHABLE:  # nothing is decided without the database either
        raise
    except Exception:
        world.sight.listings.pop(region, None)  # an older listing must not stand for what could not be taken in
        raise
    else:
        world.sight.listings[region] = Listing(region=region, taken_at=taken_at)
        world.sight.unseen.pop(region, None)
    await say_what_is_unseen(world)
    world.wake("reconcile", "")


async def say_what_is_unseen(world: World) -> None:
    """The condition `CloudReachable`, over all regions."""
    async with world.db.connection() as conn:
        deployment = await read_deployment(conn)
    if unseen := sorted(world.sight.unseen.items()):
        message = "; ".join(f"nothing is done in {region}: {error}" for region, error in unseen)
        await say(world, deployment, "CloudReachable", False, "ListingFailed", message)
    else:
        await say(world, deployment, "CloudReachable", True, "Listed", "the instances of every region could be listed")


async def check_account(world: World) -> None:
    """Pin the AWS account at first use. With credentials of another one, or unchecked ones, all is only observed, and that is said."""
    async with world.db.connection() as conn:
        deployment = await read_deployment(conn)
    reason, world.sight.observe_only = await _find_account_trouble(world, deployment)
    if world.sight.observe_only:
        await say(world, deployment, "ObserveOnly", True, reason, world.sight.observe_only)
    else:
        await say_no_more(
            world, deployment, "ObserveOnly", "AccountChecked", "the credentials are of the right account"
        )


async def _find_account_trouble(world: World, deployment: Deployment) -> tuple[str, str | None]:
    try:
        account_id = await world.ec2.read_account_id()
    except CloudError as error:
        return "NotChecked", f"the AWS credentials could not be checked: {error}"
    if deployment.account_id is None:
        async with fenced(world.db, world.lease) as conn:
            await pin_account(conn, account_id)
    elif deployment.account_id != account_id:
        return "OtherAccount", (
            f"these credentials are of AWS account {account_id}, but this deployment lives in {deployment.account_id}: "
            "nothing is done until they are of that account again"
        )
    return "", None
