"""What changes the fleet as a whole: launch and destroy of the old system's scripts, elastic sizes, reboots; and what is told of it."""

from typing import Any

import anyio
import httpx
import pytest
from psycopg import AsyncConnection, sql

from schemas.decision import CreateVm, Decision
from schemas.snapshot import Snapshot
from store.db import transaction
from store.state import Observation, read_snapshot
from store.tick import write_tick
from tests.api.test_held_calls import poll_in_vain, start_polls
from tests.api.world import YAML, World, eventually, serving

pytestmark = pytest.mark.anyio

TWO = YAML + "  second: {size: 1, instance_type: [t3.large, g4dn.xlarge]}\n"
JSON = {"Accept": "application/json"}


async def launch(world: World, **fields: Any) -> httpx.Response:
    return await world.admin.post("/api/launch", json=fields)


async def read_sizes(world: World) -> dict[str, Any]:
    items = (await world.admin.get("/api/v1/desired")).json()
    rows = await world.sql("SELECT document FROM desired_version WHERE version = %s", items["version"])
    return {name: pool["size"] for name, pool in rows[0]["document"]["pools"].items()}


async def test_launch_adds_to_the_declared_size_of_the_pool_that_is_meant(dsn: str) -> None:
    async with serving(dsn, yaml=TWO) as world:
        by_name = await launch(world, num_vms=3, pool="client")
        assert (by_name.status_code, by_name.json()["version"], by_name.json()["pool"]) == (200, 2, "client")
        by_type = await world.admin.post(
            "/api/launch", data={"num_vms": "2", "instance_type": "t3.large"}, headers=JSON
        )
        assert (by_type.json()["version"], by_type.json()["pool"]) == (3, "second")
        assert await read_sizes(world) == {"client": 5, "second": 3}
        text = (await world.admin.get("/api/v1/desired")).json()["yaml"]
        assert "size: 5  # two seats" in text
        assert "instance_type: [t3.large, g4dn.xlarge]" in text
        (event,) = await world.sql(
            "SELECT actor FROM event WHERE reason = 'VersionAccepted' AND message LIKE 'version 2 %%'"
        )
        assert event["actor"] == "admin/ada"


NOTHING_SENSIBLE: list[dict[str, Any]] = [
    {},
    {"num_vms": 0},
    {"num_vms": -1},
    {"num_vms": "many"},
    {"num_vms": True},
    {"num_vms": "٣"},
    {"num_vms": 1.5},
    {"num_vms": [1]},
    {"num_vms": 10**30},
    {"num_vms": 1},  # two pools
    {"num_vms": 1, "pool": "third"},
    {"num_vms": 1, "instance_type": "g4dn.xlarge2"},
    {"num_vms": 999, "pool": "client"},  # above what a pool may have
]


async def test_launch_of_nothing_sensible_is_a_400_and_changes_nothing(dsn: str) -> None:
    async with serving(dsn, yaml=TWO) as world:
        for fields in NOTHING_SENSIBLE:
            refused = await launch(world, **fields)
            assert (refused.status_code, bool(refused.json()["error"])) == (400, True), fields
        assert (await world.admin.get("/api/v1/desired")).json()["version"] == 1


async def test_launch_needs_the_login_and_speaks_html_to_browsers(dsn: str) -> None:
    async with serving(dsn) as world:
        assert (await world.http.post("/api/launch", json={"num_vms": 1})).status_code == 401
        page = await world.admin.post("/api/launch", data={"num_vms": "1"}, headers={"Accept": "text/html,*/*"})
        assert page.headers["content-type"].startswith("text/html")
        assert 'href="/admin/desired/versions/2"' in page.text
        assert (await launch(world, num_instances=1)).json()["version"] == 3
        assert await read_sizes(world) == {"client": 4}


async def test_launches_at_once_all_count(dsn: str) -> None:
    async with serving(dsn) as world, anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(lambda: launch(world, num_vms=2, pool="client"))
        await eventually(lambda: _has_size(world, 10))


async def _has_size(world: World, size: int) -> bool:
    return await read_sizes(world) == {"client": size}


