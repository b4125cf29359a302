"""`python -m tests.nemesis.endurance --minutes 30`: full load on real processes, and nothing of them that grows without end.

A day passes in that time, an hour of it after the other: the size changes, lines of logs come that are up to eleven days old, the days
for which they are kept shrink and grow, and logs are turned as on a host. Sampled each second: memory, files, threads and tasks of each
program, and its connections to PostgreSQL.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import linear_regression

import anyio
import httpx
from anyio import to_thread

from tests.nemesis.clients import CALL_S, Shipper
from tests.nemesis.people import People, meeting
from tests.nemesis.site import ADMIN, DOCUMENT, HASH, Site, open_site
from tests.prove.piece import Lived

FEW, MANY = 3, 5
HOURS = 24
OLDEST_DAYS = 11
KEPT = (OLDEST_DAYS + 1, 2)  # days, in turn
PAGES = ("/admin", "/admin/instances", "/api/v1/vms", "/api/v1/pools", "/api/v1/status", "/metrics", "/api/v1/events")
PARTITIONS = "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'vm_log'::regclass"
CONNECTIONS = "SELECT application_name AS name, count(*) AS n FROM pg_stat_activity GROUP BY 1"
COUNTED = ("files", "threads", "tasks", "connections")
WINDOWS = 8
MOST_MORE = 3.0  # of what is counted
MOST_MORE_MB, MOST_MORE_SHARE = 6.0, 0.08  # of memory
SETTLED_S = 600.0  # before that caches fill
MOST_MORE_AT_FIRST, MOST_MORE_AT_FIRST_MB = 12.0, 60.0

Samples = Mapping[tuple[str, str], Sequence[float]]
"""By program and kind."""


@dataclass
class Endurance:
    """Load, and what was seen under it."""

    site: Site
    people: People
    seconds: float
    chance: Random = field(default_factory=lambda: Random(1))
    samples: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    partitions: set[str] = field(default_factory=set)
    figures: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    faults: list[str] = field(default_factory=list)

    async def run(self) -> Lived:
        """The day, and what of it should not have been."""
        loads = [self._visit] * 3 + [self._report] * 4 + [self._ship] * 2 + [self._browse]
        with anyio.move_on_after(self.seconds):
            async with anyio.create_task_group() as group:
                for load in loads:
                    group.start_soon(self._again, load)
                group.start_soon(self._sample)
                group.start_soon(self._pass_hours)
        self.faults += judge(self.samples, self.seconds)
        self.faults += [f"no {what}" for what in ("days made", "days dropped", "logs turned") if not self.figures[what]]
        growth = {
            f"most_more_{kind}": max(grow(self.samples[key]) for key in self.samples if key[1] == kind)
            for kind in KINDS
        }
        return Lived(self.faults, {"minutes": round(self.seconds / 60, 1), **self.figures, **growth})

    async def _again(self, load: Callable[[], Awaitable[None]]) -> None:
        while True:
            await load()
            await anyio.sleep(0.01)

    async def _visit(self) -> None:
        person = self.people.make_person()
        await self.people.seat(person)
        await anyio.sleep(self.chance.uniform(0, 1))
        await self.people.leave(person)
        self.figures["assignments"] += 1

    async def _report(self) -> None:
        vm = self.chance.choice([*self.people.vms.values()])
        gauges = {"cpu_percent": self.chance.uniform(0, 100), "memory_percent": self.chance.uniform(0, 100)}
        body = {"in_use": bool(vm.told), "gauges": gauges}
        answer = await vm.post(self._choose_url(), f"/api/v1/client/{vm.hostname}/heartbeat", body)
        self._check(answer, (200, 401, 404))  # between two people, and after its end
        self.figures["reports"] += 1

    async def _ship(self) -> None:
        shipper = Shipper(self.people.around, self.chance.choice([*self.people.vms]), self.chance.randrange(2))
        await shipper.ship(10, self.chance.randrange(OLDEST_DAYS + 1))
        self.figures["log lines"] += 10

    async def _browse(self) -> None:
        path = self.chance.choice(PAGES)
        self._check(await self.people.around.http.get(self._choose_url() + path, auth=ADMIN, timeout=CALL_S), (200,))
        self.figures["pages"] += 1

    def _choose_url(self) -> str:
        return self.chance.choice(self.people.around.urls)

    def _check(self, answer: httpx.Response, right: Sequence[int]) -> None:
        if answer.status_code not in right:
            self.faults.append(
                f"{answer.request.method} {answer.request.url.path} was answered {answer.status_code} {answer.text[:200]}"
            )

    async def _pass_hours(self) -> None:
        for hour in range(HOURS):
            size, kept = (FEW, MANY)[hour // 2 % 2], KEPT[hour % 2]
            document = DOCUMENT.format(user=ADMIN[0], hash=HASH, size=size) + f"logs: {{database_days: {kept}}}\n"
            await self._declare(document)
            for log in self.site.folder.glob("*.log"):
                self._turn(log)
            await anyio.sleep(self.seconds / HOURS)

    async def _declare(self, document: str) -> None:
        http, url = self.people.around.http, f"{self._choose_url()}/api/v1/desired"
        version = (await http.get(url, auth=ADMIN, timeout=CALL_S)).headers["ETag"]
        answer = await http.put(url, content=document, auth=ADMIN, headers={"If-Match": version}, timeout=CALL_S)
        self._check(answer, (200,))

    def _turn(self, log: Path) -> None:
        """As `copytruncate` of deploy/host/lablink.logrotate does: the program goes on writing, at the beginning of the file."""
        size = log.stat().st_size
        if size and log.stat().st_blocks * 512 < size - 4096:
            self.faults.append(f"{log.name} has a hole: its program does not append")
        log.with_suffix(".log.1").write_bytes(log.read_bytes())
        with log.open("r+b") as file:
            file.truncate(0)
        self.figures["logs turned"] += bool(size)

    async def _sample(self) -> None:
        while True:
            began = time.monotonic()
            partitions, connections = await to_thread.run_sync(
                lambda: (self.site.rows(PARTITIONS), self.site.rows(CONNECTIONS))
            )
            names = {row["name"] for row in partitions}
            self.figures["days made"] += len(names - self.partitions) if self.partitions else 0
            self.figures["days dropped"] += len(self.partitions - names)
            self.partitions = names
            open_ = {row["name"]: row["n"] for row in connections}
            for name, program in self.site.programs.items():
                for kind, value in read_process(program.pid).items():
                    self.samples[name, kind].append(value)
                self.samples[name, "tasks"].append(_read_number(self.site.folder / f"{name}.tasks"))
                self.samples[name, "connections"].append(open_.get(name, 0))
            await anyio.sleep(max(0.0, 1 - (time.monotonic() - began)))


KINDS = ("memory_mb", *COUNTED)


def read_process(pid: int) -> dict[str, float]:
    """Memory in MB, files and threads, as Linux counts them."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        "memory_mb": int(status["VmRSS"].split()[0]) / 1024,
        "threads": float(status["Threads"]),
        "files": float(len([*Path(f"/proc/{pid}/fd").iterdir()])),
    }


