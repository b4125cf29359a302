"""`POST /vm_startup` over real HTTP: held, told, kept alive, superseded, hung up on, ended."""

import json
import time
from contextlib import AbstractAsyncContextManager

import anyio
import httpx
import pytest

from api import startup, waiters
from tests.api.world import PATIENCE_S, World, bearer, eventually, serving

pytestmark = pytest.mark.anyio


async def count_free(world: World) -> int:
    return int((await world.http.get("/api/unassigned_vms_count")).json()["count"])


async def start_polls(world: World, names: list[str], tasks: anyio.abc.TaskGroup) -> dict[str, httpx.Response]:
    """Held calls of all these VMs, up and free; their answers as they come."""
    answers: dict[str, httpx.Response] = {}

    async def poll(name: str) -> None:
        answers[name] = await world.poll(name)

    for name in names:
        tasks.start_soon(poll, name)

    async def all_free() -> bool:
        return await count_free(world) == len(names)

    await eventually(all_free, 4 * PATIENCE_S)  # a thousand of them on a busy machine take their time
    return answers


def poll_in_vain(world: World, name: str, tasks: anyio.abc.TaskGroup) -> list[Exception]:
    """A held call whose connection breaks; the error, once it does."""
    broken: list[Exception] = []

    async def poll() -> None:
        try:
            await world.poll(name)
        except httpx.HTTPError as error:
            broken.append(error)

    tasks.start_soon(poll)
    return broken


