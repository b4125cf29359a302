"""A rehearsal: the real `decide` in a simulated world on a virtual clock that jumps from one interesting moment to the next.

What takes time in the field takes time here (Terraform, boots, sessions), and what fails by chance does so by the seed. Every
decision is checked against the invariants and against the simulated truth. Pure: called by the API, the command and tests.
"""

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from random import Random
from typing import Any
from uuid import UUID

from schemas.decision import Action, Decision, EndAssignment, RebootVm
from schemas.lab import Lab
from schemas.pool import Attendance, Refusal, Run
from schemas.simulation import Plan
from schemas.vm import Phase, Seat, Vm, VmStatus

from controller.decide.repair import REBOOT_TIME
from controller.simulate.ledger import Ledger
from controller.simulate.people import Person, draw_people
from controller.simulate.world import NOW, SETTLE, Simulation

TICK = timedelta(seconds=10)  # between two ticks while something is going on, as in the field
BY_AGENDA = frozenset({"create", "end"})  # what follows from these comes by the agenda
TOGETHER = timedelta(seconds=5)  # what happens so close is seen by one tick
REBOOTS_THAT_HELP = 0.5
QUIET = timedelta(minutes=15)  # a tick at least so often, whatever the policy forgot to announce
SLOW_TENTH = 1.3  # what one boot in ten takes longer than, beside the usual
RUN_LIMIT = timedelta(minutes=10)
MOST_WORK = 60_000_000  # rows times ticks; beyond it a rehearsal is refused rather than endless

Event = Callable[[], None]


class TooLarge(Exception):
    """The rehearsal would take too long; the sentence says what to make smaller."""


