"""Access codes of pools and courses: who may ask for a VM of which pool, how often a code may be guessed, and that nobody is told it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import structlog

from api.door import MOST_CODES
from tests.api.world import COMMAND, YAML, World, serving

pytestmark = pytest.mark.anyio

CODE, OTHER = "open-sesame", "hello-neuron"
CLOSED = YAML + f"    access_code: {CODE}\n"
THREE = CLOSED + f"  other: {{size: 1, access_code: {OTHER}}}\n  public: {{size: 1}}\n"
PROXY: dict[str, Any] = {"trusted_proxies": ("127.0.0.1/32",)}
WRONG = ("", "open", CODE + "x", CODE.upper(), OTHER, "a" * 5000)


async def ask(world: World, user: str, code: str = "code", **more: str) -> tuple[int, str]:
    """The status, and the pool in which the person is afterwards."""
    answer = await world.request(f"{user}@example.org", code, **more)
    rows = await world.sql("SELECT pool FROM assignment WHERE email = %s", f"{user}@example.org")
    return answer.status_code, rows[0]["pool"] if rows else ""


async def free_one_of_each(world: World) -> None:
    for pool in ("client", "other", "public"):
        await world.add_vms(pool=pool)
        await world.sql("UPDATE seat SET state = 'free', free_since = now() WHERE state = 'closed'")


async def test_wrong_or_missing_code_is_refused_and_changes_nothing(dsn: str) -> None:
    async with serving(dsn, yaml=CLOSED) as world:
        for code in WRONG:
            headers = {"Content-Type": "application/json"}
            refused = await world.http.post("/api/request_vm", content=_json(access_code=code), headers=headers)
            assert (refused.status_code, "access code" in refused.json()["error"]) == (403, True), ascii(code)
        assert await world.sql("SELECT id FROM assignment") == []
        assert await ask(world, "ada", access_code=f" {CODE} ") == (503, "client")


async def test_pool_that_is_named_wants_its_own_code(dsn: str) -> None:
    async with serving(dsn, yaml=THREE) as world:
        await free_one_of_each(world)
        assert await ask(world, "ada", pool="other") == (403, "")
        assert await ask(world, "ada", pool="other", access_code=CODE) == (403, "")
        assert await ask(world, "ada", pool="other", access_code=OTHER) == (200, "other")
        assert await ask(world, "bob", pool="public", access_code="whatever") == (200, "public")


async def test_who_names_no_pool_gets_one_that_may_be_entered(dsn: str) -> None:
    async with serving(dsn, yaml=THREE) as world:
        await free_one_of_each(world)  # of `client` the one that has been free for longest
        assert await ask(world, "ada") == (200, "public")
        assert await ask(world, "bob", access_code=OTHER) == (200, "other")
        assert await ask(world, "eve", access_code="guessed") == (403, "")
        assert await ask(world, "kim") == (503, "public")  # in line there, beside a VM of a pool that is closed to it
        assert await ask(world, "joe", access_code=CODE) == (200, "client")


async def test_own_seat_by_cookie_needs_no_code_again(dsn: str) -> None:
    async with serving(dsn, yaml=CLOSED) as world:
        await free_one_of_each(world)
        async with httpx.AsyncClient(base_url=world.url, trust_env=False) as ada:
            first = await ada.post("/api/request_vm", data=_form("old", access_code=CODE))
            assert first.status_code == 200
            assert (await ada.post("/api/request_vm", data=_form("new"))).status_code == 200
            other = await ada.post("/api/request_vm", data=_form("new") | {"email": "bob@example.org"})
            assert other.status_code == 403
            await world.sql("UPDATE seat SET state = 'draining', assignment_id = NULL WHERE assignment_id IS NOT NULL")
            await world.sql("UPDATE assignment SET status = 'ended', ended_at = now(), end_reason = 'over'")
            assert (await ada.post("/api/request_vm", data=_form("third"))).status_code == 403


async def test_with_repeat_open_an_email_leads_to_no_pool_that_was_not_entered(dsn: str) -> None:
    two = YAML + f"    access_code: {CODE}\n  other: {{size: 1, access_code: {OTHER}}}\nrepeat: open\n"
    async with serving(dsn, yaml=two) as world:
        await free_one_of_each(world)
        assert await ask(world, "ada", access_code=OTHER) == (200, "other")
        before = await world.sql("SELECT * FROM assignment")
        assert await ask(world, "ada", "newer", access_code=CODE) == (409, "other")
        assert await world.sql("SELECT * FROM assignment") == before
        assert await ask(world, "ada", "newer", pool="other", access_code=OTHER) == (200, "other")


async def test_codes_are_guessed_so_often_from_one_address_and_a_class_is_not_shut_out(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.door.WINDOW_S", 1e7)
    async with serving(dsn, yaml=CLOSED, **PROXY) as world:

        async def send(address: str, code: str) -> int:
            headers = {"X-Forwarded-For": address, "Content-Type": "application/json"}
            world.http.cookies.clear()
            answer = await world.http.post("/api/request_vm", content=_json(access_code=code), headers=headers)
            assert (answer.status_code == 429) == ("retry-after" in answer.headers and "codes" in answer.text)
            return answer.status_code

        for _ in range(MOST_CODES + 5):  # neither a form without it nor a right one is a guess
            assert await send("192.0.2.66", "") == 403
            assert await send("192.0.2.66", CODE) == 503
        assert {await send("192.0.2.66", f"guess-{n}") for n in range(MOST_CODES)} == {403}
        assert await send("192.0.2.66", "guess-more") == 429
        assert await send("192.0.2.66", CODE) == 429
        assert await send("192.0.2.1", CODE) == 503


async def test_form_asks_where_a_pool_does_and_nothing_shows_the_code(dsn: str) -> None:
    with structlog.testing.capture_logs() as logged:
        async with serving(dsn, yaml=CLOSED) as world:
            page = await world.http.get("/", headers={"Accept": "text/html"})
            assert 'name="access_code"' in page.text
            html = {"Accept": "text/html"}
            wrong = await world.http.post("/api/request_vm", data=_form("x", access_code="guess"), headers=html)
            assert (wrong.status_code, 'id="access_code-error"' in wrong.text) == (403, True)
            assert 'aria-invalid="true"' in wrong.text
            right = await world.http.post("/api/request_vm", data=_form("", access_code=CODE), headers=html)
            assert right.status_code == 400
            seat = await world.http.post("/api/request_vm", data=_form("x", access_code=CODE))
            pool = await world.admin.get("/api/v1/pools/client")
            assert pool.json()["declaration"]["access_code"] == "********"
            events = str(await world.sql("SELECT * FROM event"))
        assert CODE not in page.text + wrong.text + right.text + seat.text + pool.text + events
    assert CODE not in str(logged)
    async with serving(dsn, yaml=None) as world:
        await world.admin.put("/api/v1/desired", content=YAML, headers={"If-Match": '"1"'})
        assert 'name="access_code"' not in (await world.http.get("/", headers={"Accept": "text/html"})).text


def course(starts: str, ends: str, code: str = OTHER) -> str:
    """A course of the pool `client`, from and to so many minutes from now."""
    now = datetime.now(UTC)
    from_at, to_at = (now + timedelta(minutes=float(minutes)) for minutes in (starts, ends))
    return f"courses: {{friday: {{pool: client, from: {from_at.isoformat()}, to: {to_at.isoformat()}, seats: 2, access_code: {code}}}}}\n"


async def test_code_of_a_course_opens_its_pool_from_half_an_hour_before_to_its_end(dsn: str) -> None:
    async with serving(dsn, yaml=CLOSED + course("20", "80")) as world:
        await free_one_of_each(world)
        assert await ask(world, "ada", access_code="guess") == (403, "")
        assert await ask(world, "ada", access_code=OTHER) == (200, "client")
        assert await ask(world, "bob", access_code=CODE) == (503, "client")


async def test_pool_without_a_code_asks_for_that_of_a_course_while_it_is_on(dsn: str) -> None:
    async with serving(dsn, yaml=YAML + "  public: {size: 1}\n" + course("-20", "20")) as world:
        await free_one_of_each(world)
        assert await ask(world, "ada") == (200, "public")
        assert await ask(world, "bob", pool="client") == (403, "")
        assert await ask(world, "bob", pool="client", access_code=OTHER) == (200, "client")


@pytest.mark.parametrize(("starts", "ends", "word"), [("40", "80", "opens at"), ("-80", "-20", "ended at")])
async def test_code_of_a_course_at_another_time_is_told_when_and_is_no_guess(
    dsn: str, starts: str, ends: str, word: str
) -> None:
    async with serving(dsn, yaml=CLOSED + course(starts, ends)) as world:
        await free_one_of_each(world)
        for _ in range(MOST_CODES + 1):
            refused = await world.request("ada@example.org", access_code=OTHER)
            assert (refused.status_code, f"the course friday, which {word}" in refused.json()["error"]) == (403, True)
        assert await ask(world, "ada", access_code=CODE) == (200, "client")


async def test_over_course_leaves_its_pool_open_and_its_form_without_the_field(dsn: str) -> None:
    async with serving(dsn, yaml=YAML + course("-80", "-20")) as world:
        await free_one_of_each(world)
        assert 'name="access_code"' not in (await world.http.get("/", headers={"Accept": "text/html"})).text
        assert await ask(world, "ada") == (200, "client")


def _form(code: str, **more: str) -> dict[str, str]:
    return {"email": "ada@example.org", "crd_command": COMMAND.format(code=code) if code else "", **more}


def _json(**more: str) -> bytes:
    """Also what httpx would not encode."""
    return json.dumps(_form("code", **more)).encode()
