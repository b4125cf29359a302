"""What the API tells of money: costs of now, of the month, by VM and assignment; previews that say it before; approvals."""

from typing import Any

import pytest

from schemas.price import Approval
from store.approval import ask_approval
from store.db import transaction
from tests.api.world import YAML, World, serving

pytestmark = pytest.mark.anyio

EACH = 0.526 + 50 * 0.08 / 730 + 0.005
LEAD = "INSERT INTO lease (name, holder, token, expires_at) VALUES ('controller', 'test', 1, now() + interval '1 hour')"


async def get(world: World, path: str) -> Any:
    answer = await world.admin.get(f"/api/v1{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def preview(world: World, yaml: str) -> Any:
    return (await world.admin.post("/api/v1/preview", content=yaml)).json()


async def test_costs_of_now_and_of_the_month(dsn: str) -> None:
    async with serving(dsn) as world:
        names = await world.add_vms(3)
        await world.sql("UPDATE deployment SET created_at = now() - interval '1 year'")
        # At most the month is a moment old: what ran before it is not this month's.
        await world.sql("UPDATE vm SET launched_at = now() - interval '40 days' WHERE hostname = %s", names[0])
        gone = "UPDATE vm SET phase = 'gone', launched_at = now() - interval '70 days', ended_at = now() - interval '40 days' WHERE hostname = %s"
        await world.sql(gone, names[2])
        found = await get(world, "/costs")
        vms = await get(world, "/costs/vms")
    assert found["currency"] == "USD"
    assert found["pools"][0] | {"so_far": 0, "forecast": 0} == {
        "name": "client",
        "vms": 2,
        "hourly": round(2 * EACH, 4),
        "so_far": 0,
        "forecast": 0,
        "instance_type": "g4dn.xlarge",
        "price": {"usd": 0.526, "source": f"table {found['table']}"},
    }
    assert found["hourly"] == pytest.approx(found["allocator"]["hourly"] + 2 * EACH, abs=0.001)
    assert {part["name"] for part in found["allocator"]["parts"]} >= {"instance", "disk", "address", "logs", "traffic"}
    assert found["forecast"] > found["so_far"] > 0
    assert found["unpriced"] == []
    assert [item["hostname"] for item in vms["items"]] == names[:2]
    month_so_far = vms["items"][0]["hours"]
    assert vms["items"][0]["so_far"] == pytest.approx(month_so_far * EACH, rel=0.01)


async def test_assignments_cost_what_their_vm_costs_and_name_nobody(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms(1)
        await world.sql(
            "INSERT INTO assignment (pool, email, status, hostname, crd_code, pin, bound_at)"
            " VALUES ('client', 'ada@example.org', 'active', %s, '4/x', '123456', now() - interval '1 second')",
            name,
        )
        answer = await world.admin.get("/api/v1/costs/assignments")
        assert (await get(world, "/costs/assignments?after=1"))["items"] == []
    (item,) = answer.json()["items"]
    assert (item["hostname"], item["hourly"], item["ended_at"]) == (name, round(EACH, 4), None)
    assert "ada" not in answer.text


async def test_preview_says_money_and_people(dsn: str) -> None:
    async with serving(dsn) as world:
        await world.sql(LEAD)
        found = await preview(world, YAML.replace("size: 2", "size: 5"))
        text = await world.admin.post("/api/v1/preview", content=YAML, headers={"Accept": "text/plain"})
    assert found["summary"] == found["impact"]["client"] == f"+5, 0 people disturbed, +${5 * EACH:,.2f}/h"
    assert found["needs_approval"] is False
    assert text.text.endswith(f"in all: +2, 0 people disturbed, +${2 * EACH:,.2f}/h\n")


async def test_preview_tells_that_a_change_will_wait_for_approval(dsn: str) -> None:
    async with serving(dsn, yaml=YAML + "budget: {approve_above: 1.0}\n") as world:
        await world.sql(LEAD)
        dear = await preview(world, YAML.replace("size: 2", "size: 9"))
        cheap = await preview(world, YAML.replace("size: 2", "size: 3"))
    assert dear["needs_approval"] is True
    assert dear["summary"].endswith("and growth waits for approval")
    assert [action["hostname"] for action in dear["actions"]] == ["lab-client-test-1", "lab-client-test-2"]
    assert cheap["needs_approval"] is False


async def test_only_the_version_in_force_is_approved_and_only_if_it_waits(dsn: str) -> None:
    async with serving(dsn) as world:
        refused = await world.admin.post("/api/v1/desired/approve/1")
        assert (refused.status_code, refused.json()["error"]) == (409, "version 1 waits for no approval")
        other = await world.admin.post("/api/v1/desired/approve/7")
        assert (other.status_code, "version 1 is in force" in other.json()["error"]) == (409, True)
        async with transaction(world.db) as conn:
            assert await ask_approval(conn, Approval(version=1, cleared_usd=1.0, wanted_usd=5.0))
        assert (await get(world, "/costs"))["approval"]["state"] == "waiting"
        assert (await world.admin.post("/api/v1/desired/approve/1")).status_code == 200
        event = (await get(world, "/events?subject=desired"))["items"][-1]
    assert (event["reason"], event["message"]) == ("VersionApproved", "version 1 may cost up to $4.00 an hour more")