@dataclass
class Rehearsal(Simulation):
    """Made by `rehearse`. `agenda` holds what will happen, by time and in the order in which it was planned."""

    document: Lab = field(default_factory=lambda: Lab(pools={}))
    plan: Plan = field(default_factory=lambda: Plan(start=NOW))
    chance: Random = field(default_factory=Random)
    ledger: Ledger = field(default_factory=Ledger)
    agenda: list[tuple[datetime, int, Event]] = field(default_factory=list)
    line: dict[str, deque[Person]] = field(default_factory=lambda: defaultdict(deque))
    seated: dict[str, Person] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)  # host names whose creation or end is under way
    ticks: int = 0
    stirred_at: datetime = NOW  # when something happened last
    acted_at: datetime = NOW  # when a tick did something last
    work: int = 0
    numbers: Any = field(default_factory=count)

    def lab(self) -> Lab:
        return self.document

    def _seen(self, vm: Vm) -> Vm:
        """Rows say all of it themselves here: nothing vanishes, and who runs is heard of."""
        return vm

    def _starts(self) -> dict[str, dict[str, float]]:
        """As somebody who has seen many of these VMs come up would have measured them."""
        usual = self.plan.apply_s + self.plan.boot_s * SLOW_TENTH
        return {name: dict.fromkeys(pool.instance_type, usual) for name, pool in self.document.pools.items()}

    def _attendance(self) -> dict[str, Attendance]:
        seated = Counter(person.course for person in self.seated.values())
        waiting = Counter(person.course for line in self.line.values() for person in line)
        return {
            name: Attendance(seated=seated[name], waiting=waiting[name], reported=name in self.reported)
            for name in self.document.courses
        }

    def declare(self, document: Lab) -> None:
        """Another document is in force from now on."""
        self.document = document
        self.pools = {name: pool.model_dump(mode="json", include={"size"}) for name, pool in document.pools.items()}

    def kill(self, hostname: str) -> None:
        """Its instance is terminated behind our back; who had it comes again."""
        vm = self.vms[hostname]
        self.change_instance(vm.instance_id or "", state="terminated")
        self.change(hostname, instance_state="terminated")
        if person := self.seated.pop(hostname, None):
            self._come_again(person)

    def _come_again(self, person: Person) -> None:
        """Whose VM was taken away, by the world or by the policy."""
        self.at(self.now, lambda: self.arrive(replace(person, arrives=self.now, bound_at=None)))

    def lives(self, hostname: str) -> bool:
        return hostname in self.vms and self.vms[hostname].phase is Phase.LIVE

    def release(self, hostname: str) -> None:
        self.seated.pop(hostname, None)
        super().release(hostname)

    def _carry_out_more(self, action: Action) -> None:
        """Who is moved comes again, and half of the reboots help."""
        person = self.seated.get(action.hostname) if isinstance(action, EndAssignment) and action.moves else None
        super()._carry_out_more(action)
        if person:
            self._come_again(person)
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

    def run(self, until: datetime) -> None:
        """Live until then. Raises what the invariants raise, and TooLarge."""
        next_tick = self.now
        while True:
            planned = self.agenda[0][0] if self.agenda else until
            moment = min(planned, next_tick)
            if moment >= until:
                break
            self.ledger.pass_time(self, moment)
            self.now = max(self.now, moment)
            while self.agenda and self.agenda[0][0] <= moment + TOGETHER:
                heapq.heappop(self.agenda)[2]()
                self.stirred_at = self.now
            decision = self.tick()
            next_tick = self._next_tick(decision)
        self.ledger.pass_time(self, until)
        self.now = until

    def tick(self) -> Decision:
        """One tick of the controller and all that follows from it at once."""
        self.ticks += 1
        self.work += len(self.vms) + 20
        if self.work > MOST_WORK:
            raise TooLarge("the rehearsal would take too long: rehearse fewer days, people or pools")
        self._list_instances()
        decision = self._decide()
        if decision.actions:
            self.acted_at = self.stirred_at = self.now
        self._actuate()
        self._bind()
        self._forget_the_past()
        return decision

    def _next_tick(self, decision: Decision) -> datetime:
        if any(decision.held or action.kind not in BY_AGENDA for action in decision.actions):
            return self.now + TICK
        announced = [outlook.next_at for outlook in decision.pools.values() if outlook.next_at]
        for outlook in decision.pools.values():
            for opening in outlook.openings:
                announced += [opening.grows_at, opening.from_at, opening.to_at]
                if opening.grows_at <= self.now < opening.from_at:
                    announced.append(self.now + timedelta(minutes=1))  # a course grows in steps
        announced.append(self.stirred_at + SETTLE + TOGETHER)  # what wants a second look is believed then
        soonest = min([self.now + QUIET, *(at for at in announced if at > self.now)])
        return max(soonest, self.now + (timedelta(minutes=1) if self.plan.quick else TICK))

    # -- people ---------------------------------------------------------------------------------

    def arrive(self, person: Person) -> None:
        self.line[person.pool].append(person)
        self.ledger.arrived(person)
        self._bind()
        self.at(self.now + timedelta(seconds=self.plan.patience_s), partial(self._lose_patience, person))

    def _lose_patience(self, person: Person) -> None:
        if person.bound_at is None and person in self.line[person.pool]:
            self.line[person.pool].remove(person)
            self.ledger.gave_up(person)

    def _bind(self) -> None:
        """First come, first served, by the oldest free seat, as the binder of the store does."""
        if not any(self.line.values()):
            return
        free = [vm for vm in self.vms.values() if vm.seat is Seat.FREE and vm.phase is Phase.LIVE and not vm.cordoned]
        for vm in sorted(free, key=lambda one: (one.ready_at or self.now, one.hostname)):
            if self.line[vm.pool]:
                self._seat(self.line[vm.pool].popleft(), vm.hostname)
        self.waiting = {pool: len(line) for pool, line in self.line.items()}

    def _seat(self, person: Person, hostname: str) -> None:
        person.bound_at = self.now
        self.made += 1
        self.seated[hostname] = person
        taken = {"seat": Seat.TAKEN, "assignment_id": UUID(int=self.made), "bound_at": self.now}
        self.change(hostname, in_use=True, **taken)
        self.ledger.bound(person)
        self.ledger.used(hostname)
        self.at(
            max(self.now, person.arrives + person.leaves_after, self.now + TICK), lambda: self._leave(person, hostname)
        )

    def _leave(self, person: Person, hostname: str) -> None:
        if self.seated.get(hostname) is person and hostname in self.vms:
            self.release(hostname)

    # -- the cloud ------------------------------------------------------------------------------

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


def open_world(lab: Lab, plan: Plan) -> Rehearsal:
    """A world at the plan's start in which nothing has happened yet."""
    world = Rehearsal({}, plan.start, plan=plan, chance=Random(plan.seed))  # noqa: S311 - repeatable on purpose
    world.acted_at = world.stirred_at = plan.start
    world.declare(lab)
    world.ledger.open(world)
    return world


def rehearse(lab: Lab, plan: Plan) -> Rehearsal:
    """Live through a plan from a world without VMs; its ledger tells what came of it."""
    world = open_world(lab, plan)
    for person in draw_people(lab, plan, world.chance):
        world.at(person.arrives, partial(world.arrive, person))
    world.run(plan.start + timedelta(days=plan.days))
    return world
