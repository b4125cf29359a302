"""What the command line says of the lab as it is: `status`, `vms`, `events`, `why`."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from lablink.display import news_lines, render_status, status_lines
from tests.unit.cli import Answer, answering, run_cli

POOL = {
    "name": "client",
    "declared": 5,
    "ceiling": 6,
    "present": 5,
    "buckets": {"ready": 3, "booting": 2},
    "converged": False,
    "openings": [
        {
            "name": "the window 'workshop'",
            "size": 20,
            "grows_at": "2026-11-02T08:45:00Z",
            "from_at": "2026-11-02T09:00:00Z",
            "to_at": "2026-11-02T17:00:00Z",
            "is_open": False,
        }
    ],
    "conditions": [
        {
            "type": "Converged",
            "status": False,
            "reason": "Booting",
            "message": "2 boot",
            "since": "2026-11-01T09:00:00Z",
        },
        {
            "type": "Stalled",
            "status": True,
            "reason": "Failures",
            "message": "3 in a row",
            "since": "2026-11-01T09:00:00Z",
        },
    ],
    "held": [{"pool": "client", "what": "create 1", "reason": "the pool is at its ceiling"}],
    "next_at": None,
}

EVENT = {
    "id": 7,
    "at": "2026-11-01T09:00:00Z",
    "actor": "controller",
    "subject": "vm/lablink-client-dev-1",
    "reason": "Created",
    "message": "[red]new[/red]",
    "detail": {},
}

STATUS = {"version": 3, "conditions": [], "pools": [POOL], "events": [EVENT]}

VMS = [{"hostname": "lablink-client-dev-1", "pool": "client", "bucket": "ready", "seat": "free", "zone": None}]


def rendered(status: dict[str, Any]) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(render_status(status))
    return console.export_text()


def test_status_without_a_terminal_is_plain_lines() -> None:
    with answering({"GET /api/v1/status": Answer(200, STATUS)}):
        done = run_cli("status")
    assert done.out.splitlines() == [
        "desired state: version 3",
        "pool client: 5 declared, 3 ready, 2 booting (converging)",
        "client: next: the window 'workshop': 20 from 2026-11-02 09:00:00 to 2026-11-02 17:00:00",
        "client: Stalled: 3 in a row",
        "  → Read the newest run (`lablink runs`), remove its cause, then `lablink retry client`. "
        "An edit of the pool is a new try, too.",
        "client: waits to create 1: the pool is at its ceiling",
    ]


def test_status_as_json_is_the_servers_document() -> None:
    with answering({"GET /api/v1/status": Answer(200, STATUS)}):
        assert json.loads(run_cli("status", "--json").out) == STATUS


def test_only_news_are_said_again() -> None:
    later = {**STATUS, "pools": [{**POOL, "buckets": {"ready": 5}}], "events": [EVENT, {**EVENT, "id": 8}]}
    lines = news_lines(later, STATUS)
    assert lines[0] == "pool client: 5 declared, 5 ready (converging)"
    assert len(lines) == 2
    assert news_lines(STATUS, STATUS) == []


def test_status_renders_for_a_terminal_without_reading_messages_as_markup() -> None:
    text = rendered(STATUS)
    assert "●●●◐◐" in text
    assert "[red]new[/red]" in text


def test_a_large_pool_keeps_every_bucket_in_its_bar() -> None:
    pool = {**POOL, "buckets": {"ready": 996, "failed": 1, "booting": 3}}
    text = rendered({**STATUS, "pools": [pool]})
    assert "✗" in text
    assert "◐" in text


def test_a_status_without_pools_says_so() -> None:
    assert status_lines({"version": 0, "conditions": [], "pools": [], "events": []}) == ["desired state: version 0"]


def test_vms_are_read_to_the_last_page() -> None:
    with answering({"GET /api/v1/vms": Answer(200, {"items": VMS, "next": None})}) as calls:
        done = run_cli("vms", "--pool", "client")
    assert done.out.split()[:4] == ["hostname", "pool", "bucket", "status"]
    assert done.out.splitlines()[1].startswith("lablink-client-dev-1")
    assert "pool=client" in calls[0].path


def test_events_are_lines_with_who_and_why() -> None:
    with answering({"GET /api/v1/events": Answer(200, {"items": [EVENT], "next": None})}):
        done = run_cli("events")
    assert "vm/lablink-client-dev-1  Created: [red]new[/red]" in done.out


def test_why_says_the_bucket_the_reason_and_what_comes_next() -> None:
    action = {"kind": "end", "pool": "client", "hostname": "lablink-client-dev-1", "reason": "4 declared"}
    vm = {**VMS[0], "reason": "waits for a user", "actions": [action], "held": [], "events": [EVENT]}
    with answering({"GET /api/v1/why/lablink-client-dev-1": Answer(200, vm)}):
        lines = run_cli("why", "lablink-client-dev-1").out.splitlines()
    assert lines[0] == "lablink-client-dev-1 is ready: waits for a user"
    assert "next: end, because 4 declared" in lines
    assert "Created" in lines[-1]


def test_why_of_a_pool_names_what_is_in_its_way() -> None:
    with answering({"GET /api/v1/why/client": Answer(200, {**POOL, "actions": [], "events": []})}):
        lines = run_cli("why", "client").out.splitlines()
    assert lines[0].startswith("pool client: 5 declared")
    assert "client: waits to create 1: the pool is at its ceiling" in lines


def test_a_condition_that_does_not_hold_is_shown_as_such() -> None:
    invalid = {"type": "DesiredValid", "status": False, "message": "lablink.yaml:11: size", "reason": "Invalid"}
    unseen = {"type": "Observed", "status": False, "message": "the listing failed", "reason": "ListingFailed"}
    pool = {**POOL, "conditions": [unseen], "held": []}
    lines = status_lines({**STATUS, "conditions": [invalid], "pools": [pool]})
    assert lines[-3:] == [
        "not DesiredValid: lablink.yaml:11: size",
        "  → The message names line and field. `lablink validate lablink.yaml` checks before you save.",
        "client: not Observed: the listing failed",  # passes by itself
    ]


@pytest.mark.parametrize(("in_use", "words"), [(True, "seat free, in use"), (False, "seat free, not in use")])
def test_why_says_in_words_whether_a_vm_is_in_use(in_use: bool, words: str) -> None:
    vm: dict[str, Any] = {**VMS[0], "in_use": in_use, "reason": "waits", "actions": [], "held": [], "events": []}
    with answering({"GET /api/v1/why/lablink-client-dev-1": Answer(200, vm)}):
        assert run_cli("why", "lablink-client-dev-1").out.splitlines()[1] == words
