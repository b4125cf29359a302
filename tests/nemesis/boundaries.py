"""The instants between two side effects of a process, named and counted, and somebody who may die at one of them.

The program knows nothing of it: `tests.nemesis.dying` starts it with seams of the libraries wrapped (psycopg's commits and
statements, boto3's calls, Terraform's starts and ends, uvicorn's answers). So nothing can be switched on where it is installed.

Each crossing is a line of the file `crossed`. The file `orders` says at which one somebody dies, or at the first one of a name, once,
whoever gets there first.
"""

import json
import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from botocore.client import BaseClient
from psycopg import AsyncConnection, AsyncTransaction
from psycopg.pq import TransactionStatus

OURS = ("api", "controller", "store", "sandbox")
WAYS = {"transaction", "lazy_transaction", "fenced"}  # every transaction passes them: they name none
WRITES = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM)\b")
NAMES = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}|[a-z]+-client-[a-z]+-\d+|(?<=/)\d+(?![^/])"
)  # of VMs and assignments, in paths


@dataclass
class Boundaries:
    """One process's. `role` is its name in the file; `count` begins anew with each new order."""

    role: str
    folder: Path
    count: Counter[str] = field(default_factory=Counter)
    orders: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def cross(self, moment: str, kind: str, name: str) -> None:
        """A side effect is about to happen (`before`), has begun (`during`), or has happened (`after`)."""
        with self.lock:
            self._read_orders()
            place = f"{self.role} {moment} {kind} {name}"
            self.count[place] += 1
            place = f"{place} #{self.count[place]}"
            with (self.folder / "crossed").open("a") as crossed:
                crossed.write(place + "\n")
            if self.orders.get("at") in (place, place.partition(" #")[0]):
                self._strike()

    def _read_orders(self) -> None:
        try:
            orders = json.loads((self.folder / "orders").read_text())
        except (OSError, ValueError):
            orders = {}
        if orders.get("number") != self.orders.get("number"):
            self.orders = orders
            self.count.clear()

    def _strike(self) -> None:
        try:
            (self.folder / "orders").unlink()
        except FileNotFoundError:
            return  # another process was there first
        (self.folder / "struck").write_text(self.orders["victim"])
        match self.orders["victim"]:
            case "terraform":
                kill_terraform(self.orders["work"])
            case "postgres":
                kill_postgres(self.orders["postgres"])
            case "controller" if self.role != "controller":
                os.kill(self.orders["controller"], signal.SIGKILL)
            case _:
                os.kill(os.getpid(), signal.SIGKILL)


def kill_postgres(postmaster: int) -> None:
    """The whole server at once, as when its machine loses power: the first one restarts nothing, then its children."""
    children = [int(pid) for pid in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()]
    for pid in (postmaster, *children):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def kill_terraform(folder: str) -> None:
    """Every Terraform that works below the folder."""
    for pid in find_terraforms(folder):
        os.kill(pid, signal.SIGKILL)


def find_terraforms(folder: str) -> list[int]:
    """Process ids; guards are not among them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            program = (entry / "cmdline").read_bytes().split(b"\0")[0]
            if program.endswith(b"terraform") and os.readlink(entry / "cwd").startswith(folder):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def install(boundaries: Boundaries) -> None:
    """Wraps the seams of this process. Before the program is imported."""
    _watch_transactions(boundaries)
    _watch_statements(boundaries)
    _watch_calls(boundaries)
    _watch_terraform(boundaries)
    _watch_answers(boundaries)


def _watch_transactions(boundaries: Boundaries) -> None:
    leave = AsyncTransaction.__aexit__

    async def leave_watched(self: Any, kind: Any, error: Any, trace: Any) -> Any:
        outer = kind is None and self._outer_transaction
        name = find_caller() if outer else ""
        if outer:
            boundaries.cross("before", "commit", name)
        done = await leave(self, kind, error, trace)
        if outer:
            boundaries.cross("after", "commit", name)
        return done

    AsyncTransaction.__aexit__ = leave_watched  # type: ignore[method-assign,assignment]


def _watch_statements(boundaries: Boundaries) -> None:
    """Those that write outside of a transaction commit by themselves."""
    execute = AsyncConnection.execute

    async def execute_watched(self: Any, query: Any, *arguments: Any, **more: Any) -> Any:
        alone = self.info.transaction_status == TransactionStatus.IDLE and isinstance(query, str)
        if not (alone and WRITES.search(query)):
            return await execute(self, query, *arguments, **more)
        name = find_caller()
        boundaries.cross("before", "statement", name)
        done = await execute(self, query, *arguments, **more)
        boundaries.cross("after", "statement", name)
        return done

    AsyncConnection.execute = execute_watched  # type: ignore[method-assign]


def _watch_calls(boundaries: Boundaries) -> None:
    call = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call_watched(self: Any, operation: str, parameters: Any) -> Any:
        name = f"{self.meta.service_model.service_name}.{operation}"
        boundaries.cross("before", "call", name)
        answer = call(self, operation, parameters)
        boundaries.cross("after", "call", name)
        return answer

    BaseClient._make_api_call = call_watched  # type: ignore[attr-defined]


def _watch_terraform(boundaries: Boundaries) -> None:
    open_process = anyio.open_process

    async def open_watched(command: Any, **options: Any) -> Any:
        if "guard.py" not in str(command):
            return await open_process(command, **options)
        name = command[8]  # python -I -S guard.py UNTIL LIMIT GRACE terraform PLAN
        boundaries.cross("before", "terraform", name)
        process = await open_process(command, **options)
        boundaries.cross("during", "terraform", name)
        wait = process.wait

        async def wait_watched() -> int:
            code = await wait()
            boundaries.cross("after", "terraform", name)
            return code

        process.wait = wait_watched  # type: ignore[method-assign]
        return process

    anyio.open_process = open_watched


def _watch_answers(boundaries: Boundaries) -> None:
    load = uvicorn.Config.load

    def load_watched(self: Any) -> None:
        load(self)
        self.loaded_app = watch_app(boundaries, self.loaded_app)

    uvicorn.Config.load = load_watched  # type: ignore[method-assign]


def watch_app(boundaries: Boundaries, app: Callable[..., Any]) -> Callable[..., Any]:
    """An ASGI application of which the last piece of each answer is a boundary."""

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def send_watched(message: Any) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body")
            name = f"{scope['method']} {NAMES.sub('*', scope['path'])}" if last else ""
            if last:
                boundaries.cross("before", "answer", name)
            await send(message)
            if last:
                boundaries.cross("after", "answer", name)

        await app(scope, receive, send_watched if scope["type"] == "http" else send)

    return watched


def find_caller() -> str:
    """The function of the program on whose behalf the library works; coroutines that await each other are one stack."""
    frame = sys._getframe(2)
    while frame:
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in OURS and frame.f_code.co_name not in WAYS:
            return f"{module}.{frame.f_code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]
    return "nobody"
