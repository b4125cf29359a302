"""Who may call what: every route, by every kind of caller. A route that is new has to say whom it is for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest
from litestar import Litestar
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.routes import HTTPRoute

from api.admins import admin_unless_public, in_scope, read_scope
from api.headers import SECURITY_HEADERS, TLS_ONLY
from schemas.access import Scope
from tests.api.world import World, serving

pytestmark = pytest.mark.anyio

# For everybody, and why.
OPEN = {
    "GET /api/v1/assignments/{assignment:uuid}",  # whoever has the id
    "DELETE /api/v1/assignments/{assignment:uuid}",
    "GET /",  # asks for a VM
    "POST /api/request_vm",
    "GET /api/unassigned_vms_count",  # a number
    "GET /api/health",
    "GET /live",
    "GET /seat",  # these five by the seat's cookie, or by email and PIN
    "GET /seat/live",
    "POST /seat",
    "POST /seat/done",
    "POST /seat/extend",
    "GET /login",
    "POST /login",
    "POST /logout",  # forgets a cookie
    "GET /static/{file_path:path}",
}
# For VMs and the log Lambda, whose tokens the handlers check (test_telemetry.py, test_held_calls.py).
BY_VM_TOKEN = {
    "POST /api/vm-status",
    "POST /api/update_inuse_status",
    "POST /api/gpu_health",
    "POST /api/vm-metrics/{hostname:str}",
    "POST /api/vm-logs",
    "GET /api/v1/client/{hostname:str}",
    "POST /api/v1/client/{hostname:str}/heartbeat",
    "POST /api/v1/client/{hostname:str}/renew",  # by the key of the VM's host (test_renewal.py)
}


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    handler: BaseRouteHandler

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def guarded(self) -> bool:
        return bool({in_scope, admin_unless_public} & {*_functions(self.handler)})

    @property
    def url(self) -> str:
        """With a value for each part of the path that stands for nothing that exists."""
        nothing = {"int": "7", "uuid": str(UUID(int=7))}
        return re.sub(r"\{\w+:(\w+)\}", lambda part: nothing.get(part[1], "nothing"), self.path)


def _functions(handler: BaseRouteHandler) -> Iterator[object]:
    for guard in handler.resolve_guards():
        yield getattr(guard, "func", guard)


def routes_of(app: Litestar) -> list[Route]:
    found = []
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                assert isinstance(handler, HTTPRouteHandler)
                methods = sorted(handler.http_methods - {"OPTIONS", "HEAD"})
                found += [Route(method, route.path, handler) for method in methods]
    return found


async def make_token(world: World, scope: Scope, name: str = "") -> str:
    answer = await world.admin.post("/api/v1/tokens", json={"name": name or f"for-{scope}", "scope": scope})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


async def test_every_route_says_whom_it_is_for(dsn: str) -> None:
    async with serving(dsn) as world:
        for route in routes_of(world.app):
            if not route.guarded and not route.path.startswith("/schema"):  # the API's description, no secret
                assert route.name in OPEN | BY_VM_TOKEN, f"{route.name} is open to everybody: guard it with in_scope"
            if route.guarded and route.method != "GET" and not route.path.startswith("/admin/"):  # pages: for admins
                assert isinstance(route.handler.opt.get("scope"), Scope), f"{route.name} does not say its scope"


async def call(world: World, route: Route, token: str | None) -> int:
    """The status; what comes after it may go on for ever."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with world.http.stream(route.method, route.url, headers=headers, json={}) as answer:
        return answer.status_code


