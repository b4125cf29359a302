"""A whole allocator as processes that may be ended at any moment: PostgreSQL, AWS, Terraform's provider, controllers, APIs.

What ends is started again, as systemd does on a host. Built on `tests.system.lab`, which says what is true of the VMs.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import bcrypt
import psycopg
from psycopg.rows import dict_row

from lablink.ports import free_port
from sandbox import postgres
from store.migrate import migrate
from tests.nemesis.boundaries import find_terraforms
from tests.system.lab import ROOT, Lab, open_lab

ADMIN = ("ada", "correct horse")
LOG_TOKEN = "log-token-of-the-nemesis"
HASH = bcrypt.hashpw(ADMIN[1].encode(), bcrypt.gensalt(4)).decode()
LOOK_S = 0.1
DOCUMENT = """\
admin: {{user: {user}, password_hash: "{hash}"}}
pools:
  client:
    size: {size}
    instance_type: t3.large
    session: {{after: keep}}
"""


@dataclass
class Program:
    """One process by name, and how it is started again."""

    command: list[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    pids: list[int] = field(default_factory=list)  # of all that have run

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=dict(self.environment), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self.pids.append(self.process.pid)

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    @property
    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def end(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass
class Site:
    """`ports` are the APIs'. While `mending`, what has ended is started again within moments."""

    folder: Path
    lab: Lab
    database: postgres.RunningPostgres
    programs: dict[str, Program] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)  # how often each was started again
    mending: bool = True
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _reading: threading.Lock = field(default_factory=threading.Lock)
    _conn: "psycopg.Connection[dict[str, Any]] | None" = None

    def add(self, name: str, command: list[str], **environment: str) -> Program:
        """A program that runs from now on."""
        program = Program(command, {**self.lab.environment, **environment}, self.folder / f"{name}.log")
        with self._lock:
            self.programs[name] = program
            program.start()
        return program

    def add_api(self, name: str, command: list[str], **environment: str) -> None:
        """One on a port of its own, which it keeps when it starts again."""
        self.ports[name] = free_port("127.0.0.1")
        self.add(name, command, LABLINK_PORT=str(self.ports[name]), **environment)

    def end(self, name: str) -> None:
        """`kill -9`. It comes again by itself."""
        with self._lock:
            self.programs[name].end()

    def mend(self) -> None:
        """Start again what has ended; runs in a thread until the site is closed."""
        while not self._over.wait(LOOK_S):
            with self._lock:
                if not self.mending:
                    continue
                for name, program in self.programs.items():
                    if program.ended:
                        self.ends[name] += 1
                        program.start()
                if not Path(f"/proc/{self.database.pid}").exists():
                    self.ends["postgres"] += 1
                    self.database.stop()
                    self.database = postgres.start(self.folder / "pg")

    def close(self) -> None:
        self._over.set()
        if self._conn:
            self._conn.close()
        with self._lock:
            self.mending = False
            for program in self.programs.values():
                if program.process and program.process.poll() is None:
                    program.process.send_signal(signal.SIGCONT)
                program.end()

    def stop_database(self) -> None:
        """The one that runs now."""
        self.database.stop()

    def url(self, name: str = "api") -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def declare(self, size: int) -> None:
        """As an editor writes the file: a new one in the place of the old."""
        draft = self.folder / "draft"
        draft.write_text(DOCUMENT.format(user=ADMIN[0], hash=HASH, size=size))
        draft.rename(self.lab.file)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Again while the database is away."""
        until = time.monotonic() + 30
        while True:
            try:
                with self._reading:
                    return self._read(sql)
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(LOOK_S)

    def _read(self, sql: str) -> list[dict[str, Any]]:
        """Over one connection, which is made again when it broke."""
        if self._conn is None or self._conn.closed:
            self._conn = psycopg.connect(self.database.dsn, row_factory=dict_row, autocommit=True)
        return self._conn.execute(sql).fetchall()

    def is_at_rest(self, size: int) -> bool:
        """Exactly the declared VMs, each with one instance, in rows, in Terraform's states and in AWS; and nobody at work."""
        live = sorted(row["hostname"] for row in self.rows(LIVE))
        if len(live) != size or live != sorted(row["hostname"] for row in self.rows(PRESENT)):
            return False
        if self.rows(AT_WORK) or not self.rows(CONVERGED) or self.lab.instances() != Counter(live):
            return False
        if self.find_leader() is None:
            return False
        return not find_terraforms(str(self.folder)) and all(self.answers(name) for name in self.ports)

    def find_leader(self) -> str | None:
        """The name of the program that has the lease and runs."""
        pids = [int(row["holder"].split("/")[1]) for row in self.rows(LEASE)]
        return next((name for name, one in self.programs.items() if one.pid in pids and not one.ended), None)

    def find_orphans(self) -> list[str]:
        """Instances that no row knows."""
        known = Counter(row["hostname"] for row in self.rows(PRESENT))
        return sorted((self.lab.instances() - known).elements())

    def answers(self, name: str) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url(name)}/api/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def wait(self, what: str, condition: Callable[[], Any], within_s: float = 90) -> float:
        """Seconds that it took."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > within_s:
                raise AssertionError(f"not within {within_s} s: {what}\n{self.story()}")
            time.sleep(2 * LOOK_S)
        return time.monotonic() - began

    def story(self) -> str:
        """What to read when it did not hold."""
        logs = [f"== {path.name}\n{path.read_text()[-4000:]}" for path in sorted(self.folder.glob("*.log"))]
        return "\n".join([self.lab.story(), str(dict(self.ends)), *logs])


LIVE = "SELECT hostname FROM vm WHERE phase = 'live' AND in_state"
PRESENT = "SELECT hostname FROM vm WHERE phase <> 'gone'"
AT_WORK = """
SELECT 'run' FROM run WHERE ended_at IS NULL UNION ALL SELECT 'lock' FROM tf_state WHERE lock_run IS NOT NULL
"""
LEASE = "SELECT holder FROM lease WHERE expires_at > now()"
CONVERGED = "SELECT FROM pool WHERE name = 'client' AND (conditions->'Converged'->>'status')::boolean"


def open_folder(stack: ExitStack) -> Path:
    """A short path, since a socket's may have a hundred characters."""
    folder = Path(tempfile.mkdtemp(prefix="lablink-nemesis-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def open_site(size: int) -> Iterator[Site]:
    """Everything but controllers and APIs runs; whatever was started is gone at the end."""
    with ExitStack() as stack:
        folder = open_folder(stack)
        database = postgres.start(folder / "pg")
        stack.callback(shutil.rmtree, database.folder, ignore_errors=True)
        anyio.run(migrate, database.dsn)
        lab = stack.enter_context(open_lab(database.dsn, folder))
        lab.environment |= {"LABLINK_LOG_TOKEN": LOG_TOKEN, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        site = Site(folder, lab, database)
        stack.callback(site.stop_database)
        site.declare(size)
        stack.callback(site.close)
        mender = threading.Thread(target=site.mend)
        mender.start()
        stack.callback(mender.join)
        stack.callback(site._over.set)
        yield site


def watched(program: str, folder: Path) -> list[str]:
    """The command that starts a program with its boundaries watched."""
    return [sys.executable, "-m", "tests.nemesis.dying", program, str(folder)]


def add_provider(site: Site) -> None:
    """Terraform's provider as a process whose calls are boundaries; it stays for good, since its address is told once."""
    site.add("provider", watched("provider", site.folder))
    told = site.folder / "provider.json"
    site.wait("the provider", told.exists)
    site.lab.environment |= json.loads(told.read_text())


def give_order(site: Site, **order: Any) -> None:
    """Who dies where, whole at once."""
    pids = {"controller": site.programs["controller"].pid, "postgres": site.database.pid, "work": str(site.folder)}
    draft = site.folder / "orders.draft"
    draft.write_text(json.dumps({**pids, **order, "number": time.monotonic_ns()}))
    os.replace(draft, site.folder / "orders")


def take_order_back(site: Site) -> None:
    """Nobody dies any more, unless somebody has begun to."""
    (site.folder / "orders").unlink(missing_ok=True)
