"""The simulated cloud in which things take time: Terraform runs, boots, reboots, and an AWS that refuses by chance. Pure.

What happens later stands in an agenda, by time and in the order in which it was planned. `seats` adds people to it.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from random import Random
from typing import Any

from schemas.decision import Action, RebootVm
from schemas.lab import Lab
from schemas.pool import Refusal, Run
from schemas.simulation import Plan
from schemas.vm import Phase, Seat, Vm, VmStatus

from controller.decide.repair import REBOOT_TIME
from controller.simulate.ledger import Ledger
from controller.simulate.record import NOW
from controller.simulate.world import Simulation

REBOOTS_THAT_HELP = 0.5
RENEWAL_TIME = timedelta(seconds=30)  # two looks of the reporter and a container's start
SLOW_TENTH = 1.3  # what one boot in ten takes longer than, beside the usual
RUN_LIMIT = timedelta(minutes=10)

Event = Callable[[], None]


@dataclass
class Cloud(Simulation):
    """`document` is in force; `plan` says how long things take and how often they fail."""

    document: Lab = field(default_factory=lambda: Lab(pools={}))
    plan: Plan = field(default_factory=lambda: Plan(start=NOW))
    chance: Random = field(default_factory=Random)
    ledger: Ledger = field(default_factory=Ledger)
    agenda: list[tuple[datetime, int, Event]] = field(default_factory=list)
    begun: set[str] = field(default_factory=set)  # host names whose creation or end is under way
    numbers: Any = field(default_factory=count)

    def lab(self) -> Lab:
        return self.document

    def _seen(self, vm: Vm) -> Vm:
        """Rows say all of it themselves here: nothing vanishes, and who runs is heard of (which is told where it is asked for)."""
        return vm.model_copy(update={"heard_at": self.now}) if vm.idle_since else vm

    def _starts(self) -> dict[str, dict[str, float]]:
        """As somebody who has seen many of these VMs come up would have measured them."""
        usual = self.plan.apply_s + self.plan.boot_s * SLOW_TENTH
        return {name: dict.fromkeys(pool.instance_type, usual) for name, pool in self.document.pools.items()}

    def declare(self, document: Lab) -> None:
        """Another document is in force from now on."""
        self.document = document
        self.pools = {name: pool.model_dump(mode="json", include={"size"}) for name, pool in document.pools.items()}

    def kill(self, hostname: str) -> None:
        """Its instance is terminated behind our back."""
        self.change_instance(self.vms[hostname].instance_id or "", state="terminated")
        self.change(hostname, instance_state="terminated")

    def lives(self, hostname: str) -> bool:
        return hostname in self.vms and self.vms[hostname].phase is Phase.LIVE

    def release(self, hostname: str) -> None:
        """One that goes on to its next person is ready for them after a moment, or after its reboot."""
        super().release(hostname)
        vm = self.vms[hostname]
        if vm.renewing_since:
            reboots = self.document.pools[vm.pool].session.after == "reboot"
            self.at(self.now + (REBOOT_TIME / 2 if reboots else RENEWAL_TIME), partial(self._be_ready_again, hostname))

    def _be_ready_again(self, hostname: str) -> None:
        if self.lives(hostname) and self.vms[hostname].renewing_since:
            self.change(hostname, seat=Seat.FREE, renewing_since=None)

    def _carry_out_more(self, action: Action) -> None:
        """Half of the reboots help."""
        super()._carry_out_more(action)
        if isinstance(action, RebootVm):
            self.change(action.hostname, seat=Seat.CLOSED)
            if self.chance.random() < REBOOTS_THAT_HELP:
                self.at(self.now + REBOOT_TIME / 2, partial(self._work_again, action.hostname))

    def _work_again(self, hostname: str) -> None:
        if self.lives(hostname) and self.vms[hostname].seat is Seat.CLOSED:
            ready_at = self.vms[hostname].ready_at or self.now
            self.change(hostname, status=VmStatus.RUNNING, seat=Seat.FREE, ready_at=ready_at)

    def at(self, when: datetime, event: Event) -> None:
        heapq.heappush(self.agenda, (max(when, self.now), next(self.numbers), event))

    def _actuate(self) -> None:
        """Starts what rows ask for and nothing works on yet; it ends by the agenda."""
        for vm in list(self.vms.values()):
            pool = self.document.pools.get(vm.pool)
            if vm.hostname in self.begun or (pool and pool.paused):
                continue
            if vm.phase is Phase.PLANNED:
                self._begin(vm, partial(self._create, vm.hostname))
            elif vm.in_state and vm.phase in (Phase.DRAINING, Phase.LOST):
                self._begin(vm, partial(self._destroy, vm.hostname))

    def _begin(self, vm: Vm, event: Event) -> None:
        self.begun.add(vm.hostname)
        key = f"{vm.pool}/{vm.region}/{vm.shard}"
        self.made += 1
        self.runs[key] = Run(
            id=self.made, state_key=key, pool=vm.pool, token=1, started_at=self.now, must_end_by=self.now + RUN_LIMIT
        )
        self.at(self.now + timedelta(seconds=self.plan.apply_s), partial(self._end_run, key, vm.hostname, event))

    def _end_run(self, key: str, hostname: str, event: Event) -> None:
        self.begun.discard(hostname)
        self.runs[key] = self.runs[key].model_copy(update={"ended_at": self.now, "outcome": "succeeded"})
        if hostname in self.vms:
            event()

    def _create(self, hostname: str) -> None:
        vm = self.vms[hostname]
        if vm.phase is not Phase.PLANNED:
            return  # decided otherwise while it was planned: the plan is stale
        if self.chance.random() < self._chance_of_refusal(vm.spec.instance_type):
            self._refuse(vm)
            return
        instance = self.launch(hostname, vm.pool, region=vm.region, instance_type=vm.spec.instance_type)
        self.change(
            hostname,
            instance_id=instance.instance_id,
            launched_at=self.now,
            phase=Phase.LIVE,
            in_state=True,
            instance_state="running",
        )
        self.ledger.created(vm)
        boots = timedelta(seconds=self.plan.boot_s * self.chance.lognormvariate(0.0, 0.2))
        if self.chance.random() < self.plan.broken:
            self.at(self.now + boots, lambda: self._come_up(hostname, status=VmStatus.ERROR))
        else:
            self.at(
                self.now + boots,
                lambda: self._come_up(hostname, ready_at=self.now, seat=Seat.FREE, status=VmStatus.RUNNING),
            )

    def _chance_of_refusal(self, instance_type: str) -> float:
        return max((share for name, share in self.plan.fail.items() if instance_type.startswith(name)), default=0.0)

    def _refuse(self, vm: Vm) -> None:
        refusal = Refusal(
            region=vm.region,
            zone=vm.spec.zone,
            instance_type=vm.spec.instance_type,
            market=vm.spec.market,
            refused_at=self.now,
        )
        self.refusals = [*(one for one in self.refusals if self.now - one.refused_at < timedelta(hours=1)), refusal]
        self.change(vm.hostname, phase=Phase.DRAINING, seat=Seat.DRAINING, reason="AWS had no capacity for it")
        self.ledger.refused(vm)

    def _come_up(self, hostname: str, **changes: Any) -> None:
        vm = self.vms.get(hostname)
        if vm is not None and vm.phase is Phase.LIVE:
            self.change(hostname, **changes)
            if changes["status"] is VmStatus.ERROR:
                self.ledger.failed(vm)

    def _destroy(self, hostname: str) -> None:
        vm = self.vms[hostname]
        self.ledger.ended(vm, self.now)
        self.instances.pop(vm.instance_id or "", None)
        self.change(hostname, in_state=False, instance_state="terminated")

    def _forget_the_past(self) -> None:
        """What is gone is not looked at again; its name stays known."""
        self.gone.clear()
        lately = [one for one in self.departures if self.now - one[1] < timedelta(hours=1)]
        self.departures = lately
