"""API tokens: made, listed, used, expired, and revoked for every process at once."""

import httpx
import pytest

from schemas.access import Scope
from tests.api.test_access import make_token
from tests.api.world import World, eventually, serving

pytestmark = pytest.mark.anyio


async def ask(world: World, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return (await world.http.get("/api/v1/vms", headers=headers)).status_code


async def test_token_is_shown_once_and_kept_as_a_digest(dsn: str) -> None:
    async with serving(dsn) as world:
        made = await world.admin.post("/api/v1/tokens", json={"name": "ci", "scope": "read", "expires_in": "30d"})
        token = made.json()["token"]
        assert token.startswith("lablink_")
        assert made.headers["cache-control"] == "no-store"
        listed = await world.admin.get("/api/v1/tokens")
        assert token not in listed.text
        (item,) = listed.json()["items"]
        assert (item["name"], item["scope"], item["created_by"]) == ("ci", "read", "admin/ada")
        assert item["expires_at"] > item["created_at"]
        dump = str(await world.sql("SELECT t::text FROM api_token t")) + str(
            await world.sql("SELECT e::text FROM event e")
        )
        assert token not in dump
        assert token.removeprefix("lablink_") not in dump


async def test_token_that_makes_no_sense_is_not_made(dsn: str) -> None:
    async with serving(dsn) as world:
        await make_token(world, Scope.READ, "ci")
        assert (await world.admin.post("/api/v1/tokens", json={"name": "ci", "scope": "read"})).status_code == 409
        for body in (
            {},
            {"name": "x"},
            {"name": "x", "scope": "root"},
            {"name": "a/b", "scope": "read"},
            {"name": "x\n", "scope": "read"},
            {"name": "x", "scope": "read", "expires_in": "0s"},
            {"name": "x", "scope": "read", "expires_in": 30},
        ):
            assert (await world.admin.post("/api/v1/tokens", json=body)).status_code == 400, body
        assert (await world.admin.delete("/api/v1/tokens/nobody")).status_code == 404
        assert (await world.admin.delete("/api/v1/tokens/%00")).status_code == 400


async def test_revoked_token_opens_nothing_in_any_process(dsn: str) -> None:
    async with serving(dsn) as world, serving(dsn, yaml=None) as other:
        await eventually(lambda: _listens(other))
        token = await make_token(world, Scope.READ)
        assert [await ask(world, token), await ask(other, token)] == [200, 200]
        assert (await world.admin.delete("/api/v1/tokens/for-read")).status_code == 200
        assert await ask(world, token) == 401

        async def is_refused() -> bool:
            return await ask(other, token) == 401

        await eventually(is_refused, 3)  # told, not found out: the second look comes later


async def _listens(world: World) -> bool:
    return bool((await world.http.get("/api/health")).json()["checks"]["listen"])


async def test_expired_token_opens_nothing(dsn: str) -> None:
    async with serving(dsn) as world:
        token = await make_token(world, Scope.READ, "ci")
        assert await ask(world, token) == 200
        await world.sql("UPDATE api_token SET expires_at = now() + interval '1 second'")
        world.app.state.access.tokens.forget()
        assert await ask(world, token) == 200

        async def is_refused() -> bool:
            return await ask(world, token) == 401

        await eventually(is_refused)  # by the clock alone: nobody tells
        assert (await world.admin.get("/api/v1/tokens")).json()["items"][0]["name"] == "ci"


async def test_last_use_is_noted_without_a_write_per_call(dsn: str) -> None:
    async with serving(dsn) as world:
        token = await make_token(world, Scope.READ, "ci")
        for _ in range(5):
            assert await ask(world, token) == 200
        assert await world.sql("SELECT last_used_at FROM api_token") == [{"last_used_at": None}]
        await world.app.state.access.tokens.flush()
        (row,) = await world.sql("SELECT last_used_at > created_at AS used FROM api_token")
        assert row == {"used": True}


async def test_token_is_looked_for_in_the_header_alone(dsn: str) -> None:
    async with serving(dsn) as world:
        token = await make_token(world, Scope.ADMIN)
        for tried in (
            await world.http.get("/api/v1/vms", params={"token": token, "access_token": token}),
            await world.http.get("/api/v1/vms", headers={"Cookie": f"lablink_session={token}"}),
            await world.http.get("/api/v1/vms", auth=httpx.BasicAuth("ada", token)),
        ):
            assert tried.status_code == 401
