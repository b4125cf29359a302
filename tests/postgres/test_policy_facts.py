"""The facts that policy decides by, from real rows: who asks, who left, who came to a course, how long starts took."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controller import loop
from controller.roster import read_roster
from controller.world import World
from schemas.decision import EndAssignment
from schemas.document import parse_lab
from schemas.pool import Attendance
from schemas.snapshot import Listing, Snapshot
from store.assignment import Claim, bind_waiting, request_seats
from store.course import put_rosters
from store.db import Db, fetch, open_db, transaction
from store.desired import Change, append_version
from store.event import read_events
from store.seat import free_seats, lock_pool
from store.session import end_sessions
from store.state import Observation, read_snapshot
from store.vm import Contact, Report, record_reports, write_heard
from tests.api.world import add_vms
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
            await request_seats(conn, [Claim("client", email, "4/x", "123456")])


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


def course(begins_in: timedelta, lasts: timedelta, more: str = "") -> str:
    begins = datetime.now(UTC) + begins_in
    ends = begins + lasts
    return f"{ELASTIC}courses:\n  friday: {{pool: client, from: {begins.isoformat()}, to: {ends.isoformat()}, seats: 2{more}}}\n"


async def seat(db: Db, hostname: str, start_s: int = 100) -> None:
    async with transaction(db) as conn:
        await add_vms(conn, [hostname], "client")
        await free_seats(conn, [hostname])
        await conn.execute("UPDATE vm SET ready_at = created_at + %s * interval '1 second'", (start_s,))
        await bind_waiting(conn, "client")


async def test_without_a_roster_whoever_comes_for_a_course_is_counted(db: Db) -> None:
    await put(db, course(timedelta(minutes=10), timedelta(hours=1)))
    await ask(db, "ada@example.org", "bob@example.org", "cyd@example.org")
    await seat(db, "lablink-client-dev-1")
    snapshot = await read(db)
    assert snapshot.attendance["friday"] == Attendance(seated=1, waiting=2, hosts=frozenset({"lablink-client-dev-1"}))
    assert snapshot.starts == {"client": {"g4dn.xlarge": 100.0}}


async def test_with_a_roster_its_people_are_counted_whenever_they_came(db: Db) -> None:
    await put(db, course(timedelta(days=3), timedelta(hours=1), ", roster: roster.txt"))
    async with transaction(db) as conn:
        await put_rosters(conn, {"friday": ["ada@example.org", "eve@example.org"]})
    await ask(db, "ada@example.org", "bob@example.org")
    await seat(db, "lablink-client-dev-1")
    assert (await read(db)).attendance["friday"] == Attendance(
        roster=2, seated=1, hosts=frozenset({"lablink-client-dev-1"})
    )
    async with transaction(db) as conn:
        await put_rosters(conn, {})
    assert (await read(db)).attendance["friday"] == Attendance()


async def test_a_course_that_is_over_is_reported_once(db: Db, world: World) -> None:
    await put(db, course(timedelta(hours=-2), timedelta(hours=1), ", grace: 0s"))
    await ask(db, "ada@example.org")
    await seat(db, "lablink-client-dev-1", 240)
    await run(
        db, "UPDATE assignment SET created_at = now() - interval '90 minutes', bound_at = now() - interval '89 minutes'"
    )
    await run(db, "UPDATE vm SET created_at = now() - interval '2 hours', ready_at = now() - interval '116 minutes'")
    for _ in range(3):
        await loop.reconcile_once(world)
    async with db.connection() as conn:
        (event,) = await read_events(conn, subject="course/friday", limit=5)
    assert event.message.startswith("2 seats, 1 came, 0 of them got none; waits of 60 s (median)")
    assert "nine of ten were ready within 4.0 min; next time 1 seats would do" in event.message


def test_a_roster_is_one_email_a_line(tmp_path: Path) -> None:
    path = tmp_path / "roster.txt"
    assert read_roster(path) is None
    path.write_text("\ufeffAda@Example.org  # tutor\n\n# people\nbob@example.org\nada@example.org\n")
    assert read_roster(path) == ("ada@example.org", "bob@example.org")
    path.write_text("ada at example.org\n")
    assert read_roster(path) is None
    path.write_text("bob@example.org\n" * 70_000)
    assert read_roster(path) is None


async def read_session(db: Db) -> dict[str, Any]:
    async with db.connection() as conn:
        (row,) = await fetch(conn, "SELECT status, ends_at, warning, warning_ends_at, end_reason FROM assignment")
    return dict(row)


async def test_a_session_gets_a_deadline_a_warning_and_an_end(db: Db, world: World) -> None:
    await put(db, "pools:\n  client:\n    size: 1\n    session: {max: 1h}\n")
    await ask(db, "ada@example.org")
    await seat(db, "lablink-client-dev-1")
    await loop.reconcile_once(world)
    assert (await read_session(db))["ends_at"] is not None
    await run(db, "UPDATE assignment SET ends_at = now() - interval '1 minute'")
    await loop.reconcile_once(world)
    warned = await read_session(db)
    assert warned["warning"].startswith("its time is up: the session ends at ")
    assert warned["status"] == "active"
    past = warned["warning_ends_at"] - timedelta(hours=1)
    sentence = f"its time is up: the session ends at {past:%Y-%m-%d %H:%M:%S} UTC"
    await run(db, f"UPDATE assignment SET ends_at = '{past}', warning = '{sentence}', warning_ends_at = '{past}'")
    await loop.reconcile_once(world)
    assert (await read_session(db))["end_reason"] == "its time is up"
    assert [vm.seat for vm in (await read(db)).vms if vm.hostname == "lablink-client-dev-1"] == ["draining"]


async def test_a_deadline_that_was_pushed_meanwhile_keeps_the_session(db: Db) -> None:
    await put(db, ELASTIC)
    await ask(db, "ada@example.org")
    await seat(db, "lablink-client-dev-1")
    await run(db, "UPDATE assignment SET ends_at = now() + interval '1 hour', warning_ends_at = now()")
    seen = datetime.now(UTC)
    async with transaction(db) as conn:
        await lock_pool(conn, "client")
        end = EndAssignment(pool="client", hostname="lablink-client-dev-1", ends_at=seen, reason="its time is up")
        assert await end_sessions(conn, [end]) == []
    assert (await read_session(db))["status"] == "active"


async def test_idleness_is_told_by_the_software_and_by_the_gpu(db: Db) -> None:
    await put(db, ELASTIC)
    await seat(db, "lablink-client-dev-1")

    async def say(in_use: bool) -> datetime | None:
        async with transaction(db) as conn:
            await record_reports(conn, [Report("lablink-client-dev-1", in_use=in_use, reporter=True)])
        return (await read(db)).vms[0].idle_since

    first = await say(False)
    assert first is not None
    assert await say(False) == first
    assert await say(True) is None
    for busy, seen in ((0, False), ("100", False), (40, True), (0, True)):
        async with transaction(db) as conn:
            await write_heard(conn, [Contact("lablink-client-dev-1", gauges={"gpu_utilization": busy})])
        assert ((await read(db)).vms[0].gpu_active_at is not None) == seen


async def read_seated(db: Db) -> set[str]:
    async with db.connection() as conn:
        return {row["email"] for row in await fetch(conn, "SELECT email FROM assignment WHERE status = 'active'")}


async def test_seats_of_a_roster_are_kept_for_its_people(db: Db) -> None:
    await put(db, course(timedelta(minutes=10), timedelta(hours=1), ", roster: roster.txt"))
    async with transaction(db) as conn:
        await put_rosters(conn, {"friday": ["ada@example.org", "eve@example.org"]})
    await ask(db, "xan@example.org", "yul@example.org")
    await seat(db, "lablink-client-dev-1")
    await seat(db, "lablink-client-dev-2")
    assert await read_seated(db) == set()
    await seat(db, "lablink-client-dev-3")
    assert await read_seated(db) == {"xan@example.org"}
    await ask(db, "eve@example.org")
    async with transaction(db) as conn:
        await bind_waiting(conn, "client")
    assert await read_seated(db) == {"xan@example.org", "eve@example.org"}


async def test_before_and_after_a_course_its_seats_are_everybodys(db: Db) -> None:
    await put(db, course(timedelta(hours=2), timedelta(hours=1), ", roster: roster.txt"))
    async with transaction(db) as conn:
        await put_rosters(conn, {"friday": ["ada@example.org"]})
    await ask(db, "xan@example.org")
    await seat(db, "lablink-client-dev-1")
    assert await read_seated(db) == {"xan@example.org"}
