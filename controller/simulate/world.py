"""A small world without clocks or processes: decisions are carried out as the store and Terraform would, between faults.

Time passes in steps of twenty seconds; each step the cloud is listed, a decision is made and checked, and actuation works.
`rehearsal` builds on it a world in which things take time. Pure; every decision is checked against the invariants and the truth.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from schemas.decision import Decision
from schemas.lab import Lab
from schemas.pool import Attendance, PoolRow, Run
from schemas.snapshot import Listing, Snapshot
from schemas.vm import Instance, Phase, Seat, Vm, VmStatus

from controller.decide.invariants import check_invariants
from controller.decide.pool import decide
from controller.simulate.record import NOW, STEP, Record
from controller.simulate.truth import check_truth

AMI = "ami-0123456789abcdef0"
HORIZON = timedelta(minutes=30)


@dataclass
class Simulation(Record):
    """The record and the cloud, which actuation makes equal at once."""

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

    def _decide(self) -> Decision:
        """What the controller's reconcile does: decide, check, write."""
        snapshot = self.snapshot()
        decision = decide(snapshot)
        check_invariants(snapshot, decision)
        check_truth(self, snapshot, decision)
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

    def _listings(self, lab: Lab) -> dict[str, Listing]:
        regions = {pool.region for pool in lab.pools.values()} | {vm.region for vm in self.vms.values()}
        return {region: Listing(region=region, taken_at=self.now) for region in regions | {lab.region}}

    def usable(self, pool: str) -> int:
        return sum(vm.pool == pool and vm.ready_at is not None and vm.phase is Phase.LIVE for vm in self.vms.values())

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

    def _actuate(self) -> None:
        for one in list(self.instances.values()):
            if one.verdict == "terminate":
                self.change_instance(one.instance_id, state="terminated")
        for name, cut in list(self.runs.items()):
            if cut.ended_at is None and cut.must_end_by <= self.now:
                self.runs[name] = cut.model_copy(update={"ended_at": self.now, "outcome": "interrupted"})
        for vm in list(self.vms.values()):
            key = f"{vm.pool}/{vm.region}/{vm.shard}"
            run = self.runs.get(key)
            busy = run is not None and run.ended_at is None
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
            if vm.phase is Phase.LIVE and vm.renewing_since and self._runs(instance):
                self.change(vm.hostname, seat=Seat.FREE, renewing_since=None)
            if vm.phase is Phase.LIVE and vm.ready_at is None and vm.status is None and self._runs(instance):
                booted = {"ready_at": self.now, "seat": Seat.FREE, "status": VmStatus.RUNNING, "reporter": True}
                self.change(vm.hostname, **booted)


def _declared(row: PoolRow, declared: bool) -> PoolRow:
    return row if row.removed is not declared else row.model_copy(update={"removed": not declared})
