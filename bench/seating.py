"""People who ask: forty by tens, a storm of two hundred for a hundred VMs, and how many a second beside the same statements by pgbench."""

import asyncio
import os
import re
import subprocess
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import psycopg
from psycopg import ClientCursor

from bench.allocator import Allocator, running_allocator
from bench.figure import Figure
from bench.holding import render_request
from bench.load import Outcome, send_all
from bench.waiting_vms import WaitingVms, render_poll, until_free
from sandbox.postgres_binaries import find_binaries
from store.assignment import BIND, EXPIRE, REQUEST, Claim
from store.seat import LOCK_POOL

FORTY_MS, STORM_MS = 25, 120
IN_FLIGHT, RATE_PEOPLE = 20, 4_000
CLIENTS = 8
RATIO_LIMIT = 1 / 0.3  # of the time an assignment takes
FREE = "UPDATE seat SET state = 'free', free_since = now()"


def measure_seating() -> list[Figure]:
    with running_allocator(90) as allocator:
        forty = asyncio.run(_ask_beside_waiting(allocator, people=40, in_flight=10))
    with running_allocator(100) as allocator:
        storm = asyncio.run(_ask_beside_waiting(allocator, people=200, in_flight=200))
        note = _judge_storm(allocator, storm)
    return [
        Figure(
            "40 people, 10 at a time, 90 VMs waiting, median", median(forty.took_s) * 1000, FORTY_MS, note=_say(forty)
        ),
        Figure("a storm of 200 for 100 VMs, median", median(storm.took_s) * 1000, STORM_MS, note=note),
        _measure_rate(),
    ]


async def _ask_beside_waiting(allocator: Allocator, people: int, in_flight: int) -> Outcome:
    vms = WaitingVms(allocator.port)
    await vms.open({name: render_poll(allocator.vm(name), name) for name in allocator.names})
    await until_free(allocator.port, len(allocator.names))
    outcome = await send_all(allocator.port, [render_request(n) for n in range(people)], in_flight)
    seated = min(people, len(allocator.names))
    await vms.until(lambda: len(vms.told) == seated)
    return outcome


def _say(outcome: Outcome) -> str:
    return ", ".join(f"{count} × {status}" for status, count in sorted(outcome.statuses.items()))


def _judge_storm(allocator: Allocator, storm: Outcome) -> str:
    with psycopg.connect(allocator.dsn) as conn:
        row = conn.execute(
            """SELECT count(DISTINCT hostname) FILTER (WHERE status = 'active'), count(*) FILTER (WHERE status = 'waiting'),
                      (SELECT count(*) FROM seat WHERE state = 'free') FROM assignment"""
        ).fetchone()
    assert row == (100, 100, 0), row
    return f"{row[0]} distinct winners, {row[1]} queued, {row[2]} VMs idle; {_say(storm)}"


def _measure_rate() -> Figure:
    with running_allocator(RATE_PEOPLE + 200) as allocator:
        with psycopg.connect(allocator.dsn, autocommit=True) as conn:
            conn.execute(FREE)
        asyncio.run(send_all(allocator.port, [render_request(n) for n in range(200)], IN_FLIGHT))
        calls = [render_request(n) for n in range(200, RATE_PEOPLE + 200)]
        outcome = asyncio.run(send_all(allocator.port, calls, IN_FLIGHT))
    assert outcome.statuses == {200: RATE_PEOPLE}, outcome.statuses
    with running_allocator(RATE_PEOPLE) as allocator:
        bare = _run_pgbench(allocator)
    ours = RATE_PEOPLE / outcome.seconds
    note = f"{ours:,.0f} / {bare:,.0f} a second; the statements one by one, {CLIENTS} clients"
    return Figure(f"an assignment, {IN_FLIGHT} at a time, beside SQL", 1e6 / ours, RATIO_LIMIT, "µs", 1e6 / bare, note)


def _run_pgbench(allocator: Allocator) -> float:
    """Assignments a second: T1 and T2 as a request makes them, each client one after the other."""
    claim = {name: [getattr(SAMPLE, name)] for name in Claim.__slots__}
    with psycopg.connect(allocator.dsn, autocommit=True, cursor_factory=ClientCursor) as conn:
        conn.execute(FREE)
        cursor = ClientCursor(conn)
        person = cursor.mogrify(REQUEST, claim).replace(f"'{SAMPLE.email}'", "'user' || :n || '@example.org'")
        lock = cursor.mogrify(LOCK_POOL, ("client",))
        seat = [cursor.mogrify(statement, {"pool": "client", "reserved": 0}) for statement in (EXPIRE, BIND)]
    statements = ["\\set n random(1, 2000000000)", "BEGIN", lock, person, *seat, "END"]
    with TemporaryDirectory(prefix="lablink-bench-") as folder:
        script = Path(folder) / "assign.sql"
        script.write_text("\n".join(one if one.startswith("\\") else _on_one_line(one) for one in statements))
        each = RATE_PEOPLE // CLIENTS
        command = [find_binaries()[0] / "pgbench", "-n", "-M", "prepared", "-f", script, "-c", str(CLIENTS), "-j", "1"]
        done = subprocess.run(
            [*map(str, command), "-t", str(each), allocator.dsn],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ,
        )
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


SAMPLE = Claim(pool="client", email="person@example.org", crd_code="4/code", drawn_pin="123456")


def _on_one_line(statement: str) -> str:
    without_comments = re.sub(r"--[^\n]*", "", statement)
    return " ".join(without_comments.split()) + ";"
