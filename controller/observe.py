"""The only reader of the world: lists EC2 per region on its own timer, checks whose account it is, and reads snapshots.

A listing that could not be read whole is no listing: nothing that it covers is acted on until the next whole one.
"""

from collections.abc import Sequence

import structlog

from controller.errors import Cause, CloudError
from controller.say import say, say_no_more
from controller.world import World
from schemas.lab import Lab
from schemas.snapshot import Listing, Snapshot
from store.db import UNREACHABLE, fetch
from store.deployment import Deployment, pin_account, read_deployment
from store.desired import read_in_force
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
        await check_account(world, regions)
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
            await check_account(world, [region])
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
    world.wake("tags", "")


async def say_what_is_unseen(world: World) -> None:
    """The condition `CloudReachable`, over all regions."""
    async with world.db.connection() as conn:
        deployment = await read_deployment(conn)
    if unseen := sorted(world.sight.unseen.items()):
        message = "; ".join(f"nothing is done in {region}: {error}" for region, error in unseen)
        await say(world, deployment, "CloudReachable", False, "ListingFailed", message)
    else:
        await say(world, deployment, "CloudReachable", True, "Listed", "the instances of every region could be listed")


async def check_account(world: World, regions: Sequence[str]) -> None:
    """Pin the AWS account at first use. Where account or deployment are not surely ours, all is only observed, and that is said."""
    async with world.db.connection() as conn:
        deployment = await read_deployment(conn)
        in_force = await read_in_force(conn)
    try:
        trouble = await _find_other_account(world, deployment)
        if trouble is None and in_force:
            trouble = await _find_namesakes(world, deployment, in_force.lab, regions)
    except CloudError as error:
        trouble = ("NotChecked", f"the AWS credentials could not be checked: {error}")
    if trouble:
        await say(world, deployment, "ObserveOnly", True, *trouble)
    else:
        await say_no_more(
            world, deployment, "ObserveOnly", "AccountChecked", "account and deployment are the right ones"
        )
    if world.sight.observe_only and not trouble:
        world.sight.listings.clear()  # taken as somebody else, perhaps: of another account, or before another record's VMs were adopted
    world.sight.observe_only = trouble[1] if trouble else None


Trouble = tuple[str, str] | None
"""Reason and sentence."""


async def _find_other_account(world: World, deployment: Deployment) -> Trouble:
    account_id = await world.ec2.read_account_id()
    if deployment.account_id is None:
        async with fenced(world.db, world.lease) as conn:
            await pin_account(conn, account_id)
    elif deployment.account_id != account_id:
        return "OtherAccount", (
            f"these credentials are of AWS account {account_id}, but this deployment lives in {deployment.account_id}: "
            "nothing is done until they are of that account again"
        )
    return None


async def _find_namesakes(world: World, deployment: Deployment, lab: Lab, regions: Sequence[str]) -> Trouble:
    """An empty database beside a fleet that lives, or the same file on a laptop: names would be given twice."""
    for region in regions:
        found = await world.ec2.find_namesakes(region, lab.deployment, lab.environment, deployment.id)
        if found:
            return "OtherDeployment", (
                f"{len(found)} instances in {region}, such as {found[0]}, are of another deployment named {lab.deployment} "
                f"({lab.environment}): restore its database, take its VMs over (`lablink adopt`), or give this one another `deployment` or `environment`; "
                "nothing is done until then"
            )
    return None
