"""Reads `<situation>.yaml` into a snapshot, and renders what is decided about it.

    about: one sentence
    lab: the document, as in `lablink.yaml`
    pools: {client: {counter: 5, failures: 2, failed_at: 30s}}      # columns of the pool's row; ages for instants
    vms: [client 1-3 ready, client 4 assigned status=error]         # pool, numbers, kind, columns
    gone: [client 9]
    instances: [i-1 lablink-client-dev-9 client first_seen_at=10m]  # id, host name, pool ("-": none), columns
    runs: {client/us-west-2/1: running}                             # or ended, or overdue
    refusals: [us-west-2 - g4dn.xlarge 1m cause=quota market=spot]  # region, zone, type, age, columns
    bases: [client us-west-2 drift=no_key_pair]
    asked: {client: {waiting: 2, left: 1, left_at: 4m}}             # people in line, and those who left lately
    given_up: [client 3 50m]                                        # VMs as they are made now that broke within an hour: pool, number, since when
    attendance: {friday: {seated: 3, roster: 20}}                    # people of courses
    starts: {client: {g4dn.xlarge: 240}}                            # p90 of start-up times in seconds
    listings: {us-west-2: 0s}                                       # age; left out: every region was listed just now
    usage: [client us-west-2 g4dn.xlarge gp3 50 100]                # VM-hours of the month: pool, region, type, disk, GiB, hours
    approval: {cleared_usd: 1.0, wanted_usd: 5.0}                   # the version in force waits for a person
    api_up: 1d                                                      # or none
    observe_only: why
    must: ["end lablink-client-dev-3 because*"]                     # each matches a line (fnmatch)
    never: ["create*"]                                              # none matches a line

`listed.instance_type=t3.micro`, `listed.Name=mine`: what EC2 lists of an instance, otherwise as it was made.
Instants are written as ages before the moment of the decision: `heard_at=10m`, or as `ends_at=+10m` after it. A warning and a drift have `_` for spaces.
"""

from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from controller.decide.invariants import check_invariants
from controller.decide.pool import decide
from controller.decide.render import render_decision
from schemas.pool import Attendance
from schemas.price import Approval, Usage
from schemas.snapshot import Listing
from schemas.values import parse_duration
from tests.decide_world import NOW, Situation

HERE = Path(__file__).parent
KNOWN = frozenset(
    [
        "about",
        "lab",
        "pools",
        "vms",
        "gone",
        "instances",
        "runs",
        "refusals",
        "bases",
        "asked",
        "given_up",
        "attendance",
        "starts",
        "listings",
        "api_up",
        "usage",
        "approval",
        "observe_only",
        "must",
        "never",
    ]
)
RUNS: dict[str, dict[str, Any]] = {
    "ended": {},
    "running": {"ended_at": None, "outcome": "running"},
    "overdue": {"ended_at": None, "outcome": "running", "must_end_by": NOW - timedelta(minutes=2)},
}


@dataclass(frozen=True)
class Scenario:
    """One pair: what was written by hand, and where its recorded text is."""

    path: Path
    written: dict[str, Any]

    @property
    def expected(self) -> Path:
        return self.path.with_name(f"{self.path.stem}.expected.txt")

    def render(self) -> str:
        snapshot = _read_situation(self.written).snapshot()
        decision = decide(snapshot)
        check_invariants(snapshot, decision)
        return f"{self.written['about']}\n\n{render_decision(decision)}"

    def missing(self) -> list[str]:
        """Patterns of `must` that match no line."""
        return [pattern for pattern in self.written["must"] if not _matches(pattern, self.render())]

    def forbidden(self) -> list[str]:
        """Patterns of `never` that match a line."""
        return [pattern for pattern in self.written["never"] if _matches(pattern, self.render())]


def read_scenarios() -> list[Scenario]:
    return [Scenario(path, _load(path)) for path in sorted(HERE.glob("*.yaml"))]


