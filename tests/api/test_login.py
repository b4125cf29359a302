"""The login page and its session; how often a password may be wrong; and what a browser may not be made to do."""

import time
from typing import Any

import anyio
import bcrypt
import httpx
import pytest

from api.login import HOME, choose_next
from api.passwords import MOST_OF_ADDRESS, MOST_OF_NAME, Login
from api.session import LASTS_S, make_session
from api.session import NAME as SESSION
from tests.api.world import ADMIN, HASH, SECRET, YAML, World, eventually, serving

pytestmark = pytest.mark.anyio

HTML = {"Accept": "text/html,application/xhtml+xml"}
PROXY: dict[str, Any] = {"trusted_proxies": ("127.0.0.1/32",)}


def browser(world: World) -> httpx.AsyncClient:
    """Keeps cookies, follows nothing, and says where its calls come from."""
    headers = {**HTML, "Origin": world.url, "Sec-Fetch-Site": "same-origin"}
    return httpx.AsyncClient(base_url=world.url, headers=headers, timeout=30, trust_env=False)


async def log_in(ada: httpx.AsyncClient, password: str = ADMIN[1], after: str = "/api/v1/vms") -> httpx.Response:
    return await ada.post("/login", data={"user": ADMIN[0], "password": password, "next": after})


async def test_person_is_sent_to_the_login_page_and_back(dsn: str) -> None:
    async with serving(dsn) as world, browser(world) as ada:
        sent = await ada.get("/api/v1/vms?limit=7&pool=client")
        assert sent.status_code == 303
        assert sent.headers["location"] == "/login?next=%2Fapi%2Fv1%2Fvms%3Flimit%3D7%26pool%3Dclient"
        page = await ada.get(sent.headers["location"])
        assert (page.status_code, 'value="/api/v1/vms?limit=7&amp;pool=client"' in page.text) == (200, True)
        back = await log_in(ada, after="/api/v1/vms?limit=7&pool=client")
        assert (back.status_code, back.headers["location"]) == (303, "/api/v1/vms?limit=7&pool=client")
        cookie = back.headers["set-cookie"].lower()
        assert all(word in cookie for word in ("httponly", "samesite=lax", "path=/", "max-age"))
        assert "secure" not in cookie
        assert (await ada.get("/api/v1/vms")).status_code == 200
        assert (await ada.get("/login?next=/api/v1/status")).headers["location"] == "/api/v1/status"


async def test_program_is_asked_for_its_login_and_a_script_is_told(dsn: str) -> None:
    async with serving(dsn) as world:
        for headers in ({}, {"Accept": "application/json"}, {"Accept": "*/*"}):
            asked = await world.http.get("/api/v1/vms", headers=headers)
            assert (asked.status_code, asked.headers["www-authenticate"][:5]) == (401, "Basic")
        assert (await world.http.post("/api/v1/vms/x/cordon", headers=HTML)).status_code == 401
        assert (await world.http.get("/api/v1/vms", headers=HTML, auth=("ada", "no"))).status_code == 401
        url = f"{world.url}/admin/instances?page=2"
        for script in ({"HX-Request": "true", "HX-Current-URL": url}, {"Sec-Fetch-Mode": "cors"}):
            told = await world.http.get("/api/v1/vms", headers=script)
            assert (told.status_code, told.headers["www-authenticate"][:7]) == (401, "Session")
            if "HX-Request" in script:
                assert told.headers["hx-redirect"] == "/login?next=%2Fadmin%2Finstances%3Fpage%3D2&ended=on"


async def test_wrong_password_shows_the_form_again_without_a_session(dsn: str) -> None:
    async with serving(dsn) as world, browser(world) as ada:
        for user, password in ((ADMIN[0], "wrong"), ("<b>eve</b>", ADMIN[1]), ("", "")):
            refused = await ada.post("/login", data={"user": user, "password": password, "next": "//evil.example"})
            assert refused.status_code == 403
            assert "is wrong" in refused.text
            assert "<b>" not in refused.text
            assert "evil" not in refused.text
            assert "set-cookie" not in refused.headers
        assert (await ada.get("/api/v1/vms")).status_code == 303


async def test_cookie_is_for_tls_alone_behind_tls(dsn: str) -> None:
    async with serving(dsn, allocator_url="https://lab.example.org") as world, browser(world) as ada:
        assert "; secure" in (await log_in(ada)).headers["set-cookie"].lower()


async def test_logout_forgets_the_session(dsn: str) -> None:
    async with serving(dsn) as world, browser(world) as ada:
        await log_in(ada)
        assert (await ada.post("/logout")).headers["location"] == "/login"
        assert (await ada.get("/api/v1/vms")).status_code == 303