async def test_destroy_declares_nothing_and_ends_everybodys_assignment(dsn: str) -> None:
    async with serving(dsn, yaml=TWO) as world:
        await world.add_vms(1)
        await world.sql("UPDATE seat SET state = 'free', free_since = now()")
        await world.request("ada@example.org", pool="client")
        await world.request("bob@example.org", pool="client")
        await world.request("eve@example.org", pool="second")
        gone = await world.admin.post("/destroy", json={"pool": "client"})
        assert (gone.status_code, gone.json()["pools"], gone.json()["ended"]) == (200, ["client"], 2)
        assert await read_sizes(world) == {"client": 0, "second": 1}
        assert await world.sql("SELECT state, assignment_id FROM seat") == [
            {"state": "draining", "assignment_id": None}
        ]
        open_ones = await world.sql("SELECT email FROM assignment WHERE status <> 'ended'")
        assert open_ones == [{"email": "eve@example.org"}]
        rest = await world.admin.post("/destroy", headers=JSON)
        assert (rest.json()["pools"], rest.json()["ended"]) == (["client", "second"], 1)
        assert await read_sizes(world) == {"client": 0, "second": 0}
        events = (await world.admin.get("/api/v1/events", params={"pool": "client"})).json()["items"]
        assert ("Destroyed", "admin/ada") in [(event["reason"], event["actor"]) for event in events]
        assert {event["subject"] for event in events} == {"pool/client", "vm/lab-client-test-1"}
        assert (await world.admin.post("/destroy", json={"pool": "third"})).status_code == 400


async def test_a_browser_confirms_by_name_what_it_destroys(dsn: str) -> None:
    async with serving(dsn, yaml=TWO) as world:
        browser = {"Sec-Fetch-Site": "same-origin", **JSON}
        for fields in ({"pool": "client"}, {"pool": "client", "confirm": "second"}, {"confirm": "client"}):
            refused = await world.admin.post("/destroy", data=fields, headers=browser)
            assert (refused.status_code, "confirm" in refused.json()["error"]) == (409, True)
        assert await read_sizes(world) == {"client": 2, "second": 1}
        sure = {"pool": "client", "confirm": "client"}
        assert (await world.admin.post("/destroy", data=sure, headers=browser)).status_code == 200
        assert await read_sizes(world) == {"client": 0, "second": 1}
        assert (await world.http.post("/destroy", json={})).status_code == 401


