"""`/api/v1` behind the admin login: desired state, pools, VMs, events, runs, previews, reasons; and the health of the process."""

import json

import anyio
import httpx
import pytest
from psycopg.types.json import Jsonb

from tests.api.test_held_calls import start_polls
from tests.api.world import ADMIN, HASH, YAML, World, eventually, serving

pytestmark = pytest.mark.anyio

BIGGER = YAML.replace("size: 2", "size: 3")


async def put(world: World, yaml: str, match: int | str | None) -> httpx.Response:
    headers = {"If-Match": str(match)} if match is not None else {}
    return await world.admin.put("/api/v1/desired", content=yaml, headers=headers)


async def test_login_is_asked_for_and_a_wrong_one_refused(dsn: str) -> None:
    async with serving(dsn) as world:
        for auth in (None, (ADMIN[0], "wrong"), ("eve", ADMIN[1]), (ADMIN[0], "x" * 200), ("", "")):
            refused = await world.http.get("/api/v1/desired", auth=auth)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Basic")
            assert refused.json()["error"]
        for header in ("Basic", "Basic !!!", "Basic " + "A" * 5000, "Bearer x"):
            assert (await world.http.get("/api/v1/desired", headers={"Authorization": header})).status_code == 401
        assert (await world.admin.get("/api/v1/desired")).status_code == 200


async def test_settings_name_the_admin_while_the_file_names_none(dsn: str) -> None:
    nameless = "\n".join(line for line in YAML.splitlines() if not line.startswith("admin:"))
    async with serving(dsn, yaml=nameless, admin_user=ADMIN[0], admin_password_hash=HASH) as world:
        assert (await world.admin.get("/api/v1/desired")).status_code == 200
        other = nameless + '\nadmin: {user: eve, password_hash: "$2b$04$' + "a" * 53 + '"}\n'
        assert (await put(world, other, 1)).status_code == 200
        assert (await world.admin.get("/api/v1/desired")).status_code == 401


async def test_browser_of_another_site_cannot_change_anything(dsn: str) -> None:
    async with serving(dsn) as world:
        sent = {"If-Match": "1", "Sec-Fetch-Site": "cross-site"}
        assert (await world.admin.put("/api/v1/desired", content=BIGGER, headers=sent)).status_code == 403
        assert (await world.admin.get("/api/v1/desired")).json()["version"] == 1


async def test_desired_state_is_put_read_listed_and_rolled_back(dsn: str) -> None:
    async with serving(dsn) as world:
        accepted = await put(world, BIGGER, 1)
        assert accepted.json() | {"at": ""} == {"version": 2, "at": "", "author": f"admin/{ADMIN[0]}", "source": "api"}
        current = await world.admin.get("/api/v1/desired")
        assert (current.json()["yaml"], current.headers["etag"]) == (BIGGER, '"2"')
        rolled = await world.admin.post("/api/v1/desired/rollback/1")
        assert (rolled.json()["version"], rolled.json()["source"]) == (3, "rollback")
        assert (await world.admin.get("/api/v1/desired/versions/3")).json()["yaml"] == YAML
        first = (await world.admin.get("/api/v1/desired/versions", params={"limit": 2})).json()
        rest = (await world.admin.get("/api/v1/desired/versions", params={"after": first["next"]})).json()
        assert [v["version"] for v in first["items"] + rest["items"]] == [3, 2, 1]
        assert rest["next"] is None
        for path in ("versions/9", "versions/99999999999999999999"):
            assert (await world.admin.get(f"/api/v1/desired/{path}")).status_code == 404
        assert (await world.admin.post("/api/v1/desired/rollback/9")).status_code == 404


async def test_change_from_an_old_version_is_a_conflict_with_the_newer(dsn: str) -> None:
    async with serving(dsn) as world:
        assert (await put(world, BIGGER, 1)).status_code == 200
        refused = await put(world, YAML.replace("size: 2", "size: 9"), 1)
        assert refused.status_code == 409
        assert refused.json()["newest"]["version"] == 2
        assert refused.json()["newest"]["yaml"] == BIGGER
        for match in (None, "x", "-1", "*", "9" * 40):
            assert (await put(world, BIGGER, match)).status_code == 400


