"""What VMs post: statuses, use, GPU, times, heartbeats; who may speak for whom; and the queries about it."""

import anyio
import httpx
import pytest

from tests.api.world import YAML, World, bearer, eventually, serving

pytestmark = pytest.mark.anyio


async def post(world: World, path: str, name: str, body: object, token: str | None = None) -> httpx.Response:
    return await world.http.post(path, json=body, headers=bearer(name, token))


async def read_row(world: World, name: str) -> dict[str, object]:
    (row,) = await world.sql("SELECT * FROM vm LEFT JOIN vm_heard USING (hostname) WHERE hostname = %s", name)
    return row


async def test_reports_reach_the_row_and_count_as_contact(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        posts = [
            ("/api/vm-status", {"hostname": name, "status": "running"}),
            ("/api/update_inuse_status", {"hostname": name, "status": True}),
            ("/api/gpu_health", {"hostname": name, "gpu_status": "Healthy", "gpu_utilization": 12}),
            (f"/api/vm-metrics/{name}", {"cloud_init_start": 100, "cloud_init_end": 130.5, "cpu_percent": 7}),
            (f"/api/vm-metrics/{name}", {"container_start_time": 1, "container_end_time": 3}),
        ]
        for path, body in posts:
            answer = await post(world, path, name, body)
            assert (answer.status_code, bool(answer.json()["message"])) == (200, True)
        row = await read_row(world, name)
        assert (row["status"], row["in_use"], row["gpu_health"]) == ("running", True, "Healthy")
        assert (row["cloud_init_s"], row["container_s"]) == (30.5, 2.0)

        async def all_heard() -> bool:
            return (await read_row(world, name))["gauges"] == {"cpu_percent": 7, "gpu_utilization": 12}

        await eventually(all_heard)


async def test_repeated_report_leaves_the_row_alone(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        written = []
        for _ in range(3):
            await post(world, "/api/vm-status", name, {"hostname": name, "status": "running"})
            written += await world.sql("SELECT xmin::text, status FROM vm")
        assert written == [written[0]] * 3
        assert written[0]["status"] == "running"


async def test_broken_vm_wakes_the_controller_and_is_an_event(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        await post(world, "/api/gpu_health", name, {"hostname": name, "gpu_status": "Unhealthy"})
        events = (await world.admin.get("/api/v1/events", params={"subject": f"vm/{name}"})).json()
        assert [event["reason"] for event in events["items"]] == ["Unhealthy"], events


async def test_wrong_words_are_a_400(dsn: str) -> None:
    cases: list[tuple[str, dict[str, object]]] = [
        ("/api/vm-status", {"status": "asleep"}),
        ("/api/vm-status", {}),
        ("/api/update_inuse_status", {}),
        ("/api/update_inuse_status", {"status": "perhaps"}),
        ("/api/gpu_health", {"gpu_status": "Fine"}),
        ("/api/gpu_health", {"gpu_status": "Healthy", "gpu_utilization": "much"}),
        ("/api/vm-metrics/lab-client-test-1", {"cloud_init_start": "soon"}),
        ("/api/v1/client/lab-client-test-1/heartbeat", {"code_version_delivered": -1}),
    ]
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        for path, body in cases:
            answer = await post(world, path, name, {"hostname": name, **body})
            assert (answer.status_code, bool(answer.json()["error"])) == (400, True), (path, body)


async def test_a_vm_speaks_only_for_itself(dsn: str) -> None:
    async with serving(dsn) as world:
        one, two = await world.add_vms(2)
        body = {"hostname": one, "status": "running"}
        assert (await world.http.post("/api/vm-status", json=body)).status_code == 401
        assert (await post(world, "/api/vm-status", one, body, "guess")).status_code == 401
        assert (await post(world, "/api/vm-status", two, body)).status_code == 403
        assert (await post(world, "/api/vm-status", "x", {**body, "hostname": "x"})).status_code == 404
        await world.sql("UPDATE vm SET token_version = 2 WHERE hostname = %s", one)
        assert (await post(world, "/api/vm-status", one, body)).status_code == 401  # rotated
        assert (await world.http.get(f"/api/v1/client/{one}")).status_code == 401


async def test_old_images_speak_by_name_where_the_lab_allows_it(dsn: str) -> None:
    async with serving(dsn, yaml=YAML + "vm_auth: hostname\n") as world:
        (name,) = await world.add_vms()
        answer = await world.http.post("/api/vm-status", json={"hostname": name, "status": "running"})
        assert answer.status_code == 200
        lines = await world.http.post("/api/vm-logs", json={"log_stream": name, "messages": ["hello"]})
        assert lines.status_code == 200


@pytest.mark.parametrize("hops", ["127.0.0.1", "::1", "198.51.100.7", "", "unknown", "198.51.100.7, 127.0.0.1"])
async def test_what_comes_through_a_proxy_here_that_is_not_configured_cannot_use_a_name(dsn: str, hops: str) -> None:
    """It looks as if it came from this machine; so whoever is behind it would speak for any VM."""
    async with serving(dsn, yaml=YAML + "vm_auth: hostname\n") as world:
        (name,) = await world.add_vms()
        await world.sql("UPDATE vm SET public_ip = '198.51.100.7'")
        body, headers = {"hostname": name, "status": "error"}, {"X-Forwarded-For": hops}
        for path in ("/api/vm-status", "/vm_startup"):
            assert (await world.http.post(path, json=body, headers=headers)).status_code == 403
        assert await world.sql("SELECT 1 FROM vm WHERE status IS NOT NULL") == []


async def test_caller_from_elsewhere_cannot_use_a_name(dsn: str) -> None:
    async with serving(dsn, yaml=YAML + "vm_auth: hostname\n", trusted_proxies=("127.0.0.0/8",)) as world:
        (name,) = await world.add_vms()
        await world.sql("UPDATE vm SET public_ip = '198.51.100.7'")
        body = {"hostname": name, "status": "running"}
        for address, status in (("198.51.100.7", 200), ("198.51.100.8", 403), ("198.51.100.7, 203.0.113.9", 403)):
            answer = await world.http.post("/api/vm-status", json=body, headers={"X-Forwarded-For": address})
            assert answer.status_code == status


async def test_reporter_sees_new_commands_and_acknowledges_them(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world:
        (name,) = await world.add_vms()
        path, login = f"/api/v1/client/{name}", bearer(name)
        assert (await world.http.get(path, headers=login)).json() == {"code_version": 0, "assigned": False}
        beat = {"code_version_delivered": None, "in_use": False, "boot_id": "b1", "gauges": {"cpu_percent": 3.5}}
        assert (await post(world, f"{path}/heartbeat", name, beat)).status_code == 200
        assert (await read_row(world, name))["reporter"] is True
        await world.sql("UPDATE seat SET state = 'free', free_since = now()")
        await world.request("ada@example.org")
        assert (await world.poll(name)).json()["status"] == "success"
        assert (await world.http.get(path, headers=login)).json() == {"code_version": 1, "assigned": True}
        delivered = "SELECT delivered_version FROM assignment"
        assert (await world.sql(delivered))[0]["delivered_version"] == 0  # told, but nobody has seen a desktop
        for said in (9, 1):
            await post(world, f"{path}/heartbeat", name, {**beat, "code_version_delivered": said, "in_use": True})
        assert (await world.sql(delivered))[0]["delivered_version"] == 1
        assert (await read_row(world, name))["in_use"] is True


async def test_heartbeats_of_many_share_their_transactions(dsn: str) -> None:
    async with serving(dsn) as world:
        names = await world.add_vms(50)

        async def beat(name: str) -> None:
            await post(world, f"/api/v1/client/{name}/heartbeat", name, {"gauges": {"cpu_percent": 1}})

        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(beat, name)

        async def all_heard() -> bool:
            return len(await world.sql("SELECT hostname FROM vm_heard")) == 50

        await eventually(all_heard)
        assert len(await world.sql("SELECT DISTINCT xmin::text FROM vm_heard")) < 10


async def test_queries_want_the_login_unless_the_lab_opens_them(dsn: str) -> None:
    async with serving(dsn) as world:
        assert (await world.http.get("/api/unassigned_vms_count")).json() == {"count": 0}
        assert (await world.admin.get("/api/vm-status")).status_code == 404
        (name,) = await world.add_vms()
        for path in ("/api/vm-status", f"/api/vm-status/{name}", f"/api/vm-logs/{name}"):
            refused = await world.http.get(path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Basic")
        assert (await world.admin.get("/api/vm-status")).json() == {name: "initializing"}
        assert (await world.admin.get(f"/api/vm-logs/{name}")).status_code == 503
        await post(world, "/api/vm-status", name, {"hostname": name, "status": "running"})
        assert (await world.admin.get(f"/api/vm-status/{name}")).json() == {"hostname": name, "status": "running"}
        assert (await world.admin.get(f"/api/vm-logs/{name}")).json() == {"hostname": name, "logs": None}
        assert (await world.admin.get("/api/vm-status/nobody")).status_code == 404


async def test_public_queries_need_no_login(dsn: str) -> None:
    async with serving(dsn, yaml=YAML + "public_queries: true\n") as world:
        (name,) = await world.add_vms()
        assert (await world.http.get("/api/vm-status")).json() == {name: "initializing"}


async def test_a_spot_instance_that_is_taken_back_is_told_once_and_wakes_the_controller(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        for _ in range(2):
            beat = {"in_use": False, "reclaim_at": "2031-05-04T12:02:00Z"}
            assert (await post(world, f"/api/v1/client/{name}/heartbeat", name, beat)).status_code == 200
        assert str((await read_row(world, name))["reclaim_at"]).startswith("2031-05-04 12:02")
        (event,) = await world.sql("SELECT message FROM event WHERE subject = %s", f"vm/{name}")
        assert event["message"] == "AWS takes the instance back at 2031-05-04 12:02:00 UTC"
