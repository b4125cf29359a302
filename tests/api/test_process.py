"""`python -m api` as a process: starts, refuses to start with a sentence, stops quickly with calls held."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import httpx
import pytest

from store.db import BELIEVED_S, open_db, transaction
from tests.api.silent_proxy import SilentProxy
from tests.api.world import LOG_TOKEN, SECRET, add_vms, bearer, declare, eventually
from tests.controller_world import KEY

pytestmark = pytest.mark.anyio


def take_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def process(dsn: str, port: int, **more: str) -> Iterator[subprocess.Popen[str]]:
    env = {
        "PATH": os.environ["PATH"],
        "LABLINK_DATABASE_DSN": dsn,
        "LABLINK_PORT": str(port),
        "LABLINK_DEPLOYMENT_SECRET": SECRET,
        "LABLINK_ENCRYPTION_KEY": KEY,
        "LABLINK_LOG_TOKEN": LOG_TOKEN,
        **more,
    }
    started = subprocess.Popen(
        [sys.executable, "-m", "api"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


STARTS_NOTHING = """\
import importlib, sys
sys.addaudithook(lambda event, told: event in {"subprocess.Popen", "os.posix_spawn", "os.exec", "os.fork"} and sys.exit(f"{event}: {told}"))
importlib.import_module(sys.argv[1])
"""


@pytest.mark.parametrize("program", ["api.app", "controller.__main__", "lablink.__main__"])
async def test_no_program_is_started_while_modules_are_loaded_which_would_be_told_our_secrets(program: str) -> None:
    loaded = await anyio.run_process([sys.executable, "-c", STARTS_NOTHING, program], check=False)
    assert (loaded.returncode, loaded.stderr) == (0, b"")


async def is_ready(url: str) -> bool:
    async with httpx.AsyncClient(trust_env=False) as http:
        try:
            return (await http.get(f"{url}/api/health")).status_code == 200
        except httpx.TransportError:
            return False


async def test_is_ready_over_other_connections_when_its_own_went_silent(dsn: str) -> None:
    port = take_port()
    url = f"http://127.0.0.1:{port}"
    async with open_db(dsn, max_size=1) as db:
        await declare(db, "pools: {client: {size: 1}}")
    async with SilentProxy(dsn) as proxy:
        with process(proxy.dsn, port):
            with anyio.fail_after(60):
                while not await is_ready(url):
                    await anyio.sleep(0.1)
            proxy.go_silent()
            await anyio.sleep(2 * BELIEVED_S)
            assert await is_ready(url)


async def test_starts_holds_a_call_and_stops_quickly(dsn: str) -> None:
    port = take_port()
    url = f"http://127.0.0.1:{port}"
    async with open_db(dsn) as db, anyio.create_task_group() as tasks:
        await declare(db)
        async with transaction(db) as conn:
            await add_vms(conn, ["vm-1"], "client")
        ended: list[Exception] = []

        async def poll() -> None:
            async with httpx.AsyncClient(trust_env=False, timeout=None) as http:
                try:
                    await http.post(f"{url}/vm_startup", json={"hostname": "vm-1"}, headers=bearer("vm-1"))
                except httpx.HTTPError as error:
                    ended.append(error)

        with process(dsn, port) as api:
            await eventually(lambda: is_ready(url), 60)
            tasks.start_soon(poll)
            async with httpx.AsyncClient(trust_env=False) as http:

                async def is_free() -> bool:
                    return bool((await http.get(f"{url}/api/unassigned_vms_count")).json()["count"] == 1)

                await eventually(is_free)
            began = time.monotonic()
            api.send_signal(signal.SIGTERM)
            await eventually(lambda: api.poll() is not None)
            assert time.monotonic() - began < 8
            await eventually(lambda: ended)
            output = api.stdout.read() if api.stdout else ""
            assert "Traceback" not in output, output
            assert "returned without completing" not in output


async def test_port_in_use_is_said_in_one_sentence(dsn: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, process(dsn, taken.getsockname()[1]) as api:
        output = (await anyio.to_thread.run_sync(api.communicate))[0]
        assert api.returncode == 1
        assert output.count("\n") == 1
        assert "LABLINK_PORT" in output


async def test_missing_settings_are_said_in_one_sentence(dsn: str) -> None:
    with process(dsn, take_port(), LABLINK_DEPLOYMENT_SECRET="") as api:
        output = (await anyio.to_thread.run_sync(api.communicate))[0]
        assert api.returncode == 1
        assert "deployment secret" in output
        assert "Traceback" not in output