async def test_waiting_vm_is_told_its_person_within_a_moment(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world, anyio.create_task_group() as tasks:
        (name,) = await world.add_vms()
        answers = await start_polls(world, [name], tasks)
        asked = time.monotonic()
        seat = (await world.request("ada@example.org", "abc")).json()
        await eventually(lambda: answers)
        took_s = time.monotonic() - asked
        told = answers[name].json()
        assert (seat["hostname"], seat["status"]) == (name, "assigned")
        assert told == {
            "status": "success",
            "pin": seat["pin"],
            "command": 'DISPLAY= /opt/google/chrome-remote-desktop/start-host --code="4/abc"'
            ' --redirect-url="https://remotedesktop.google.com/_/oauthredirect" --name=$(hostname)',
        }
        assert took_s < 10


async def test_assignment_made_while_nobody_polled_is_told_at_the_next_poll(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world:
        (name,) = await world.add_vms()
        await world.sql("UPDATE seat SET state = 'free', free_since = now()")
        seat = (await world.request("ada@example.org")).json()
        first, again = await world.poll(name), await world.poll(name)
        assert first.json()["pin"] == again.json()["pin"] == seat["pin"]
        await eventually(lambda: world.sql("SELECT 1 FROM assignment WHERE delivered_version = 1"))


async def test_headers_come_at_once_and_spaces_keep_the_call(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiters, "SLOTS", waiters.SLOTS_A_S)
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        stream = world.http.stream("POST", "/vm_startup", json={"hostname": name}, headers=bearer(name), timeout=20)
        async with stream as response:
            assert response.status_code == 200
            assert response.headers["transfer-encoding"] == "chunked"
            body = response.aiter_bytes()
            assert [await anext(body), await anext(body)] == [b" ", b" "]
            assert (await world.sql("SELECT 1 FROM vm_heard WHERE hostname = %s", name)) != []


async def test_old_call_is_broken_off_not_answered(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiters, "SLOTS", waiters.SLOTS_A_S)
    monkeypatch.setattr(waiters, "LONGEST_S", (1.0, 1.5))
    async with serving(dsn) as world:
        (name,) = await world.add_vms()
        with pytest.raises(httpx.RemoteProtocolError):
            await world.poll(name)
        assert len(world.app.state.waiters) == 0


async def test_newer_call_of_a_vm_supersedes_the_older(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0) as world, anyio.create_task_group() as tasks:
        (name,) = await world.add_vms()
        broken = poll_in_vain(world, name, tasks)
        await eventually(lambda: len(world.app.state.waiters) == 1)
        answers = await start_polls(world, [name], tasks)
        await eventually(lambda: broken)
        assert len(world.app.state.waiters) == 1
        await world.request("ada@example.org")
        await eventually(lambda: answers)
        assert answers[name].json()["status"] == "success"


async def test_of_two_callers_only_the_recorded_address_is_served(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0, trusted_proxies=("127.0.0.0/8",)) as world:
        (name,) = await world.add_vms()
        await world.sql("UPDATE vm SET public_ip = '198.51.100.7'")

        def call(address: str) -> AbstractAsyncContextManager[httpx.Response]:
            headers = {**bearer(name), "X-Forwarded-For": address}
            return world.http.stream("POST", "/vm_startup", json={"hostname": name}, headers=headers)

        async with call("198.51.100.7") as own:
            await eventually(lambda: len(world.app.state.waiters) == 1)
            async with call("203.0.113.66") as stranger:
                with pytest.raises(httpx.RemoteProtocolError):
                    await stranger.aread()
            seat = (await world.request("ada@example.org")).json()
            assert json.loads(await own.aread())["pin"] == seat["pin"]
        (event,) = await world.sql("SELECT message FROM event WHERE reason = 'TwoPollers'")
        assert "203.0.113.66" in event["message"]


async def test_of_many_callers_at_once_one_is_held_and_the_others_are_broken_off(dsn: str) -> None:
    """Each comes while the others' address is still being looked at and written down."""
    async with serving(dsn, slow_poll_s=0, trusted_proxies=("127.0.0.0/8",)) as world:
        (name,) = await world.add_vms()
        ended: list[str] = []

        async def call(n: int) -> None:
            headers = {**bearer(name), "X-Forwarded-For": f"198.51.100.{n}"}
            try:
                await world.http.post("/vm_startup", json={"hostname": name}, headers=headers, timeout=None)
            except httpx.HTTPError:
                ended.append("broken off")
            else:
                ended.append("told")

        async with anyio.create_task_group() as tasks:
            for n in range(8):
                tasks.start_soon(call, n)
            await eventually(lambda: len(ended) == 7)
            await world.request("ada@example.org")
        assert ended == ["broken off"] * 7 + ["told"]


async def test_hang_up_frees_the_waiter(dsn: str) -> None:
    async with serving(dsn) as world:
        names = await world.add_vms(20)
        async with anyio.create_task_group() as tasks:
            await start_polls(world, names, tasks)
            assert len(world.app.state.waiters) == 20
            tasks.cancel_scope.cancel()
        await eventually(lambda: len(world.app.state.waiters) == 0)


async def test_call_of_a_lost_vm_is_broken_off(dsn: str) -> None:
    async with serving(dsn, slow_poll_s=0.2) as world, anyio.create_task_group() as tasks:
        (name,) = await world.add_vms()
        broken = poll_in_vain(world, name, tasks)
        await eventually(lambda: len(world.app.state.waiters) == 1)
        await world.sql("UPDATE vm SET phase = 'lost'")
        await eventually(lambda: broken)


async def test_shutdown_ends_held_calls_before_it_waits(dsn: str) -> None:
    async with serving(dsn) as world, anyio.create_task_group() as tasks:
        broken = [poll_in_vain(world, name, tasks) for name in await world.add_vms(50)]
        await eventually(lambda: len(world.app.state.waiters) == 50)
        began = time.monotonic()
        world.server.should_exit = True
        await eventually(lambda: all(broken))
        assert time.monotonic() - began < 8  # uvicorn alone would wait for ten seconds of grace


async def test_body_that_does_not_come_ends_the_call(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "BODY_S", 0.2)
    async with serving(dsn) as world:
        url = httpx.URL(world.url)
        async with await anyio.connect_tcp(url.host, url.port or 0) as slow:
            await slow.send(b'POST /vm_startup HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"hostname": ')
            with anyio.fail_after(PATIENCE_S):
                answer = await slow.receive()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert len(world.app.state.waiters) == 0


async def test_names_that_nobody_knows_are_never_held(dsn: str) -> None:
    async with serving(dsn) as world:
        for n in range(50):
            assert (await world.poll(f"nobody-{n}")).status_code == 404
        assert len(world.app.state.waiters) == 0


async def test_refused_at_once(dsn: str) -> None:
    cases: list[tuple[bytes, dict[str, str], int]] = [
        (b"{", {}, 400),
        (b"[1]", {}, 400),
        (b"\xff\xfe", {}, 400),
        (b"[" * 15_000, {}, 400),
        (b"{}", {}, 400),
        (b'{"hostname": ""}', {}, 400),
        (b'{"hostname": 7}', {}, 400),
        (b'{"hostname": "lab-client-test-1"}', {}, 401),
        (b'{"hostname": "lab-client-test-1"}', bearer("", "guessed"), 401),
        (b'{"hostname": "lab-client-test-1"}', bearer("lab-client-test-2"), 403),
        (b'{"hostname": "nobody"}', bearer("nobody"), 404),
        (b'{"hostname": "a\\u0000b"}', bearer("nobody"), 404),
        (b'{"hostname": "\\ud800"}', bearer("nobody"), 404),
        (b" " * 20_000, {}, 413),
    ]
    async with serving(dsn) as world:
        await world.add_vms(2)
        for body, headers, status in cases:
            response = await world.http.post("/vm_startup", content=body, headers=headers)
            assert (response.status_code, bool(response.json()["error"])) == (status, True), body[:100]