@pytest.mark.parametrize(
    "asked",
    ["", "//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/a\nb", "/ü", "/" + "a" * 3000,
     "/login", "/login?next=/x", "/logout", "\\/evil.example", "/a\\b"],
)  # fmt: skip
def test_only_a_path_of_ours_is_gone_on_to(asked: str) -> None:
    assert choose_next(asked) == HOME


def test_own_path_is_kept() -> None:
    assert choose_next("/admin/logs/vm-1?after=7&x=%2F") == "/admin/logs/vm-1?after=7&x=%2F"


async def test_session_ends_with_its_time_its_key_its_user_and_its_password(dsn: str) -> None:
    async with serving(dsn) as world:
        login, secret = Login(ADMIN[0], HASH), SECRET.encode()

        async def opens(value: str | bytes | None) -> bool:
            cookie = SESSION.encode() + b"=" + (value if isinstance(value, bytes) else str(value).encode())
            return (await world.http.get("/api/v1/vms", headers={b"Cookie": cookie})).status_code == 200

        good = make_session(secret, login, time.time(), secure=False).value
        assert await opens(good)
        late, other = time.time() - LASTS_S - 1, Login("eve", HASH)
        assert not await opens(make_session(secret, login, late, secure=False).value)
        assert not await opens(make_session(secret, other, time.time(), secure=False).value)
        assert not await opens(make_session(b"another", login, time.time(), secure=False).value)
        until, _, digest = str(good).partition(".")
        for forged in (
            f"{int(until) + 1}.{digest}",
            f"{until}.",
            until,
            "",
            "x.y",
            "٣.x",
            f"{until}.{digest}x",
            "9" * 5000,
        ):
            assert not await opens(forged), forged
        changed = YAML.replace(HASH, bcrypt.hashpw(b"another", bcrypt.gensalt(4)).decode())
        headers = {"If-Match": "1"}
        assert (await world.admin.put("/api/v1/desired", content=changed, headers=headers)).status_code == 200
        assert not await opens(good)


