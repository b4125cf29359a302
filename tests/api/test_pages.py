"""The pages over HTTP, without a browser: what they show of unusual declarations, page by page, and what they never show."""

import html
import re

import pytest

from api.door import MOST_FROM_ONE
from api.pages import records
from schemas.conditions import CONDITIONS, page_of
from tests.api.test_requests import free_seats
from tests.api.world import ADMIN, COMMAND, HASH, YAML, World, serving

pytestmark = pytest.mark.anyio

HTML = {"Accept": "text/html"}
RICH = f"""\
deployment: lab
environment: test
admin: {{user: {ADMIN[0]}, password_hash: "{HASH}"}}
pools:
  fixed: {{size: 2}}
  elastic:
    size: {{min: 1, max: 8, spare: 1}}
    instance_type: t3.large
    access_code: owl-24
    schedule:
      - {{name: lecture, cron: "0 9 * * mon", timezone: Europe/Berlin, for: 3h, size: 12}}
      - {{from: 2030-01-01T09:00Z, to: 2030-01-01T12:00Z, size: 4}}
"""


async def see(world: World, path: str) -> str:
    answer = await world.admin.get(path, headers=HTML)
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_a_pool_of_each_shape_has_its_page(dsn: str) -> None:
    async with serving(dsn, yaml=RICH) as world:
        assert 'name="size"' in await see(world, "/admin/pools/fixed")
        elastic = await see(world, "/admin/pools/elastic")
        assert all(f'name="{bound}"' in elastic for bound in ("min", "max", "spare"))
        assert "12 VMs for the window 'lecture'" in html.unescape(elastic.partition("Coming up")[2])
        body = {"do": "preview", "min": "2", "max": "9", "spare": "1", "paused": "on", "based_on": "1"}
        preview = await world.admin.post("/admin/pools/elastic", data=body, headers=HTML)
        assert "+    size: {min: 2, max: 9, spare: 1}" in preview.text
        assert "+    paused: true" in preview.text
        sent = dict(re.findall(r'name="(min|max|spare|based_on)"[^>]* value="(\d+)"', preview.text))
        await world.admin.post("/admin/pools/elastic", data={"do": "save", **sent}, headers=HTML)
        assert "size: {min: 2, max: 9, spare: 1}" in (await world.admin.get("/api/v1/desired")).json()["yaml"]


async def test_a_form_that_is_sent_twice_is_done_once(dsn: str) -> None:
    async with serving(dsn) as world:

        async def send(path: str, **fields: str) -> int:
            return (await world.admin.post(path, data=fields, headers=HTML)).status_code

        launch = {"pool": "client", "num_vms": "3", "based_on": "1"}
        assert [await send("/api/launch", **launch) for _ in range(2)] == [200, 409]
        save = {"do": "save", "size": "7", "based_on": "2"}
        assert [await send("/admin/pools/client", **save) for _ in range(2)] == [303, 303]
        [name] = await world.add_vms()
        end = {"deed": "end", "hostname": name, "sure": "yes", "based_on": "3"}
        assert await send("/admin/instances", **end) == 303
        await send("/admin/instances", **end)  # refused, or nothing that was not ending already
        found = (await world.admin.get("/api/v1/desired")).json()
        assert (found["version"], "size: 6" in found["yaml"]) == (4, True)


async def test_a_plot_is_a_table_of_its_values_too(dsn: str) -> None:
    async with serving(dsn) as world:
        first, second, third = await world.add_vms(3)
        await world.sql("UPDATE vm SET created_at = now() - interval '5 hours'")
        await world.sql("UPDATE vm SET ready_at = now() - interval '2 hours' WHERE hostname = %s", first)
        await world.sql("UPDATE vm SET ready_at = now() - interval '4 hours' WHERE hostname = %s", second)
        await world.sql(
            "UPDATE vm SET phase = 'gone', ended_at = now() - interval '1 hour' WHERE hostname IN (%s, %s)",
            second,
            third,
        )
        await world.sql(
            "INSERT INTO evidence (hostname, at, reason, console, log) VALUES (%s, now() - interval '150 minutes', 'failed', '', '')",
            third,
        )
        shown = await see(world, "/admin")
        figure = shown[shown.index("<figure") : shown.index("</figure>")]
        rows = re.findall(r"</span> (\w+)</span></th>" + 3 * r"<td[^>]*>(\S+)</td>", figure)
        assert rows == [
            ("assigned", "0", "0", "0"),
            ("free", "1", "1", "2"),
            ("starting", "0", "0", "2"),
            ("broken", "0", "0", "1"),
        ]
        alone = await see(world, "/admin/plots/stages?pool=client")
        assert re.findall(r"<td[^>]*>(\S+)</td>", alone) == [value for _, *values in rows for value in values]
        assert "Nothing in these hours" in await see(world, f"/admin/plots/gauges/{first}")


