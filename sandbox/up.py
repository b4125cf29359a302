"""`lablink up`: starts the whole system on this machine, keeps it running, shows it, and ends all of it in order.

Called by `lablink.programs`. It wires the parts together; what each of them does is in its own file.
"""

import os
import signal
import sys
import webbrowser
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
from anyio.abc import TaskGroup

from lablink.children import FIRST_PAUSE_S, LONGEST_PAUSE_S, Child, Program
from lablink.client import LabLink, Server
from lablink.errors import Failed
from lablink.ports import check_port, free_port
from sandbox.clients import Place, run_clients
from sandbox.folder import Folder, hold_folder
from sandbox.logpump import run_log_pump
from sandbox.options import Options
from sandbox.outside import WATCH_S, Outside
from sandbox.screen import Screen, Welcome, open_screen
from sandbox.wiring import HOST, choose_login, prepare_process, render_address, render_environment
from schemas.document import parse_lab
from schemas.lab import Lab
from schemas.problem import InvalidDocument
from store.migrate import migrate

Start = Callable[[], Coroutine[Any, Any, None]]

READY_S = 60.0
SHOW_S = 1.0
DEFAULT_REGION = "us-west-2"


async def run_sandbox(options: Options) -> None:
    """Until SIGINT, SIGTERM or SIGHUP. Raises `Failed` with one sentence when it cannot start."""
    lab = read_file(options.file)
    with hold_folder(options.data) as folder:
        prepare_process(folder.log("sandbox"))
        port = _choose_port(options.port, folder)
        with open_screen() as screen:
            await Sandbox(options, folder, screen, port, lab).run()
            screen.say(f"Stopped. The data stay in {options.data}, and the next start goes on from there.")


def read_file(path: Path) -> Lab | InvalidDocument:
    """The document, or what is wrong with it: an invalid one keeps nobody from starting. A missing one does."""
    try:
        return parse_lab(path.read_text(encoding="utf-8"), path.name).lab
    except InvalidDocument as error:
        return error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Failed(
            f"{path} cannot be read ({reason}): write what should exist into it, such as "
            "`pools: {client: {size: 5}}`, or name another file with --file."
        ) from None


def _choose_port(port: int, folder: Folder) -> int:
    if port == 0:
        port = free_port(HOST, folder.read_port())
    else:
        check_port(HOST, port, "give this sandbox another port with --port (0 picks a free one)")
    folder.write_port(port)
    return port


@dataclass(frozen=True, slots=True)
class Watched:
    """A part of the outside that is started again when it ends unexpectedly."""

    name: str
    runs: Callable[[], bool]
    start: Start


