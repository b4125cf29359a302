"""Markup in every text that the database can hold, and in addresses: on no page does it become any.

Text columns, the strings and keys in JSON, arrays: all but those by which rows are found and those of a few values; and beside them
rows whose very names are markup. A table that is new has to be filled here, or to be named in `NO_ROWS`.
"""

import html
import re
from html.parser import HTMLParser
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.api.test_access import Route, routes_of
from tests.api.world import COMMAND, YAML, World, serving

pytestmark = pytest.mark.anyio

HTML = {"Accept": "text/html"}
TEXTS = """
SELECT c.table_name AS table, c.column_name AS column, c.data_type AS type
  FROM information_schema.columns c JOIN pg_class r ON r.oid = c.table_name::regclass
 WHERE c.table_schema = 'public' AND c.data_type IN ('text', 'jsonb', 'json', 'ARRAY') AND NOT r.relispartition AND r.relkind IN ('r', 'p') ORDER BY 1, 2"""
KEPT = {
    *(
        "vm.hostname",
        "seat.hostname",
        "assignment.hostname",
        "vm_log.hostname",
        "evidence.hostname",
    ),  # by these rows are found
    *("vm.pool", "seat.pool", "assignment.pool", "pool.name", "run.pool", "vm_heard.hostname", "vm_log_head.hostname"),
    *("event.subject", "vm.region", "vm.instance_id", "lease.name"),
    *("vm.status", "vm.gpu_health"),  # of a few values, which are read as such
}
NO_ROWS = {
    "lease": "who leads; no page shows it, and a row would make a leader",
    "secret": "names that we give; the values are sealed",
    "tf_state": "states of Terraform, sealed, and who holds the lock of one; no page shows them",
}
"""Tables without a row in this test, and why."""
CLOSED = {"vm.spec"}
"""JSON that a model reads which takes no other key."""
INSTANTS = {"since"}
"""Members of JSON that are read as instants."""
UNREAD = {"desired_version.document"}
"""JSON that the document's models judged: what they let through is in `YAML` below."""
HOSTILE = """name "'><hurt> hurt=1 </script><!-- {{7*7}}"""
DECLARED = f"""{YAML}    schedule:
      - {{name: '{HOSTILE.replace("'", "''")}', from: "2026-01-01T00:00Z", to: "2099-01-01T00:00Z", size: 2}}
courses:
  class: {{pool: client, from: "2099-01-01T00:00Z", to: "2099-01-02T00:00Z", seats: 1, roster: '<hurt>', access_code: "'><hurt>"}}
notify: [{{webhook: 'https://example.org/"><hurt>'}}, {{email: '"><hurt>@example.org'}}]
"""
SHOWN = {
    *(
        "event.actor",
        "event.reason",
        "event.message",
        "run.output",
        "run.message",
        "assignment.email",
        "assignment.warning",
    ),
    *("vm.reason", "api_token.name", "desired_version.author", "evidence.log", "evidence.console", "vm_log.line"),
    *("vm.spec", "pool.conditions", "deployment.conditions"),
    *("name.pool", "name.hostname", "name.subject"),
}
"""Some that pages are known to show: without them the look would prove nothing."""
NAME = "lab-client-test-1"


def mark(name: str) -> str:
    return f"""{name} "'><hurt> hurt=1 </script><!-- {{{{7*7}}}} javascript:hurt()"""


