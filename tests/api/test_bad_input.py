"""What a hostile or broken caller sends: refused with a sentence, never a 500, and never more than a VM's share is kept."""

import anyio
import httpx
import pytest
from psycopg.errors import LockNotAvailable

from api.errors import MALFORMED
from store.db import transaction
from store.seat import lock_pool
from tests.api.world import World, bearer, eventually, serving

pytestmark = pytest.mark.anyio

HUGE = b"1" + b"0" * 400
PART = b'--x\r\nContent-Disposition: form-data; name="email"'


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/vms?pool=%00",
        "/api/v1/vms?status=%00",
        "/api/v1/vms?after=%00",
        "/api/v1/events?subject=%00",
        "/api/v1/runs?pool=%00",
    ],
)
async def test_nul_in_a_filter_is_a_400(dsn: str, path: str) -> None:
    async with serving(dsn) as world:
        refused = await world.admin.get(path)
        assert (refused.status_code, "NUL" in refused.json()["error"]) == (400, True)


async def test_empty_body_is_said_to_be_empty(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        refused = await world.http.post("/api/vm-status", headers=bearer(name))
        assert (refused.status_code, refused.json()["error"]) == (400, "the body is empty; send JSON")


async def test_body_that_is_no_json_is_said_to_be_none(dsn: str) -> None:
    headers = bearer("x") | {"Content-Type": "application/json"}
    async with serving(dsn) as world:
        for path in ("/api/vm-status", "/api/gpu_health", "/api/update_inuse_status", "/api/vm-metrics/x"):
            for body in (b'{"hostname":', b"a" * 100, b'{"hostname":"\xff"}', b"{'a': 1}", b"\x00"):
                refused = await world.http.post(path, content=body, headers=headers)
                assert (refused.status_code, refused.json()["error"]) == (400, MALFORMED), (path, body)


async def test_address_or_method_that_is_not_known_is_answered_with_what_to_do(dsn: str) -> None:
    async with serving(dsn) as world:
        nowhere, put = await world.http.get("/api/nothing"), await world.http.put("/api/request_vm")
        assert (nowhere.status_code, "/schema" in nowhere.json()["error"]) == (404, True)
        assert (put.status_code, "Allow" in put.json()["error"], "POST" in put.headers["allow"]) == (405, True, True)


async def test_login_that_is_not_ascii_is_a_401(dsn: str) -> None:
    async with serving(dsn) as world:
        refused = await world.http.get("/api/v1/vms", headers={b"Authorization": b"Basic \xff"})
        assert refused.status_code == 401


async def test_form_in_another_charset_than_it_says_is_a_400(dsn: str) -> None:
    async with serving(dsn) as world:
        for body in (
            PART + b"\r\n\r\n\xff\xfe\r\n--x--",
            PART + b"\r\nContent-Type: text/plain; charset=nope\r\n\r\na\r\n--x--",
        ):
            headers = {"Content-Type": "multipart/form-data; boundary=x"}
            refused = await world.http.post("/api/request_vm", content=body, headers=headers)
            assert refused.status_code == 400


CHARSETS = (b"punycode", b"unicode_escape", b'"utf-8"; CHARSET = "raw_unicode_escape"', b"\r\n utf-7")


async def test_form_in_one_of_pythons_own_charsets_is_not_decoded(dsn: str) -> None:
    """They take long, or make halves of characters that nothing can store or compare."""
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with serving(dsn) as world:
        for charset in CHARSETS:
            said = b"\r\nContent-Type: text/plain; charset=" + charset
            names = (b"email", b"pin", b"access_code", b"user", b"password")
            parts = [PART.replace(b"email", name) + said + b"\r\n\r\n\\ud800\r\n" for name in names]
            for path in ("/api/request_vm", "/seat", "/login"):
                refused = await world.http.post(path, content=b"".join(parts) + b"--x--", headers=headers)
                assert (refused.status_code, "UTF-8" in refused.text) == (400, True), (path, charset)


async def test_numbers_that_no_float_holds_are_no_gauges_and_no_times(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        headers = {**bearer(name), "Content-Type": "application/json"}
        posts = {
            f"/api/v1/client/{name}/heartbeat": b'{"gauges": {"fine": 1, "huge": ' + HUGE + b"}}",
            f"/api/vm-metrics/{name}": b'{"cloud_init_start": -1e308, "cloud_init_end": 1e308, "cpu": ' + HUGE + b"}",
        }
        for path, body in posts.items():
            assert (await world.http.post(path, content=body, headers=headers)).status_code == 200
        assert await eventually(lambda: read_gauges(world)) == {"fine": 1}
        assert await world.sql("SELECT cloud_init_s FROM vm") == [{"cloud_init_s": None}]


async def test_a_vm_that_thinks_up_gauges_for_ever_fills_nothing(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        for n in range(8):
            gauges = {f"gauge{n}-{m}": 1.0 for m in range(40)}
            await world.http.post(f"/api/v1/client/{name}/heartbeat", json={"gauges": gauges}, headers=bearer(name))

        async def newest() -> bool:
            return "gauge7-39" in await read_gauges(world)

        await eventually(newest)
        assert len(await read_gauges(world)) <= 100


async def read_gauges(world: World) -> dict[str, float]:
    rows = await world.sql("SELECT gauges FROM vm_heard")
    return dict(rows[0]["gauges"]) if rows else {}


async def test_origin_decides_where_browsers_send_nothing_better(dsn: str) -> None:
    """Over plain HTTP there is no Sec-Fetch-Site, but a remembered Basic login goes along with a form of any page."""
    async with serving(dsn, allocator_url="https://lab.example.org") as world:
        for origin, status in (
            ("http://evil.example", 403),
            ("null", 403),
            (world.url, 404),
            ("https://lab.example.org", 404),
        ):
            answer = await world.admin.post("/api/v1/vms/nobody/release", headers={"Origin": origin})
            assert answer.status_code == status, origin
        assert (await world.http.get("/")).headers["referrer-policy"] == "same-origin"


async def test_replace_asked_twice_is_no_conflict(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        answers = [await world.admin.post(f"/api/v1/vms/{name}/replace") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]


WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def test_retry_takes_the_pools_lock_before_the_pools_row(dsn: str) -> None:
    """As a run that ends does: the other way round each would wait for the other."""
    async with serving(dsn) as world:
        names = await world.add_vms()
        await world.sql("UPDATE pool SET failures = 1")
        await world.sql("INSERT INTO instance SELECT instance_id, region, hostname, pool, 1, 'terminated', 'g4dn.xlarge',"
                        " 'ami-1', NULL, NULL, NULL, now(), now(), NULL, NULL FROM vm")  # fmt: skip
        answers: list[httpx.Response] = []

        async def retry() -> None:
            answers.append(await world.admin.post("/api/v1/pools/client/retry"))

        async with anyio.create_task_group() as tasks, transaction(world.db) as conn:
            await lock_pool(conn, "client")
            tasks.start_soon(retry)
            await eventually(lambda: world.sql(WAITING))
            await conn.execute("SET LOCAL lock_timeout = '3s'")
            try:
                await conn.execute("UPDATE pool SET failures = failures + 1")
            except LockNotAvailable:
                pytest.fail("the retry holds the pool's row while it waits for its lock")
        assert answers[0].json()["replaced"] == names