async def test_every_route_is_closed_to_whom_it_is_not_for(dsn: str) -> None:
    async with serving(dsn) as world:
        tokens = {scope: await make_token(world, scope) for scope in Scope}
        closed = [route for route in routes_of(world.app) if route.guarded or route.name in BY_VM_TOKEN]
        assert len(closed) > 20
        for route in closed:
            refusals = (400, 401, 404) if route.name in BY_VM_TOKEN else (401,)
            for stranger in (None, "lablink_none", "x"):
                assert await call(world, route, stranger) in refusals, route.name
        for route in closed:
            wanted = read_scope(route.handler, route.method)
            for scope, token in tokens.items():
                status = await call(world, route, token)
                if route.name in BY_VM_TOKEN:
                    assert status in (400, 401, 404), route.name
                elif scope.covers(wanted):
                    assert status not in (401, 403, 500), (route.name, scope)
                else:
                    assert status == 403, (route.name, scope)


async def test_operating_does_not_reach_what_is_for_admins(dsn: str) -> None:
    """The contract, by name: the matrix above takes each route's word for its scope."""
    admins = ("PUT /desired", "POST /desired/rollback/1", "GET /tokens", "POST /tokens", "DELETE /tokens/for-read")
    operators = (
        "PATCH /pools/client",
        "POST /pools/client/retry",
        "POST /vms/nobody/cordon",
        "POST /vms/nobody/release",
    )
    readers = ("GET /desired", "GET /vms", "GET /status", "POST /preview")
    async with serving(dsn) as world:
        tokens = {scope: await make_token(world, scope) for scope in Scope}
        for calls, wanted in ((admins, Scope.ADMIN), (operators, Scope.OPERATE), (readers, Scope.READ)):
            for method, path in (one.split() for one in calls):
                for scope in (Scope.READ, Scope.OPERATE):
                    headers = {"Authorization": f"Bearer {tokens[scope]}"}
                    answer = await world.http.request(method, f"/api/v1{path}", headers=headers)
                    assert (answer.status_code == 403) == (not scope.covers(wanted)), (method, path, scope)


async def test_actor_of_a_tokens_act_is_the_token(dsn: str) -> None:
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        token = await make_token(world, Scope.OPERATE, "night-shift")
        headers = {"Authorization": f"Bearer {token}"}
        assert (await world.http.post(f"/api/v1/vms/{name}/cordon", headers=headers)).status_code == 200
        changed = await world.http.patch("/api/v1/pools/client", json={"size": 3}, headers=headers)
        assert changed.json()["author"] == "token/night-shift"
        actors = {e["reason"]: e["actor"] for e in (await world.admin.get("/api/v1/events")).json()["items"]}
        assert actors["Cordoned"] == "token/night-shift"


async def test_answers_say_how_browsers_may_use_them(dsn: str) -> None:
    async with serving(dsn, allocator_url="https://lab.example.org") as world:
        for path in ("/", "/login", "/nothing", "/api/v1/vms", "/static/lablink.css", "/api/health"):
            headers = (await world.http.get(path)).headers
            assert "default-src 'none'" in headers["content-security-policy"], path
            assert "frame-ancestors 'none'" in headers["content-security-policy"], path
            assert headers["x-content-type-options"] == "nosniff", path
            assert headers["strict-transport-security"], path
            assert ("no-store" in headers["cache-control"]) == (not path.startswith("/static")), path


async def test_every_route_says_so_to_whoever_calls_it(dsn: str) -> None:
    """Refusals, pages, streams, files, what is not there, and what goes beside Litestar."""
    async with serving(dsn, allocator_url="https://lab.example.org") as world:
        calls = [(route.method, route.url) for route in routes_of(world.app)]
        calls += [("POST", "/vm_startup"), ("GET", "/static/lablink.js"), ("PUT", "/"), ("GET", "/nothing")]
        for http in (world.http, world.admin):
            for method, url in calls:
                async with http.stream(method, url, headers={"Accept": "text/html"}, json={}) as answer:
                    said = {name: answer.headers.get(name.lower()) for name in (*SECURITY_HEADERS, *TLS_ONLY)}
                assert said == {**SECURITY_HEADERS, **TLS_ONLY}, f"{method} {url}"
                assert "cache-control" in answer.headers, f"{method} {url}"