async def test_invalid_document_names_its_problems_and_changes_nothing(dsn: str) -> None:
    async with serving(dsn) as world:
        for yaml in (YAML.replace("size: 2", "size: -1"), YAML.replace("size", "sise"), "", ": [", "\x00"):
            refused = await put(world, yaml, 1)
            assert refused.status_code == 400
            assert refused.json()["problems"]
        bad = await world.admin.put("/api/v1/desired", content=b"\xff\xfe", headers={"If-Match": "1"})
        assert bad.status_code == 400
        assert (await world.admin.get("/api/v1/desired")).json()["version"] == 1


async def test_first_version_is_put_over_version_zero(dsn: str) -> None:
    async with serving(dsn, yaml=None, admin_user=ADMIN[0], admin_password_hash=HASH) as world:
        await eventually(lambda: _listens(world))
        assert (await world.http.get("/api/health")).json()["checks"]["desired"] is False
        assert (await world.http.get("/")).status_code == 200
        assert (await world.request("ada@example.org")).status_code == 503
        nothing = (await world.admin.get("/api/v1/desired")).json()
        assert (nothing["version"], nothing["yaml"], nothing["at"]) == (0, "", None)
        assert (await world.admin.get("/api/v1/status")).json()["pools"] == []
        assert (await world.admin.get("/api/v1/pools")).status_code == 503
        assert (await put(world, YAML, 0)).status_code == 200
        health = await world.http.get("/api/health")
        assert (health.status_code, health.json()["status"]) == (200, "ready")


async def _listens(world: World) -> bool:
    return bool((await world.http.get("/api/health")).json()["checks"]["listen"])


async def test_pool_is_resized_and_paused_with_comments_kept(dsn: str) -> None:
    async with serving(dsn) as world:
        changed = await world.admin.patch("/api/v1/pools/client", json={"size": 7, "paused": True})
        assert changed.json()["version"] == 2
        yaml = (await world.admin.get("/api/v1/desired")).json()["yaml"]
        assert "size: 7  # two seats" in yaml
        assert "paused: true" in yaml
        for body in ({}, {"size": -1}, {"size": 10**6}, {"size": "7"}, {"colour": "red"}, {"size": True}):
            assert (await world.admin.patch("/api/v1/pools/client", json=body)).status_code == 400
        assert (await world.admin.patch("/api/v1/pools/nowhere", json={"size": 1})).status_code == 404
        for method, path in (
            ("PATCH", "pools/clint"),
            ("GET", "pools/clint"),
            ("POST", "pools/clint/retry"),
            ("GET", "why/clint"),
        ):
            missed = await world.admin.request(
                method, f"/api/v1/{path}", json={"size": 1} if method == "PATCH" else None
            )
            assert (missed.status_code, missed.json()["error"][-24:]) == (404, "; did you mean 'client'?")


async def test_vms_are_listed_page_by_page_without_capabilities(dsn: str) -> None:
    async with serving(dsn) as world:
        await world.add_vms(3)
        await world.sql("UPDATE seat SET state = 'free', free_since = now()")
        await world.request("ada@example.org")
        first = (await world.admin.get("/api/v1/vms", params={"limit": 2})).json()
        rest = (await world.admin.get("/api/v1/vms", params={"after": first["next"]})).json()
        vms = first["items"] + rest["items"]
        assert [vm["hostname"] for vm in vms] == [f"lab-client-test-{n}" for n in (1, 2, 3)]
        assert sorted(vm["seat"] for vm in vms) == ["free", "free", "taken"]
        (assignment,) = await world.sql("SELECT id::text, email FROM assignment")
        assert assignment["id"] not in json.dumps(vms)
        assert assignment["email"] not in json.dumps(vms)
        assert (await world.admin.get("/api/v1/vms/nobody")).status_code == 404
        assert (await world.admin.get("/api/v1/vms", params={"limit": 0})).status_code == 400


