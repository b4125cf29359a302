"""Turns a snapshot into one view per pool: rows judged, strangers met, and whether the fleet as a whole can be believed.

Called once a tick by `pool.decide`; pure. One pass over rows and instances, then everything is by pool.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.lab import Pool
from schemas.pool import Asked, Base, GivenUp, PoolRow, Refusal, Run
from schemas.snapshot import Snapshot
from schemas.vm import Bucket, Instance, Phase, Vm

from controller.decide.classify import Judged, Yardstick, judge
from controller.decide.course import PlannedCourse, plan_courses
from controller.decide.demand import Want, want_of
from controller.decide.names import Naming, counted, number_of
from controller.decide.strangers import ALIVE, Acquaintance, Kind, Stranger, meet

NEWS = timedelta(hours=1)
"""An orphan that nobody explains is news for this long; after that it is only reported, and stops nobody."""
PERSON = "a person is needed to tell whether the account and the database are the right ones"
BELIEVE_ONLY = frozenset({"lost", "adopt", "create"})
"""Kinds of action that rest on what is missing or superfluous: not taken while the fleet is in doubt."""


@dataclass(frozen=True, slots=True)
class World:
    """What all pools share in a tick."""

    now: datetime
    settle: timedelta
    naming: Naming
    listed_at: Mapping[str, datetime]
    runs: Mapping[str, Run]
    refusals: Sequence[Refusal]
    observe_only: str
    suspect: str  # why the fleet is in doubt, or nothing


@dataclass(frozen=True, slots=True)
class PoolView:
    """What is so of one pool; no step changes it. `declared` is None for a pool that was taken out of the file."""

    name: str
    world: World
    declared: Pool | None
    row: PoolRow
    current_hash: str | None
    vms: tuple[Judged, ...]  # by number
    counts: Counter[Bucket]  # of `vms`
    strangers: tuple[Stranger, ...]
    bases: tuple[Base, ...]
    standing: frozenset[str]  # regions with a row or an existing instance of this pool
    highest: int  # no number up to this one is free
    want: Want
    asked: Asked
    courses: tuple[PlannedCourse, ...]
    given_up: GivenUp | None  # VMs like those that are made now

    @property
    def region(self) -> str:
        return self.declared.region if self.declared else ""

    @property
    def size(self) -> int:
        """How many VMs should be there now, replacements aside."""
        return self.want.size

    @property
    def present(self) -> int:
        """All that counts towards the ceiling: rows that are not gone and instances beside them."""
        return len(self.vms) + sum(stranger.counts for stranger in self.strangers)

    @property
    def free(self) -> int:
        """VMs that a person could have now."""
        return sum(one.usable and one.bucket is not Bucket.ASSIGNED for one in self.vms)

    def closed(self, kind: str, region: str) -> str:
        """Why no action of this kind may be taken in a region, or nothing."""
        if self.world.observe_only:
            return self.world.observe_only
        if self.declared and self.declared.paused:
            return "the pool is paused"
        if region not in self.world.listed_at:
            return f"the listing of {region} could not be read whole"
        return self.world.suspect if kind in BELIEVE_ONLY else ""

    def run_of(self, vm: Vm) -> Run | None:
        return self.world.runs.get(f"{vm.pool}/{vm.region}/{vm.shard}")

    def in_progress(self, vm: Vm) -> bool:
        """Whether a Terraform may be making or ending this VM right now."""
        run = self.run_of(vm)
        return run is not None and run.ended_at is None and run.must_end_by > self.world.now

    def has_open_run(self, vm: Vm) -> bool:
        """Also one that is over and was not closed yet: what Terraform's state holds since is not in the row."""
        run = self.run_of(vm)
        return run is not None and run.ended_at is None


@dataclass(frozen=True, slots=True)
class Survey:
    """Views by pool name, and the instances that belong to no pool that is declared."""

    pools: tuple[PoolView, ...]
    homeless: tuple[Stranger, ...]


