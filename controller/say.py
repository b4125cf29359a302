"""Conditions of the whole deployment: what the admin has to know that belongs to no single pool. Called by the controller's own steps."""

from controller.world import World
from schemas.status import Condition
from store.deployment import Deployment, set_condition
from store.event import write_event
from store.lease import fenced

ACTOR, SUBJECT = "controller", "deployment"


async def say(world: World, deployment: Deployment, type_: str, status: bool, reason: str, message: str) -> None:
    """Write a condition if it is news; a trouble that begins or ends is an event, too."""
    condition = Condition(type=type_, status=status, reason=reason, message=message, since=deployment.read_at)
    old = deployment.conditions.get(type_)
    if not condition.adds_to(old):
        return
    turned = old.status != status if old else not condition.good
    async with fenced(world.db, world.lease) as conn:
        await set_condition(conn, condition)
        if turned:
            await write_event(conn, ACTOR, SUBJECT, type_ if status else f"Not{type_}", message, {"reason": reason})


async def say_no_more(world: World, deployment: Deployment, type_: str, reason: str, message: str) -> None:
    """A trouble is over, if it ever was one."""
    if type_ in deployment.conditions:
        await say(world, deployment, type_, False, reason, message)
