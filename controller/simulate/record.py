"""What is written in a simulated world: rows as the store keeps them, and what the actions of a decision change of them.

`world` adds the cloud to it. Pure.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from schemas.decision import Action, AdoptVm, CreateVm, Decision, SetSession
from schemas.lab import Lab
from schemas.pool import LATELY, Asked, PoolRow, Refusal, Run
from schemas.vm import Instance, Phase, Seat, Vm

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
STEP = timedelta(seconds=20)
SETTLE = timedelta(seconds=60)


@dataclass
class Record:
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

    def lab(self) -> Lab:
        """The document in force."""
        pools = {name: {"size": pool} if isinstance(pool, int) else pool for name, pool in self.pools.items()}
        return Lab.model_validate({"pools": pools, "courses": self.courses})

    def change(self, hostname: str, **changes: Any) -> None:
        vm = self.vms[hostname]
        self.vms[hostname] = vm.model_copy(update={"version": vm.version + 1, **changes})

    def change_instance(self, instance_id: str, **changes: Any) -> None:
        if instance_id in self.instances:
            self.instances[instance_id] = self.instances[instance_id].model_copy(update=changes)

    def ask(self, pool: str) -> None:
        self.waiting[pool] = self.waiting.get(pool, 0) + 1

    def release(self, hostname: str) -> None:
        """Its person is gone; what becomes of the VM, `session.after` says."""
        vm = self.vms[hostname]
        self.departures.append((vm.pool, self.now))
        gone = {"assignment_id": None, "bound_at": None, "ends_at": None, "warning": "", "warning_ends_at": None}
        declared = self.lab().pools.get(vm.pool)
        if declared and declared.session.after != "replace":
            self.change(hostname, seat=Seat.CLOSED, in_use=False, renewing_since=self.now, **gone)
        else:
            self.change(hostname, seat=Seat.DRAINING, **gone)

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
                if action.moves:  # its VM does not work
                    self.change(action.hostname, seat=Seat.DRAINING, renewing_since=None)
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
