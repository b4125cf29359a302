"""A small world without clocks or processes: decisions are carried out as the store and Terraform would, between faults.

Time passes in steps of twenty seconds; each step the cloud is listed, a decision is made and checked, and actuation works.
`rehearsal` builds on it a world in which things take time. Pure; every decision is checked against the invariants and the truth.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from schemas.decision import Action, AdoptVm, CreateVm, Decision, SetSession
from schemas.lab import Lab
from schemas.pool import LATELY, Asked, Attendance, PoolRow, Refusal, Run
from schemas.snapshot import Listing, Snapshot
from schemas.vm import Instance, Phase, Seat, Vm, VmStatus

from controller.decide.demand import MINIMUM_AGE
from controller.decide.invariants import check_invariants
from controller.decide.pool import decide

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
AMI = "ami-0123456789abcdef0"
STEP = timedelta(seconds=20)
SETTLE = timedelta(seconds=60)
HORIZON = timedelta(minutes=30)


@dataclass
class Simulation:
    """`pools` is the declaration and may be changed at any time; everything else follows."""

    pools: dict[str, dict[str, Any]]
    now: datetime = NOW
    vms: dict[str, Vm] = field(default_factory=dict)
    gone: dict[str, Vm] = field(default_factory=dict)
    rows: dict[str, PoolRow] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    vanished: set[str] = field(default_factory=set)
    overlooked: set[str] = field(default_factory=set)  # absent from the next listing, though they run
    names: set[str] = field(default_factory=set)
    deaf: bool = False  # the next listing fails
    cut: bool = False  # the next run is killed before it tells what it made
    made: int = 0
    courses: dict[str, dict[str, Any]] = field(default_factory=dict)
    warned: dict[str, datetime] = field(default_factory=dict)  # since when people have been told that they will end
    reported: set[str] = field(default_factory=set)
    refusals: list[Refusal] = field(default_factory=list)
    waiting: dict[str, int] = field(default_factory=dict)  # people in line, by pool
    departures: list[tuple[str, datetime]] = field(default_factory=list)

    def step(self) -> Decision:
        self.now += STEP
        self._list_instances()
        decision = self._decide()
        if not self.deaf:
            self._actuate()
        self._boot()
        self._bind()
        self.deaf = self.cut = False
        self.overlooked.clear()
        return decision

    def lab(self) -> Lab:
        """The document in force."""
        pools = {name: {"size": pool} if isinstance(pool, int) else pool for name, pool in self.pools.items()}
        return Lab.model_validate({"pools": pools, "courses": self.courses})

    def _decide(self) -> Decision:
        """What the controller's reconcile does: decide, check, write."""
        snapshot = self.snapshot()
        decision = decide(snapshot)
        check_invariants(snapshot, decision)
        self._check_truth(snapshot, decision)
        for action in decision.actions:
            self._carry_out(action)
        self._keep_conditions(decision)
        return decision

    def snapshot(self) -> Snapshot:
        lab = self.lab()
        for name in lab.pools:
            self.rows.setdefault(name, PoolRow(name=name, ami=AMI, ami_source=AMI))
        recorded = {vm.instance_id for vm in self.vms.values()}
        strangers = [one for one in self.instances.values() if one.instance_id not in recorded and one.exists]
        carried = {one.hostname for one in strangers}
        return Snapshot.model_construct(  # its parts are valid, and there are many ticks
            now=self.now,
            deployment_id=UUID(int=1),
            version=1,
            lab=lab,
            pools={name: _declared(row, name in lab.pools) for name, row in self.rows.items()},
            vms=tuple(self._seen(vm) for vm in self.vms.values()),
            instances=tuple(strangers),
            gone={name: vm for name, vm in self.gone.items() if name in carried},
            listings={} if self.deaf else self._listings(lab),
            runs=self.runs,
            starts=self._starts(),
            attendance=self._attendance(),
            refusals=tuple(self.refusals),
            asked={name: self._asked(name) for name in self.pools},
            api_up_since=NOW - timedelta(days=1),
        )

    def _starts(self) -> dict[str, dict[str, float]]:
        """Start-up times as they were measured, in seconds by pool and type."""
        return {}

    def _attendance(self) -> dict[str, Attendance]:
        return {name: Attendance(reported=True) for name in self.reported}

    def ask(self, pool: str) -> None:
        self.waiting[pool] = self.waiting.get(pool, 0) + 1

    def release(self, hostname: str) -> None:
        self.departures.append((self.vms[hostname].pool, self.now))
        gone = {"bound_at": None, "ends_at": None, "warning": "", "warning_ends_at": None}
        self.change(hostname, seat=Seat.DRAINING, assignment_id=None, **gone)

    def _asked(self, pool: str) -> Asked:
        left = [at for name, at in self.departures if name == pool and self.now - at < LATELY]
        return Asked(waiting=self.waiting.get(pool, 0), left=len(left), left_at=min(left, default=None))

    def _bind(self) -> None:
        """People in line take what is free."""
        for vm in list(self.vms.values()):
            free = vm.seat is Seat.FREE and vm.phase is Phase.LIVE and not vm.cordoned
            if free and self.waiting.get(vm.pool):
                self.waiting[vm.pool] -= 1
                self.made += 1
                self.change(vm.hostname, seat=Seat.TAKEN, assignment_id=UUID(int=self.made), bound_at=self.now)

    def _listings(self, lab: Lab) -> dict[str, Listing]:
        regions = {pool.region for pool in lab.pools.values()} | {vm.region for vm in self.vms.values()}
        return {region: Listing(region=region, taken_at=self.now) for region in regions | {lab.region}}

    def present(self, pool: str) -> int:
        """The truth behind the ceiling: what costs, or will cost, money."""
        rows = [vm for vm in self.vms.values() if vm.pool == pool]
        names = {vm.hostname: vm for vm in rows}
        own = {vm.instance_id for vm in rows}
        beside = [
            one for one in self.instances.values() if one.exists and one.pool == pool and one.instance_id not in own
        ]
        unrecorded = {
            str(one.hostname) for one in beside if one.hostname in names and not names[one.hostname].instance_id
        }
        return len(rows) + len(beside) - len(unrecorded)

    def usable(self, pool: str) -> int:
        return sum(vm.pool == pool and vm.ready_at is not None and vm.phase is Phase.LIVE for vm in self.vms.values())

    def change(self, hostname: str, **changes: Any) -> None:
        vm = self.vms[hostname]
        self.vms[hostname] = vm.model_copy(update={"version": vm.version + 1, **changes})

    def change_instance(self, instance_id: str, **changes: Any) -> None:
        if instance_id in self.instances:
            self.instances[instance_id] = self.instances[instance_id].model_copy(update=changes)

    def launch(self, hostname: str, pool: str | None, **changes: Any) -> Instance:
        self.made += 1
        seen: dict[str, Any] = {
            "instance_id": f"i-{self.made}",
            "region": "us-west-2",
            "hostname": hostname,
            "pool": pool,
            "generation": 1,
            "state": "running",
            "instance_type": "g4dn.xlarge",
            "image_id": AMI,
            "launched_at": self.now,
            "first_seen_at": self.now + STEP,
        }
        instance = Instance.model_validate(seen | changes)
        self.instances[instance.instance_id] = instance
        return instance

    def _seen(self, vm: Vm) -> Vm:
        instance = self.instances.get(vm.instance_id or "")
        heard_at = self.now - STEP if vm.ready_at and self._runs(instance) else vm.heard_at
        seen: dict[str, Any] = {"heard_at": heard_at, "instance_state": None, "missing_since": None}
        if instance:
            missing = instance.missing_since
            seen |= {"instance_state": None if missing else instance.state, "missing_since": missing}
        return vm.model_copy(update=seen)

    def _runs(self, instance: Instance | None) -> bool:
        return instance is not None and instance.state == "running" and instance.instance_id not in self.vanished

    def _list_instances(self) -> None:
        if self.deaf:
            return
        for instance_id, instance in list(self.instances.items()):
            if instance_id in self.vanished | self.overlooked and instance.missing_since is None:
                self.change_instance(instance_id, missing_since=self.now)
            elif instance.missing_since and instance_id not in self.vanished | self.overlooked:
                self.change_instance(instance_id, missing_since=None)
            if instance.state == "terminated" and self.now - instance.launched_at > HORIZON:
                self.vanished.add(instance_id)  # EC2 forgets them after a while

    def _check_truth(self, snapshot: Snapshot, decision: Decision) -> None:
        """Checked against the simulated world, not against what the decision believes of it."""
        creates: dict[str, int] = {}
        for action in decision.actions:
            match action.kind:
                case "end":
                    assert self.vms[action.hostname].seat is not Seat.TAKEN, f"{action.hostname} is in use"
                    self._check_no_flapping(action.hostname, action.reason)
                case "end_assignment":
                    assert self.now - self.warned[action.hostname] >= timedelta(minutes=2), (
                        f"{action.hostname}: no notice"
                    )
                case "create":
                    assert action.hostname not in self.names, f"{action.hostname} was used before"
                    creates[action.pool] = creates.get(action.pool, 0) + 1
                case "lost":
                    self._check_two_looks_at_a_loss(action.hostname)
                case "record" | "adopt" | "end_instance":
                    first_seen_at = self.instances[action.instance_id].first_seen_at
                    assert self.now - first_seen_at >= SETTLE, f"{action.instance_id} was seen once"
                case _:
                    pass
        for pool, number in creates.items():
            declared = snapshot.lab.pools[pool]
            most = max([self._most(pool), *(window.size for window in declared.schedule)])
            if seats := sum(course.seats for course in snapshot.lab.courses.values() if course.pool == pool):
                most = max(most, seats + sum(vm.pool == pool and vm.seat is Seat.TAKEN for vm in self.vms.values()))
            assert self.present(pool) + number <= most + declared.update.surge

    def _check_no_flapping(self, hostname: str, reason: str) -> None:
        """Demand alone ends no VM that is younger than its minimum age."""
        vm = self.vms[hostname]
        if " wanted" in reason and sum(one.pool == vm.pool for one in self.vms.values()) <= self._most(vm.pool):
            assert self.now - vm.created_at >= MINIMUM_AGE, f"{hostname} is young: {reason}"

    def _most(self, pool: str) -> int:
        size = self.pools.get(pool, {"size": 0})["size"]
        return int(size["max"]) if isinstance(size, dict) else int(size)

    def _check_two_looks_at_a_loss(self, hostname: str) -> None:
        instance = self.instances.get(self.vms[hostname].instance_id or "")
        assert instance is not None
        looks = instance.missing_since is not None and self.now - instance.missing_since >= SETTLE
        assert looks or instance.state in ("terminated", "shutting-down"), f"{hostname} was missed once"

    def _carry_out(self, action: Action) -> None:
        match action.kind:
            case "create" | "adopt":
                self._add(action)
            case "end":
                self.change(action.hostname, phase=Phase.DRAINING, seat=Seat.DRAINING, reason=action.reason)
            case "lost":
                lost = {"phase": Phase.LOST, "seat": Seat.DRAINING, "assignment_id": None, "reason": action.reason}
                self.change(action.hostname, **lost)
            case "gone":
                self.gone[action.hostname] = self.vms.pop(action.hostname).model_copy(update={"phase": Phase.GONE})
            case "record":
                phase = self.vms[action.hostname].phase
                live = Phase.LIVE if phase is Phase.PLANNED else phase
                self.change(action.hostname, instance_id=action.instance_id, phase=live, launched_at=self.now)
            case _:
                self._carry_out_more(action)

    def _carry_out_more(self, action: Action) -> None:
        match action.kind:
            case "start":
                self.change(action.hostname, started_at=self.now)
                self.change_instance(action.instance_id, state="running")
            case "reboot":
                self.change(action.hostname, reboot_asked_at=self.now, rebooted_at=self.now)
            case "end_instance":
                self.change_instance(action.instance_id, verdict="terminate")
            case "set_session":
                self._tell(action)
            case "end_assignment":
                self.release(action.hostname)
            case "report_course":
                assert action.course not in self.reported
                self.reported.add(action.course)
            case _:
                pass

    def _tell(self, action: SetSession) -> None:
        ends_at = self.vms[action.hostname].ends_at or action.ends_at
        self.change(action.hostname, ends_at=ends_at, warning=action.warning, warning_ends_at=action.warning_ends_at)
        if action.warning:
            self.warned.setdefault(action.hostname, self.now)
        else:
            self.warned.pop(action.hostname, None)

    def _add(self, action: Action) -> None:
        assert isinstance(action, CreateVm | AdoptVm)
        self.names.add(action.hostname)
        row = self.rows[action.pool]
        grown = {"counter": max(row.counter, action.number), "shards": max(row.shards, action.shard)}
        self.rows[action.pool] = row.model_copy(update=grown)
        live = {"phase": Phase.LIVE, "instance_id": action.instance_id} if isinstance(action, AdoptVm) else {}
        self.vms[action.hostname] = Vm.model_validate(
            {
                "hostname": action.hostname,
                "pool": action.pool,
                "region": action.spec.region,
                "shard": action.shard,
                "generation": 1,
                "spec_hash": action.spec_hash,
                "spec": action.spec,
                "phase": Phase.PLANNED,
                "in_state": False,
                "version": 1,
                "created_at": self.now,
                **live,
            }
        )

    def _keep_conditions(self, decision: Decision) -> None:
        for name, outlook in decision.pools.items():
            conditions = {condition.type: condition for condition in outlook.conditions}
            self.rows[name] = self.rows[name].model_copy(update={"conditions": conditions})

    def _actuate(self) -> None:
        for one in list(self.instances.values()):
            if one.verdict == "terminate":
                self.change_instance(one.instance_id, state="terminated")
        for vm in list(self.vms.values()):
            key = f"{vm.pool}/{vm.region}/{vm.shard}"
            run = self.runs.get(key)
            busy = run is not None and run.ended_at is None and run.must_end_by > self.now
            if not busy and not self.pools.get(vm.pool, {}).get("paused"):
                self._apply(vm, key)

    def _apply(self, vm: Vm, key: str) -> None:
        exists = vm.instance_id in self.instances and self.instances[vm.instance_id].exists
        if vm.in_state and vm.phase in (Phase.DRAINING, Phase.LOST):
            self.change_instance(vm.instance_id or "", state="terminated")
            self.change(vm.hostname, in_state=False)
        elif not vm.in_state and exists and vm.phase is not Phase.LOST:
            self.change(vm.hostname, in_state=True)
        elif vm.phase is Phase.PLANNED and not any(one.hostname == vm.hostname for one in self.instances.values()):
            instance = self.launch(vm.hostname, vm.pool)
            made = {"instance_id": instance.instance_id, "launched_at": self.now, "phase": Phase.LIVE, "in_state": True}
            if not self.cut:
                self.change(vm.hostname, **made)
            self.runs[key] = self._run(key, vm.pool)

    def _run(self, key: str, pool: str) -> Run:
        return Run(
            id=self.made,
            state_key=key,
            pool=pool,
            token=1,
            started_at=self.now,
            must_end_by=self.now + 2 * STEP,
            ended_at=None if self.cut else self.now,
        )

    def _boot(self) -> None:
        for vm in list(self.vms.values()):
            instance = self.instances.get(vm.instance_id or "")
            if vm.phase is Phase.LIVE and vm.ready_at is None and vm.status is None and self._runs(instance):
                booted = {"ready_at": self.now, "seat": Seat.FREE, "status": VmStatus.RUNNING, "reporter": True}
                self.change(vm.hostname, **booted)


def _declared(row: PoolRow, declared: bool) -> PoolRow:
    return row if row.removed is not declared else row.model_copy(update={"removed": not declared})
