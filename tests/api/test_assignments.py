"""`/api/v1/assignments` over real HTTP: what admins do to them, what the holder of an id follows, and the waiting list's offers."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import anyio
import httpx
import pytest

from api import followers
from tests.api.test_requests import browser, form, free_seats
from tests.api.world import COMMAND, YAML, World, bearer, eventually, serving

pytestmark = pytest.mark.anyio

LIST = "/api/v1/assignments"


async def read(world: World, assignment: str) -> dict[str, Any]:
    answer = await world.http.get(f"{LIST}/{assignment}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def wait_in_line(world: World, email: str = "ada@example.org") -> dict[str, Any]:
    answer = await world.request(email, "old")
    assert answer.status_code == 503
    return dict(answer.json())


async def age_commands(world: World) -> None:
    await world.sql("UPDATE assignment SET code_at = now() - interval '5 minutes'")


async def follow(world: World, assignment: str) -> AsyncIterator[dict[str, Any]]:
    """The events of a page's stream."""
    headers = {"Accept": "text/event-stream"}
    async with world.http.stream("GET", f"{LIST}/{assignment}", headers=headers, timeout=60) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


async def test_one_assignment_is_followed_from_so_many_pages_and_no_more(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followers, "MOST_STREAMS", 2)
    async with serving(dsn) as world:
        place = f"{LIST}/{(await wait_in_line(world))['assignment']}"
        headers = {"Accept": "text/event-stream"}
        async with AsyncExitStack() as pages:
            opened = [await pages.enter_async_context(world.http.stream("GET", place, headers=headers)) for _ in "12"]
            lines = [page.aiter_lines() for page in opened]
            assert [await anext(one) for one in lines] == ["event: assignment"] * 2
            refused = await world.http.get(place, headers=headers)
            assert (refused.status_code, "pages" in refused.json()["error"]) == (429, True)
            assert (await world.http.get(place)).status_code == 200

        async def is_let_in() -> bool:
            async with world.http.stream("GET", place, headers=headers) as page:
                return page.status_code == 200

        await eventually(is_let_in)


