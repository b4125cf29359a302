"""VMs that go from one person to the next (`session.after`): who is given the new token, and when the seat is free again."""

import hashlib
from typing import Any

import anyio
import pytest

from tests.api.test_assignments import LIST, give_back
from tests.api.world import YAML, World, bearer, eventually, serving

pytestmark = pytest.mark.anyio
KEEP = YAML + "    session: {after: keep}\n"
KEY = "0123456789abcdef" * 4


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


async def beat(world: World, name: str, key: str | None = KEY) -> None:
    body = {"in_use": False, "gauges": {}} | ({"renewal_key": digest(key)} if key else {})
    answer = await world.http.post(f"/api/v1/client/{name}/heartbeat", json=body, headers=bearer(name))
    assert answer.status_code == 200


async def renew(world: World, name: str, key: str = KEY) -> tuple[int, dict[str, Any]]:
    answer = await world.http.post(f"/api/v1/client/{name}/renew", json={"key": key})
    return answer.status_code, answer.json()


async def seat_of(world: World, name: str) -> str:
    (row,) = await world.sql("SELECT state FROM seat WHERE hostname = %s", name)
    return str(row["state"])


async def used(world: World, key: str | None = KEY) -> tuple[str, dict[str, Any]]:
    """A VM that Ada has, and what she was told."""
    (name,) = await world.add_vms()
    await beat(world, name, key)
    await world.sql("UPDATE seat SET state = 'free', free_since = now()")
    await world.sql("UPDATE vm SET ready_at = now()")
    answer = await world.request("ada@example.org")
    assert answer.status_code == 200
    (row,) = await world.sql("SELECT id FROM assignment WHERE email = 'ada@example.org'")
    return name, {"id": row["id"], **answer.json()}


async def test_vm_that_is_kept_is_free_once_its_host_has_the_new_token_and_a_new_container_asks(dsn: str) -> None:
    async with serving(dsn, yaml=KEEP) as world:
        name, ada = await used(world)
        old = bearer(name)
        assert (await give_back(world, ada["id"], ada["pin"])).status_code == 200
        assert await seat_of(world, name) == "closed"
        assert (await world.http.post("/vm_startup", json={"hostname": name}, headers=old)).status_code == 401
        assert await seat_of(world, name) == "closed", "the last person's container opens nothing"
        status, answer = await renew(world, name)
        assert (status, answer["renewing"]) == (200, "keep")
        assert await renew(world, name) == (200, answer), "an answer that was lost is given again"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.poll, name, answer["token"])

            async def is_free() -> bool:
                return await seat_of(world, name) == "free"

            await eventually(is_free)
            assert (await renew(world, name))[1] == {"token": answer["token"], "renewing": None}
            told = (await world.request("bob@example.org", code="bob")).json()
            assert (told["hostname"], told["pin"] != ada["pin"]) == (name, True)
        events = (await world.admin.get("/api/v1/events", params={"subject": f"vm/{name}"})).json()["items"]
        assert "given back; the VM is made ready for the next person" in [event["message"] for event in events]
        assert [row["reason"] for row in await world.sql("SELECT reason FROM event WHERE reason = 'Ready'")] == []


async def test_only_the_key_that_was_said_before_anybody_had_the_vm_renews_it(dsn: str) -> None:
    async with serving(dsn, yaml=KEEP) as world:
        name, ada = await used(world)
        await beat(world, name, "the key of Ada's own program, which has the token")
        await give_back(world, ada["id"], ada["pin"])
        for key in ("the key of Ada's own program, which has the token", "x" * 64, digest(KEY)):
            status, answer = await renew(world, name, key)
            assert (status, "token" in answer) == (403, False)
        assert (await renew(world, "no-such-vm"))[0] == 403
        assert (await renew(world, "%00"))[0] in (400, 403, 404)
        assert (await renew(world, name, "short"))[0] == 400
        assert (await renew(world, name))[0] == 200


async def test_vm_without_a_reporter_is_replaced_whatever_is_declared(dsn: str) -> None:
    async with serving(dsn, yaml=KEEP) as world:
        name, ada = await used(world, key=None)
        await beat(world, name)  # too late: by now it could be Ada's
        await give_back(world, ada["id"], ada["pin"])
        assert await seat_of(world, name) == "draining"
        assert (await renew(world, name))[0] == 403


@pytest.mark.parametrize(
    ("call", "state", "told"),
    [("release", "closed", "made ready for the next person"), ("replace", "draining", "will be replaced")],
)
async def test_admins_release_follows_the_declaration_and_a_replacement_does_not(
    dsn: str, call: str, state: str, told: str
) -> None:
    async with serving(dsn, yaml=KEEP.replace("keep", "reboot")) as world:
        name, _ = await used(world)
        answer = await world.admin.post(f"/api/v1/vms/{name}/{call}", params={"force": "true"})
        assert (answer.status_code, told in answer.json()["message"]) == (200, True)
        assert await seat_of(world, name) == state


async def test_vm_that_is_made_ready_is_given_to_nobody_by_name(dsn: str) -> None:
    async with serving(dsn, yaml=KEEP) as world:
        name, ada = await used(world)
        await give_back(world, ada["id"], ada["pin"])
        wish = {"pool": "client", "email": "bob@example.org", "hostname": name}
        assert (await world.admin.post(LIST, json=wish)).status_code == 409