def _read_number(path: Path) -> float:
    try:
        return float(path.read_text())
    except (OSError, ValueError):  # it is being written
        return 0.0


def grow(values: Sequence[float]) -> float:
    """By how much something grew after the first third, in which caches fill: the slope of the least of each of eight windows, over them all.

    What load takes comes and goes; what leaks lifts the quietest moment, too.
    """
    later = values[len(values) // 3 :]
    width = max(1, len(later) // WINDOWS)
    quiet = [min(later[n : n + width]) for n in range(0, width * WINDOWS, width) if later[n : n + width]]
    if len(quiet) < 2:
        return 0.0
    return round(linear_regression(range(len(quiet)), quiet).slope * (len(quiet) - 1), 1)


def judge(samples: Samples, seconds: float) -> list[str]:
    """What grew by more than it may."""
    wrong = []
    for (name, kind), values in samples.items():
        most = MOST_MORE if seconds >= SETTLED_S else MOST_MORE_AT_FIRST
        if kind == "memory_mb":
            settled = MOST_MORE_MB + MOST_MORE_SHARE * values[0]
            most = settled if seconds >= SETTLED_S else MOST_MORE_AT_FIRST_MB
        if (more := grow(values)) > most:
            wrong.append(f"{kind} of {name} grew by {more}, from {values[0]:.1f} to {values[-1]:.1f}")
    return wrong


@contextmanager
def open_hurried() -> Iterator[Site]:
    """One controller and two APIs, which look at past days every few seconds."""
    with open_site(FEW) as site:
        for name in ("controller", "api-a", "api-b"):
            program = name.split("-", maxsplit=1)[0]
            command = [sys.executable, "-m", "tests.nemesis.hurried", program, str(site.folder / f"{name}.tasks")]
            add = site.add_api if program == "api" else site.add
            add(name, command, LABLINK_DATABASE_DSN=f"{site.database.dsn} application_name={name}")
        yield site


async def endure(site: Site, seconds: float) -> Lived:
    async with meeting(site) as people:
        await people.wait("the first rest", lambda: site.is_at_rest(FEW))
        await people.wait("its VMs", lambda: len(people.vms) == FEW)
        return await Endurance(site, people, seconds).run()


def main() -> int:
    """Of a proof's pieces each is a minute, all of them one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=float)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    minutes = options.count or options.minutes
    with open_hurried() as site:
        lived = anyio.run(endure, site, minutes * 60)
    command = f"python -m tests.nemesis.endurance --minutes {minutes:g}"
    print(
        json.dumps({"figures": lived.figures, "failures": [{"said": one, "command": command} for one in lived.faults]})
    )
    return 1 if lived.faults else 0


if __name__ == "__main__":
    sys.exit(main())
