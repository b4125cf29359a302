"""Seats that come free while their person's command has expired, or while nobody looks: offers, silence, and what admins hold."""

from uuid import UUID

import pytest

from schemas.assignment import Assignment, AssignmentStatus
from store.assignment import bind_waiting, read_assignment, read_bindable, read_errands, record_handed_over
from store.db import Db, fetch, open_db, transaction
from store.line import read_followed, see_people
from store.seat import close_seat
from store.tenancy import Grant, NotFree, end_assignment, grant
from store.vm import cordon_vm
from tests.postgres.test_binding import POOL, add, ask, bind, free, seats

pytestmark = pytest.mark.anyio


async def line_up(db: Db, *names: str) -> list[Assignment]:
    made = [await ask(db, f"{name}@example.org", crd_code=f"4/{name}") for name in names]
    return [one for one in made if one]


async def run(db: Db, sql: str, *params: object) -> None:
    async with db.connection() as conn:
        await conn.execute(sql, params)


async def read(db: Db, one: Assignment) -> Assignment:
    async with db.connection() as conn:
        found = await read_assignment(conn, one.id)
    assert found
    return found


async def age_command(db: Db, one: Assignment, minutes: int = 5) -> None:
    await run(db, "UPDATE assignment SET code_at = now() - make_interval(mins => %s) WHERE id = %s", minutes, one.id)


async def expire_offer(db: Db, one: Assignment) -> None:
    await run(db, "UPDATE assignment SET offered_until = now() - interval '1 second' WHERE id = %s", one.id)


async def test_fresh_command_is_bound_and_an_old_one_offered(dsn: str) -> None:
    async with open_db(dsn) as db:
        old, fresh = await line_up(db, "old", "fresh")
        await age_command(db, old)
        names = await add(db, 2)
        await free(db, names)
        await bind(db)
        old, fresh = await read(db, old), await read(db, fresh)
        assert (old.status, fresh.status) == (AssignmentStatus.OFFERED, AssignmentStatus.ACTIVE)
        assert (old.bound_at is None, fresh.bound_at is None) == (True, False)
        assert await seats(db) == dict.fromkeys(names, "taken")
        async with db.connection() as conn:
            told = {errand.hostname: errand.crd_code for errand in await read_errands(conn, names)}
            (hold,) = await fetch(conn, "SELECT offered_until - now() AS left FROM assignment WHERE id = %s", (old.id,))
        assert told == {fresh.hostname: "4/fresh"}  # an expired command is told to no VM
        assert 290 < hold["left"].total_seconds() <= 300


async def test_fresh_command_accepts_the_offer_and_the_same_one_does_not(dsn: str) -> None:
    async with open_db(dsn) as db:
        (ada,) = await line_up(db, "ada")
        await age_command(db, ada)
        await free(db, await add(db, 1))
        await bind(db)
        again = await ask(db, "ada@example.org", crd_code="4/ada", proven=ada.id)
        assert again
        assert again.status is AssignmentStatus.OFFERED
        fresh = await ask(db, "ada@example.org", crd_code="4/new", proven=ada.id)
        assert fresh
        assert (fresh.status, fresh.code_version) == (AssignmentStatus.ACTIVE, 2)
        await expire_offer(db, ada)
        assert await bind(db) == []
        assert (await read(db, ada)).status is AssignmentStatus.ACTIVE


async def test_expired_offer_goes_to_the_next_in_line(dsn: str) -> None:
    async with open_db(dsn) as db:
        ada, bob = await line_up(db, "ada", "bob")
        await age_command(db, ada)
        (name,) = await add(db, 1)
        await free(db, [name])
        await bind(db)
        await expire_offer(db, ada)
        async with db.connection() as conn:
            assert await read_bindable(conn) == [POOL]  # each tick looks here
        await bind(db)
        ada, bob = await read(db, ada), await read(db, bob)
        assert (bob.status, bob.hostname) == (AssignmentStatus.ACTIVE, name)
        assert (ada.status, ada.hostname, ada.lapsed) == (AssignmentStatus.WAITING, None, True)
        assert ada.seq > bob.seq
        async with db.connection() as conn:
            assert await read_bindable(conn) == []


async def test_who_let_an_offer_run_out_is_served_again_after_a_fresh_command(dsn: str) -> None:
    async with open_db(dsn) as db:
        (ada,) = await line_up(db, "ada")
        await age_command(db, ada)
        (name,) = await add(db, 1)
        await free(db, [name])
        await bind(db)
        await expire_offer(db, ada)
        assert await bind(db) == []  # not offered to the same person for ever
        assert await seats(db) == {name: "free"}
        await ask(db, "ada@example.org", crd_code="4/new", proven=ada.id)
        assert await bind(db) == [name]
        assert (await read(db, ada)).status is AssignmentStatus.ACTIVE


