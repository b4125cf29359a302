"""The spine at its seams: what comes between two of its steps, and what a pause means for what was decided before it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import cast

import pytest

from controller import loop
from controller.actuator import Actuator
from controller.observe import take_snapshot
from controller.world import World
from schemas.document import parse_lab
from schemas.snapshot import Listing, Snapshot
from store.db import Db, fetch, open_db, transaction
from store.desired import Change, append_version
from tests.controller_world import lead_world

pytestmark = pytest.mark.anyio

ONE = "pools:\n  client:\n    size: 1\n"
TWO = "pools:\n  client:\n    size: 2\n  other:\n    size: 1\n"
NOBODY = cast(Actuator, None)  # whoever uses it fails


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Db]:
    async with open_db(dsn, max_size=4) as db:
        yield db


async def put(db: Db, text: str, based_on: int | None) -> None:
    async with transaction(db) as conn:
        await append_version(conn, Change(text, parse_lab(text).lab, "ada", "api"), based_on)


async def lead(db: Db, dsn: str) -> World:
    world = await lead_world(db, dsn)
    world.sight.observe_only = None
    world.sight.listings["us-west-2"] = Listing(region="us-west-2", taken_at=datetime.now(UTC))
    return world


async def read_hosts(db: Db) -> list[str]:
    async with db.connection() as conn:
        return [row["hostname"] for row in await fetch(conn, "SELECT hostname FROM vm ORDER BY hostname")]


async def test_a_version_that_comes_in_the_middle_of_a_tick_waits_for_the_next(
    db: Db, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(db, ONE, None)
    world = await lead(db, dsn)

    async def accept_another_first(world: World) -> Snapshot | None:
        monkeypatch.undo()
        await put(db, TWO, 1)
        return await take_snapshot(world)

    monkeypatch.setattr(loop, "take_snapshot", accept_another_first)
    await loop.reconcile_once(world)
    assert await read_hosts(db) == []
    await loop.reconcile_once(world)
    assert await read_hosts(db) == ["lablink-client-dev-1", "lablink-client-dev-2", "lablink-other-dev-1"]


async def test_a_paused_pool_is_not_acted_on_by_terraform_either(db: Db, dsn: str) -> None:
    await put(db, ONE, None)
    world = await lead(db, dsn)
    await loop.reconcile_once(world)
    assert await read_hosts(db) == ["lablink-client-dev-1"]
    await put(db, f"{ONE}    paused: true\n", 1)
    await loop.reconcile_once(world)
    assert await loop.actuate_pool(world, NOBODY, "client") is None
    await put(db, ONE, 2)
    await loop.reconcile_once(world)
    with pytest.raises(AttributeError):
        await loop.actuate_pool(world, NOBODY, "client")
