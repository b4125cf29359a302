"""`POST /api/request_vm` and `GET /`: who gets a VM, who waits, whose seat it is, and what is refused."""

import anyio
import httpx
import pytest

from tests.api.world import COMMAND, YAML, World, bearer, eventually, serving

pytestmark = pytest.mark.anyio


async def free_seats(world: World, count: int) -> list[str]:
    """VMs that anybody could get."""
    names = await world.add_vms(count)
    await world.sql("UPDATE seat SET state = 'free', free_since = now()")
    return names


def browser(world: World) -> httpx.AsyncClient:
    """Keeps cookies and wants HTML."""
    return httpx.AsyncClient(base_url=world.url, headers={"Accept": "text/html"}, timeout=30, trust_env=False)


def form(email: str = "ada@example.org", code: str = "code", **more: str) -> dict[str, str]:
    return {"email": email, "crd_command": COMMAND.format(code=code), **more}


async def test_storm_seats_a_hundred_and_queues_a_hundred(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world, anyio.create_task_group() as tasks:
        names = await world.add_vms(100)
        told: dict[str, str] = {}
        answers: list[httpx.Response] = []

        async def poll(name: str) -> None:
            told[name] = (await world.poll(name)).json()["pin"]

        async def request(n: int) -> None:
            answers.append(await world.request(f"user{n}@example.org", f"code{n}"))

        for name in names:
            tasks.start_soon(poll, name)
        for n in range(200):
            tasks.start_soon(request, n)
        await eventually(lambda: len(answers) == 200 and len(told) == 100)
        waiting = [answer.json() for answer in answers if answer.status_code == 503]
        assert len(waiting) >= 100
        assert all(place["status"] == "waiting" and place["assignment"] for place in waiting)
        seats = await world.sql("SELECT hostname, pin, email FROM assignment WHERE status = 'active'")
        assert {seat["hostname"] for seat in seats} == set(names)  # a hundred distinct VMs, none idle
        assert {seat["hostname"]: seat["pin"] for seat in seats} == told  # each told its own person
        (line,) = await world.sql("SELECT count(*) AS n FROM assignment WHERE status = 'waiting'")
        assert line["n"] == 100
        assigned = [answer.json() for answer in answers if answer.status_code == 200]
        assert all(told[seat["hostname"]] == seat["pin"] for seat in assigned)


async def test_browser_comes_back_to_its_seat_by_cookie(dsn: str) -> None:
    async with serving(dsn) as world, browser(world) as ada:
        (name,) = await free_seats(world, 1)
        first = await ada.post("/api/request_vm", data=form())
        assert first.status_code == 200
        assert name in first.text
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        again = await ada.post("/api/request_vm", data=form(code="newer"))
        assert (again.status_code, name in again.text) == (200, True)
        (seat,) = await world.sql("SELECT code_version, crd_code FROM assignment")
        assert seat == {"code_version": 2, "crd_code": "4/newer"}


async def test_newer_command_is_told_at_the_next_poll(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world:
        (name,) = await free_seats(world, 1)
        pin = (await world.request("ada@example.org", "old")).json()["pin"]
        assert "4/old" in (await world.poll(name)).json()["command"]
        assert (await world.request("ada@example.org", "new", pin=pin)).status_code == 200
        assert "4/new" in (await world.poll(name)).json()["command"]


async def test_known_email_without_proof_learns_and_changes_nothing(dsn: str) -> None:
    async with serving(dsn) as world, browser(world) as mallory:
        (name,) = await free_seats(world, 1)
        pin = (await world.request("ada@example.org")).json()["pin"]
        before = await world.sql("SELECT * FROM assignment")
        for more in ({}, {"pin": "000000" if pin != "000000" else "111111"}):
            refused = await world.request("Ada@Example.org ", "mine", **more)
            assert refused.status_code == 409
            assert name not in refused.text
            assert pin not in refused.text
        mallory.cookies.set("lablink_seat", f"{before[0]['id']}.{'0' * 64}")
        assert (await mallory.post("/api/request_vm", data=form(code="mine"))).status_code == 409
        assert await world.sql("SELECT * FROM assignment") == before


async def test_double_click_is_harmless(dsn: str) -> None:
    async with serving(dsn) as world, browser(world) as ada, anyio.create_task_group() as tasks:
        await free_seats(world, 2)
        answers: list[httpx.Response] = []

        async def click() -> None:
            answers.append(await ada.post("/api/request_vm", data=form()))

        tasks.start_soon(click)
        tasks.start_soon(click)
        await eventually(lambda: len(answers) == 2)
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].cookies == answers[1].cookies
        seats = await world.sql("SELECT code_version, status FROM assignment")
        assert seats == [{"code_version": 1, "status": "active"}]


async def test_waiting_person_is_seated_in_order_when_a_vm_is_ready(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world:
        first = await world.request("first@example.org")
        second = await world.request("second@example.org")
        assert first.status_code == second.status_code == 503
        assert first.headers["retry-after"]
        assert [answer.json()["position"] for answer in (first, second)] == [1, 2]
        assert first.json()["eta_s"] is None
        (name,) = await world.add_vms()
        told = (await world.poll(name)).json()
        again = await world.request("first@example.org", pin=first.json()["pin"])
        assert (again.status_code, again.json()) == (200, {"hostname": name, "pin": told["pin"], "status": "assigned"})


async def test_waiting_time_comes_from_measured_starts(dsn: str) -> None:
    async with serving(dsn) as world:
        await world.add_vms(1)
        await world.sql("UPDATE vm SET ready_at = created_at + interval '4 minutes'")
        await world.add_vms(1, first=2)
        await world.sql("UPDATE vm SET created_at = now() - interval '1 minute' WHERE ready_at IS NULL")
        place = (await world.request("ada@example.org")).json()
        assert 170 <= place["eta_s"] <= 180
        assert (await world.request("bob@example.org")).json()["eta_s"] is None  # nothing is on its way for the second


async def test_another_pool_with_an_open_seat_is_refused(dsn: str) -> None:
    two_pools = YAML + "  other:\n    size: 1\n"
    async with serving(dsn, yaml=two_pools) as world:
        await free_seats(world, 1)
        seat = (await world.request("ada@example.org")).json()
        other = await world.request("ada@example.org", pool="other", pin=seat["pin"])
        assert other.status_code == 409
        assert "client" in other.json()["error"]
        assert (await world.request("ada@example.org", pool="nowhere")).status_code == 400


async def test_bad_form_is_refused_with_a_sentence(dsn: str) -> None:
    cases: list[dict[str, str]] = [
        {},
        {"email": "ada@example.org"},
        {"email": "ada", "crd_command": "--code=4/x"},
        {"email": "a b@example.org", "crd_command": "--code=4/x"},
        {"email": "ada@example.org\0", "crd_command": "--code=4/x"},
        {"email": "ada@example.org", "crd_command": "no code"},
        {"email": "ada@example.org", "crd_command": "--code=$(reboot)"},
        {"email": "ada@example.org", "crd_command": '--code="x;id"'},
        {"email": "ada@example.org", "crd_command": "--code=4/x", "pin": "12345"},
        {"email": "ada@example.org", "crd_command": "--code=4/x", "pin": "abcdef"},
    ]
    async with serving(dsn) as world, browser(world) as ada:
        for fields in cases:
            program = await world.http.post("/api/request_vm", json=fields, headers={"Accept": "application/json"})
            page = await ada.post("/api/request_vm", data=fields)
            assert (program.status_code, page.status_code) == (400, 400), fields
            assert program.json()["error"]
            assert 'role="alert"' in page.text
        assert await world.sql("SELECT id FROM assignment") == []


async def test_malformed_json_is_a_400(dsn: str) -> None:
    async with serving(dsn) as world:
        for body in (b"{", b"[]", b"null", b"\xff", b"[" * 50_000, b'{"email": {"a": 1}}'):
            refused = await world.http.post(
                "/api/request_vm", content=body, headers={"Content-Type": "application/json"}
            )
            assert refused.status_code == 400
            assert refused.json()["error"]
        long = await world.http.post("/api/request_vm", json={"email": "a" * 100_000})
        assert long.status_code == 413


async def test_index_says_how_many_are_free_and_escapes(dsn: str) -> None:
    async with serving(dsn) as world, browser(world) as ada:
        await free_seats(world, 3)
        page = await ada.get("/")
        assert page.status_code == 200
        assert "3 are free right now" in page.text
        assert "remotedesktop.google.com/headless" in page.text
        assert "<script>" not in page.text  # none inside the page: the policy would refuse it
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'")
        assert "unsafe" not in policy
        assert (await ada.get("/static/lablink.css")).status_code == 200
        evil = await ada.post("/api/request_vm", data=form(email="<script>@example.org"))
        assert (evil.status_code, "<script>@" in evil.text) == (400, False)
        assert 'value="&lt;script&gt;@example.org"' in evil.text  # what was typed is still there


async def test_a_page_of_another_site_cannot_ask(dsn: str) -> None:
    async with serving(dsn) as world:
        await free_seats(world, 1)
        for site in ("cross-site", "same-site"):
            refused = await world.http.post("/api/request_vm", data=form(), headers={"Sec-Fetch-Site": site})
            assert refused.status_code == 403
        name = "lab-client-test-1"
        refused = await world.http.post(
            "/vm_startup", json={"hostname": name}, headers={**bearer(name), "Sec-Fetch-Site": "cross-site"}
        )
        assert refused.status_code == 403
        assert await world.sql("SELECT id FROM assignment") == []