async def test_session_changes_things_only_from_our_own_pages(dsn: str) -> None:
    async with serving(dsn) as world, browser(world) as ada:
        (name,) = await world.add_vms()
        await log_in(ada)
        cookies = {"Cookie": f"{SESSION}={ada.cookies[SESSION]}"}
        path = f"/api/v1/vms/{name}/cordon"
        for origin in (
            {},  # a browser says where from, at least with a POST
            {"Origin": "null"},
            {"Origin": "https://evil.example"},
            {"Origin": world.url, "Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            assert (await world.http.post(path, headers=cookies | origin)).status_code == 403, origin
        assert await world.sql("SELECT cordoned FROM vm") == [{"cordoned": False}]
        for origin in ({"Origin": world.url}, {"Sec-Fetch-Site": "same-origin"}):
            assert (await world.http.post(path, headers=cookies | origin)).status_code == 200, origin
        (event,) = await world.sql("SELECT actor FROM event WHERE reason = 'Cordoned'")
        assert event["actor"] == f"admin/{ADMIN[0]}"


async def test_declared_origin_counts_with_its_scheme(dsn: str) -> None:
    async with serving(dsn, allocator_url="https://lab.example.org") as world:
        for origin, status in (("https://lab.example.org", 404), ("http://lab.example.org", 403)):
            headers = {"Origin": origin, "Host": "lab.example.org"}
            answer = await world.admin.post("/api/v1/vms/nobody/release", headers=headers)
            assert answer.status_code == status, origin


# -- how often --------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _forgive_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a test runs, however long that takes."""
    monkeypatch.setattr("api.passwords.WINDOW_S", 1e6)


def at(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


async def fail(world: World, address: str, times: int, user: str = ADMIN[0]) -> list[int]:
    tries = [(user, f"guess {n} from {address}") for n in range(times)]
    return [(await world.http.get("/api/v1/vms", auth=auth, headers=at(address))).status_code for auth in tries]


async def test_address_that_guesses_is_refused_and_others_are_not(dsn: str) -> None:
    async with serving(dsn, **PROXY) as world:
        assert await fail(world, "192.0.2.1", MOST_OF_ADDRESS) == [401] * MOST_OF_ADDRESS
        refused = await world.http.get("/api/v1/vms", auth=(ADMIN[0], ADMIN[1]), headers=at("192.0.2.1"))
        assert refused.status_code == 429  # even with the right one, or it would be worth going on
        assert 0 < int(refused.headers["retry-after"]) <= 1e6 / MOST_OF_ADDRESS
        assert "try again in" in refused.json()["error"]
        assert (await world.http.get("/api/v1/vms", auth=ADMIN, headers=at("192.0.2.2"))).status_code == 200
        page = await world.http.post("/login", data={"user": "ada", "password": "x"}, headers=HTML | at("192.0.2.1"))
        assert (page.status_code, "try again in" in page.text.lower()) == (429, True)


async def test_remembered_password_is_never_refused(dsn: str) -> None:
    async with serving(dsn, **PROXY) as world:
        assert (await world.http.get("/api/v1/vms", auth=ADMIN, headers=at("192.0.2.1"))).status_code == 200
        assert (await fail(world, "192.0.2.1", MOST_OF_ADDRESS + 1))[-1] == 429
        assert (await world.http.get("/api/v1/vms", auth=ADMIN, headers=at("192.0.2.1"))).status_code == 200


async def test_name_that_is_guessed_from_everywhere_is_refused_but_not_where_the_admin_was(dsn: str) -> None:
    async with serving(dsn, **PROXY) as world:
        assert (await world.http.get("/api/v1/vms", auth=ADMIN, headers=at("203.0.113.9"))).status_code == 200
        guesses = [status for n in range(MOST_OF_NAME) for status in await fail(world, f"192.0.2.{n}", 1)]
        assert guesses == [401] * MOST_OF_NAME
        assert await fail(world, "198.51.100.1", 1) == [429]
        assert await fail(world, "198.51.100.1", 1, user="somebody") == [401]
        assert await fail(world, "203.0.113.9", 1) == [401]
        assert (await world.http.get("/api/v1/vms", auth=ADMIN, headers=at("203.0.113.9"))).status_code == 200


async def test_logins_by_the_hundred_hold_up_nobody_where_the_admin_was(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(dsn, **PROXY) as world:
        assert (await world.http.get("/api/v1/vms", auth=ADMIN, headers=at("203.0.113.9"))).status_code == 200
        monkeypatch.setattr("api.passwords.MOST_WAITING", 0)  # as if all of them were waiting now
        assert await fail(world, "192.0.2.1", 1) == [429]
        assert await fail(world, "203.0.113.9", 1) == [401]


async def test_addresses_of_one_household_count_as_one(dsn: str) -> None:
    async with serving(dsn, **PROXY) as world:
        guesses = [status for n in range(MOST_OF_ADDRESS + 1) for status in await fail(world, f"2001:db8::{n:x}", 1)]
        assert guesses[-1] == 429
        assert await fail(world, "2001:db8:0:1::1", 1) == [401]


async def test_right_passwords_at_once_are_no_failures(dsn: str) -> None:
    async with serving(dsn, **PROXY) as world, anyio.create_task_group() as tasks:
        answers: list[int] = []

        async def ask() -> None:
            answers.append((await world.http.get("/api/v1/vms", auth=ADMIN, headers=at("192.0.2.1"))).status_code)

        for _ in range(3 * MOST_OF_ADDRESS):
            tasks.start_soon(ask)
        await eventually(lambda: len(answers) == 3 * MOST_OF_ADDRESS)
        assert set(answers) == {200}


async def test_wrong_passwords_at_once_are_no_way_around(dsn: str) -> None:
    async with serving(dsn, **PROXY) as world, anyio.create_task_group() as tasks:
        answers: list[int] = []

        async def guess(n: int) -> None:
            answers.append((await world.http.get("/api/v1/vms", auth=("ada", str(n)), headers=at("::1"))).status_code)

        for n in range(3 * MOST_OF_ADDRESS):
            tasks.start_soon(guess, n)
        await eventually(lambda: len(answers) == 3 * MOST_OF_ADDRESS)
        assert sorted(answers) == [401] * MOST_OF_ADDRESS + [429] * 2 * MOST_OF_ADDRESS


async def test_line_that_a_proxy_adds_counts_not_the_one_that_the_sender_wrote_above_it(dsn: str) -> None:
    async with serving(dsn, **PROXY) as world:
        statuses = []
        for n in range(MOST_OF_ADDRESS + 1):
            said = [("X-Forwarded-For", f"192.0.2.{n}"), ("X-Forwarded-For", "203.0.113.66")]
            answer = await world.http.get("/api/v1/vms", auth=(ADMIN[0], f"guess {n}"), headers=said)
            statuses.append(answer.status_code)
        assert statuses == [401] * MOST_OF_ADDRESS + [429]


async def test_forwarded_address_is_believed_from_proxies_only(dsn: str) -> None:
    async with serving(dsn) as world:
        guesses = [status for n in range(MOST_OF_ADDRESS + 1) for status in await fail(world, f"192.0.2.{n}", 1)]
        assert guesses[-1] == 429
