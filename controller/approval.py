"""Asks for approval of a version that may cost too much more than the last one that needed none. Called when a version comes into force."""

from controller.decide.approval import weigh_change
from controller.decide.prices import PriceList
from controller.world import World
from store.approval import ask_approval, read_cleared
from store.desired import InForce, parse_document
from store.event import write_event
from store.lease import fenced
from store.usage import read_live_prices

ACTOR = "controller"


async def weigh_version(world: World, in_force: InForce) -> None:
    """Written before anything is decided about the version; harmless when repeated."""
    async with fenced(world.db, world.lease) as conn:
        before = await read_cleared(conn, in_force.version)
        if before is None:
            return
        prices = PriceList.of(in_force.lab.prices, await read_live_prices(conn))
        approval = weigh_change(in_force.version, parse_document(before), in_force.lab, prices)
        if approval is None or not await ask_approval(conn, approval):
            return
        message = (
            f"version {approval.version} may cost up to ${approval.wanted_usd:,.2f} an hour, ${approval.cleared_usd:,.2f} before: "
            f"growth waits for `lablink approve {approval.version}`"
        )
        await write_event(conn, ACTOR, "desired", "ApprovalNeeded", message)
