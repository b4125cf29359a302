"""Every statement of `store` is planned over a record of years: none may walk through a whole table that only ever grows."""

import importlib
import itertools
import pkgutil
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

import store
from sandbox import postgres

GROWING = {
    "vm",
    "assignment",
    "event",
    "run",
    "tick",
    "vm_log",
    "vm_metric",
    "notice",
    "notification",
    "desired_version",
}
STATEMENT = re.compile(r"\s*(--[^\n]*\n\s*)*(SELECT|WITH|INSERT|UPDATE|DELETE)\b")
PLACE = re.compile(r"%\((\w+)\)s|%s")

FRAGMENTS = {"vmlog_read.PAGE"}
"""Parts of statements that are none by themselves."""
ALLOWED = {
    "course.FIGURES": "asked once, when a course is over",
    "sealed.LOOK_FOR_VMS": "run by hand once, after a key was lost (`lablink rekey --lost`)",
}
"""Statements that may, and why."""

DAY = datetime(2026, 1, 1, tzinfo=UTC)
STAYS: dict[str, Any] = dict.fromkeys(("hostname", "pool", "status", "before", "words", "seqs")) | {"limit": 100}
EVENTS: dict[str, Any] = dict.fromkeys(("subject", "before", "but", "pool")) | {"limit": 100}
ASKED: dict[str, list[dict[str, Any]]] = {
    "course.FIGURES": [{"course": "c", "pool": "pool1", "from_at": DAY, "to_at": DAY}],
    "event.READ": [EVENTS | {"after": 99_000}, EVENTS | {"after": 99_000, "pool": "pool1"}],
    "event.READ_NEWEST": [EVENTS, EVENTS | {"pool": "pool1"}, EVENTS | {"subject": "vm/vm-99900"}],
    "history.STAGES": [{"hours": 24, "steps": 96, "step_s": 900, "pool": pool} for pool in (None, "pool1")],
    "history.REQUESTS": [{"hours": 24, "step_s": 900, "pool": pool} for pool in (None, "pool1")],
    "history.STAYS": [STAYS, STAYS | {"pool": "pool1"}, STAYS | {"seqs": [1, 2]}],
    "instance.EXPIRE": [{"region": "us-west-2", "taken_at": DAY}],
    "tenancy.LIST": [{"pool": pool, "status": None, "before": None, "limit": 100} for pool in (None, "pool1")],
    "usage.SEATS": [{"after": 0, "limit": 100}, {"after": 49_000, "limit": 100}],
}
"""What is asked for by statements whose plan hangs on it; all others are planned for whatever it may be."""

YEARS = """
INSERT INTO pool (name) SELECT 'pool' || n FROM generate_series(0, 9) AS n;
INSERT INTO base (pool, region) SELECT name, 'us-west-2' FROM pool;
INSERT INTO desired_version (version, author, source, yaml, document) SELECT n, 'a', 'api', '', '{"pools": {}}' FROM generate_series(1, 2000) AS n;
INSERT INTO vm (hostname, pool, region, shard, generation, spec_hash, spec, phase, in_state, instance_id, created_at, launched_at, ready_at, ended_at)
SELECT 'vm-' || n, 'pool' || n % 10, 'us-west-2', n / 50, 1, 'v1:a', '{}', CASE WHEN n <= 99500 THEN 'gone' ELSE 'live' END, n > 99500, 'i-' || n,
       now() - (100000 - n) * interval '9 minutes', now() - (100000 - n) * interval '9 minutes', now() - (100000 - n) * interval '9 minutes',
       CASE WHEN n <= 99500 THEN now() - (100000 - n) * interval '8 minutes' END
  FROM generate_series(1, 100000) AS n;
INSERT INTO seat (hostname, pool, state, free_since) SELECT hostname, pool, 'free', now() FROM vm WHERE phase = 'live';
INSERT INTO vm_heard (hostname, heard_at) SELECT hostname, now() FROM vm WHERE phase = 'live';
INSERT INTO instance (instance_id, region, hostname, pool, generation, state, instance_type, image_id, launched_at, first_seen_at)
SELECT instance_id, region, hostname, pool, 1, 'running', 't3.large', 'ami', launched_at, launched_at FROM vm WHERE phase = 'live';
INSERT INTO assignment (pool, email, status, hostname, crd_code, pin, created_at, bound_at, ended_at)
SELECT 'pool' || n % 10, 'person' || n || '@example.org', CASE WHEN n <= 49500 THEN 'ended' WHEN n <= 49900 THEN 'active' ELSE 'waiting' END,
       CASE WHEN n <= 49900 THEN 'vm-' || n + 50000 END, 'c', '123456', now() - (50000 - n) * interval '6 minutes',
       now() - (50000 - n) * interval '6 minutes', CASE WHEN n <= 49500 THEN now() - (50000 - n) * interval '5 minutes' END
  FROM generate_series(1, 50000) AS n;
INSERT INTO event (at, actor, subject, reason, message)
SELECT now() - (100000 - n) * interval '3 minutes', 'api', 'vm/vm-' || n, 'Assigned', 'm' FROM generate_series(1, 100000) AS n;
INSERT INTO run (state_key, pool, token, started_at, must_end_by, ended_at, outcome)
SELECT 'pool' || n % 10 || '/us-west-2/' || n % 50, 'pool' || n % 10, n, now() - (30000 - n) * interval '10 minutes', now(), now() - (30000 - n) * interval '10 minutes', 'succeeded'
  FROM generate_series(1, 30000) AS n;
INSERT INTO tick (at, snapshot, decision) SELECT now() - (30000 - n) * interval '1 minute', '', '' FROM generate_series(1, 30000) AS n;
INSERT INTO notice (at, subject, type, status, reason, message)
SELECT now(), 'pool/pool1', 'Stalled', true, 'r', 'm' FROM generate_series(1, 20000) AS n;
INSERT INTO notification (at, receiver, topic, trouble, body, ended_at, outcome)
SELECT now() - (20000 - n) * interval '10 minutes', 'r' || n % 3, 'pool/pool' || n % 10 || ' Stalled', true, '{}', now(), 'sent' FROM generate_series(1, 20000) AS n;
CREATE TABLE vm_log_day PARTITION OF vm_log DEFAULT;
CREATE TABLE vm_metric_day PARTITION OF vm_metric DEFAULT;
INSERT INTO vm_log (number, at, hostname, event_id, line)
SELECT n, now() - n * interval '1 second', 'vm-' || n % 500 + 99500, 'e' || n, 'a line' FROM generate_series(1, 60000) AS n;
INSERT INTO vm_metric (at, hostname, gauges)
SELECT date_trunc('minute', now()) - n / 500 * interval '1 minute', 'vm-' || n % 500 + 99500, '{}' FROM generate_series(1, 60000) AS n;
VACUUM ANALYZE;
"""