async def test_cordoned_vm_is_given_to_nobody_until_uncordoned(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world, anyio.create_task_group() as tasks:
        (name,) = await world.add_vms()
        answers = await start_polls(world, [name], tasks)
        assert (await world.admin.post(f"/api/v1/vms/{name}/cordon")).status_code == 200
        waiting = await world.request("ada@example.org")
        assert waiting.status_code == 503
        assert (await world.admin.post(f"/api/v1/vms/{name}/uncordon")).status_code == 200
        await eventually(lambda: answers)
        assert answers[name].json()["pin"] == waiting.json()["pin"]


async def test_released_vm_drains_and_its_person_may_ask_again(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        assert (await world.admin.post(f"/api/v1/vms/{name}/release")).status_code == 409
        await world.sql("UPDATE seat SET state = 'free', free_since = now()")
        await world.request("ada@example.org")
        assert (await world.admin.post(f"/api/v1/vms/{name}/release")).status_code == 200
        assert (await world.sql("SELECT state FROM seat"))[0]["state"] == "draining"
        assert (await world.request("ada@example.org")).status_code == 503
        reasons = [e["reason"] for e in (await world.admin.get("/api/v1/events")).json()["items"]]
        assert reasons == ["VersionAccepted", "Assigned", "Released"]


async def test_replace_spares_a_persons_vm_unless_forced(dsn: str) -> None:
    async with serving(dsn) as world:
        taken, free = await world.add_vms(2)
        await world.sql("UPDATE seat SET state = 'free', free_since = now() WHERE hostname = %s", taken)
        await world.request("ada@example.org")
        assert (await world.admin.post(f"/api/v1/vms/{free}/replace")).status_code == 200
        assert (await world.admin.post(f"/api/v1/vms/{taken}/replace")).status_code == 409
        assert (await world.admin.post(f"/api/v1/vms/{taken}/replace?force=true")).status_code == 200
        assert [row["state"] for row in await world.sql("SELECT state FROM seat")] == ["draining", "draining"]
        await world.sql("UPDATE vm SET phase = 'draining'")
        assert (await world.admin.post(f"/api/v1/vms/{free}/cordon")).status_code == 409


async def test_retry_gives_up_what_is_lost_and_spares_what_works(dsn: str) -> None:
    async with serving(dsn) as world:
        works, lost, lost_in_use = await world.add_vms(3)
        await world.sql("UPDATE seat SET state = 'free', free_since = now() WHERE hostname = %s", lost_in_use)
        await world.request("ada@example.org")
        for name in (lost, lost_in_use):
            await world.sql(
                """INSERT INTO instance SELECT instance_id, region, hostname, pool, 1, 'terminated', 'g4dn.xlarge', 'ami-1', NULL,
                          NULL, NULL, now(), now(), NULL, NULL FROM vm WHERE hostname = %s""",
                name,
            )
        await world.sql("UPDATE pool SET failures = 7, failed_at = now()")
        answer = await world.admin.post("/api/v1/pools/client/retry")
        assert answer.json()["replaced"] == [lost, lost_in_use]
        states = {row["hostname"]: row["state"] for row in await world.sql("SELECT hostname, state FROM seat")}
        assert states == {works: "closed", lost: "draining", lost_in_use: "draining"}
        assert await world.sql("SELECT failures FROM pool") == [{"failures": 0}]
        assert await world.sql("SELECT status FROM assignment") == [{"status": "ended"}]
        assert (await world.admin.post("/api/v1/pools/nobody/retry")).status_code == 404
        assert (await world.http.post("/api/v1/pools/client/retry")).status_code == 401


async def test_status_shows_what_the_controller_may_not_do(dsn: str) -> None:
    async with serving(dsn) as world:
        message = "these credentials are of another account"
        condition = {"status": True, "reason": "OtherAccount", "message": message, "since": "2026-12-01T09:00:00Z"}
        await world.sql(
            "UPDATE deployment SET conditions = %s", Jsonb({"ObserveOnly": {"type": "ObserveOnly", **condition}})
        )
        blind = {"type": "Observed", **condition, "status": False}
        await world.sql(
            "INSERT INTO pool (name, ami, conditions) VALUES ('client', 'ami-1', %s)", Jsonb({"Observed": blind})
        )
        (pool,) = (await world.admin.get("/api/v1/status")).json()["pools"]
        assert pool["held"][0]["reason"] == message
        observed = next(one for one in pool["conditions"] if one["type"] == "Observed")
        assert observed["status"] is False


async def test_events_are_followed_as_they_happen(dsn: str) -> None:
    async with serving(dsn) as world:
        headers = {"Accept": "text/event-stream"}
        async with world.admin.stream("GET", "/api/v1/events", headers=headers) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.aiter_lines()
            assert "VersionAccepted" in await _next_datum(lines)
            await put(world, BIGGER, 1)
            assert "version 2 is in force" in await _next_datum(lines)


async def _next_datum(lines: object) -> str:
    with anyio.fail_after(20):
        async for line in lines:  # type: ignore[attr-defined]
            if line.startswith("data:"):
                return str(line)
    raise AssertionError("the stream ended")


async def test_runs_are_listed_and_read_with_their_output(dsn: str) -> None:
    async with serving(dsn) as world:
        await world.sql(
            "INSERT INTO run (state_key, pool, token, must_end_by, output)"
            " SELECT 'client/us-west-2/1', 'client', 1, now(), 'run ' || n FROM generate_series(1, 3) AS n"
        )
        page = (await world.admin.get("/api/v1/runs", params={"limit": 2})).json()
        assert [run["id"] for run in page["items"]] == [3, 2]
        assert (await world.admin.get("/api/v1/runs", params={"after": page["next"]})).json()["items"][0]["id"] == 1
        assert (await world.admin.get("/api/v1/runs/2")).json()["output"] == "run 2"
        assert (await world.admin.get("/api/v1/runs/9")).status_code == 404


async def test_status_why_and_preview_say_what_would_be_done(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        await world.sql("UPDATE pool SET ami = 'ami-0601752c11b394251', ami_source = ami")
        status = (await world.admin.get("/api/v1/status")).json()
        assert status["version"] == 1
        (pool,) = status["pools"]
        assert (pool["name"], pool["declared"], sum(pool["buckets"].values())) == ("client", 2, 1)
        assert status["events"][-1]["reason"] == "VersionAccepted"
        why = (await world.admin.get(f"/api/v1/why/{name}")).json()
        assert (why["hostname"], bool(why["bucket"]), bool(why["reason"])) == (name, True, True)
        assert (await world.admin.get("/api/v1/why/client")).json()["name"] == "client"
        assert (await world.admin.get("/api/v1/why/nobody")).status_code == 404
        wider = (await world.admin.post("/api/v1/preview", content=YAML.replace("size: 2", "size: 9"))).json()
        assert wider["pools"]["client"]["declared"] == 9
        assert "client" in wider["rendered"]
        new = YAML + "  second: {size: 2, instance_type: t3.large, ami: ami-0601752c11b394251}\n"
        unseen = (await world.admin.post("/api/v1/preview", content=new)).json()
        assert unseen["actions"] == []  # no controller leads, so nobody knows what exists
        await world.sql("INSERT INTO lease VALUES ('controller', 'somebody', 1, now() + interval '1 hour')")
        made = (await world.admin.post("/api/v1/preview", content=new)).json()
        assert sum(action["pool"] == "second" for action in made["actions"]) == 2
        lines = await world.admin.post("/api/v1/preview", headers={"Accept": "text/plain"})
        assert "pool client: 2 declared" in lines.text
        assert (await world.admin.post("/api/v1/preview", content="pools: 7")).status_code == 400
        assert (await world.admin.get("/api/v1/desired")).json()["version"] == 1


async def test_unknown_path_and_method_have_a_sentence(dsn: str) -> None:
    async with serving(dsn) as world:
        for method, path, status in (
            ("GET", "/nothing", 404),
            ("DELETE", "/api/vm-status", 405),
            ("GET", "/vm_startup", 405),
        ):
            answer = await world.http.request(method, path)
            assert (answer.status_code, bool(answer.json()["error"])) == (status, True)
