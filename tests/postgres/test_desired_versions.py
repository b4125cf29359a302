"""Versions of the desired state: appended one at a time, never lost, never overwritten."""

import anyio
import pytest

from schemas.document import parse_lab
from store.db import Db, open_db, transaction
from store.desired import (
    Change,
    DesiredConflict,
    NoSuchVersion,
    append_version,
    list_versions,
    read_in_force,
    read_newest,
    read_version,
)
from store.event import read_events

pytestmark = pytest.mark.anyio


def change(size: int) -> Change:
    yaml = f"pools:\n  client:\n    size: {size}\n"
    return Change(yaml, parse_lab(yaml).lab, "ada", "api")


async def append(db: Db, size: int, based_on: int | None) -> int:
    async with transaction(db) as conn:
        return (await append_version(conn, change(size), based_on)).version


async def test_newest_version_is_in_force_and_an_event_says_so(dsn: str) -> None:
    async with open_db(dsn) as db:
        assert await append(db, 1, None) == 1
        assert await append(db, 2, 1) == 2
        async with db.connection() as conn:
            in_force = await read_in_force(conn)
            newest = await read_newest(conn)
            events = await read_events(conn, subject="desired")
        assert in_force
        assert in_force.lab.pools["client"].size == 2
        assert newest
        assert newest.yaml == in_force.yaml == change(2).yaml
        assert [event.actor for event in events] == ["ada", "ada"]


async def test_same_text_again_makes_no_new_version(dsn: str) -> None:
    async with open_db(dsn) as db:
        assert [await append(db, 1, None), await append(db, 1, 1)] == [1, 1]


@pytest.mark.parametrize("based_on", [None, 1, 7])
async def test_change_made_from_another_version_is_refused_with_the_newest(dsn: str, based_on: int | None) -> None:
    async with open_db(dsn) as db:
        await append(db, 1, None)
        await append(db, 2, 1)
        with pytest.raises(DesiredConflict) as refused:
            await append(db, 3, based_on)
        assert refused.value.newest
        assert refused.value.newest.version == 2


async def test_of_many_changes_from_one_version_one_wins_and_numbers_have_no_gap(dsn: str) -> None:
    async with open_db(dsn, max_size=16) as db:
        await append(db, 1, None)
        won: list[int] = []

        async def attempt(size: int) -> None:
            try:
                won.append(await append(db, size, 1))
            except DesiredConflict:
                return

        async with anyio.create_task_group() as tasks:
            for size in range(2, 22):
                tasks.start_soon(attempt, size)
        assert won == [2]
        assert await append(db, 50, 2) == 3


async def test_versions_are_listed_newest_first_and_read_one_by_one(dsn: str) -> None:
    async with open_db(dsn) as db:
        for n in range(5):
            await append(db, n, n or None)
        async with db.connection() as conn:
            assert [v.version for v in await list_versions(conn, limit=2)] == [5, 4]
            assert [v.version for v in await list_versions(conn, before=3)] == [2, 1]
            assert (await read_version(conn, 2)).yaml == change(1).yaml
            with pytest.raises(NoSuchVersion):
                await read_version(conn, 9)