def collect_statements() -> Iterator[tuple[str, str]]:
    """All constants of `store` that are statements, by module and name."""
    for found in pkgutil.iter_modules(store.__path__):
        module = importlib.import_module(f"store.{found.name}")
        for name, value in vars(module).items():
            if name.isupper() and isinstance(value, str) and STATEMENT.match(value):
                yield f"{found.name}.{name}", value


def number_places(statement: str) -> str:
    """psycopg's places as PostgreSQL's own, the same number for the same name."""
    numbers: dict[str, int] = {}
    fresh = (f"unnamed{n}" for n in itertools.count())

    def replace(found: re.Match[str]) -> str:
        return f"${numbers.setdefault(found[1] or next(fresh), len(numbers) + 1)}"

    return PLACE.sub(replace, statement).replace("%%", "%")


def find_scans(plan: Mapping[str, Any]) -> Iterator[str]:
    """The growing tables that a plan walks through from end to end."""
    table = re.sub(r"_(day|\d{8})$", "", plan.get("Relation Name", ""))
    if plan["Node Type"] == "Seq Scan" and table in GROWING:
        yield table
    for part in plan.get("Plans", ()):
        yield from find_scans(part)


@pytest.fixture(scope="module")
def record(postgres_server: str) -> Iterator[psycopg.Connection]:
    dsn = postgres.create_database(postgres_server, "years", template="lablink_template")
    with psycopg.connect(dsn, autocommit=True, cursor_factory=psycopg.ClientCursor) as conn:
        for statement in YEARS.split(";\n"):
            conn.execute(statement)
        yield conn
    postgres.drop_database(postgres_server, "years")


def plan_all(record: psycopg.Connection, name: str, statement: str) -> Iterator[Mapping[str, Any]]:
    """The plans of a statement, for each way in which it is asked."""
    texts = [psycopg.ClientCursor(record).mogrify(statement, asked) for asked in ASKED.get(name, ())]
    options = "FORMAT JSON" if texts else "GENERIC_PLAN, FORMAT JSON"
    for text in texts or [number_places(statement)]:
        row = record.execute(f"EXPLAIN ({options}) {text}".encode()).fetchone()
        assert row is not None
        yield row[0][0]["Plan"]


def test_no_statement_walks_through_a_growing_table(record: psycopg.Connection) -> None:
    statements = dict(collect_statements())
    walks = {
        name: tables
        for name, statement in statements.items()
        if name not in FRAGMENTS and (tables := {t for p in plan_all(record, name, statement) for t in find_scans(p)})
    }
    assert walks.keys() == ALLOWED.keys(), walks
    assert statements.keys() >= {*FRAGMENTS, *ASKED}


def test_a_statement_without_an_index_is_found(record: psycopg.Connection) -> None:
    statement = "SELECT count(*) FROM event WHERE message = %s"
    assert [table for p in plan_all(record, "", statement) for table in find_scans(p)] == ["event"]
