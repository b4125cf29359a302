"""The state backend by HTTP: what a run may do, and that one whose time is over can do nothing any more."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from controller.errors import NeedsOperator
from store.db import transaction
from store.lease import release_lease, take_lease
from store.run import Ending, end_run, start_run
from tests.terraform.actuation_world import POOL, REGION, ActuationWorld

pytestmark = pytest.mark.anyio

KEY = f"{POOL}/{REGION}/1"
STATE = {"version": 4, "serial": 3, "lineage": "a", "outputs": {}, "resources": []}


class Client:
    """Speaks to the backend as the Terraform of one run does."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.url = environment["TF_HTTP_ADDRESS"]
        self.login = (environment["TF_HTTP_USERNAME"], environment["TF_HTTP_PASSWORD"])

    async def ask(self, method: str, content: Any = None, **query: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.request(method, self.url, json=content, params=query, auth=self.login)

    async def lock(self, lock_id: str) -> int:
        return (await self.ask("LOCK", {"ID": lock_id, "Who": "test"})).status_code

    async def write(self, lock_id: str, serial: int = 3) -> int:
        return (await self.ask("POST", STATE | {"serial": serial}, ID=lock_id)).status_code


async def begin(world: ActuationWorld, state_key: str = KEY) -> tuple[int, Client]:
    """A run that is under way, and its way to the backend."""
    token = world.actuator.lease.token
    async with transaction(world.db) as conn:
        run_id = await start_run(conn, state_key, POOL, token, 60)
    assert run_id is not None
    return run_id, Client(world.actuator.states.grant(run_id, state_key, token))


async def end(world: ActuationWorld, run_id: int) -> None:
    async with transaction(world.db) as conn:
        assert await end_run(conn, run_id, Ending("interrupted"))


async def test_a_run_locks_writes_reads_and_unlocks(world: ActuationWorld) -> None:
    _, client = await begin(world)
    assert (await client.ask("GET")).status_code == 404
    assert await client.lock("one") == 200
    assert await client.write("one") == 200
    assert (await client.ask("GET")).json() == STATE
    assert (await client.ask("UNLOCK", {"ID": "one"})).status_code == 200
    (row,) = await world.read("SELECT * FROM tf_state")
    assert (row["serial"], row["lock_info"], row["lock_run"]) == (3, None, None)
    assert b"lineage" not in bytes(row["content"])


async def test_writing_needs_the_lock_and_its_id(world: ActuationWorld) -> None:
    _, client = await begin(world)
    assert await client.write("one") == 409
    assert await client.lock("one") == 200
    assert await client.write("two") == 409
    assert await client.write("one") == 200


async def test_a_zombie_whose_run_was_closed_is_refused(world: ActuationWorld) -> None:
    run_id, zombie = await begin(world)
    assert await zombie.lock("one") == 200
    await end(world, run_id)
    assert await zombie.write("one") == 409
    assert await zombie.lock("two") == 409
    assert (await zombie.ask("GET")).status_code == 409


async def test_a_zombie_whose_lease_passed_on_is_refused(world: ActuationWorld) -> None:
    _, zombie = await begin(world)
    assert await zombie.lock("one") == 200
    await release_lease(world.db, world.actuator.lease)
    assert await take_lease(world.db, "next", ttl_s=600) is not None
    response = await zombie.ask("POST", STATE, ID="one")
    assert response.status_code == 409
    assert "taken over" in response.text
    assert await world.read("SELECT serial FROM tf_state") == [{"serial": None}]


async def test_one_run_cannot_reach_the_state_of_another(world: ActuationWorld) -> None:
    _, client = await begin(world)
    _, other = await begin(world, f"{POOL}/{REGION}/2")
    client.url = other.url
    assert (await client.ask("GET")).status_code == 403
    other.login = (other.login[0], "guessed")
    assert (await other.ask("GET")).status_code == 403
    other.login = ("somebody", "guessed")
    assert (await other.ask("GET")).status_code == 401


async def test_a_held_lock_is_answered_with_who_holds_it(world: ActuationWorld) -> None:
    held = {"ID": "theirs", "Who": "someone@desk"}
    await world.write("INSERT INTO tf_state (state_key, lock_info) VALUES (%s, %s)", KEY, json.dumps(held))
    _, client = await begin(world)
    response = await client.ask("LOCK", {"ID": "ours"})
    assert (response.status_code, response.json()) == (423, held)


async def test_a_lock_of_somebody_else_needs_an_operator_and_stays(world: ActuationWorld) -> None:
    names = await world.plan_vms(1)
    held = {"ID": "theirs", "Who": "someone@desk", "Operation": "apply", "Created": "2026-01-01T00:00:00Z"}
    await world.write("INSERT INTO tf_state (state_key, lock_info) VALUES (%s, %s)", KEY, json.dumps(held))
    with pytest.raises(NeedsOperator, match=r"locked by someone@desk.*psql"):
        await world.actuate()
    assert await world.running() == []
    assert "psql" in (await world.condition("ApplyFailed"))["message"]
    assert (await world.read("SELECT lock_info FROM tf_state WHERE state_key = %s", KEY))[0]["lock_info"] == held
    await world.write("UPDATE tf_state SET lock_info = NULL")
    await world.write("UPDATE run SET ended_at = ended_at - interval '1 hour'")
    await world.write("UPDATE pool SET failed_at = failed_at - interval '1 hour'")
    await world.settle()
    assert await world.running() == names


async def test_a_lock_of_our_own_dead_run_is_released(world: ActuationWorld) -> None:
    names = await world.plan_vms(1)
    run_id, dead = await begin(world)
    assert await dead.lock("one") == 200
    outcome = await world.actuate()
    assert outcome.retry_after_s is not None
    assert await world.running() == []  # it may still go on: its time is not over
    await world.write("UPDATE run SET must_end_by = now() - interval '1 hour' WHERE id = %s", run_id)
    await world.settle()
    assert await world.running() == names
    (run,) = await world.read("SELECT outcome, message FROM run WHERE id = %s", run_id)
    assert run["outcome"] == "interrupted"
    assert "controller ended" in run["message"]