async def test_call_of_a_destroyed_vm_is_answered_with_nobodys_command(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world, anyio.create_task_group() as tasks:
        (name,) = await world.add_vms()
        told = await start_polls(world, [name], tasks)
        await world.request("ada@example.org")
        await eventually(lambda: told)
        assert (await world.admin.post("/destroy", headers=JSON)).status_code == 200
        poll_in_vain(world, name, tasks)
        await eventually(lambda: len(world.app.state.waiters) == 1)
        assert (await world.request("bob@example.org")).json()["status"] == "waiting"
        assert len(world.app.state.waiters) == 1
        tasks.cancel_scope.cancel()


async def test_change_of_a_pool_from_an_old_version_is_a_conflict(dsn: str) -> None:
    async with serving(dsn) as world:
        first = await world.admin.patch("/api/v1/pools/client", json={"size": 3}, headers={"If-Match": '"1"'})
        assert first.json()["version"] == 2
        for old in ('"1"', "0"):
            late = await world.admin.patch("/api/v1/pools/client", json={"size": 9}, headers={"If-Match": old})
            assert (late.status_code, late.json()["newest"]["version"]) == (409, 2)
        assert await read_sizes(world) == {"client": 3}


async def test_reboot_is_wished_once_and_left_to_the_controller(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        for _ in range(2):
            asked = await world.admin.post(f"/api/v1/vms/{name}/reboot")
            assert (asked.status_code, name in asked.json()["message"]) == (200, True)
        events = await world.sql("SELECT actor, subject FROM event WHERE reason = 'RebootAsked'")
        assert events == [{"actor": "admin/ada", "subject": f"vm/{name}"}]
        await world.sql("UPDATE vm SET rebooted_at = now()")
        assert (await world.admin.post(f"/api/v1/vms/{name}/reboot")).status_code == 200
        assert len(await world.sql("SELECT id FROM event WHERE reason = 'RebootAsked'")) == 2
        await world.admin.patch("/api/v1/pools/client", json={"paused": True})
        assert (await world.admin.post(f"/api/v1/vms/{name}/reboot")).status_code == 409
        (planned,) = await world.add_vms(first=7, phase="planned")
        assert (await world.admin.post(f"/api/v1/vms/{planned}/reboot")).status_code == 409
        assert (await world.admin.post("/api/v1/vms/nobody/reboot")).status_code == 404


async def test_capacity_shows_what_aws_refused_and_until_when(dsn: str) -> None:
    async with serving(dsn, yaml=TWO) as world:
        await world.sql(
            "INSERT INTO refusal VALUES ('us-west-2', '', 't3.large', now()), ('us-west-2', '', 'm5.large', now())"
        )
        places = (await world.admin.get("/api/v1/capacity")).json()["items"]
        assert [(one["pool"], one["instance_type"], one["refused_at"] is not None) for one in places] == [
            ("client", "g4dn.xlarge", False),
            ("second", "t3.large", True),
            ("second", "g4dn.xlarge", False),
        ]
        assert places[1]["again_at"] > places[1]["refused_at"]
        of_client = (await world.admin.get("/api/v1/capacity", params={"pool": "client"})).json()["items"]
        assert of_client == places[:1]


async def test_ticks_are_listed_with_how_much_they_did(dsn: str) -> None:
    async with serving(dsn) as world:
        await world.add_vms()
        seen = await read_snapshot(world.db, Observation(listings={}))
        assert seen is not None
        for _ in range(3):
            async with transaction(world.db) as conn:
                await write_tick(conn, seen, decide_something(seen))
        first = (await world.admin.get("/api/v1/ticks", params={"limit": 2})).json()
        assert [(tick["id"], tick["version"], tick["actions"]) for tick in first["items"]] == [(3, 1, 1), (2, 1, 1)]
        assert (await world.admin.get("/api/v1/ticks", params={"after": first["next"]})).json()["items"][0]["id"] == 1


def decide_something(seen: Snapshot) -> Decision:
    vm = seen.vms[0]
    create = CreateVm(
        pool="client", hostname="lab-client-test-2", number=2, shard=1, spec=vm.spec, spec_hash="v1:0", reason="wanted"
    )
    return Decision(now=seen.now, version=seen.version, actions=(create,))


async def test_lists_are_filtered_and_paged_and_times_are_utc(dsn: str) -> None:
    async with await AsyncConnection.connect(dsn, autocommit=True) as conn:
        name = sql.Identifier(conn.info.dbname)
        await conn.execute(sql.SQL("ALTER DATABASE {} SET timezone = 'Asia/Kathmandu'").format(name))
    async with serving(dsn, yaml=TWO) as world:
        await world.add_vms(2)
        await world.sql("INSERT INTO run (state_key, pool, token, must_end_by, outcome) VALUES"
                        " ('a', 'client', 1, now(), 'failed'), ('b', 'second', 1, now(), 'failed'), ('c', 'client', 1, now(), 'running')")  # fmt: skip
        runs = (await world.admin.get("/api/v1/runs", params={"pool": "client", "status": "failed"})).json()["items"]
        assert [run["state_key"] for run in runs] == ["a"]
        assert runs[0]["started_at"].endswith("Z")
        vms = (await world.admin.get("/api/v1/vms", params={"status": "initializing"})).json()["items"]
        assert (len(vms), vms[0]["created_at"][-1]) == (2, "Z")
        pools = (await world.admin.get("/api/v1/pools", params={"limit": 1})).json()
        assert ([pool["name"] for pool in pools["items"]], pools["next"]) == (["client"], "client")
        rest = (await world.admin.get("/api/v1/pools", params={"after": "client"})).json()["items"]
        assert [pool["name"] for pool in rest] == ["second"]


BLOCK = """\
  client:
    size:  # as the demand
      min: 1  # always
      max: 9  # never more
      spare: 2
    paused: false
"""


SIZES: list[tuple[str, dict[str, Any], str]] = [
    ("size: 2  # two seats", {"max": 20}, "size: {min: 2, max: 20}  # two seats"),
    ("size: 2  # two seats", {"min": 0, "max": 20, "spare": 3}, "size: {min: 0, max: 20, spare: 3}  # two seats"),
    ("size: 2  # two seats", {"size": {"max": 5}}, "size: {max: 5}  # two seats"),
    ("size: {min: 1, max: 9}  # x", {"spare": 2}, "size: {min: 1, max: 9, spare: 2}  # x"),
    ("size: {min: 1, max: 9}  # x", {"min": 9, "max": 12}, "size: {min: 9, max: 12}  # x"),
    ("size: {min: 1, max: 9}  # x", {"size": 4, "paused": True}, "size: 4  # x"),
]


async def test_size_becomes_elastic_and_a_number_again_with_comments_kept(dsn: str) -> None:
    async with serving(dsn) as world:
        version = 1
        for before, change, after in SIZES:
            yaml = YAML.replace("size: 2  # two seats", before)
            put = await world.admin.put("/api/v1/desired", content=yaml, headers={"If-Match": str(version)})
            made = await world.admin.patch("/api/v1/pools/client", json=change)
            assert made.status_code == 200, made.text
            version = made.json()["version"]
            assert version > put.json()["version"]
            assert after in (await world.admin.get("/api/v1/desired")).json()["yaml"], change


async def test_elastic_size_in_a_block_keeps_its_comments(dsn: str) -> None:
    yaml = YAML.replace("  client:\n    size: 2  # two seats\n", BLOCK)
    async with serving(dsn, yaml=yaml) as world:
        assert (await world.admin.patch("/api/v1/pools/client", json={"max": 12})).status_code == 200
        text = (await world.admin.get("/api/v1/desired")).json()["yaml"]
        assert text == yaml.replace("max: 9 ", "max: 12 ")
        assert (await launch(world, num_vms=3)).status_code == 200
        assert await read_sizes(world) == {"client": {"min": 4, "max": 12, "spare": 2}}
        assert (await launch(world, num_vms=10)).status_code == 200
        assert await read_sizes(world) == {"client": {"min": 14, "max": 14, "spare": 2}}
        assert (await world.admin.patch("/api/v1/pools/client", json={"size": 1})).status_code == 200
        assert await read_sizes(world) == {"client": 1}
        parsed = (await world.admin.get("/api/v1/desired")).json()["yaml"]
        assert "paused: false" in parsed


NO_SIZES: list[dict[str, Any]] = [
    {"min": 1},
    {"spare": 1},
    {"min": 5, "max": 2},
    {"size": 1, "max": 2},
    {"size": {"min": 1}},
    {"size": None},
]


async def test_bounds_that_make_no_size_are_a_400(dsn: str) -> None:
    async with serving(dsn) as world:
        for change in NO_SIZES:
            refused = await world.admin.patch("/api/v1/pools/client", json=change)
            assert (refused.status_code, bool(refused.json()["error"])) == (400, True), change


async def test_what_a_failed_vm_left_behind_is_shown(dsn: str) -> None:
    async with serving(dsn) as world:
        broken, fine = await world.add_vms(2)
        await world.sql(
            "INSERT INTO evidence (hostname, reason, console, log, run_id) VALUES (%s, 'failed: boot', 'panic', 'last', 7) RETURNING 1",
            broken,
        )
        for path in ("/api/v1/vms", "/api/v1/why"):
            kept = (await world.admin.get(f"{path}/{broken}")).json()["evidence"]
            assert (kept["reason"], kept["console"], kept["log"], kept["run_id"]) == (
                "failed: boot",
                "panic",
                "last",
                7,
            )
            assert (await world.admin.get(f"{path}/{fine}")).json()["evidence"] is None
        page = (await world.admin.get(f"/admin/instances/{broken}")).text
        assert "What it left behind" in page
        assert "panic" in page


async def test_the_week_is_weighed_against_the_quotas(dsn: str) -> None:
    async with serving(dsn, yaml=TWO) as world:
        await world.sql(
            "INSERT INTO refusal (region, zone, instance_type, refused_at, cause) VALUES ('us-west-2', '', 't3.large', now(), 'quota') RETURNING 1"
        )
        needs = {one["quota"][:8]: one for one in (await world.admin.get("/api/v1/capacity/week")).json()["items"]}
        assert (needs["Standard"]["used_up"], needs["Standard"]["pools"]) == (True, ["second"])
        assert (needs["G and VT"]["used_up"], needs["G and VT"]["code"]) == (False, "L-DB2E81BA")
        places = (await world.admin.get("/api/v1/capacity?pool=second")).json()["items"]
        assert [place["cause"] for place in places] == ["quota", None]
