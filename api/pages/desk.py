"""The frame of the admin's pages: their navigation, and the stream that tells them to renew their live parts."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
from litestar import get
from litestar.response import ServerSentEvent, ServerSentEventMessage, Template

from api.pages.shell import AnyRequest, show
from api.parts import TheFeed
from api.signal import Signal
from schemas.release import VERSION

NAVIGATION = (
    ("/admin", "Dashboard"),
    ("/admin/desired", "Desired state"),
    ("/admin/instances", "VMs"),
    ("/admin/assignments", "People"),
    ("/admin/runs", "Terraform runs"),
    ("/admin/events", "Events"),
    ("/admin/costs", "Costs"),
    ("/admin/credentials", "AWS credentials"),
    ("/admin/tokens", "API tokens"),
)
PARTS = {
    "/admin/pools": "/admin",
    "/admin/conditions": "/admin",
    "/admin/logs": "/admin/instances",
    "/admin/create": "/admin/instances",
}
"""Pages that stand under another one's heading."""
BREATH_S = 1.0  # between two renewals of a page, however much happens
LOOK_S = 10.0  # what rings no bell (heartbeats, the passing of time) is shown this late


def show_desk(request: AnyRequest, name: str, status: int = 200, **context: Any) -> Template:
    """An admin's page."""
    actor = request.state.actor.partition("/")[2]
    section = find_section(request.url.path)
    return show(request, name, status, navigation=NAVIGATION, section=section, user=actor, release=VERSION, **context)


def find_section(path: str) -> str:
    """The entry of the navigation that a page belongs to."""
    head = "/".join(path.split("/")[:3])
    return PARTS.get(head, head if head in dict(NAVIGATION) else "/admin")


@get("/admin/live", include_in_schema=False)
async def get_live(feed: TheFeed) -> ServerSentEvent:
    """Says `changed` whenever something happened, and now and then anyway."""
    return ServerSentEvent(_follow(feed), headers={"X-Accel-Buffering": "no"})


async def _follow(feed: Signal) -> AsyncIterator[ServerSentEventMessage]:
    rung = feed.mark()
    yield ServerSentEventMessage(comment="here")
    while not feed.closed:
        with anyio.move_on_after(LOOK_S):
            await rung.wait()
        rung = feed.mark()  # before the page is told: what comes while it renews itself is told next
        yield ServerSentEventMessage(data="", event="changed")
        await anyio.sleep(BREATH_S)


ROUTES = [get_live]