def _load(path: Path) -> dict[str, Any]:
    written: dict[str, Any] = YAML(typ="safe").load(path.read_text())
    unknown = written.keys() - KNOWN
    assert not unknown, f"{path.name} has the unknown keys {unknown}"
    return written


def _matches(pattern: str, text: str) -> bool:
    return any(fnmatchcase(line.strip(), pattern) for line in text.splitlines())


def _read_situation(written: dict[str, Any]) -> Situation:
    lab = YAML(typ="safe").load(written["lab"])
    situation = Situation(lab.pop("pools"), top=lab)
    for pool, columns in written.get("pools", {}).items():
        situation.row(pool, **{name: _column(name, value) for name, value in columns.items()})
    for line in written.get("vms", ()):
        pool, numbers, kind, *columns = line.split()
        situation.add(kind, *_numbers(numbers), pool=pool, **_columns(columns))
    for line in written.get("gone", ()):
        pool, number, *columns = line.split()
        situation.forgotten(int(number), pool=pool, **_columns(columns))
    for line in written.get("instances", ()):
        instance_id, hostname, pool, *columns = line.split()
        situation.stray(instance_id, _named(hostname), _named(pool), **_columns(columns))
    for key, state in written.get("runs", {}).items():
        situation.run(key, **RUNS[state])
    for line in written.get("bases", ()):
        pool, region, *columns = line.split()
        situation.base(pool, region, **_columns(columns))
    return _read_circumstances(situation, written)


def _read_circumstances(situation: Situation, written: dict[str, Any]) -> Situation:
    for line in written.get("refusals", ()):
        _, zone, instance_type, age, *columns = line.split()
        situation.refuse(instance_type, _named(zone) or "", parse_duration(age), **_columns(columns))
    attendance = {name: Attendance(**people) for name, people in written.get("attendance", {}).items()}
    situation.set(attendance=attendance, starts=written.get("starts", {}))
    for pool, columns in written.get("asked", {}).items():
        situation.asked(pool, **{name: _column(name, value) for name, value in columns.items()})
    for line in written.get("given_up", ()):
        pool, number, age = line.split()
        situation.given_up(int(number), NOW - parse_duration(age), pool)
    if "listings" in written:
        taken = {region: NOW - parse_duration(age) for region, age in written["listings"].items()}
        situation.set(listings={region: Listing(region=region, taken_at=at) for region, at in taken.items()})
    if up := written.get("api_up"):
        situation.set(api_up_since=None if up == "none" else NOW - parse_duration(up))
    if "approval" in written:
        situation.set(approval=Approval(version=1, **written["approval"]))
    situation.set(usage=tuple(_read_usage(line) for line in written.get("usage", ())))
    return situation.set(observe_only=written.get("observe_only"))


def _read_usage(line: str) -> Usage:
    pool, region, instance_type, volume_type, volume_size, hours = line.split()
    return Usage(
        pool=pool,
        region=region,
        instance_type=instance_type,
        volume_type=volume_type,
        volume_size=int(volume_size),
        hours=float(hours),
    )


def _numbers(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _named(text: str) -> str | None:
    return None if text == "-" else text


def _columns(words: list[str]) -> dict[str, Any]:
    pairs = [word.split("=", 1) for word in words]
    columns = {name: _column(name, value) for name, value in pairs if not name.startswith("listed.")}
    changed = {name.removeprefix("listed."): value for name, value in pairs if name.startswith("listed.")}
    return columns | ({"listed": changed} if changed else {})


def _column(name: str, value: Any) -> Any:
    """Instants and `age` are written as durations; `none` is None; the rest is as pydantic reads it."""
    if value == "none":
        return None
    if str(value).startswith("+"):
        return NOW + parse_duration(value[1:])
    if name in ("warning", "drift"):
        return str(value).replace("_", " ")
    if name == "age":
        return parse_duration(value)
    return NOW - parse_duration(value) if name.endswith(("_at", "_since")) else value