def survey(snapshot: Snapshot) -> Survey:
    """Declared pools, and removed ones as long as the record knows them."""
    known = {*snapshot.lab.pools, *snapshot.pools, *(vm.pool for vm in snapshot.vms)}
    names = sorted(known | {base.pool for base in snapshot.bases})
    naming = Naming.of(snapshot.lab.deployment, snapshot.lab.environment, names)
    outputs: dict[str, dict[str, Mapping[str, str]]] = defaultdict(dict)
    for base in snapshot.bases:
        outputs[base.pool][base.region] = base.outputs
    yards = {name: Yardstick.of(snapshot, name, outputs[name]) for name in names}
    judged = _judge_all(snapshot, yards)
    rows = {vm.hostname: vm for vm in snapshot.vms}
    strangers: dict[str | None, list[Stranger]] = defaultdict(list)
    for stranger in meet(snapshot.instances, rows, Acquaintance.of(snapshot, naming)):
        strangers[stranger.pool].append(stranger)
    world = _world(snapshot, naming, _doubt(snapshot, judged, strangers))
    highest, tagged = _highest(snapshot, naming), _tagged_regions(snapshot.instances)
    bases = sorted(snapshot.bases, key=lambda base: (base.pool, base.region))
    views, courses = [], plan_courses(snapshot)
    for name in names:
        row, pool = snapshot.pools.get(name) or PoolRow(name=name), snapshot.lab.pools.get(name)
        asked = snapshot.asked.get(name, Asked())
        view = PoolView(
            name=name,
            world=world,
            declared=pool,
            row=row,
            current_hash=yards[name].current_hash,
            vms=tuple(judged[name]),
            counts=Counter(one.bucket for one in judged[name]),
            strangers=tuple(strangers[name]),
            bases=tuple(base for base in bases if base.pool == name and base.wanted),
            standing=frozenset(one.vm.region for one in judged[name]) | frozenset(tagged[name]),
            highest=max(row.counter, highest[name], judged[name][-1].number if judged[name] else 0),
            want=want_of(pool, judged[name], asked, courses[name], snapshot.now),
            asked=asked,
            courses=tuple(courses[name]),
            given_up=next(
                (one for one in snapshot.given_up if (one.pool, one.spec_hash) == (name, yards[name].current_hash)),
                None,
            ),
        )
        views.append(view)
    return Survey(tuple(views), tuple(strangers[None]))


def _world(snapshot: Snapshot, naming: Naming, suspect: str) -> World:
    return World(
        now=snapshot.now,
        settle=timedelta(seconds=snapshot.settle_s),
        naming=naming,
        listed_at={region: listing.taken_at for region, listing in snapshot.listings.items()},
        runs=snapshot.runs,
        refusals=snapshot.refusals,
        observe_only=snapshot.observe_only or "",
        suspect=suspect,
    )


def _judge_all(snapshot: Snapshot, yards: Mapping[str, Yardstick]) -> dict[str, list[Judged]]:
    judged: dict[str, list[Judged]] = {name: [] for name in yards}
    for vm in snapshot.vms:
        judged[vm.pool].append(judge(vm, number_of(vm.hostname), yards[vm.pool]))
    for rows in judged.values():
        rows.sort(key=lambda one: (one.number, one.vm.hostname))
    return judged


def _doubt(
    snapshot: Snapshot, judged: Mapping[str, list[Judged]], strangers: Mapping[str | None, list[Stranger]]
) -> str:
    """More losses and riddles at once than accidents explain: rather our view is wrong than the world."""
    everybody = [one for rows in judged.values() for one in rows]
    lost = sum(
        one.bucket is Bucket.LOST and one.vm.phase is Phase.LIVE and not _taken_back(one.vm) for one in everybody
    )
    orphaned = sum(_is_news(stranger, snapshot) for group in strangers.values() for stranger in group)
    if lost + orphaned <= max(2, len(everybody) / 10):
        return ""
    parts = [f"{counted(lost, 'VM')} lost"] * bool(lost) + [f"{counted(orphaned, 'instance')} unexplained"] * bool(
        orphaned
    )
    return f"{' and '.join(parts)} at once, of {len(everybody)}: {PERSON}"


def _taken_back(vm: Vm) -> bool:
    """AWS ends spot instances by the dozen, and lists them as ended: that is no doubt of our view."""
    return vm.spec.market == "spot" and vm.instance_state == "terminated"


def _is_news(stranger: Stranger, snapshot: Snapshot) -> bool:
    listing = snapshot.listings.get(stranger.instance.region)
    if listing is None or stranger.kind is not Kind.ORPHAN or stranger.instance.state not in ALIVE:
        return False
    return listing.taken_at - stranger.instance.first_seen_at < NEWS


def _highest(snapshot: Snapshot, naming: Naming) -> Counter[str]:
    """By pool, the highest number that an instance or a row that is gone carries."""
    highest: Counter[str] = Counter()
    for hostname in (*snapshot.gone, *(instance.hostname for instance in snapshot.instances)):
        if name := naming.parse(hostname):
            highest[name[0]] = max(highest[name[0]], name[1])
    return highest


def _tagged_regions(instances: Sequence[Instance]) -> dict[str, set[str]]:
    regions: dict[str, set[str]] = defaultdict(set)
    for instance in instances:
        if instance.exists and instance.pool:
            regions[instance.pool].add(instance.region)
    return regions
