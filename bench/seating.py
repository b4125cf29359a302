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
from bench.figure import Figure, figure_of
from bench.holding import render_request
from bench.load import Outcome, send_all
from bench.waiting_vms import WaitingVms, render_poll, until_free
from sandbox.postgres_binaries import find_binaries
from store.assignment import BIND, EXPIRE, REQUEST, Claim
from store.seat import LOCK_POOL

FORTY_MS, STORM_MS = 25, 120
REPEATS = 3
IN_FLIGHT, RATE_PEOPLE, PARTS = 20, 4_000, 4
EARLY, PATIENCE_S = 10, 60.0
CLIENTS = 8
RATIO_LIMIT = 1 / 0.3  # of the time an assignment takes
FREE = "UPDATE seat SET state = 'free', free_since = now() WHERE state = 'closed'"


def measure_seating() -> list[Figure]:
    forty = [_ask_anew(90, people=40, in_flight=10)[0] for _ in range(REPEATS)]
    storms = [_ask_anew(100, people=200, in_flight=200) for _ in range(REPEATS)]
    forties_ms = [median(outcome.took_s) * 1000 for outcome in forty]
    storms_ms = [median(outcome.took_s) * 1000 for outcome, _ in storms]
    return [
        figure_of("40 people, 10 at a time, 90 VMs waiting, median", forties_ms, FORTY_MS, note=_say(forty[-1])),
        figure_of("a storm of 200 for 100 VMs, median", storms_ms, STORM_MS, note=storms[-1][1]),
        _measure_rate(),
        _measure_early(),
    ]


def _ask_anew(vms: int, people: int, in_flight: int) -> tuple[Outcome, str]:
    """Of an allocator that has just started, as before a class begins; and what came of it where not all were served."""
    with running_allocator(vms) as allocator:
        outcome = asyncio.run(_ask_beside_waiting(allocator, people, in_flight))
        return outcome, _judge_storm(allocator, outcome) if people > vms else ""


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
    """Ours and the bare statements in parts, one after the other, so that a busy moment of the machine falls on both."""
    ours, bare, each = [], [], RATE_PEOPLE // PARTS
    with running_allocator(RATE_PEOPLE + 200) as allocator, running_allocator(RATE_PEOPLE) as beside:
        with psycopg.connect(allocator.dsn, autocommit=True) as conn:
            conn.execute(FREE)
        asyncio.run(send_all(allocator.port, [render_request(n) for n in range(200)], IN_FLIGHT))
        for first in range(200, RATE_PEOPLE + 200, each):
            calls = [render_request(n) for n in range(first, first + each)]
            outcome = asyncio.run(send_all(allocator.port, calls, IN_FLIGHT))
            assert outcome.statuses == {200: each}, outcome.statuses
            ours.append(outcome.seconds / each * 1e6)
            bare.append(1e6 / _run_pgbench(beside, each))
    note = (
        f"{1e6 / median(ours):,.0f} / {1e6 / median(bare):,.0f} a second; the statements one by one, {CLIENTS} clients"
    )
    name = f"an assignment, {IN_FLIGHT} at a time, beside SQL"
    return figure_of(name, ours, RATIO_LIMIT, "µs", baselines=bare, note=note)


def _measure_early() -> Figure:
    """People whose VM was free by the record and asks only now, as after a restart of the allocator."""
    with running_allocator(EARLY) as allocator:
        with psycopg.connect(allocator.dsn, autocommit=True) as conn:
            conn.execute(FREE)
        asyncio.run(send_all(allocator.port, [render_request(n) for n in range(EARLY)], EARLY))
        polls = [render_poll(allocator.vm(name), name) for name in allocator.names]
        outcome = asyncio.run(asyncio.wait_for(send_all(allocator.port, polls, 1), PATIENCE_S))
    note = f"{EARLY} people were; each VM's first poll was answered after {median(outcome.took_s) * 1000:.0f} ms"
    missed = EARLY - outcome.statuses[200]
    return Figure("assignments made before the VM asks, not delivered at its first poll", missed, 0, "", note=note)


def _run_pgbench(allocator: Allocator, people: int) -> float:
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
        each = people // CLIENTS
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