async def test_person_follows_the_place_the_offer_and_the_delivery(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world, anyio.create_task_group() as tasks:
        place = await wait_in_line(world)
        events = follow(world, place["assignment"])
        first = await anext(events)
        assert (first["status"], first["position"], first["delivery"]) == ("waiting", 1, None)
        await age_commands(world)
        (name,) = await world.add_vms()
        told: list[httpx.Response] = []

        async def poll() -> None:
            told.append(await world.poll(name))

        tasks.start_soon(poll)
        offered = await anext(events)
        assert (offered["status"], offered["hostname"], offered["command_wanted"]) == ("offered", name, True)
        assert told == []
        taken = await world.request("ada@example.org", "fresh", pin=place["pin"])
        assert (taken.status_code, taken.json()["hostname"]) == (200, name)
        await eventually(lambda: told)
        assert "4/fresh" in told[0].json()["command"]
        async for event in events:
            if event["delivery"] == "ready":
                break
        assert (event["status"], event["warnings"]) == ("active", [])
        await give_back(world, place["assignment"], place["pin"])
        ended = [event async for event in events]
        assert ended[-1]["status"] == "ended"  # and the stream ends, too


async def test_holder_of_the_id_learns_no_email_and_no_pin(dsn: str) -> None:
    async with serving(dsn) as world:
        await free_seats(world, 1)
        seat = (await world.request("ada@example.org")).json()
        (row,) = await world.sql("SELECT id FROM assignment")
        answer = await world.http.get(f"{LIST}/{row['id']}")
        assert "ada" not in answer.text
        assert seat["pin"] not in answer.json().values()
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json()["hostname"] == seat["hostname"]


async def give_back(world: World, assignment: object, pin: str) -> httpx.Response:
    return await world.http.request("DELETE", f"{LIST}/{assignment}", json={"pin": pin})


@pytest.mark.parametrize("name", [str(UUID(int=7)), "x", "00000000", "%00"])
async def test_unknown_ids_are_not_found(dsn: str, name: str) -> None:
    async with serving(dsn) as world:
        for method in ("GET", "DELETE"):
            answer = await world.http.request(method, f"{LIST}/{name}")
            assert (answer.status_code, bool(answer.json()["error"])) == (404, True)


async def test_person_gives_a_place_and_a_vm_back_twice_without_harm(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await free_seats(world, 1)
        first = (await world.request("ada@example.org")).json()
        second = await wait_in_line(world, "bob@example.org")
        (seat,) = await world.sql("SELECT id FROM assignment WHERE status = 'active'")
        for one, pin in ((second["assignment"], second["pin"]), *[(seat["id"], first["pin"])] * 2):
            answer = await give_back(world, one, pin)
            assert (answer.status_code, answer.json()["status"]) == (200, "ended")
        assert (await world.sql("SELECT state FROM seat")) == [{"state": "draining"}]
        (event,) = await world.sql("SELECT actor, subject FROM event WHERE reason = 'Released'")
        assert event == {"actor": "user", "subject": f"vm/{name}"}


async def test_page_that_is_open_keeps_the_place_and_one_that_comes_back_is_bound(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world:
        place = await wait_in_line(world)
        await world.sql("UPDATE assignment SET seen_at = now() - interval '5 minutes'")
        await free_seats(world, 1)
        await wait_until_bound(world, "bob@example.org")  # whose request binds, and passes over who is silent
        (name,) = await world.add_vms(1, first=2)
        await world.sql("UPDATE seat SET state = 'free', free_since = now() WHERE hostname = %s", name)
        back = await read(world, place["assignment"])
        assert (back["status"], back["hostname"]) == ("active", name)


async def wait_until_bound(world: World, email: str) -> None:
    assert (await world.request(email)).status_code == 200


async def test_page_of_an_offer_asks_for_a_fresh_command(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world, browser(world) as ada:
        waiting = await ada.post("/api/request_vm", data=form(code="old"))
        assert waiting.status_code == 503
        await age_commands(world)
        (name,) = await world.add_vms()
        async with world.http.stream("POST", "/vm_startup", json={"hostname": name}, headers=bearer(name)):
            await eventually(lambda: world.sql("SELECT id FROM assignment WHERE status = 'offered'"))
            again = await ada.post("/api/request_vm", data=form(code="old"))
            assert (again.status_code, "crd_command" in again.text, "5 min" in again.text) == (503, True, True)
            taken = await ada.post("/api/request_vm", data=form(code="new"))
            assert (taken.status_code, name in taken.text) == (200, True)


async def test_expired_offer_is_given_on_by_the_next_request(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world:
        await wait_in_line(world)
        await age_commands(world)
        await free_seats(world, 1)
        (row,) = await world.sql("SELECT id FROM assignment")
        await world.sql("UPDATE assignment SET seen_at = now() - interval '5 minutes'")
        assert (await read(world, str(row["id"])))["status"] == "offered"
        await world.sql("UPDATE assignment SET offered_until = now()")
        assert (await world.request("bob@example.org")).status_code == 200
        lapsed = await read(world, str(row["id"]))
        assert (lapsed["status"], lapsed["command_wanted"], len(lapsed["warnings"])) == ("waiting", True, 1)


async def test_admins_list_by_pages_and_filters_without_secrets(dsn: str) -> None:
    async with serving(dsn) as world:
        await free_seats(world, 2)
        for n in range(5):
            await world.request(f"user{n}@example.org", f"code{n}")
        assert (await world.http.get(LIST)).status_code == 401
        seen: list[str] = []
        after: int | None = None
        while True:
            found = (await world.admin.get(LIST, params={"limit": 2, **({"after": after} if after else {})})).json()
            seen += [one["email"] for one in found["items"]]
            after = found["next"]
            if after is None:
                break
        assert seen == [f"user{n}@example.org" for n in (4, 3, 2, 1, 0)]
        active = (await world.admin.get(LIST, params={"status": "active", "pool": "client"})).json()["items"]
        assert {one["email"] for one in active} == {"user0@example.org", "user1@example.org"}
        assert not {"pin", "crd_code"} & active[0].keys()
        assert (await world.admin.get(LIST, params={"pool": "other"})).json()["items"] == []
        assert (await world.admin.get(LIST, params={"status": "odd"})).status_code == 400


async def test_admin_gives_somebody_a_vm(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world:
        first, second = await free_seats(world, 2)
        made = await world.admin.post(LIST, json={"email": " Ada@example.org", "hostname": second})
        assert (made.status_code, made.json()["status"], made.json()["hostname"]) == (200, "offered", second)
        taken = await world.request("ada@example.org", "new", pin=made.json()["pin"])
        assert (taken.status_code, taken.json()["hostname"]) == (200, second)
        at_once = await world.admin.post(
            LIST, json={"email": "bob@example.org", "crd_command": COMMAND.format(code="b")}
        )
        assert (at_once.json()["status"], at_once.json()["hostname"]) == ("active", first)
        assert "4/b" in (await world.poll(first)).json()["command"]
        later = await world.admin.post(LIST, json={"email": "eve@example.org"})
        assert later.json()["status"] == "waiting"
        (event,) = await world.sql("SELECT actor FROM event WHERE subject = %s AND reason = 'Granted'", f"vm/{second}")
        assert event["actor"] == "admin/ada"


async def test_admins_wishes_that_cannot_be_are_refused(dsn: str) -> None:
    async with serving(dsn, yaml=YAML + "  other: {size: 1}\n") as world:
        (taken,) = await free_seats(world, 1)
        await world.request("ada@example.org", pool="client")
        cases: list[tuple[dict[str, Any], int]] = [
            ({"email": "ada@example.org", "pool": "client"}, 409),
            ({"email": "bob@example.org", "pool": "client", "hostname": taken}, 409),
            ({"email": "bob@example.org", "pool": "client", "hostname": "nobody"}, 409),
            ({"email": "bob@example.org", "pool": "nowhere"}, 400),
            ({"email": "bob@example.org"}, 400),  # which of the two pools?
            ({"email": "bob", "pool": "client"}, 400),
            ({"email": "bob@example.org", "pool": "client", "pin": "1"}, 400),
            ({"email": "bob@example.org", "pool": "client", "crd_command": "reboot"}, 400),
            ({"email": "bob@example.org", "pool": "client", "more": 1}, 400),
            ({"email": "bob@example.org", "pool": "client", "hostname": "a\0b"}, 400),
            ({}, 400),
        ]
        for body, status in cases:
            answer = await world.admin.post(LIST, json=body)
            assert (answer.status_code, bool(answer.json()["error"])) == (status, True), body
        assert (await world.sql("SELECT count(*) AS n FROM assignment"))[0]["n"] == 1


async def test_session_is_extended_within_bounds(dsn: str) -> None:
    async with serving(dsn) as world:
        await free_seats(world, 1)
        await world.request("ada@example.org")
        (row,) = await world.sql("SELECT id FROM assignment")
        path = f"{LIST}/{row['id']}/extend"
        assert (await world.admin.post(path, json={"by": "30m"})).status_code == 409  # no deadline
        await world.sql("UPDATE assignment SET ends_at = now() + interval '5 minutes'")
        assert any("ends in 5 min" in warning for warning in (await read(world, str(row["id"])))["warnings"])
        assert (await world.http.post(path, json={"by": "30m"})).status_code == 401
        assert (await world.admin.post(path, json={"by": "30m"})).status_code == 200
        (left,) = await world.sql("SELECT extract(epoch FROM ends_at - now())::int AS s FROM assignment")
        assert 34 * 60 < left["s"] <= 35 * 60
        for body in ({"by": "8d"}, {"by": "0s"}, {"by": 30}, {"by": "-1h"}, {}, {"until": "30m"}):
            assert (await world.admin.post(path, json=body)).status_code == 400, body
        assert (await world.admin.delete(f"{LIST}/{row['id']}")).status_code == 200
        assert (await world.admin.post(path, json={"by": "30m"})).status_code == 409
        assert (await world.admin.post(f"{LIST}/{uuid4()}/extend", json={"by": "30m"})).status_code == 404


async def test_streams_share_the_connections_of_the_process(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world, anyio.create_task_group() as tasks:
        places = [await wait_in_line(world, f"user{n}@example.org") for n in range(30)]
        positions: dict[int, list[int]] = {n: [] for n in range(30)}

        async def watch(n: int) -> None:
            async for event in follow(world, places[n]["assignment"]):
                positions[n].append(event["position"])

        for n in range(30):
            tasks.start_soon(watch, n)
        await eventually(lambda: all(positions.values()))
        (held,) = await world.sql("SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()")
        assert held["n"] <= 8
        await give_back(world, places[0]["assignment"], places[0]["pin"])
        await eventually(lambda: all(positions[n][-1] == n for n in range(1, 30)))
        tasks.cancel_scope.cancel()
