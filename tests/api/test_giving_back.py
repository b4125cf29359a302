"""Who may end whose assignment, and what a person is told whose request in line has ended."""

from typing import Any

import pytest

from api.door import MOST_FROM_ONE
from controller.commit import bind_people
from schemas.access import Scope
from tests.api.test_access import make_token
from tests.api.test_assignments import LIST, give_back, read, wait_in_line
from tests.api.test_requests import browser, form, free_seats
from tests.api.world import World, serving
from tests.postgres.test_forsaken import UP

pytestmark = pytest.mark.anyio


async def statuses(world: World) -> dict[str, str]:
    return {row["email"][:3]: row["status"] for row in await world.sql("SELECT email, status FROM assignment")}


async def test_nobody_ends_what_is_not_their_own(dsn: str) -> None:
    async with serving(dsn) as world, browser(world) as eve:
        await free_seats(world, 2)
        ada = (await world.request("ada@example.org")).json()
        assert (await eve.post("/api/request_vm", data=form("eve@example.org", code="eve"))).status_code == 200
        (row,) = await world.sql("SELECT id FROM assignment WHERE email = 'ada@example.org'")
        (own,) = await world.sql("SELECT id, pin FROM assignment WHERE email = 'eve@example.org'")
        path, reader = f"{LIST}/{row['id']}", await make_token(world, Scope.READ)
        foreign = {"Cookie": f"lablink_seat={row['id']}.{'0' * 64}"}
        tries: list[tuple[dict[str, Any], int]] = [
            ({}, 403),  # the id alone
            ({"json": {"pin": own["pin"]}}, 403),  # another's PIN
            ({"json": {"pin": ""}}, 403),
            ({"json": {"pin": ["x"]}}, 403),
            ({"json": ["x"]}, 400),
            ({"content": b"\xff", "headers": {"Content-Type": "application/json"}}, 400),
            ({"headers": foreign}, 403),
            ({"headers": {"Authorization": f"Bearer {reader}"}, "json": {"pin": ada["pin"]}}, 403),
            ({"headers": {"Authorization": "Bearer x"}, "json": {"pin": ada["pin"]}}, 401),
            ({"headers": {"Authorization": "Basic eDp5"}}, 401),
            ({"headers": {"Origin": "https://evil.example"}, "json": {"pin": ada["pin"]}}, 403),
            ({"params": {"pin": ada["pin"]}}, 403),  # what stands in an address stands in logs
        ]
        for tried, status in tries:
            answer = await world.http.request("DELETE", path, **tried)
            assert (answer.status_code, bool(answer.json()["error"])) == (status, True), tried
        assert (await eve.delete(path)).status_code == 403  # her cookie proves another
        assert await statuses(world) == {"ada": "active", "eve": "active"}
        assert (await eve.delete(f"{LIST}/{own['id']}")).status_code == 200
        assert (await give_back(world, row["id"], ada["pin"])).status_code == 200
        assert set((await statuses(world)).values()) == {"ended"}


async def test_pin_of_an_assignment_is_not_to_be_guessed(dsn: str) -> None:
    async with serving(dsn) as world:
        place = await wait_in_line(world)
        for n in range(MOST_FROM_ONE):
            assert (await give_back(world, place["assignment"], f"guess{n}")).status_code == 403
        refused = await give_back(world, place["assignment"], place["pin"])
        assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
        assert (await world.request("ada@example.org", "old", pin=place["pin"])).status_code != 409
        assert await statuses(world) == {"ada": "waiting"}


@pytest.mark.parametrize("scope", [Scope.OPERATE, Scope.ADMIN])
async def test_token_that_may_operate_ends_any(dsn: str, scope: Scope) -> None:
    async with serving(dsn) as world:
        place, token = await wait_in_line(world), await make_token(world, scope)
        headers = {"Authorization": f"Bearer {token}"}
        assert (await world.http.delete(f"{LIST}/{place['assignment']}", headers=headers)).status_code == 200
        assert await statuses(world) == {"ada": "ended"}


async def test_who_was_away_too_long_is_told_why_the_place_is_gone(dsn: str) -> None:
    async with serving(dsn) as world, browser(world) as ada:
        waiting = await ada.post("/api/request_vm", data=form(), headers={"Accept": "text/html"})
        assert waiting.status_code == 503
        await world.sql(UP, 60)
        await world.sql("DELETE FROM api_process WHERE up_since > now() - interval '30 minutes'")
        await world.sql("UPDATE assignment SET seen_at = now() - interval '31 minutes'")
        await bind_people(world.db)
        page = await ada.get("/seat", headers={"Accept": "text/html"})
        assert "You are no longer in line" in page.text
        assert "30 minutes" in page.text
        (row,) = await world.sql("SELECT id FROM assignment")
        assert "30 minutes" in (await read(world, row["id"]))["end_reason"]
        assert (await ada.post("/api/request_vm", data=form(code="again"))).status_code == 503
        assert len(await world.sql("SELECT id FROM assignment")) == 2
