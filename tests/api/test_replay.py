"""A stored tick is decided once more: the same answer, or the difference that today's code makes; nothing of its document is shown."""

import pytest

from controller.decide.pool import decide
from schemas.decision import Decision
from schemas.snapshot import Snapshot
from store.db import transaction
from store.tick import write_tick
from tests.api.world import World, serving
from tests.decide_world import Situation

pytestmark = pytest.mark.anyio


async def keep(world: World, snapshot: Snapshot, decision: Decision) -> int:
    async with transaction(world.db) as conn:
        return await write_tick(conn, snapshot, decision)


async def test_replay_of_an_unchanged_policy_gives_the_same_answer(dsn: str) -> None:
    snapshot = Situation({"client": {"size": 2, "access_code": None}}).add("ready", 1).snapshot()
    async with serving(dsn) as world:
        tick = await keep(world, snapshot, decide(snapshot))
        answer = (await world.admin.get(f"/api/v1/ticks/{tick}")).json()
    assert (answer["same"], answer["difference"], answer["version"]) == (True, "", 1)
    assert "create lablink-client-dev-2" in answer["rendered"]
    assert "snapshot" not in answer


async def test_replay_shows_what_would_be_decided_otherwise_now(dsn: str) -> None:
    snapshot = Situation({"client": 2}).add("ready", 1).snapshot()
    other = decide(Situation({"client": 1}).add("ready", 1).snapshot())
    async with serving(dsn) as world:
        tick = await keep(world, snapshot, other)
        answer = (await world.admin.get(f"/api/v1/ticks/{tick}")).json()
    assert answer["same"] is False
    assert "+  create lablink-client-dev-2" in answer["difference"]


async def test_a_tick_of_another_release_is_said_to_be_unreadable(dsn: str) -> None:
    snapshot = Situation({"client": 1}).snapshot()
    async with serving(dsn) as world:
        tick = await keep(world, snapshot, decide(snapshot))
        await world.sql("UPDATE tick SET snapshot = decision WHERE id = %s", tick)
        refused = await world.admin.get(f"/api/v1/ticks/{tick}")
        assert (refused.status_code, "another release" in refused.json()["error"]) == (409, True)
        assert (await world.admin.get(f"/api/v1/ticks/{tick + 1}")).status_code == 404
        assert (await world.admin.get(f"/api/v1/ticks/{2**70}")).status_code == 404
        assert (await world.http.get(f"/api/v1/ticks/{tick}")).status_code == 401
