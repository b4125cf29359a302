"""Rehearsals: what they tell of people, seats, refusals, hours and money; what cannot be rehearsed; and how all that is shown."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from controller.simulate import rehearsal
from controller.simulate.ledger import measure_waits
from controller.simulate.people import draw_people
from controller.simulate.plan import NoPlan, read_plan, rehearse_plan
from controller.simulate.rehearsal import TooLarge
from lablink.plot import draw, squeeze
from schemas.lab import Lab
from schemas.simulation import Plan, PoolReport, Report
from tests.decide_world import build_lab
from tests.unit.cli import Answer, answering, run_cli

MONDAY = datetime(2026, 12, 7, tzinfo=UTC)
QUIET = {"broken": 0.0, "boot_s": 240.0}


def run(pool: Any, days: float = 1.0, **wishes: Any) -> tuple[Report, PoolReport]:
    plan = Plan.model_validate({"start": MONDAY, "days": days, **QUIET, **wishes})
    report = rehearse_plan(build_lab({"client": pool}), plan)
    return report, report.pools[0]


def test_vms_that_nobody_uses_cost_their_hours() -> None:
    report, pool = run(3)
    assert (pool.created, pool.most, pool.people, pool.short_lived) == (3, 3, 0, 0)
    assert pool.vm_hours == pytest.approx(3 * 24, abs=0.1)
    assert pool.usd == pytest.approx(pool.vm_hours * (0.526 + 4 / 730 + 0.005), abs=0.01)
    assert report.usd > pool.usd


def test_people_get_what_is_free_and_those_who_come_too_many_wait_or_go() -> None:
    _, plenty = run(8, arrivals={"": 10})
    _, scarce = run(1, arrivals={"": 30}, stay_s=4 * 3600, patience_s=600)
    assert plenty.people == plenty.served == plenty.at_once > 0
    assert scarce.gave_up > 0
    assert scarce.served + scarce.gave_up + scarce.waiting <= scarce.people
    assert scarce.waits.worst_s <= 600
    assert scarce.longest_line > 1


def test_an_elastic_pool_needs_a_start_up_time_for_whom_no_spare_is_left() -> None:
    _, without = run({"size": {"min": 0, "max": 9, "spare": 0}}, arrivals={"": 9})
    _, spared = run({"size": {"min": 0, "max": 9, "spare": 3}}, arrivals={"": 9})
    assert without.waits.median_s > 200
    assert spared.waits.median_s == 0
    assert spared.vm_hours > without.vm_hours


def test_what_aws_refuses_is_counted_and_the_next_type_is_taken() -> None:
    _, none = run({"size": 2, "instance_type": "g4dn.xlarge"}, fail={"g4dn": 1.0})
    _, other = run({"size": 2, "instance_type": ["g4dn.xlarge", "g5.xlarge"]}, fail={"g4dn": 1.0})
    assert none.created == 0
    assert none.refused > 10
    assert other.created == 2
    assert other.refused >= 2


@pytest.mark.parametrize(("lead", "ready"), [("0m", 1), ("20m", 5)])
def test_seats_of_a_window_are_ready_when_it_grows_early_enough(lead: str, ready: int) -> None:
    window = {"name": "workshop", "from": "2026-12-07T12:00Z", "to": "2026-12-07T15:00Z", "size": 5, "lead": lead}
    _, pool = run({"size": 1, "schedule": [window]})
    (seats,) = pool.seats
    assert (seats.name, seats.wanted, seats.ready) == ("the window 'workshop'", 5, ready)
    assert seats.all_ready_at is not None
    assert (seats.all_ready_at <= seats.at) is (ready == 5)


def test_a_course_has_its_seats_when_it_begins_and_gives_them_back() -> None:
    course = {"pool": "client", "from": "2026-12-07T09:00Z", "to": "2026-12-07T12:00Z", "seats": 20, "alarm": ["30m"]}
    lab = build_lab({"client": 0}, courses={"monday": course})
    plan = read_plan(lab, {"course": "monday", "days": 0.5, **QUIET}, MONDAY)
    report = rehearse_plan(lab, plan)
    (pool,) = report.pools
    (seats,) = pool.seats
    assert plan.start == MONDAY + timedelta(hours=5, minutes=30)
    assert (seats.name, seats.ready, seats.wanted) == ("course monday", 20, 20)
    assert seats.all_ready_at is not None
    assert seats.all_ready_at <= seats.at - timedelta(minutes=30)
    assert (pool.people, pool.at_once, pool.most) == (20, 20, 20)
    assert pool.samples[-1].present == 0


def test_broken_vms_are_counted_and_replaced() -> None:
    _, pool = run(4, broken=0.4, seed=2)
    assert pool.broken > 0
    assert pool.created >= 4 + pool.broken


def test_the_seed_alone_decides_what_happens_by_chance() -> None:
    first, again, other = (run(3, arrivals={"": 20}, seed=seed, broken=0.1)[0] for seed in (5, 5, 6))
    assert first == again
    assert first.pools[0].waits != other.pools[0].waits or first.pools[0].people != other.pools[0].people


def test_people_come_by_day_and_seldom_on_weekends() -> None:
    lab, plan = build_lab({"client": 1}), Plan(start=MONDAY, days=28, arrivals={"client": 100})
    people = draw_people(lab, plan, Random(1))
    by_day = [sum(one.arrives.weekday() == day for one in people) for day in range(7)]
    assert min(by_day[:5]) > 2 * max(by_day[5:])
    assert all(6 <= one.arrives.hour <= 20 for one in people)
    assert people == sorted(people, key=lambda one: one.arrives)


@pytest.mark.parametrize(
    ("wishes", "sentence"),
    [
        ({"course": "friday"}, "there is no course 'friday'"),
        ({"arrivals": {"cleint": 3}}, "there is no pool 'cleint': did you mean 'client'?"),
        ({"arrivals": {"": 2000}, "days": 30}, "20,000 at most"),
        ({"days": 99}, "days: Input should be less than or equal to 31"),
        ({"fail": {"g4dn": 7}}, "fail.g4dn: Input should be less than or equal to 1"),
        ({"start": "2026-12-01T09:00"}, "start: must say its offset"),
        ({"mood": "good"}, "mood: Extra inputs"),
    ],
)
def test_what_cannot_be_rehearsed_is_said(wishes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(NoPlan) as refused:
        read_plan(build_lab({"client": 1}), wishes, MONDAY)
    assert sentence in str(refused.value)


def test_a_rehearsal_begins_at_the_next_hour_and_is_a_week() -> None:
    plan = read_plan(build_lab({"client": 1}), {}, MONDAY + timedelta(minutes=5))
    assert (plan.start, plan.days) == (MONDAY + timedelta(hours=1), 7)


def test_what_would_take_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "MOST_WORK", 1000)
    with pytest.raises(TooLarge, match="rehearse fewer days"):
        run(5, arrivals={"": 50})


def test_measures_of_waits() -> None:
    waits = measure_waits([timedelta(seconds=number) for number in range(101)])
    assert (waits.median_s, waits.p95_s, waits.worst_s) == (50, 95, 100)
    assert measure_waits([]).worst_s == 0


def test_a_plot_loses_no_peak() -> None:
    assert squeeze([0, 0, 9, 0, 0, 0], 3) == [0, 9, 0]
    assert squeeze([1, 2], 3) == [1, 2]
    assert draw([0, 1, 50, 100], 100) == " ▁▄█"


def test_the_command_rehearses_a_file_without_a_server(tmp_path: Path) -> None:
    file = tmp_path / "lablink.yaml"
    file.write_text("pools:\n  client: {size: 3}\n")
    done = run_cli(
        "simulate", str(file), "--days", "1", "--arrivals", "5", "--fail", "g4dn=0.1", "--start", "2026-12-07"
    )
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].split()[:2] == ["pool", "people"]
    assert lines[1].split()[0] == "client"
    assert any(line.startswith("In all $") and "(seed 0)" in line for line in lines)
    assert any(line.strip().startswith("in use") for line in lines)
    found = json.loads(run_cli("simulate", str(file), "--days", "1", "--json", "--start", "2026-12-07").out)
    assert Report.model_validate(found).pools[0].created >= 3
    refused = run_cli("simulate", str(file), "--course", "friday")
    assert (refused.status, refused.err) == (1, "Not rehearsed: there is no course 'friday'.\n")
    assert "must be a number" in run_cli("simulate", str(file), "--arrivals", "many").err
    assert "must be a duration" in run_cli("simulate", str(file), "--boot", "soon").err


def test_the_command_asks_the_server_about_what_is_in_force() -> None:
    lab = Lab.model_validate({"pools": {"client": {"size": 1}}})
    report = rehearse_plan(lab, Plan(start=MONDAY, days=0.5)).model_dump(mode="json")
    with answering({"POST /api/v1/simulate": Answer(200, report)}) as calls:
        assert json.loads(run_cli("simulate", "--json", "--arrivals", "client=4", "--boot", "3m").out) == report
    sent = json.loads(calls[0].body)["plan"]
    assert (sent["arrivals"], sent["boot_s"], sent["days"]) == ({"client": 4.0}, 180.0, 7.0)
