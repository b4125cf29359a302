"""Storms: five hundred people ask at once for 150 VMs, of which a third comes up meanwhile, while all VMs send heartbeats.

One round by default; `LABLINK_TEST_STORMS=20` for as many.
"""

import os
from collections import Counter
from typing import Any

import anyio
import httpx
import pytest

from tests.api.test_held_calls import start_polls
from tests.api.world import World, bearer, eventually, serving

pytestmark = pytest.mark.anyio

ROUNDS = int(os.environ.get("LABLINK_TEST_STORMS", "1"))
PEOPLE, VMS, FREE_BEFORE = 500, 150, 100
BEATERS = 4
PATIENCE_S = 120.0


@pytest.mark.parametrize("_round", range(ROUNDS))
async def test_storm_has_150_winners_and_a_line_of_350_in_order(dsn: str, _round: int) -> None:
    async with serving(dsn, slow_poll_s=0) as world:
        names = await world.add_vms(VMS)
        async with anyio.create_task_group() as beats:
            beaten: Counter[int] = Counter()
            for n in range(BEATERS):
                beats.start_soon(send_heartbeats, world, names[n::BEATERS], beaten)
            told, answers = await storm(world, names)
            beats.cancel_scope.cancel()
        assert set(beaten) == {200}
        people = await world.sql("SELECT * FROM assignment ORDER BY seq")
        check_winners(people[:VMS], names, told)
        check_line(people[VMS:])
        check_answers({one["email"]: one for one in people}, answers)
        seats = await world.sql("SELECT state, count(*) AS n FROM seat GROUP BY state")
        assert seats == [{"state": "taken", "n": VMS}]  # nobody waits beside an idle VM
        await check_places(world, people[VMS:])


async def send_heartbeats(world: World, names: list[str], beaten: Counter[int]) -> None:
    """For ever, each VM in turn, as its reporter does."""
    while True:
        for name in names:
            beat = {"in_use": False, "gauges": {"cpu": 1.0}}
            answer = await world.http.post(f"/api/v1/client/{name}/heartbeat", json=beat, headers=bearer(name))
            beaten[answer.status_code] += 1


async def storm(world: World, names: list[str]) -> tuple[dict[str, Any], dict[str, httpx.Response]]:
    """What each VM was told, and each person."""
    answers: dict[str, httpx.Response] = {}

    async def ask(n: int) -> None:
        answers[f"user{n}@example.org"] = await world.request(f"user{n}@example.org", f"code{n}")

    async with anyio.create_task_group() as tasks:
        told = await start_polls(world, names[:FREE_BEFORE], tasks)

        async def poll(name: str) -> None:
            told[name] = await world.poll(name)

        for n in range(PEOPLE):
            tasks.start_soon(ask, n)
            if n % (PEOPLE // (VMS - FREE_BEFORE)) == 0:
                tasks.start_soon(poll, names[FREE_BEFORE + n // (PEOPLE // (VMS - FREE_BEFORE))])
        await eventually(lambda: len(answers) == PEOPLE and len(told) == VMS, PATIENCE_S)
    return {name: answer.json() for name, answer in told.items()}, answers


def check_winners(winners: list[dict[str, Any]], names: list[str], told: dict[str, Any]) -> None:
    """Who came first, each with a VM of its own, which was told that person's command and PIN and no other."""
    assert {one["status"] for one in winners} == {"active"}
    assert sorted(one["hostname"] for one in winners) == sorted(names)
    for one in winners:
        assert told[one["hostname"]]["pin"] == one["pin"]
        assert f'"{one["crd_code"]}"' in told[one["hostname"]]["command"]


def check_line(waiting: list[dict[str, Any]]) -> None:
    assert len(waiting) == PEOPLE - VMS
    assert {(one["status"], one["hostname"]) for one in waiting} == {("waiting", None)}


def check_answers(people: dict[str, dict[str, Any]], answers: dict[str, httpx.Response]) -> None:
    """Who was told of a VM has that one; who was told to wait has the place, or was seated when a VM came up after that."""
    assert people.keys() == answers.keys()
    for email, answer in answers.items():
        one, body = people[email], answer.json()
        assert (answer.status_code, body["status"]) in ((200, "assigned"), (503, "waiting"))
        assert body["pin"] == one["pin"]
        assert body.get("hostname", one["hostname"]) == one["hostname"]
        assert body.get("assignment", str(one["id"])) == str(one["id"])
    seated_at_once = [answer for answer in answers.values() if answer.status_code == 200]
    assert FREE_BEFORE <= len(seated_at_once) <= VMS


async def check_places(world: World, waiting: list[dict[str, Any]]) -> None:
    """Each is told its place, counted in the order in which they came."""
    for n, one in enumerate(waiting, 1):
        if n % 10 == 1 or n == len(waiting):
            place = (await world.request(one["email"], one["crd_code"].removeprefix("4/"), pin=one["pin"])).json()
            assert (place["status"], place["position"]) == ("waiting", n)