async def test_expired_offer_of_a_cordoned_vm_goes_to_nobody(dsn: str) -> None:
    async with open_db(dsn) as db:
        ada, _bob = await line_up(db, "ada", "bob")
        await age_command(db, ada)
        (name,) = await add(db, 1)
        await free(db, [name])
        await bind(db)
        async with transaction(db) as conn:
            await cordon_vm(conn, name, True)
            await close_seat(conn, POOL, name)
        await expire_offer(db, ada)
        assert await bind(db) == []
        assert await seats(db) == {name: "closed"}


async def test_silent_person_is_passed_over_and_keeps_the_place(dsn: str) -> None:
    async with open_db(dsn) as db:
        gone, here = await line_up(db, "gone", "here")
        await run(db, "UPDATE assignment SET seen_at = now() - interval '3 minutes' WHERE id = %s", gone.id)
        names = await add(db, 2)
        await free(db, names)
        assert await bind(db) == [(await read(db, here)).hostname]
        async with db.connection() as conn:
            assert await read_bindable(conn) == []
            assert (await read_followed(conn, [gone.id]))[gone.id].position == 1
            assert await see_people(conn, [gone.id]) == {POOL}  # back: whoever looks binds
            assert await see_people(conn, [gone.id]) == set()
        assert len(await bind(db)) == 1
        assert (await read(db, gone)).status is AssignmentStatus.ACTIVE


async def test_priority_goes_first(dsn: str) -> None:
    async with open_db(dsn) as db:
        _first, course = await line_up(db, "first", "course")
        await run(db, "UPDATE assignment SET priority = 10 WHERE id = %s", course.id)
        (name,) = await add(db, 1)
        await free(db, [name])
        await bind(db)
        assert (await read(db, course)).hostname == name


async def test_seat_hold_comes_from_the_document_in_force(dsn: str) -> None:
    async with open_db(dsn) as db:
        await run(
            db,
            "INSERT INTO desired_version (version, author, source, yaml, document) VALUES (1, 'a', 'api', '', '{\"seat_hold\": \"90s\"}')",
        )
        (ada,) = await line_up(db, "ada")
        await age_command(db, ada)
        await free(db, await add(db, 1))
        await bind(db)
        async with db.connection() as conn:
            (hold,) = await fetch(conn, "SELECT offered_until - now() AS left FROM assignment")
        assert 80 < hold["left"].total_seconds() <= 90


async def give(db: Db, email: str, **more: str) -> Assignment | None:
    async with transaction(db) as conn:
        return await grant(conn, Grant(POOL, email, "654321", **more), "admin/ada")


async def test_admin_holds_a_vm_for_somebody_until_the_command_comes(dsn: str) -> None:
    async with open_db(dsn) as db:
        first, second = await add(db, 2)
        await free(db, [first, second])
        held = await give(db, "ada@example.org", hostname=second)
        assert held
        assert (held.status, held.hostname, held.offered_until) == (AssignmentStatus.OFFERED, second, None)
        assert await give(db, "ada@example.org") is None
        with pytest.raises(NotFree):
            await give(db, "bob@example.org", hostname=second)
        assert await ask(db, "ada@example.org", crd_code="4/x") is None  # an email is no proof
        taken = await ask(db, "ada@example.org", crd_code="4/x", pin="654321")
        assert taken
        assert (taken.status, taken.hostname) == (AssignmentStatus.ACTIVE, second)


async def test_admins_wish_in_line_is_never_passed_over(dsn: str) -> None:
    async with open_db(dsn) as db:
        wish = await give(db, "ada@example.org")
        assert wish
        await run(db, "UPDATE assignment SET seen_at = now() - interval '1 day'")
        await free(db, await add(db, 1))
        assert len(await bind(db)) == 1
        assert (await read(db, wish)).offered_until is None


async def end(db: Db, assignment: UUID) -> str | None:
    async with transaction(db) as conn:
        return await end_assignment(conn, assignment, "holder", "given back")


async def test_what_is_given_up_is_free_and_what_was_used_is_replaced(dsn: str) -> None:
    async with open_db(dsn) as db:
        used, offered, waiting = await line_up(db, "used", "offered", "waiting")
        await age_command(db, offered)
        names = await add(db, 2)
        await free(db, names)
        await bind(db)
        of_used, of_offered = (await read(db, used)).hostname, (await read(db, offered)).hostname
        assert [await end(db, one.id) for one in (used, offered, waiting)] == [POOL] * 3
        assert await end(db, used.id) is None
        assert await seats(db) == {of_used: "draining", of_offered: "free"}
        assert {(await read(db, one)).status for one in (used, offered, waiting)} == {AssignmentStatus.ENDED}


async def test_only_the_command_that_was_told_counts_as_told(dsn: str) -> None:
    async with open_db(dsn) as db:
        (name,) = await add(db, 1)
        await free(db, [name])
        (ada,) = await line_up(db, "ada")
        await bind(db)
        await ask(db, "ada@example.org", crd_code="4/newer", proven=ada.id)
        async with db.connection() as conn:
            await record_handed_over(conn, {name: 1})  # the newer came while the first was on its way
        assert ((await read(db, ada)).delivered_version, (await read(db, ada)).code_version) == (1, 2)
        async with transaction(db) as conn:
            assert await bind_waiting(conn, POOL) == []
