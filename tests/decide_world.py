"""Builders for snapshots, so that a test of `controller.decide` says only what matters to it.

`Situation` collects rows, instances and circumstances by shorthand and gives a `Snapshot`, or what is decided about it.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from controller.decide.invariants import check_invariants
from controller.decide.names import number_of
from controller.decide.pool import decide
from schemas.decision import Action, Decision, Judgement
from schemas.lab import Lab
from schemas.pool import Asked, Base, GivenUp, PoolRow, Refusal, Run
from schemas.snapshot import Listing, Snapshot
from schemas.spec import VmSpec, has_gpu, spec_hash
from schemas.status import Condition
from schemas.vm import Bucket, Instance, Listed, Phase, Seat, Vm, VmStatus

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
REGION = "us-west-2"
AMI = "ami-0123456789abcdef0"
OLD_HASH = "v1:0000000000000000"
HOUR = timedelta(hours=1)
BASE = {"security_group_id": "sg-1", "instance_profile": "client"}
"""Outputs of every base."""

KINDS: dict[str, dict[str, Any]] = {
    "planned": {"phase": Phase.PLANNED},
    "booting": {"phase": Phase.LIVE},
    "ready": {"phase": Phase.LIVE, "seat": Seat.FREE, "ready": True},
    "assigned": {"phase": Phase.LIVE, "seat": Seat.TAKEN, "ready": True},
    "released": {"phase": Phase.LIVE, "seat": Seat.DRAINING, "ready": True},
    "renewing": {"phase": Phase.LIVE, "seat": Seat.CLOSED, "ready": True, "renewing_since": NOW - timedelta(minutes=1)},
    "failed": {"phase": Phase.LIVE, "status": VmStatus.ERROR},
    "silent": {"phase": Phase.LIVE, "seat": Seat.FREE, "ready": True, "heard_at": NOW - HOUR},
    "stopped": {"phase": Phase.LIVE, "seat": Seat.FREE, "ready": True, "instance_state": "stopped"},
    "outdated": {"phase": Phase.LIVE, "seat": Seat.FREE, "ready": True, "spec_hash": OLD_HASH},
    "terminated": {"phase": Phase.LIVE, "seat": Seat.FREE, "ready": True, "instance_state": "terminated"},
    "draining": {"phase": Phase.DRAINING, "seat": Seat.DRAINING, "ready": True},
    "lost": {"phase": Phase.LOST, "seat": Seat.DRAINING, "ready": True, "instance_state": None},
}


def build_lab(pools: dict[str, Any], **top: Any) -> Lab:
    """`{"client": 3}` or `{"client": {"size": 3, …}}`."""
    declared = {name: {"size": pool} if isinstance(pool, int) else pool for name, pool in pools.items()}
    return Lab.model_validate({"pools": declared, **top})


def build_row(name: str = "client", **changes: Any) -> PoolRow:
    return PoolRow.model_validate({"name": name, "ami": AMI, "ami_source": AMI, **changes})


def build_vm(lab: Lab, row: PoolRow, number: int, kind: str = "ready", **changes: Any) -> Vm:
    """A row of this kind, an hour old unless `age` says otherwise, healthy and as declared unless `changes` say so."""
    pool = lab.pools.get(row.name)
    fields = {**KINDS[kind], **changes}
    changed = fields.pop("listed", None)
    age, ready = fields.pop("age", HOUR), fields.pop("ready", False)
    created_at = NOW - age
    region = fields.get("region") or (pool.region if pool else lab.region)
    instance_type = fields.pop("instance_type", pool.instance_type[0] if pool else "g4dn.xlarge")
    made = fields["phase"] is not Phase.PLANNED
    taken = fields.get("seat") is Seat.TAKEN
    base: dict[str, Any] = {
        "hostname": f"{lab.deployment}-{row.name}-{lab.environment}-{number}",
        "pool": row.name,
        "region": region,
        "shard": 1,
        "generation": row.generation,
        "spec_hash": spec_hash(pool, row.ami, row.startup_script) if pool and row.ami else OLD_HASH,
        "spec": build_spec(region, instance_type, row.ami or AMI, market=pool.market if pool else "on-demand"),
        "in_state": made,
        "version": 1,
        "created_at": created_at,
        "assignment_id": UUID(int=number) if taken else None,
        "bound_at": created_at + timedelta(minutes=3) if taken else None,
    }
    if made:
        base |= {"instance_id": f"i-{row.name}-{number}", "launched_at": created_at, "instance_state": "running"}
    if ready:
        base |= {"ready_at": created_at + timedelta(minutes=2), "heard_at": NOW - timedelta(seconds=10)}
        base |= {"status": VmStatus.RUNNING, "reporter": True}
    vm = Vm.model_validate({**base, **fields})
    return vm if changed is None else vm.model_copy(update={"listed": build_listed(vm, changed)})


def build_listed(vm: Vm, changed: dict[str, Any]) -> Listed:
    """What EC2 lists of a VM as it was made, but for what was changed: columns of `Listed`, or tags by name."""
    due = {"Name": vm.hostname, "lablink:hostname": vm.hostname, "lablink:pool": vm.pool}
    tags = {**due, "lablink:generation": str(vm.generation)}
    tags |= {name: value for name, value in changed.items() if name not in Listed.model_fields}
    base = {"instance_type": vm.spec.instance_type, "image_id": vm.spec.ami, "profile": BASE["instance_profile"]}
    groups = str(changed.get("security_groups", BASE["security_group_id"])).split(",")
    columns = {name: value for name, value in changed.items() if name in Listed.model_fields}
    return Listed.model_validate({**base, **columns, "security_groups": groups, "tags": tags})


def build_spec(
    region: str = REGION,
    instance_type: str = "g4dn.xlarge",
    ami: str = AMI,
    *,
    zone: str = "",
    market: str = "on-demand",
) -> VmSpec:
    return VmSpec(
        ami=ami,
        instance_type=instance_type,
        zone=zone,
        region=region,
        market=market,
        volume_size=50,
        volume_type="gp3",
        image="ghcr.io/talmolab/lablink-client-base-image:linux-amd64-v0.1.2",
        gpu=has_gpu(instance_type),
        generation=1,
    )


def build_instance(instance_id: str, hostname: str | None, pool: str | None = "client", **changes: Any) -> Instance:
    """An instance that runs for an hour and has been seen for ten minutes."""
    base: dict[str, Any] = {
        "instance_id": instance_id,
        "region": REGION,
        "hostname": hostname,
        "pool": pool,
        "generation": 1,
        "state": "running",
        "instance_type": "g4dn.xlarge",
        "image_id": AMI,
        "launched_at": NOW - HOUR,
        "first_seen_at": NOW - timedelta(minutes=10),
    }
    return Instance.model_validate({**base, **changes})


def build_run(key: str, **changes: Any) -> Run:
    """A run that ended well five minutes ago; `ended_at=None` for one that is at work."""
    base: dict[str, Any] = {
        "id": 1,
        "state_key": key,
        "pool": key.split("/", maxsplit=1)[0],
        "token": 1,
        "started_at": NOW - timedelta(minutes=6),
        "must_end_by": NOW + timedelta(minutes=4),
        "ended_at": NOW - timedelta(minutes=5),
        "outcome": "succeeded",
    }
    return Run.model_validate({**base, **changes})


@dataclass
class Situation:
    """Pools as `build_lab` takes them; everything else is added. The region is listed now unless said otherwise."""

    pools: dict[str, Any]
    top: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    vms: list[Vm] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    gone: dict[str, Vm] = field(default_factory=dict)
    circumstances: dict[str, Any] = field(default_factory=dict)

    @property
    def lab(self) -> Lab:
        return build_lab(self.pools, **self.top)

    def row(self, pool: str = "client", **changes: Any) -> "Situation":
        """Changes the row of a pool; before the VMs whose spec depends on it."""
        self.rows.setdefault(pool, {}).update(changes)
        return self

    def add(self, kind: str, *numbers: int, pool: str = "client", **changes: Any) -> "Situation":
        lab, row = self.lab, build_row(pool, **self.rows.get(pool, {}))
        self.vms += [build_vm(lab, row, number, kind, **changes) for number in numbers]
        return self

    def stray(self, instance_id: str, hostname: str | None, pool: str | None = "client", **changes: Any) -> "Situation":
        self.instances.append(build_instance(instance_id, hostname, pool, **changes))
        return self

    def forgotten(self, number: int, pool: str = "client", **changes: Any) -> "Situation":
        """A row that is gone, of whose name an instance may turn up."""
        vm = build_vm(self.lab, build_row(pool), number, "draining", phase=Phase.GONE, in_state=False, **changes)
        self.gone[vm.hostname] = vm
        return self

    def run(self, key: str = f"client/{REGION}/1", **changes: Any) -> "Situation":
        self.circumstances.setdefault("runs", {})[key] = build_run(key, **changes)
        return self

    def refuse(
        self, instance_type: str, zone: str = "", ago: timedelta = timedelta(minutes=1), **columns: Any
    ) -> "Situation":
        place = {"region": REGION, "zone": zone, "instance_type": instance_type, **columns}
        refusal = Refusal.model_validate({**place, "refused_at": NOW - ago})
        self.circumstances["refusals"] = (*self.circumstances.get("refusals", ()), refusal)
        return self

    def asked(self, pool: str = "client", **changes: Any) -> "Situation":
        """People in line (`waiting`) and people who left lately (`left`, `left_at`)."""
        known = self.circumstances.get("asked", {})
        return self.set(asked={**known, pool: Asked(**changes)})

    def given_up(self, number: int, first_at: datetime, pool: str = "client") -> "Situation":
        """VMs as they are made now that broke and were given up within the last hour."""
        made = build_vm(self.lab, build_row(pool, **self.rows.get(pool, {})), 1)
        one = GivenUp(pool=pool, spec_hash=made.spec_hash, number=number, first_at=first_at)
        return self.set(given_up=(*self.circumstances.get("given_up", ()), one))

    def base(self, pool: str = "client", region: str = REGION, **changes: Any) -> "Situation":
        self.circumstances["bases"] = (
            *self.circumstances.get("bases", ()),
            Base.model_validate({"pool": pool, "region": region, "applied_hash": "0", "outputs": BASE, **changes}),
        )
        return self

    def set(self, **circumstances: Any) -> "Situation":
        self.circumstances |= circumstances
        return self

    def snapshot(self) -> Snapshot:
        lab = self.lab
        vms: dict[str, list[Vm]] = {name: [] for name in (*lab.pools, *self.rows)}
        for vm in self.vms:
            vms.setdefault(vm.pool, []).append(vm)
        regions = {pool.region for pool in lab.pools.values()} | {vm.region for vm in self.vms} | {lab.region}
        base: dict[str, Any] = {
            "now": NOW,
            "deployment_id": UUID(int=1),
            "version": 1,
            "lab": lab,
            "pools": {name: self._pool_row(name, vms[name], removed=name not in lab.pools) for name in sorted(vms)},
            "vms": tuple(self.vms),
            "instances": tuple(self.instances),
            "gone": self.gone,
            "listings": {region: Listing(region=region, taken_at=NOW) for region in regions},
            "api_up_since": NOW - timedelta(days=1),
        }
        return Snapshot.model_validate({**base, **self.circumstances})

    def _pool_row(self, name: str, vms: list[Vm], *, removed: bool) -> PoolRow:
        counter = max((number_of(vm.hostname) for vm in vms), default=0)
        shards = max((vm.shard for vm in vms), default=0)
        return build_row(name, **{"counter": counter, "shards": shards, "removed": removed, **self.rows.get(name, {})})

    def decide(self) -> "Outcome":
        snapshot = self.snapshot()
        decision = decide(snapshot)
        check_invariants(snapshot, decision)
        return Outcome(decision)


@dataclass(frozen=True)
class Outcome:
    """A decision, asked in the words of a test."""

    decision: Decision

    def done(self, kind: str | None = None) -> list[str]:
        """`end 3`, `create 6`: kind and number of each action, in order."""
        return [said for action in self.decision.actions if kind in (None, action.kind) for said in [_short(action)]]

    def buckets(self) -> dict[str, str]:
        return {judgement.subject: judgement.bucket.value for judgement in self.decision.judgements}

    def judged(self, subject: str) -> Judgement:
        return next(judgement for judgement in self.decision.judgements if judgement.subject == subject)

    def held(self) -> dict[str, str]:
        return {held.what: held.reason for held in self.decision.held}

    def condition(self, kind: str, pool: str = "client") -> Condition:
        return next(one for one in self.decision.pools[pool].conditions if one.type == kind)

    def count(self, bucket: Bucket, pool: str = "client") -> int:
        return self.decision.pools[pool].buckets.get(bucket, 0)


def _short(action: Action) -> str:
    match action.kind:
        case "end_instance":
            return f"end {action.instance_id}"
        case "report_course":
            return f"report {action.course}"
        case "end_base" | "correct_base":
            return f"{action.kind.partition('_')[0]} base {action.region}"
        case _:
            return f"{action.kind} {number_of(action.hostname)}"
