"""A rehearsal: the real `decide` in a simulated world on a virtual clock that jumps from one interesting moment to the next.

What takes time in the field takes time here (`cloud`), people come and go (`seats`), and what fails by chance does so by the seed. Every
decision is checked against the invariants and against the simulated truth. Pure: called by the API, the command and tests.
"""

import heapq
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import Random

from schemas.decision import Decision
from schemas.lab import Lab
from schemas.simulation import Plan

from controller.simulate.people import draw_people
from controller.simulate.record import NOW, SETTLE
from controller.simulate.seats import Seats

TICK = timedelta(seconds=10)  # between two ticks while something is going on, as in the field
BY_AGENDA = frozenset({"create", "end"})  # what follows from these comes by the agenda
TOGETHER = timedelta(seconds=5)  # what happens so close is seen by one tick
QUIET = timedelta(minutes=15)  # a tick at least so often, whatever the policy forgot to announce
MOST_WORK = 60_000_000  # rows times ticks; beyond it a rehearsal is refused rather than endless


class TooLarge(Exception):
    """The rehearsal would take too long; the sentence says what to make smaller."""


@dataclass
class Rehearsal(Seats):
    """Made by `open_world` and `rehearse`."""

    ticks: int = 0
    stirred_at: datetime = NOW  # when something happened last
    acted_at: datetime = NOW  # when a tick did something last
    work: int = 0

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