class Page(HTMLParser):
    """Fails at a tag, attribute or address that came out of a text."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag != "hurt", f"{self.where} {self.getpos()}"
        for name, value in attrs:
            assert not name.startswith(("hurt", "on")), f"{self.where} {self.getpos()}: {name}"
            assert not (value or "").strip().lower().startswith("javascript:"), f"{self.where} {self.getpos()}: {value}"

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"{self.where} {self.getpos()}: {data}")


async def fill(world: World) -> None:
    """A row of everything that a page shows."""
    await world.add_vms(2)
    await world.sql("UPDATE seat SET state = 'free', free_since = now() WHERE hostname = %s", NAME)
    form = {"email": "ada@example.org", "crd_command": COMMAND.format(code="a"), "pin": "424242"}
    assert (await world.http.post("/api/request_vm", data=form, headers=HTML)).status_code == 200
    await world.request("bob@example.org")
    await world.admin.post("/api/v1/tokens", json={"name": "nightly", "scope": "read"})
    await world.sql("INSERT INTO event (actor, subject, reason, message) VALUES ('a', 'vm/' || %s, 'Said', 'm')", NAME)
    await world.sql("INSERT INTO run (state_key, pool, token, must_end_by, output, message, cause, ended_at, outcome)"
                    " VALUES ('s', 'client', 1, now(), 'o', 'm', 'c', now(), 'failed')")  # fmt: skip
    await world.sql("INSERT INTO evidence (hostname, reason, console, log) VALUES (%s, 'r', 'c', 'l')", NAME)
    await world.sql(
        "INSERT INTO vm_log_head (hostname, number, first_at, last_at) VALUES (%s, 1, now(), now() + interval '1 hour')",
        NAME,
    )
    await world.sql("CREATE TABLE vm_log_all PARTITION OF vm_log DEFAULT")
    await world.sql("INSERT INTO vm_log (number, at, hostname, event_id, line) VALUES (1, now(), %s, 'e', 'l')", NAME)
    await world.sql("UPDATE assignment SET warning = 'w', ends_at = now() + interval '1 hour', warning_ends_at = now()"
                    " + interval '1 hour' WHERE hostname IS NOT NULL")  # fmt: skip


FILL = (
    "INSERT INTO base (pool, region, outputs) VALUES ('client', 'us-west-2', '{\"a\": \"b\"}')",
    """INSERT INTO instance (instance_id, region, hostname, pool, generation, state, instance_type, image_id, launched_at,
       first_seen_at, security_groups, tags) VALUES ('i-0', 'us-west-2', 'h', 'p', 1, 'running', 't', 'a', now(), now(),
       '{sg}', '{"a": "b"}')""",
    "INSERT INTO notice (subject, type, status, reason, message) VALUES ('s', 't', true, 'r', 'm')",
    'INSERT INTO notification (receiver, topic, trouble, body) VALUES (\'r\', \'t\', true, \'{"a": ["b", {"c": "d"}]}\')',
    "INSERT INTO approval (version, cleared_usd, wanted_usd, approved_at, approved_by) VALUES (1, 1, 2, now(), 'a')",
    "INSERT INTO price VALUES ('us-west-2', 't', 1, now())",
    "INSERT INTO refusal (region, zone, instance_type, refused_at) VALUES ('us-west-2', 'z', 't', now())",
    "INSERT INTO roster VALUES ('class', '{ada@example.org}')",
    """INSERT INTO course_report (course, from_at, figures) VALUES ('class', now(), '{"a": "b"}')""",
    """UPDATE event SET detail = '{"a": ["b", {"c": "d"}]}'""",
    """UPDATE run SET plan = '{"a": ["b", {"c": "d"}]}'""",
)


async def fill_more(world: World) -> None:
    for statement in FILL:
        await world.sql(statement)
    for table in ("pool", "deployment"):
        for name in ("Stalled", "DatabaseReachable"):
            said = {"type": name, "status": True, "reason": "r", "message": "m", "since": "2026-01-01T00:00:00Z"}
            await world.sql(f"UPDATE {table} SET conditions = conditions || %s", Jsonb({name: said}))
    await world.sql("INSERT INTO vm_heard (hostname, heard_at, gauges) VALUES (%s, now(), '{\"cpu\": 1}')", NAME)
    await world.sql("INSERT INTO vm_metric (hostname, at, gauges) VALUES (%s, now(), '{\"cpu\": 1}')", NAME)
    await world.sql("INSERT INTO ssh_host_key (hostname, key) VALUES (%s, 'k')", NAME)


async def add_strangers(world: World) -> None:
    """Rows of the past whose very names are markup, as another release or a hand at the database may have left them."""
    names = {"host": mark("name.hostname"), "pool": mark("name.pool"), "subject": mark("name.subject")}
    for statement in (
        "INSERT INTO event (actor, subject, reason, message) VALUES ('a', %(subject)s, 'Said', 'm')",
        "INSERT INTO run (state_key, pool, token, must_end_by, ended_at, outcome)"
        " VALUES ('k', %(pool)s, 1, now(), now(), 'failed')",
        "INSERT INTO assignment (pool, email, status, hostname, crd_code, pin, ended_at)"
        " VALUES (%(pool)s, 'past@example.org', 'ended', %(host)s, 'c', '1', now())",
        "INSERT INTO pool (name, removed) VALUES (%(pool)s, true)",
        "INSERT INTO vm SELECT (jsonb_populate_record(v, jsonb_build_object('hostname', %(host)s::text, 'pool',"
        f" %(pool)s::text))).* FROM vm v WHERE hostname = '{NAME}'",
    ):
        async with world.db.connection() as conn:
            await conn.execute(statement, names)


def mark_value(name: str, value: Any, *, keys: bool) -> Any:
    """JSON or an array with markup in place of each string, and under one key more that is markup."""
    if isinstance(value, str):
        return mark(name)
    if isinstance(value, list):
        return [mark_value(name, one, keys=False) for one in value]
    if isinstance(value, dict):
        marked = {key: one if key in INSTANTS else mark_value(name, one, keys=False) for key, one in value.items()}
        return {**marked, mark(name): next(iter(marked.values()))} if keys and marked else marked
    return value


async def mark_json(world: World, table: str, column: str, type_: str) -> bool:
    """Whether there was any."""
    name, found = f"{table}.{column}", False
    for row in await world.sql(
        f"SELECT tableoid::regclass::text AS place, ctid::text AS id, {column} AS value FROM {table}"
    ):
        marked = mark_value(name, row["value"], keys=name not in CLOSED)
        if marked != row["value"]:
            put = marked if type_ == "ARRAY" else Jsonb(marked)
            await world.sql(f"UPDATE {row['place']} SET {column} = %s WHERE ctid = %s::tid", put, row["id"])
            found = True
    return found


async def tell_empty(world: World) -> list[str]:
    """Tables that could hold text and have no row here."""
    tables = sorted({row["table"] for row in await world.sql(TEXTS)} - NO_ROWS.keys() - {"schema_migration"})
    return [name for name in tables if not await world.sql(f"SELECT 1 AS one FROM {name} LIMIT 1")]


async def mark_texts(world: World) -> set[str]:
    """The columns that now hold markup: all but those whose values the database itself knows (CHECK), and `KEPT`."""
    marked = set()
    for row in await world.sql(TEXTS):
        name = f"{row['table']}.{row['column']}"
        if name in KEPT | UNREAD:
            continue
        if row["type"] != "text":
            marked |= {name} if await mark_json(world, row["table"], row["column"], row["type"]) else set()
            continue
        try:
            await world.sql(f"UPDATE {row['table']} SET {row['column']} = %s", mark(name))
        except psycopg.errors.UniqueViolation:  # several rows: one of them
            one = f"UPDATE {row['table']} SET {row['column']} = %s WHERE ctid = (SELECT min(ctid) FROM {row['table']})"
            await world.sql(one, mark(name))
        except psycopg.errors.CheckViolation:
            continue
        marked.add(name)
    return marked


LOOKS = (
    "/admin/events?steps=on",
    f"/admin/instances/{NAME}",
    f"/admin/logs/{NAME}?words=7",
    "/admin/conditions/Stalled",
)


def pages_of(world: World) -> list[str]:
    def is_page(route: Route) -> bool:
        return route.method == "GET" and str(route.handler.media_type) == "text/html"  # type: ignore[attr-defined]

    here = {"hostname": NAME, "name": "client", "run_id": "1", "number": "1"}
    paths = [route.path for route in routes_of(world.app) if is_page(route)]
    return [re.sub(r"\{(\w+):\w+\}", lambda part: here[part[1]], path) for path in paths]


async def test_no_text_of_the_database_becomes_markup_on_a_page(dsn: str) -> None:
    async with serving(dsn, yaml=DECLARED) as world:
        await fill(world)
        await fill_more(world)
        empty = await tell_empty(world)
        assert not empty, (
            f"{empty} can hold text and have no row here: fill them, or say in NO_ROWS why no page shows them"
        )
        marked = await mark_texts(world)
        await add_strangers(world)
        assert len(marked) > 30
        texts = []
        for path in [*pages_of(world), *LOOKS]:
            for http in (world.admin, world.http):
                answer = await http.get(path, headers=HTML)
                assert answer.status_code < 500, f"{path}: {answer.text[-3000:]}"
                Page(path).feed(answer.text)
                texts.append(html.unescape(answer.text))
        names = {name for name in SHOWN if name.startswith("name.")}
        shown = {name for name in marked | names if any(f"{name} " in text for text in texts)}
        assert shown >= SHOWN, (SHOWN - shown, marked - shown)


async def test_no_part_of_an_address_becomes_markup_on_a_page(dsn: str) -> None:
    async with serving(dsn) as world:
        for route in routes_of(world.app):
            path = re.sub(r"\{\w+:\w+\}", "%22%3E%3Churt%3E", route.path)
            query = "&".join(
                f"{name}=%22%27%3E%3Churt%20hurt=1%3E"
                for name in ("pool", "status", "subject", "words", "next", "bucket", "down", "errors", "sort", "steps")
            )
            if route.method == "GET" and "live" not in path:
                answer = await world.admin.get(f"{path}?{query}", headers=HTML)
                assert answer.status_code < 500 or answer.status_code == 503, path
                if answer.headers.get("content-type", "").startswith("text/html"):
                    Page(path).feed(answer.text)