async def test_who_waits_is_taken_out_of_the_line_after_a_question_and_who_has_a_vm_is_not(dsn: str) -> None:
    async with serving(dsn) as world:
        await free_seats(world, 1)
        for name in ("has", "waits", "stays"):
            await world.request(f"{name}@example.org", name)
        people = await world.sql("SELECT email, seq FROM assignment")
        seqs = {row["email"].partition("@")[0]: str(row["seq"]) for row in people}
        shown = await see(world, "/admin/assignments")
        assert re.findall(r'name="seq" value="(\d+)"', shown) == [seqs["stays"], seqs["waits"]]
        chosen = {"seq": [seqs["has"], seqs["waits"], "9" * 30, "'"]}
        asked = await world.admin.post("/admin/assignments", data=chosen, headers=HTML)
        assert "Take 1 person out of the line?" in asked.text
        assert await open_places(world) == {"has": "active", "waits": "waiting", "stays": "waiting"}
        done = await world.admin.post("/admin/assignments", data=chosen | {"sure": "yes"}, headers=HTML)
        assert done.status_code == 303
        assert await open_places(world) == {"has": "active", "stays": "waiting"}
        assert "1 taken out of the line" in (await world.admin.get("/api/v1/events")).text
        again = await world.admin.post("/admin/assignments", data=chosen | {"sure": "yes"}, headers=HTML)
        assert "Nothing was done" in await see(world, again.headers["location"])


async def open_places(world: World) -> dict[str, str]:
    rows = await world.sql("SELECT email, status FROM assignment WHERE status <> 'ended'")
    return {row["email"].partition("@")[0]: row["status"] for row in rows}


async def test_a_token_is_revoked_after_a_question(dsn: str) -> None:
    async with serving(dsn) as world:
        await world.admin.post("/api/v1/tokens", json={"name": "nightly", "scope": "read"})
        assert "/admin/tokens/nightly/revoke" in await see(world, "/admin/tokens")
        assert "Revoke nightly?" in await see(world, "/admin/tokens/nightly/revoke")
        assert (await world.admin.get("/admin/tokens/other/revoke", headers=HTML)).status_code == 404
        await world.admin.post("/admin/tokens/nightly/revoke", headers=HTML)
        assert "nightly" not in (await world.admin.get("/api/v1/tokens")).text


async def test_every_condition_has_a_page_that_says_what_to_do_and_where_it_holds(dsn: str) -> None:
    async with serving(dsn) as world:
        listed = await see(world, "/admin/conditions")
        for name, kind in CONDITIONS.items():
            assert page_of(name) in listed
            shown = html.unescape(re.sub("</?code>", "`", await see(world, page_of(name))))
            assert kind.meaning in shown
            assert kind.todo in shown
            assert ("Nowhere: it is over." in shown) == (name not in ("Converged", "Ready", "Observed", "AmiResolved"))
        assert "/admin/pools/client" in await see(world, page_of("Observed"))
        assert page_of("Ready") in await see(world, "/admin")
        missing = await world.admin.get("/admin/conditions/Stlled", headers=HTML)
        assert (missing.status_code, "Stalled perhaps?" in missing.text) == (404, True)