class Sandbox:
    """One run from start to end."""

    def __init__(self, options: Options, folder: Folder, screen: Screen, port: int, lab: Lab | InvalidDocument) -> None:
        self._options = options
        self._folder = folder
        self._screen = screen
        self._port = port
        self._url = f"http://{HOST}:{port}"
        self._problems = lab.problems if isinstance(lab, InvalidDocument) else ()
        known = lab if isinstance(lab, Lab) else None
        self._login = choose_login(known, folder)
        self._outside = Outside(folder.path, known.region if known else DEFAULT_REGION, options.stand_in)
        self._environment: dict[str, str] = {}
        self._api = self._child("The API", "api")
        self._controller = self._child("The controller", "controller")

    def _child(self, name: str, package: str) -> Child:
        program = Program(
            name,
            (sys.executable, "-m", package),
            self._environment,
            log=self._folder.log(package),
            patience_s=60.0,
            orphan_signal=signal.SIGKILL,  # its database and its AWS go, too; Terraform has its own guard
        )
        return Child(program, self._screen.say)

    async def run(self) -> None:
        """Children live in a task group of their own: they go on while the rest is cancelled, and are ended in order."""
        failure: Exception | None = None
        async with anyio.create_task_group() as children:
            running = anyio.CancelScope()
            children.start_soon(self._await_signal, running)
            with running:
                try:
                    await self._start(children)
                    await self._live()
                except Exception as error:
                    failure = first_cause(error)
            await self._stop()
            children.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _await_signal(self, running: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for _number in signals:
                if running.cancel_called:
                    self._screen.say("Still stopping: a running Terraform is let finish.")
                running.cancel()

    # -- start ---------------------------------------------------------------------------------------------------------

    async def _start(self, children: TaskGroup) -> None:
        self._say_problems()
        await all_of(
            lambda: self._step("PostgreSQL", self._start_database),
            lambda: self._step("AWS", self._outside.start_aws),
            lambda: self._step("Terraform", self._outside.find_terraform),
        )
        self._refresh_environment()
        children.start_soon(self._api.keep)
        children.start_soon(self._controller.keep)
        await self._step("LabLink", self._wait_until_ready)
        self._screen.welcome(
            Welcome(self._url, self._login.user, self._login.password, self._options.file, self._options.data)
        )
        await self._open_browser()

    def _say_problems(self) -> None:
        for problem in self._problems:
            self._screen.say(str(problem))
        if self._problems:
            self._screen.say(
                f"{self._options.file.name} is not valid, so it changes nothing: what was in force stays in force. "
                "Mend it, and it is taken at once."
            )

    async def _step(self, name: str, start: Start) -> None:
        with self._screen.step(name):
            await start()

    async def _start_database(self) -> None:
        await self._outside.start_database()
        assert self._outside.database is not None
        await migrate(self._outside.database.dsn)

    async def _wait_until_ready(self) -> None:
        """The API answers. Its child starts it again and again meanwhile, and says why."""
        with anyio.move_on_after(READY_S):
            async with httpx.AsyncClient(base_url=self._url, trust_env=False, timeout=5) as http:
                while True:
                    if await _is_ready(http):
                        return
                    await anyio.sleep(0.1)
        raise Failed(f"The API did not get ready within {READY_S:.0f} s: see {self._folder.log('api')}.")

    async def _open_browser(self) -> None:
        """Only where somebody looks, and never a browser that would take the terminal."""
        graphical = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if self._options.browser and sys.stdout.isatty() and graphical:
            await anyio.to_thread.run_sync(webbrowser.open, self._url)

    # -- life ----------------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        outside = self._outside
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, Watched("PostgreSQL", outside.database_runs, self._start_database))
            tasks.start_soon(self._watch, Watched("AWS", outside.aws_runs, outside.start_aws))
            tasks.start_soon(self._keep_address)
            tasks.start_soon(self._show)
            if self._options.simulated:
                tasks.start_soon(self._run_clients)
                tasks.start_soon(run_log_pump, outside.boto_client("logs"), self._url, self._folder)

    async def _run_clients(self) -> None:
        assert self._outside.aws is not None
        kept = self._folder.path / "clients.json"
        place = Place(self._url, self._outside.aws.fault_url, kept, self._options.boot)
        await run_clients(place, self._outside.boto_client("ec2"), self._outside.boto_client("logs"))

    async def _watch(self, part: Watched) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            await anyio.sleep(WATCH_S)
            if await anyio.to_thread.run_sync(part.runs):
                continue
            self._screen.say(f"{part.name} has ended unexpectedly; it is started again.")
            try:
                await part.start()
            except Exception as error:
                self._screen.say(f"{error} The next try is in {pause_s:.0f} s.")
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                pause_s = FIRST_PAUSE_S
                self._refresh_environment()

    def _refresh_environment(self) -> None:
        """A part that moved when it started again is told to API and controller, which have to start again for it."""
        environment = render_environment(self._options, self._folder, self._outside, self._port)
        if environment != self._environment:
            self._environment.update(environment)
            self._api.restart()
            self._controller.restart()

    async def _keep_address(self) -> None:
        """`sandbox.json` is written now and whenever a process got a new number."""
        written = None
        while True:
            pids = {"api": self._api.pid, "controller": self._controller.pid}
            address = render_address(self._url, self._login, self._outside, pids)
            if address != written:
                with suppress(OSError):  # a full disk: it is written once there is room
                    self._folder.write_address(address)
                    written = address
            await anyio.sleep(WATCH_S)

    async def _show(self) -> None:
        if self._login.password is None:
            self._screen.show_trouble(
                f"Set LABLINK_PASSWORD to the password of {self._login.user!r} in lablink.yaml to see the pools here."
            )
            return
        hint = "it starts again by itself"
        with LabLink(Server(self._url, self._login.user, self._login.password, hint=hint)) as lablink:
            while True:
                try:
                    self._screen.show(await anyio.to_thread.run_sync(lablink.get, "/status", abandon_on_cancel=True))
                except Failed as failure:
                    self._screen.show_trouble(str(failure))
                await anyio.sleep(SHOW_S)

    # -- end -----------------------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        """The client VMs are gone by now. The controller lets a running apply finish while all that it needs is there."""
        self._screen.stopping()
        await self._controller.stop()
        await self._api.stop()
        await self._outside.stop()


async def _is_ready(http: httpx.AsyncClient) -> bool:
    """Whether nothing is missing but a desired state: an invalid file must not keep people from the API that says so."""
    try:
        checks = (await http.get("/api/health")).json()["checks"]
    except (httpx.HTTPError, ValueError, KeyError):
        return False
    return all(good for name, good in checks.items() if name != "desired")


async def all_of(*steps: Start) -> None:
    """All at once; the first failure ends the others and is raised as it is, without a group around it."""
    try:
        async with anyio.create_task_group() as tasks:
            for step in steps:
                tasks.start_soon(step)
    except ExceptionGroup as group:
        raise first_cause(group) from None


def first_cause(error: Exception) -> Exception:
    """What went wrong first, out of however many groups it was wrapped in."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
