"""What VMs measure, kept as a short history and read as series; and how each came up."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.gauges import choose_begin, choose_step
from store.metric import KEPT_DAYS, MOST_NAMES, write_gauges
from tests.api.world import World, bearer, eventually, serving

pytestmark = pytest.mark.anyio

NOW = datetime(2031, 5, 4, 12, tzinfo=UTC)


async def beat(world: World, name: str, **gauges: float) -> None:
    path = f"/api/v1/client/{name}/heartbeat"
    answer = await world.http.post(path, json={"gauges": gauges}, headers=bearer(name))
    assert answer.status_code == 200


async def read_series(world: World, name: str, **query: Any) -> dict[str, list[Any]]:
    answer = await world.admin.get(f"/api/v1/vms/{name}/gauges", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["series"])


async def test_gauges_of_heartbeats_become_series(dsn: str) -> None:
    async with serving(dsn) as world:
        one, two = await world.add_vms(2)
        await beat(world, one, cpu_percent=10, memory_percent=50)
        await beat(world, two, cpu_percent=99)

        async def both() -> bool:
            return (await read_series(world, one)).keys() == {"cpu_percent", "memory_percent"}

        await eventually(both)
        (point,) = (await read_series(world, one))["cpu_percent"]
        assert point[1] == 10.0
        assert datetime.fromisoformat(point[0]).second % 30 == 0


async def test_series_are_means_over_the_step(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        await eventually(lambda: world.sql("SELECT 1 FROM pg_inherits WHERE inhparent = 'vm_metric'::regclass"))
        await world.sql(
            """INSERT INTO vm_metric (at, hostname, gauges)
               SELECT date_bin('10 minutes', now(), 'epoch') + n * interval '30 seconds', %s, jsonb_build_object('cpu_percent', n)
                 FROM generate_series(0, 19) AS n""",
            name,
        )
        assert [value for _, value in (await read_series(world, name, step=300))["cpu_percent"]] == [4.5, 14.5]
        assert len((await read_series(world, name))["cpu_percent"]) == 20


async def test_a_vm_fills_one_row_a_slot_with_a_bounded_number_of_gauges(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        await eventually(lambda: world.sql("SELECT 1 FROM pg_inherits WHERE inhparent = 'vm_metric'::regclass"))
        async with world.db.connection() as conn, conn.transaction():  # one transaction, one now()
            for n in range(50):
                await write_gauges(conn, {name: {f"g{n}-{k}": k for k in range(40)}})
        (row,) = await world.sql(
            "SELECT count(*) AS n, sum((SELECT count(*) FROM jsonb_object_keys(gauges))) AS names FROM vm_metric"
        )
        assert (row["n"], row["names"]) == (1, MOST_NAMES)


async def test_gauges_of_a_day_that_nobody_made_are_kept(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        await eventually(lambda: world.sql("SELECT 1 FROM pg_inherits WHERE inhparent = 'vm_metric'::regclass"))
        for row in await world.sql(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'vm_metric'::regclass"
        ):
            await world.sql(f"DROP TABLE {row['name']}")
        await beat(world, name, cpu_percent=1)

        async def kept() -> Any:
            return await read_series(world, name)

        assert (await eventually(kept)).keys() == {"cpu_percent"}


@pytest.mark.parametrize("ending", ["", "_time"])
async def test_startup_is_terraform_and_cloud_init_and_container_in_both_spellings(dsn: str, ending: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        begun = 1_900_000_000.0
        await world.sql("UPDATE vm SET terraform_s = 12, created_at = to_timestamp(%s)", begun - 30)
        path, login = f"/api/v1/vms/{name}/startup", bearer(name)
        assert (await world.admin.get(path)).json()["total_s"] is None
        for body in (
            {"cloud_init_start": begun, "cloud_init_end": begun + 60},
            {f"container_start{ending}": begun + 60, f"container_end{ending}": begun + 90.5},
        ):
            assert (await world.http.post(f"/api/vm-metrics/{name}", json=body, headers=login)).status_code == 200
        startup = (await world.admin.get(path)).json()
        parts = [startup[part] for part in ("terraform_s", "cloud_init_s", "container_s", "total_s")]
        assert parts == [12.0, 60.0, 30.5, 102.5]
        told = [happening["what"] for happening in startup["happenings"]]
        assert [what for what in told if "launched" not in what] == [
            "decided",
            "cloud-init began",
            "cloud-init ended",
            "container pulled and started",
            "container up",
        ]


async def test_times_that_make_no_sense_are_left_out(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        for body in (
            {"cloud_init_start": 1e300, "cloud_init_end": -5},
            {"container_start": 200, "container_end": 100},
            {"cloud_init_duration_seconds": -1, "container_startup_duration_seconds": 1e12},
        ):
            answer = await world.http.post(f"/api/vm-metrics/{name}", json=body, headers=bearer(name))
            assert answer.status_code == 200
        startup = (await world.admin.get(f"/api/v1/vms/{name}/startup")).json()
        assert (startup["cloud_init_s"], startup["container_s"], startup["cloud_init_started_at"]) == (None, None, None)


async def test_gauges_are_refused_as_the_contract_says(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        for path, status in (
            ("nobody/gauges", 404),
            ("nobody/startup", 404),
            ("a%00b/startup", 404),
            (f"{name}/gauges?since=soon", 400),
            (f"{name}/gauges?step=0", 400),
            (f"{name}/gauges?since=0001-01-01T00:00:00Z", 200),
        ):
            assert (await world.admin.get(f"/api/v1/vms/{path}")).status_code == status, path
        assert (await world.http.get(f"/api/v1/vms/{name}/gauges")).status_code == 401


def test_series_have_a_bounded_number_of_points() -> None:
    assert choose_step(None, 3600) == 30
    assert choose_step(45, 3600) == 60
    assert choose_step(1, KEPT_DAYS * 86_400) * 2_000 >= KEPT_DAYS * 86_400
    assert choose_begin(None, NOW) == NOW - timedelta(hours=1)
    assert choose_begin(datetime(2031, 5, 4, 11), NOW) == NOW - timedelta(hours=1)
    assert choose_begin(NOW + timedelta(days=1), NOW) == NOW
    assert choose_begin(datetime(1, 1, 1, tzinfo=UTC), NOW) == NOW - timedelta(days=KEPT_DAYS)