async def test_events_lead_to_older_ones_and_leave_out_each_of_terraforms_steps(dsn: str) -> None:
    async with serving(dsn) as world:
        await world.sql(
            """INSERT INTO event (actor, subject, reason, message)
               SELECT CASE n %% 2 WHEN 0 THEN 'terraform' ELSE 'api' END, 'pool/client', 'Said', 'word ' || n || '.'
                 FROM generate_series(1, 2 * %s) AS n ORDER BY n""",
            records.PAGE + 1,
        )
        first = await see(world, "/admin/events?subject=pool/client")
        assert f"Word {2 * records.PAGE + 1}." in first
        assert "Word 2." not in first
        older = re.search(r'href="(\?[^"]*before=\d+)"', first)
        assert older
        last = await see(world, f"/admin/events{html.unescape(older[1])}")
        assert re.findall(r"Word \d+\.", last) == ["Word 1."]
        assert "hx-get" not in last.partition('id="list"')[2].partition(">")[0]  # what is old does not renew itself
        assert f"Word {2 * records.PAGE + 2}." in await see(world, "/admin/events?subject=pool/client&steps=on")


async def take_seat(world: World, email: str) -> str:
    """By the form, as a browser does; the PIN. The cookie stays with `world.http`."""
    form = {"email": email, "crd_command": COMMAND.format(code=email.partition("@")[0]), "pin": "424242"}
    answer = await world.http.post("/api/request_vm", data=form, headers=HTML)
    assert answer.status_code == 200, answer.text
    return form["pin"]


async def test_a_person_extends_a_session_that_ends_soon_while_nobody_waits(dsn: str) -> None:
    async with serving(dsn) as world:
        await free_seat(world)
        await take_seat(world, "ada@example.org")

        async def extend() -> str:
            return (await world.http.post("/seat/extend", headers=HTML, follow_redirects=True)).text

        async def left() -> float:
            [row] = await world.sql(
                "SELECT extract(epoch FROM ends_at - now())::float8 AS s FROM assignment WHERE hostname IS NOT NULL"
            )
            return float(row["s"])

        await world.sql("UPDATE assignment SET ends_at = now() + interval '2 hours'")
        assert "/seat/extend" not in (await world.http.get("/seat", headers=HTML)).text
        assert "last half hour" in await extend()
        await world.sql("UPDATE assignment SET ends_at = now() + interval '10 minutes'")
        assert "Extend by 30 min" in (await world.http.get("/seat", headers=HTML)).text
        assert (await world.request("bob@example.org")).status_code == 503
        assert "Somebody waits" in await extend()
        await world.sql("UPDATE assignment SET status = 'ended', ended_at = now() WHERE status = 'waiting'")
        assert "You have 30 min more" in await extend()
        assert 2340 < await left() <= 2400
        assert [row["actor"] for row in await world.sql("SELECT actor FROM event WHERE reason = 'Extended'")] == [
            "user"
        ]


async def test_sessions_are_not_extended_where_the_pool_forbids_it(dsn: str) -> None:
    async with serving(dsn, yaml=YAML.replace("size: 2", "size: 2\n    session: {max: 4h, extend: 0s}")) as world:
        await free_seat(world)
        await take_seat(world, "ada@example.org")
        await world.sql("UPDATE assignment SET ends_at = now() + interval '10 minutes'")
        assert "Extend by" not in (await world.http.get("/seat", headers=HTML)).text
        refused = await world.http.post("/seat/extend", headers=HTML, follow_redirects=True)
        assert "cannot be extended" in refused.text


async def test_wrong_pins_on_the_seats_form_count_as_guesses(dsn: str) -> None:
    async with serving(dsn) as world:
        await free_seat(world)
        pin = await take_seat(world, "ada@example.org")
        world.http.cookies.clear()
        for n in range(MOST_FROM_ONE):
            wrong = await world.http.post("/seat", data={"email": "ada@example.org", "pin": f"{n}00000"})
            assert wrong.status_code == 404
        right = await world.http.post("/seat", data={"email": "ada@example.org", "pin": pin})
        assert (right.status_code, "Too many wrong PINs" in right.text) == (429, True)


async def free_seat(world: World) -> None:
    [name] = await world.add_vms()
    await world.sql("UPDATE seat SET state = 'free', free_since = now() WHERE hostname = %s", name)
