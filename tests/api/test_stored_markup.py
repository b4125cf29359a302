"""Markup in the text columns of the database, all but keys and enumerations, and in addresses: on no page does it become any.

Not in the leaves of its JSON columns. A table that `fill` leaves empty shows nothing here.
"""

import html
import re
from html.parser import HTMLParser

import psycopg
import pytest

from tests.api.test_access import Route, routes_of
from tests.api.world import COMMAND, World, serving

pytestmark = pytest.mark.anyio

HTML = {"Accept": "text/html"}
TEXTS = """
SELECT c.table_name AS table, c.column_name AS column
  FROM information_schema.columns c JOIN pg_class r ON r.oid = c.table_name::regclass
 WHERE c.table_schema = 'public' AND c.data_type = 'text' AND NOT r.relispartition AND r.relkind IN ('r', 'p') ORDER BY 1, 2"""
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
    *("vm.reason", "api_token.name", "desired_version.author", "evidence.log", "evidence.console"),
}
"""Some that pages are known to show: without them the look would prove nothing. Lines of logs are put in by a script (tests/browser)."""
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
    await world.sql("INSERT INTO vm_log_head (hostname, number, first_at, last_at) VALUES (%s, 1, now(), now())", NAME)
    await world.sql("CREATE TABLE vm_log_all PARTITION OF vm_log DEFAULT")
    await world.sql("INSERT INTO vm_log (number, at, hostname, event_id, line) VALUES (1, now(), %s, 'e', 'l')", NAME)
    await world.sql("UPDATE assignment SET warning = 'w', ends_at = now() + interval '1 hour', warning_ends_at = now()"
                    " + interval '1 hour' WHERE hostname IS NOT NULL")  # fmt: skip


async def mark_texts(world: World) -> set[str]:
    """The columns that now hold markup: all but those whose values the database itself knows (CHECK), and `KEPT`."""
    marked = set()
    for row in await world.sql(TEXTS):
        name = f"{row['table']}.{row['column']}"
        if name in KEPT:
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


def pages_of(world: World) -> list[str]:
    def is_page(route: Route) -> bool:
        return route.method == "GET" and str(route.handler.media_type) == "text/html"  # type: ignore[attr-defined]

    here = {"hostname": NAME, "name": "client", "run_id": "1", "number": "1"}
    paths = [route.path for route in routes_of(world.app) if is_page(route)]
    return [re.sub(r"\{(\w+):\w+\}", lambda part: here[part[1]], path) for path in paths]


async def test_no_text_of_the_database_becomes_markup_on_a_page(dsn: str) -> None:
    async with serving(dsn) as world:
        await fill(world)
        marked = await mark_texts(world)
        assert len(marked) > 30
        texts = []
        for path in [*pages_of(world), "/admin/events?steps=on", f"/admin/instances/{NAME}"]:
            for http in (world.admin, world.http):
                answer = await http.get(path, headers=HTML)
                assert answer.status_code < 500, f"{path}: {answer.text[-3000:]}"
                Page(path).feed(answer.text)
                texts.append(html.unescape(answer.text))
        shown = {name for name in marked if any(f"{name} " in text for text in texts)}
        assert shown >= SHOWN, (SHOWN - shown, marked - shown)


async def test_no_part_of_an_address_becomes_markup_on_a_page(dsn: str) -> None:
    async with serving(dsn) as world:
        for route in routes_of(world.app):
            path = re.sub(r"\{\w+:\w+\}", "%22%3E%3Churt%3E", route.path)
            query = "&".join(
                f"{name}=%22%27%3E%3Churt%20hurt=1%3E" for name in ("pool", "status", "subject", "words", "next")
            )
            if route.method == "GET" and "live" not in path:
                answer = await world.admin.get(f"{path}?{query}", headers=HTML)
                assert answer.status_code < 500 or answer.status_code == 503, path
                if answer.headers.get("content-type", "").startswith("text/html"):
                    Page(path).feed(answer.text)
