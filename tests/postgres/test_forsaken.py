"""Requests in line that nobody stands behind any more: which end, which stay, and what their people and the record are told."""

import pytest

from controller.commit import bind_people
from schemas.assignment import AssignmentStatus
from store.db import Db, fetch, open_db, transaction
from store.facts import ASKED
from store.forsaken import end_forsaken, read_forsaken
from store.line import see_people
from tests.postgres.test_binding import POOL, add, ask, bind, free, seats
from tests.postgres.test_offers import age_command, expire_offer, give, line_up, read, run

pytestmark = pytest.mark.anyio

UP = "INSERT INTO api_process (id, up_since, seen_at) VALUES (gen_random_uuid(), now() - make_interval(mins => %s), now())"
SILENCE = "UPDATE assignment SET seen_at = now() - make_interval(mins => %s) WHERE email = %s"


async def end(db: Db) -> int:
    async with transaction(db) as conn:
        return await end_forsaken(conn, POOL)


async def forsaken(db: Db) -> list[str]:
    async with db.connection() as conn:
        return await read_forsaken(conn)


async def test_who_was_silent_for_half_an_hour_asks_for_no_vm_any_more(dsn: str) -> None:
    async with open_db(dsn) as db:
        await run(db, UP, 60)
        gone, brief = await line_up(db, "gone", "brief")
        await run(db, SILENCE, 31, gone.email)
        await run(db, SILENCE, 29, brief.email)
        await bind_people(db)
        assert ((await read(db, gone)).status, (await read(db, brief)).status) == ("ended", "waiting")
        assert "30 minutes" in ((await read(db, gone)).end_reason or "")
        async with db.connection() as conn:
            (asked,) = await fetch(conn, ASKED)
            (event,) = await fetch(conn, "SELECT subject, message FROM event WHERE reason = 'WaitEnded'")
        assert asked["waiting"] == 1
        assert event["subject"] == f"pool/{POOL}"
        assert "example.org" not in event["message"]
        again = await ask(db, gone.email, crd_code="4/again")  # a new place, at the end of the line
        assert again
        assert (again.id != gone.id, again.seq > brief.seq) == (True, True)


async def test_silence_counts_only_while_somebody_could_hear(dsn: str) -> None:
    async with open_db(dsn) as db:
        (ada,) = await line_up(db, "ada")
        await run(db, SILENCE, 600, ada.email)
        assert await forsaken(db) == []  # no process is up
        await run(db, UP, 29)
        assert await forsaken(db) == []
        await run(db, "UPDATE api_process SET up_since = up_since - interval '2 minutes'")
        assert await forsaken(db) == [POOL]


async def test_who_is_back_in_time_stays(dsn: str) -> None:
    async with open_db(dsn) as db:
        await run(db, UP, 60)
        (ada,) = await line_up(db, "ada")
        await run(db, SILENCE, 31, ada.email)
        assert await forsaken(db) == [POOL]
        async with db.connection() as conn:
            await see_people(conn, [ada.id])
        assert (await end(db), (await read(db, ada)).status) == (0, AssignmentStatus.WAITING)


async def test_open_page_of_nobody_holds_no_place_after_an_offer_for_ever(dsn: str) -> None:
    async with open_db(dsn) as db:
        await run(db, UP, 60)
        lapsed, fresh = await line_up(db, "lapsed", "fresh")
        for one in (lapsed, fresh):
            await age_command(db, one, 300)
        await free(db, await add(db, 2))
        assert len(await bind(db)) == 2
        for one in (lapsed, fresh):
            await expire_offer(db, one)
        await bind(db)
        assert await forsaken(db) == []
        await run(db, "UPDATE assignment SET offered_until = now() - interval '31 minutes'")
        assert await ask(db, fresh.email, crd_code="4/new", proven=fresh.id)
        assert await forsaken(db) == [POOL]
        assert await end(db) == 1
        assert "no fresh command" in ((await read(db, lapsed)).end_reason or "")
        await bind(db)
        assert (await read(db, fresh)).status is AssignmentStatus.ACTIVE
        assert sorted((await seats(db)).values()) == ["free", "taken"]


async def test_day_without_a_newer_command_is_the_longest_wait_and_admins_wishes_stay(dsn: str) -> None:
    async with open_db(dsn) as db:
        await run(db, UP, 60)
        long, new = await line_up(db, "long", "new")
        held = await give(db, "held@example.org")
        assert held
        await age_command(db, long, 24 * 60 + 1)
        await age_command(db, new, 23 * 60)
        await run(db, "UPDATE assignment SET seen_at = now() - interval '3 days' WHERE held")
        assert (await forsaken(db), await end(db)) == ([POOL], 1)
        statuses = [(await read(db, one)).status for one in (long, new, held)]
        assert statuses == [AssignmentStatus.ENDED, AssignmentStatus.WAITING, AssignmentStatus.WAITING]
