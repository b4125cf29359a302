"""What is written of a decision: rows, an event for each action that was written, the tick; and nothing when nothing was decided."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from psycopg import Rollback

from controller.commit import bind_people, commit_decision, commit_status
from controller.decide.invariants import check_invariants
from controller.decide.pool import decide
from controller.desired import sync_desired
from controller.observe import take_snapshot
from controller.progress import Progress
from controller.world import World
from schemas.decision import Decision
from schemas.document import parse_lab
from schemas.snapshot import Listing, Snapshot
from store.actuation import set_condition
from store.assignment import BATCH, Claim, request_seats
from store.db import Db, fetch, fetch_one, open_db, transaction
from store.desired import Change, append_version
from store.lease import Lease, LeaseLost
from store.seat import free_seats
from store.tick import read_tick
from tests.controller_world import lead_world

pytestmark = pytest.mark.anyio

WRITTEN = """
SELECT (SELECT count(*) FROM event) AS events, (SELECT count(*) FROM tick) AS ticks,
       (SELECT string_agg(xmin::text || ':' || hostname, ',' ORDER BY hostname) FROM vm) AS vms,
       (SELECT string_agg(xmin::text || ':' || name, ',' ORDER BY name) FROM pool) AS pools
"""
"""Tells any write: `xmin` is the transaction that wrote a row last."""


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Db]:
    async with open_db(dsn, max_size=4) as db:
        yield db


@pytest.fixture
async def world(db: Db, dsn: str) -> World:
    """It leads, three VMs are declared, and the region has just been listed."""
    world = await lead_world(db, dsn)
    await declare(world, 3)
    world.sight.observe_only = None
    world.sight.listings["us-west-2"] = Listing(region="us-west-2", taken_at=datetime.now(UTC))
    return world


async def declare(world: World, size: int) -> None:
    text = f"pools:\n  client:\n    size: {size}\n"
    async with transaction(world.db) as conn:
        newest = await fetch_one(conn, "SELECT max(version) AS version FROM desired_version")
        assert newest is not None
        await append_version(conn, Change(text, parse_lab(text).lab, "ada", "api"), newest["version"])
    await sync_desired(world)


async def look(world: World) -> tuple[Snapshot, Decision]:
    snapshot = await take_snapshot(world)
    assert snapshot is not None
    decision = decide(snapshot)
    check_invariants(snapshot, decision)
    return snapshot, decision


async def commit(world: World) -> Decision:
    snapshot, decision = await look(world)
    await commit_decision(world, snapshot, decision)
    await commit_status(world, snapshot, decision)
    return decision


async def read_written(db: Db) -> dict[str, object]:
    async with db.connection() as conn:
        row = await fetch_one(conn, WRITTEN)
    assert row is not None
    return row


async def read_reasons(db: Db, subject: str) -> list[tuple[str, str]]:
    async with db.connection() as conn:
        rows = await fetch(conn, "SELECT subject, reason FROM event WHERE subject LIKE %s ORDER BY id", (subject,))
    return [(row["subject"], row["reason"]) for row in rows]


async def read_condition(db: Db, kind: str) -> dict[str, object]:
    async with db.connection() as conn:
        row = await fetch_one(conn, "SELECT conditions->%s AS it FROM pool", (kind,))
    assert row is not None
    assert row["it"] is not None
    return dict(row["it"])


async def make_live(world: World) -> None:
    """As if Terraform had made them and all had called in."""
    async with transaction(world.db) as conn:
        rows = await fetch(
            conn, "UPDATE vm SET phase = 'live', in_state = true, instance_id = 'i-' || hostname RETURNING hostname"
        )
        await free_seats(conn, [row["hostname"] for row in rows])  # fmt: skip


async def test_each_written_action_has_its_event_with_the_reason(world: World, db: Db) -> None:
    decision = await commit(world)
    assert [action.kind for action in decision.actions] == ["create"] * 3
    assert await read_reasons(db, "vm/%") == [(f"vm/lablink-client-dev-{n}", "VmPlanned") for n in (1, 2, 3)]
    async with db.connection() as conn:
        told = await fetch(conn, "SELECT DISTINCT message FROM event WHERE subject LIKE 'vm/%%'")
    assert [row["message"] for row in told] == [decision.actions[0].reason]


async def test_an_action_on_a_row_that_moved_on_is_neither_written_nor_told(world: World, db: Db) -> None:
    await commit(world)
    await declare(world, 1)
    snapshot, decision = await look(world)
    ended = sorted(action.hostname for action in decision.actions if action.kind == "end")
    assert len(ended) == 2
    async with transaction(db) as conn:
        await conn.execute("UPDATE vm SET version = version + 1 WHERE hostname = %s", (ended[0],))
    await commit_decision(world, snapshot, decision)
    assert [said for said in await read_reasons(db, "vm/%") if said[1] == "VmDraining"] == [
        (f"vm/{ended[1]}", "VmDraining")
    ]
    async with db.connection() as conn:
        rows = await fetch(conn, "SELECT hostname FROM vm WHERE phase = 'draining'")
    assert [row["hostname"] for row in rows] == [ended[1]]


async def test_the_tick_can_be_read_and_decides_the_same_again(world: World, db: Db) -> None:
    snapshot, decision = await look(world)
    await commit_decision(world, snapshot, decision)
    async with db.connection() as conn:
        row = await fetch_one(conn, "SELECT id FROM tick")
        assert row is not None
        kept = await read_tick(conn, row["id"])
        assert await read_tick(conn, row["id"] + 1) is None
    assert kept == (snapshot, decision)
    assert decide(kept[0]) == decision


async def test_at_rest_a_decision_writes_nothing(world: World, db: Db) -> None:
    await commit(world)
    await make_live(world)
    for _ in range(2):  # the last of what changed is told
        await commit(world)
    before = await read_written(db)
    for _ in range(5):
        decision = await commit(world)
        assert decision.pools["client"].converged
    assert await read_written(db) == before


async def test_a_pool_at_rest_has_met_its_generation(world: World, db: Db) -> None:
    read = "SELECT generation, observed_generation FROM pool"
    await commit(world)
    async with db.connection() as conn:
        assert await fetch_one(conn, read) == {"generation": 1, "observed_generation": 0}
    await make_live(world)
    await commit(world)
    async with db.connection() as conn:
        assert await fetch_one(conn, read) == {"generation": 1, "observed_generation": 1}


async def test_conditions_of_other_writers_stay_as_they_are(world: World, db: Db) -> None:
    snapshot, decision = await look(world)
    async with transaction(db) as conn:  # after the look, before the commit
        await set_condition(conn, "client", "ApplyFailed", "capacity", "AWS had none")
    await commit_status(world, snapshot, decision)
    failed = await read_condition(db, "ApplyFailed")
    assert (failed["status"], failed["message"]) == (True, "AWS had none")
    assert (await read_condition(db, "Converged"))["status"] is False
    await commit(world)
    assert await read_condition(db, "ApplyFailed") == failed


async def test_a_condition_that_turns_is_an_event_and_one_that_stays_is_none(world: World, db: Db) -> None:
    await commit(world)
    await make_live(world)
    await commit(world)
    reasons = [reason for _, reason in await read_reasons(db, "pool/client")]
    assert reasons.count("NotConverged") == 1
    assert reasons[-2:] == ["Converged", "Ready"]


async def test_who_is_fenced_off_writes_nothing(world: World, db: Db) -> None:
    snapshot, decision = await look(world)
    before = await read_written(db)
    old = World(world.db, Lease(world.lease.holder, world.lease.token - 1), world.settings, world.ec2, world.wake)
    with pytest.raises(LeaseLost):
        await commit_decision(old, snapshot, decision)
    with pytest.raises(LeaseLost):
        await commit_status(old, snapshot, decision)
    assert await read_written(db) == before


async def test_a_tick_makes_up_for_every_binding_that_was_cut_short(world: World, db: Db) -> None:
    people = BATCH + 20
    await declare(world, people)
    await commit(world)
    async with transaction(db) as conn:
        await conn.execute("UPDATE vm SET phase = 'live'")
        await free_seats(conn, [f"lablink-client-dev-{n}" for n in range(1, people + 1)])
        for n in range(people):
            await request_seats(conn, [Claim("client", f"p{n}@example.org", "4/code", "123456")])
    await bind_people(db)
    async with db.connection() as conn:
        assert await fetch_one(conn, "SELECT count(*) AS n FROM assignment WHERE status = 'active'") == {"n": people}


async def test_what_a_terraform_says_is_written_again_when_its_transaction_came_to_nothing(db: Db) -> None:
    progress = Progress("client", 1)
    said = {
        "type": "apply_start",
        "@timestamp": "2026-11-27T09:00:00Z",
        "@message": 'aws_instance.vm["a"]: Creating...',
    }
    progress.take({**said, "hook": {"resource": {"addr": 'aws_instance.vm["a"]'}, "action": "create"}})
    async with transaction(db) as conn:
        await progress.write(conn)
        raise Rollback  # psycopg's own word for a transaction that comes to nothing
    assert progress.waiting
    async with transaction(db) as conn:
        written = await progress.write(conn)
    progress.forget(written)
    assert not progress.waiting
    async with db.connection() as conn:
        events = await fetch(conn, "SELECT subject, reason FROM event WHERE actor = 'terraform'")
    assert events == [{"subject": "vm/a", "reason": "Creating"}]
