"""People in a rehearsal: they wait in line, are given seats or have one held, use them or forget them, and leave. Pure.

As the binder of the store does it: first come, first served by the seat that is free longest, those on a roster first.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from uuid import UUID

from schemas.decision import Action, EndAssignment
from schemas.lab import COMES_EARLY
from schemas.pool import Attendance
from schemas.vm import Phase, Seat, Vm

from controller.simulate.cloud import Cloud
from controller.simulate.people import Person

FRESH = timedelta(minutes=4)  # an older command has probably expired: the seat is held until a newer one comes
MOMENT = timedelta(seconds=10)


@dataclass
class Seats(Cloud):
    """`line` by pool in the order of arrival; `seated` by host name, also who has a seat held."""

    line: dict[str, deque[Person]] = field(default_factory=lambda: defaultdict(deque))
    seated: dict[str, Person] = field(default_factory=dict)

    def arrive(self, person: Person) -> None:
        self.line[person.pool].append(person)
        self.ledger.arrived(person)
        self._bind()
        self.at(self.now + timedelta(seconds=self.plan.patience_s), partial(self._lose_patience, person))

    def _lose_patience(self, person: Person) -> None:
        """Who has a seat held goes away, too, and lets it run out."""
        if person.bound_at is None and not person.is_gone:
            person.is_gone = True
            if person in self.line[person.pool]:
                self.line[person.pool].remove(person)
            self.ledger.gave_up(person)

    def _attendance(self) -> dict[str, Attendance]:
        seated = Counter(person.course for person in self.seated.values())
        waiting = Counter(person.course for line in self.line.values() for person in line)
        hosts: dict[str, set[str]] = defaultdict(set)
        for hostname, person in self.seated.items():
            if person.bound_at:
                hosts[person.course].add(hostname)
        return {
            name: Attendance(
                roster=course.seats if course.roster else 0,
                seated=seated[name],
                waiting=waiting[name],
                hosts=frozenset(hosts[name]),
                reported=name in self.reported,
            )
            for name, course in self.document.courses.items()
        }

    # -- who gets what ------------------------------------------------------------------------------

    def _bind(self) -> None:
        if not any(self.line.values()):
            return
        free: dict[str, list[Vm]] = defaultdict(list)
        for vm in self.vms.values():
            if vm.seat is Seat.FREE and vm.phase is Phase.LIVE and not vm.cordoned and self.line[vm.pool]:
                free[vm.pool].append(vm)
        for pool, vms in free.items():
            vms.sort(key=lambda one: (one.ready_at or self.now, one.hostname))
            for vm, person in zip(vms, list(self._next_in_line(pool, len(vms))), strict=False):
                self.line[pool].remove(person)
                self._seat(person, vm.hostname)
        self.waiting = {pool: len(line) for pool, line in self.line.items()}

    def _next_in_line(self, pool: str, free: int) -> Iterator[Person]:
        """Seats of people on a roster who have none yet go to nobody else; who let an offer run out is passed over."""
        rosters = self._open_rosters(pool)
        able = [person for person in self.line[pool] if not person.lapsed]
        expected = [person for person in able if person.course in rosters]
        yield from expected
        yield from [one for one in able if one.course not in rosters][: max(0, free - sum(rosters.values()))]

    def _open_rosters(self, pool: str) -> dict[str, int]:
        """Seats that are kept, by course: from half an hour before it to its end."""
        seated = Counter(person.course for person in self.seated.values())
        return {
            name: max(0, course.seats - seated[name])
            for name, course in self.document.courses.items()
            if course.pool == pool and course.roster and course.from_at - COMES_EARLY <= self.now < course.to_at
        }

    def _seat(self, person: Person, hostname: str) -> None:
        self.made += 1
        self.seated[hostname] = person
        self.change(hostname, seat=Seat.TAKEN, assignment_id=UUID(int=self.made))
        self.ledger.used(hostname)
        if self.now - (person.asked_at or person.arrives) <= FRESH:
            self._begin_session(person, hostname)
            return
        self.at(self.now + person.comes_back_after, partial(self._come_back, person, hostname))
        self.at(self.now + self.document.seat_hold, partial(self._let_offer_run_out, person, hostname))

    # -- offers -------------------------------------------------------------------------------------

    def _come_back(self, person: Person, hostname: str) -> None:
        """With a fresh command: in time for the held seat, or for the next one."""
        person.asked_at = self.now
        if self.seated.get(hostname) is person and person.bound_at is None and not person.is_gone:
            self._begin_session(person, hostname)
        elif person.lapsed:
            person.lapsed = False
            self._bind()

    def _let_offer_run_out(self, person: Person, hostname: str) -> None:
        if self.seated.get(hostname) is not person or person.bound_at is not None:
            return
        del self.seated[hostname]
        if self.vms[hostname].seat is Seat.TAKEN:
            self.change(hostname, seat=Seat.FREE, assignment_id=None)
        if not person.is_gone:
            person.lapsed = True
            self.line[person.pool].append(person)
        self._bind()

    # -- sessions -----------------------------------------------------------------------------------

    def _begin_session(self, person: Person, hostname: str) -> None:
        person.bound_at = self.now
        self.change(hostname, in_use=True, idle_since=None, bound_at=self.now)
        self.ledger.bound(person)
        leaves_at = max(person.arrives + person.leaves_after, self.now + MOMENT)
        if person.forgets_it:
            self.at(self.now + (leaves_at - self.now) / 2, partial(self._forget, person, hostname))
        self.at(leaves_at, partial(self._leave, person, hostname))

    def _forget(self, person: Person, hostname: str) -> None:
        """Stops working, and keeps the VM."""
        if self.seated.get(hostname) is person and hostname in self.vms:
            self.change(hostname, in_use=False, idle_since=self.now)

    def _leave(self, person: Person, hostname: str) -> None:
        if self.seated.get(hostname) is person and hostname in self.vms:
            self.release(hostname)

    def release(self, hostname: str) -> None:
        self.seated.pop(hostname, None)
        super().release(hostname)

    # -- what takes VMs from people -----------------------------------------------------------------

    def kill(self, hostname: str) -> None:
        super().kill(hostname)
        if person := self.seated.pop(hostname, None):
            self._come_again(person)

    def _carry_out_more(self, action: Action) -> None:
        person = self.seated.get(action.hostname) if isinstance(action, EndAssignment) and action.moves else None
        super()._carry_out_more(action)
        if person:
            self._come_again(person)

    def _come_again(self, person: Person) -> None:
        """Whose VM was taken away, by the world or by the policy."""
        if not person.is_gone:
            again = replace(person, arrives=self.now, asked_at=None, bound_at=None, lapsed=False)
            person.is_gone = True
            self.at(self.now, partial(self.arrive, again))
