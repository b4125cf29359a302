"""The facts that policy decides by, from real rows: who asks, who left, as the one snapshot of a tick holds them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from controller import loop
from controller.world import World
from schemas.document import parse_lab
from schemas.snapshot import Listing, Snapshot
from store.assignment import Claim, request_seat
from store.db import Db, fetch, open_db, transaction
from store.desired import Change, append_version
from store.state import Observation, read_snapshot
from tests.controller_world import lead_world

pytestmark = pytest.mark.anyio

ELASTIC = "pools:\n  client:\n    size: {max: 3, spare: 1}\n"


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Db]:
    async with open_db(dsn, max_size=4) as db:
        yield db


@pytest.fixture
async def world(db: Db, dsn: str) -> World:
    """A controller that leads and has looked at the cloud, where nothing is."""
    world = await lead_world(db, dsn)
    world.sight.observe_only = None
    world.sight.listings["us-west-2"] = Listing(region="us-west-2", taken_at=datetime.now(UTC))
    return world


async def put(db: Db, text: str) -> None:
    async with transaction(db) as conn:
        await append_version(conn, Change(text, parse_lab(text).lab, "ada", "api"), None)


async def ask(db: Db, *emails: str) -> None:
    for email in emails:
        async with transaction(db) as conn:
            await request_seat(conn, Claim("client", email, "4/x", "123456"))


async def run(db: Db, sql: str) -> None:
    async with transaction(db) as conn:
        await conn.execute(sql)


async def read(db: Db) -> Snapshot:
    snapshot = await read_snapshot(db, Observation(listings={}))
    assert snapshot is not None
    return snapshot


async def read_hosts(db: Db) -> list[str]:
    async with db.connection() as conn:
        return [row["hostname"] for row in await fetch(conn, "SELECT hostname FROM vm ORDER BY hostname")]


async def test_a_pool_that_follows_demand_grows_for_those_in_line(db: Db, world: World) -> None:
    await put(db, ELASTIC)
    await loop.reconcile_once(world)
    assert await read_hosts(db) == ["lablink-client-dev-1"]
    await ask(db, "ada@example.org", "bob@example.org", "cyd@example.org", "dan@example.org")
    await loop.reconcile_once(world)
    assert await read_hosts(db) == [f"lablink-client-dev-{n}" for n in (1, 2, 3)]


async def test_a_snapshot_counts_who_waits_and_who_left_within_ten_minutes(db: Db) -> None:
    await put(db, ELASTIC)
    assert (await read(db)).asked == {}
    await ask(db, "ada@example.org", "bob@example.org", "cyd@example.org")
    await run(db, "UPDATE assignment SET status = 'ended', ended_at = now() WHERE email = 'ada@example.org'")
    past = "now() - interval '11 minutes'"
    await run(db, f"UPDATE assignment SET status = 'ended', ended_at = {past} WHERE email = 'bob@example.org'")
    asked = (await read(db)).asked["client"]
    assert (asked.waiting, asked.left) == (1, 1)
    assert asked.left_at is not None
