"""Markup in what is typed and called: every field of every form, every part of an address; and no file but the own ones by any path."""

import html
import re
from pathlib import Path

import httpx
import pytest

from tests.api.test_access import Route, routes_of
from tests.api.test_stored_markup import HTML, NAME, Page, fill
from tests.api.world import COMMAND, serving

pytestmark = pytest.mark.anyio

HURT = """"'><hurt hurt=1></hurt></textarea></script><!-- {{7*7}} javascript:hurt()"""
NAMED = re.compile(r"""<(?:input|select|textarea|button)\b[^>]*\bname="(\w+)\"""")
READ = re.compile(r"""(?:\.(?:text|texts|number)\(|fields\[)"(\w+)"\]?""")
API = Path(__file__).parents[2] / "api"
WITHIN = {"do": "preview", "email": "eve@example.org", "pin": "424242", "crd_command": COMMAND.format(code="e")}
RIGHT = WITHIN | {"hostname": NAME, "deed": "reboot", "pool": "client", "size": "3", "based_on": "1", "scope": "read"}
ALONE = {
    "/login": "user password next",
    "/seat": "email pin",
    "/api/request_vm": "email crd_command pin pool access_code",
    "/api/launch": "num_vms pool based_on",
    "/admin/desired": "yaml based_on",
    "/admin/desired/check": "yaml based_on",
    "/admin/desired/file": "take",
    "/admin/tokens": "name scope expires_in",
    "/admin/credentials": "aws_access_key_id aws_secret_access_key aws_session_token aws_token aws_region",
    "/admin/instances": "hostname deed back confirm sure based_on",
    "/admin/assignments": "seq sure",
    "/admin/pools/client": "size min max spare paused do based_on",
    "/admin/costs/approve": "version",
}
"""Fields that are hostile one at a time, the others being right: a mistake in one would hide the next."""
IN_ADDRESSES = {"bucket", "down", "errors", "pool", "status", "steps", "subject", "words"}
"""Fields of forms that are sent by GET: test_stored_markup.py."""
ECHOED = {"/login user", "/seat email", "/api/request_vm email", "/admin/desired/check yaml", "/admin/tokens name"}
"""What pages are known to show again: without them the look would prove nothing."""


def fields_of_forms() -> set[str]:
    """As templates name them, and as handlers read them."""
    written = "".join(path.read_text() for path in (API / "templates").rglob("*.html"))
    read = "".join(path.read_text() for path in API.rglob("*.py"))
    return {*NAMED.findall(written), *READ.findall(read)}


def is_form(route: Route) -> bool:
    """What a browser posts to; those of programs answer JSON only."""
    return route.method == "POST" and not route.path.startswith("/api/v1/")


def fill_in(path: str) -> str:
    here = {"hostname": NAME, "name": "client", "run_id": "1", "number": "1"}
    return re.sub(r"\{(\w+):\w+\}", lambda part: here[part[1]], path)


async def check(http: httpx.AsyncClient, path: str, form: dict[str, str], address: str) -> str:
    """The page that came, with that to which it led; fails at markup. Its text, read as a browser reads it."""
    http.cookies.clear()
    answer = await http.post(path, data=form, headers=HTML | {"X-Forwarded-For": address})
    assert answer.status_code < 500 or answer.status_code == 503, (path, form, answer.text[-2000:])
    pages = [answer]
    if answer.status_code == 303:
        place = httpx.URL(answer.headers["location"])
        assert not place.host, f"{path} leads away, to {place}"
        pages.append(await http.get(answer.headers["location"], headers=HTML))
    for page in pages:
        if page.headers.get("content-type", "").startswith("text/html"):
            Page(f"{path} {form}").feed(page.text)
    return "".join(html.unescape(page.text) for page in pages)


async def test_nothing_typed_into_a_form_becomes_markup(dsn: str) -> None:
    known = {field for fields in ALONE.values() for field in fields.split()} | IN_ADDRESSES
    fields = fields_of_forms()
    assert fields <= known, f"{fields - known}: name in ALONE the form that has it"
    async with serving(dsn, trusted_proxies=["127.0.0.1/32"]) as world:
        await fill(world)
        paths = [fill_in(route.path) for route in routes_of(world.app) if is_form(route)]
        assert ALONE.keys() <= {*paths}
        for number, path in enumerate(paths):  # an address of its own for each: tries are counted
            for http in (world.http, world.admin):
                await check(http, path, dict.fromkeys(known, HURT), f"192.0.2.{number}")
        calls = [(path, field) for path, names in ALONE.items() for field in names.split()]
        texts = [
            await check(world.admin, path, RIGHT | {field: HURT}, f"198.51.100.{number}")
            for number, (path, field) in enumerate(calls)
        ]
    echoed = {f"{path} {field}" for (path, field), text in zip(calls, texts, strict=True) if HURT in text}
    assert echoed >= ECHOED, ECHOED - echoed


STEPS = (
    "..",
    "%2e%2e",
    "%2E.",
    "..%5c..",
    "..\\..",
    "....//..",
    "%252e%252e",
    "..;",
    "vendor/..",
    "..%00",
    "%c0%ae%c0%ae",
)
OUTSIDE = {1: "app.py", 2: "pyproject.toml", 12: "etc/passwd"}
"""By how many steps up they are."""
ROOTED = (
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "//etc/passwd",
    "file:///etc/passwd",
    "C:%5cwindows",
    "lablink.css%00.png",
    "%00",
)


def tricks() -> list[str]:
    """Ways out of a folder, and names that begin at the root."""
    ways = [
        slash.join([step] * times + [name])
        for slash in ("/", "%2f")
        for step in STEPS
        for times, name in OUTSIDE.items()
    ]
    return [*ways, *ROOTED]


def is_foreign(text: str) -> bool:
    return any(sign in text for sign in ("[build-system]", "root:", "import ", "{% "))


async def call_raw(http: httpx.AsyncClient, path: str) -> httpx.Response:
    """The path as it is: a client would tidy it up first."""
    url = http.base_url.copy_with(raw_path=path.encode())
    return await http.send(http.build_request("GET", url, headers=HTML))


async def test_no_path_leads_to_a_file_outside(dsn: str) -> None:
    async with serving(dsn) as world:
        own = {path.read_bytes() for path in (API / "static").rglob("*") if path.is_file()}
        assert (await call_raw(world.http, "/static/lablink.css")).content in own
        for trick in tricks():
            answer = await call_raw(world.http, f"/static/{trick}")
            assert answer.status_code in (400, 404, 405) or answer.content in own, f"{trick}: {answer.status_code}"
            assert answer.content in own or not is_foreign(answer.text), f"{trick}: {answer.text[:200]}"


NAMES = ("..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd", "..%5c..%5capp.py", "..%2fapp.py%00")


async def test_a_name_in_an_address_opens_no_file(dsn: str) -> None:
    async with serving(dsn) as world:
        routes = [route for route in routes_of(world.app) if route.method == "GET" and ":str}" in route.path]
        assert len(routes) > 8
        for route in routes:
            for name in NAMES:
                answer = await call_raw(world.admin, re.sub(r"\{\w+:\w+\}", name, route.path))
                assert answer.status_code in (400, 404, 401, 403), f"{route.path} {name}: {answer.status_code}"
                assert not is_foreign(answer.text), f"{route.path} {name}: {answer.text[:200]}"
