"""Pools that follow people, with everything real in one sandbox: each test has a pool of its own, and what takes days is compressed.

Nothing is asked of a clock: a course that is over is one whose document says so.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.browser.lab import COMMAND, Lab, open_sandbox

POOLS = """\
region: us-west-2
pools:
  zoned: {size: 0, instance_type: t3.large, zones: [us-west-2a, us-west-2b, us-west-2c]}
  spot: {size: 0, instance_type: t3.large, market: spot}
  class: {size: 0, instance_type: t3.large}
  spec: {size: 0, instance_type: t3.large}
  kept: {size: 0, instance_type: t3.large, session: {after: keep}}
  again: {size: 0, instance_type: t3.large, session: {after: reboot}}
  poor: {size: 0, instance_type: t3.large}
"""
SEATS = 20


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with open_sandbox(tmp_path_factory.mktemp("people"), POOLS) as lab:
        yield lab


@pytest.fixture
def lab(sandbox: Lab) -> Iterator[Lab]:
    """The next test finds the document as it was, and no fault."""
    yield sandbox
    sandbox.end_faults()
    sandbox.put(POOLS)


def declare(lab: Lab, old: str, new: str) -> None:
    text = lab.get("/desired")["yaml"]
    assert old in text
    lab.put(text.replace(old, new))


def request(lab: Lab, pool: str, name: str, **more: str) -> dict[str, Any]:
    """Somebody asks, as by the form."""
    form = {"email": f"{name}@example.org", "crd_command": COMMAND.format(code=name), "pool": pool, **more}
    answer = httpx.post(
        f"{lab.url}/api/request_vm", data=form, headers={"Accept": "application/json"}, trust_env=False, timeout=30
    )
    return {"status_code": answer.status_code, "email": form["email"], **answer.json()}


def seat(lab: Lab, pool: str, name: str) -> dict[str, Any]:
    answer = request(lab, pool, name)
    assert answer["status_code"] == 200, answer
    return answer


def give_back(lab: Lab, people: Sequence[dict[str, Any]]) -> None:
    """Each by the own PIN, as "I am done" does."""
    ids = {one["email"]: one["id"] for one in lab.get("/assignments?status=active&limit=500")["items"]}
    for person in people:
        answer = httpx.request(
            "DELETE",
            f"{lab.url}/api/v1/assignments/{ids[person['email']]}",
            json={"pin": person["pin"]},
            trust_env=False,
            timeout=30,
        )
        assert answer.status_code == 200, answer.text


def vms(lab: Lab, pool: str) -> dict[str, dict[str, Any]]:
    return {vm["hostname"]: vm for vm in lab.get(f"/vms?pool={pool}&limit=500")["items"]}


def condition(lab: Lab, pool: str, kind: str) -> dict[str, Any]:
    return next((one for one in lab.get(f"/pools/{pool}")["conditions"] if one["type"] == kind), {})


def test_capacity_refused_in_two_of_three_zones_is_found_in_the_third(lab: Lab) -> None:
    for zone in ("us-west-2a", "us-west-2b"):
        where = {"Placement.AvailabilityZone": zone}
        lab.fault({"on": "RunInstances", "error": "InsufficientInstanceCapacity", "where": where})
    lab.patch("zoned", size=2)
    lab.wait_ready("zoned", 2)
    assert {vm["zone"] for vm in vms(lab, "zoned").values()} == {"us-west-2c"}
    places = {one["zone"]: one["cause"] for one in lab.get("/capacity?pool=zoned")["items"]}
    assert places == {"us-west-2a": "capacity", "us-west-2b": "capacity", "us-west-2c": None}


def test_person_whose_spot_vm_is_taken_back_is_warned_and_gets_the_next(lab: Lab) -> None:
    lab.patch("spot", size=1)
    lab.wait_ready("spot", 1)
    ada = seat(lab, "spot", "ada")
    taken = vms(lab, "spot")[ada["hostname"]]
    soon = datetime.now(UTC) + timedelta(minutes=2)
    lab.fault({"reclaim": taken["instance_id"], "at": soon.isoformat()})
    lab.up.eventually(lambda: "AWS takes" in vms(lab, "spot")[ada["hostname"]]["warning"], "the warning")
    lab.up.eventually(lambda: lab.buckets("spot").get("ready") == 1, "another VM, before the first is gone")
    lab.fault({"kill": taken["instance_id"]})
    lab.up.eventually(lambda: ada["hostname"] not in vms(lab, "spot"), "the end of the first")
    (stay,) = [one for one in lab.get("/assignments?pool=spot")["items"] if one["status"] != "ended"]
    assert (stay["email"], stay["hostname"] != ada["hostname"]) == (ada["email"], True)
    fresh = COMMAND.format(code="fresh")
    assert request(lab, "spot", "ada", crd_command=fresh)["status_code"] == 409, "without the PIN it is nobody's"
    request(lab, "spot", "ada", crd_command=fresh, pin=ada["pin"])
    lab.up.eventually(lambda: lab.get("/assignments?pool=spot&status=active")["items"] != [], "the other VM")


def write_course(begins: timedelta, ends: timedelta) -> str:
    now = datetime.now(UTC)
    course = (
        f"pool: class, from: {(now + begins).isoformat()}, to: {(now + ends).isoformat()}, seats: {SEATS}, grace: 0s"
    )
    return f"{POOLS}courses:\n  monday: {{{course}}}\n"


def test_course_of_twenty_seats_from_its_growth_to_its_report(lab: Lab) -> None:
    lab.put(write_course(timedelta(minutes=10), timedelta(hours=2)))
    lab.wait_ready("class", SEATS)
    assert "missing" in lab.get("/pools/class")["openings"][0]
    assert condition(lab, "class", "CourseShort")["status"] is False
    people = [seat(lab, "class", f"student{n}") for n in range(SEATS)]
    assert len({person["hostname"] for person in people}) == SEATS
    assert request(lab, "class", "late")["status_code"] == 503
    lab.sql("UPDATE assignment SET status = 'ended', ended_at = now() WHERE email = 'late@example.org'")
    lab.put(write_course(timedelta(minutes=-90), timedelta(0)))
    lab.up.eventually(lambda: all(vm["warning"] for vm in vms(lab, "class").values()), "what people are told")
    told = {vm["warning"].partition(":")[0] for vm in vms(lab, "class").values()}
    assert told == {"the course monday is over"}
    assert len(vms(lab, "class")) == SEATS, "nobody's VM has ended"
    give_back(lab, people)
    lab.up.eventually(lambda: not vms(lab, "class"), "the end of all seats")
    (report,) = lab.get("/events?subject=course/monday")["items"]
    assert report["message"].startswith("20 seats, 21 came")


def test_spec_change_rolls_through_and_whoever_has_a_vm_keeps_it(lab: Lab) -> None:
    lab.patch("spec", size=3)
    lab.wait_ready("spec", 3)
    bob = seat(lab, "spec", "bob")
    lab.up.eventually(lambda: lab.buckets("spec") == {"ready": 2, "assigned": 1}, "Bob's VM")
    before, fewest = set(vms(lab, "spec")), 3
    declare(lab, "  spec: {size: 3,", "  spec: {repository: https://example.org/lab.git, size: 3,")

    def is_rolled() -> bool:
        nonlocal fewest
        buckets = lab.buckets("spec")
        fewest = min(fewest, sum(buckets.get(name, 0) for name in ("ready", "assigned", "outdated")))
        return buckets == {"ready": 2, "assigned": 1} and set(vms(lab, "spec")) & before == {bob["hostname"]}

    lab.up.eventually(is_rolled, "two new VMs beside Bob's")
    assert fewest >= 3, "a new one was there before an old one went"
    give_back(lab, [bob])
    lab.up.eventually(lambda: lab.buckets("spec") == {"ready": 3}, "Bob's VM replaced")
    assert bob["hostname"] not in vms(lab, "spec")


@pytest.mark.parametrize(("pool", "boots"), [("kept", 0), ("again", 1)])
def test_vm_goes_on_to_the_next_person_with_another_token(lab: Lab, pool: str, boots: int) -> None:
    lab.patch(pool, size=1)
    lab.wait_ready(pool, 1)
    cyd = seat(lab, pool, f"cyd-{pool}")
    lab.up.eventually(lambda: vms(lab, pool)[cyd["hostname"]]["in_use"], "Cyd at work")
    (before,) = vms(lab, pool).values()
    give_back(lab, [cyd])
    lab.up.eventually(lambda: vms(lab, pool)[cyd["hostname"]]["seat"] == "free", "its renewal")
    dan = seat(lab, pool, f"dan-{pool}")
    lab.up.eventually(lambda: vms(lab, pool)[dan["hostname"]]["in_use"], "Dan at work")
    (after,) = vms(lab, pool).values()
    assert (after["instance_id"], after["token_version"]) == (before["instance_id"], before["token_version"] + 1)

    def read_log() -> str:
        return lab.http.get(f"/api/vm-logs/{dan['hostname']}", params={"format": "text"}).text

    lab.up.eventually(lambda: read_log().count("subscribe: received") == 2, "both commands in its log")
    assert read_log().count("cloud-init: boot") == boots
    lab.patch(pool, size=0)


def test_budget_holds_back_growth_and_ends_nothing(lab: Lab) -> None:
    lab.patch("poor", size=1)
    lab.wait_ready("poor", 1)
    eve = seat(lab, "poor", "eve")
    lab.put(POOLS.replace("  poor: {size: 0", "  poor: {size: 3") + "budget: {hourly: 0.01}\n")
    lab.up.eventually(lambda: condition(lab, "poor", "BudgetReached").get("status") is True, "the condition")
    assert set(vms(lab, "poor")) == {eve["hostname"]}
    declare(lab, "budget: {hourly: 0.01}", "budget: {hourly: 100}")
    lab.up.eventually(lambda: lab.buckets("poor") == {"ready": 2, "assigned": 1}, "the others")
    assert condition(lab, "poor", "BudgetReached")["status"] is False
