"""What all parts of a simulated world share: the seed's chance, the trace, the processes, and which troubles are in force.

Every side effect of a process passes `Process.reach`, where it may be killed; what a killed process would still do, it does not.
"""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

import anyio


class Killed(BaseException):
    """kill -9: passes through whatever would tidy up, and each further side effect raises it again."""


@dataclass(slots=True)
class Troubles:
    """How likely each trouble is where it can happen; all zero: a quiet day."""

    capacity: float = 0.0  # of a launch to be refused
    quota: float = 0.0
    refused: float = 0.0  # because the credentials may not do it
    throttling: float = 0.0  # of any call to AWS
    cut_short: float = 0.0  # of a launch: made, but ended before it runs
    cancelled: float = 0.0  # of a launch not to be waited for once Terraform is asked to stop
    network: float = 0.0  # of a call to AWS to be done and its answer lost
    stale: float = 0.0  # of a listing to be one of the last five
    short: float = 0.0  # of a listing to lack an instance that is young
    unseen: float = 0.0  # of a listing to fail
    slow: float = 0.0  # of a call to take up to half a minute
    lost_notes: float = 0.0  # of a wake-up: lost, as likely twice, as likely late
    cut_commit: float = 0.0  # of a transaction to lose its connection at commit, either way
    hang: float = 0.0  # of a statement to find its connection half-open
    broken: float = 0.0  # of a VM never to boot, to say that it failed, or to fall silent


@dataclass
class Stage:
    """One seed's world. `at` is virtual seconds; the trace is what two runs of a seed have to agree on."""

    chance: Random
    troubles: Troubles = field(default_factory=Troubles)
    trace: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)  # what must not be so
    database_back_at: float = 0.0  # until then nobody reaches PostgreSQL
    database_term: int = 0  # rises with each fail-over: older transactions are lost
    database_ahead_s: float = 0.0  # how far PostgreSQL's clock is ahead of everybody's

    @property
    def at(self) -> float:
        return anyio.current_time()

    def happens(self, trouble: str) -> bool:
        """Whether a trouble strikes now; counted when it does."""
        likely: float = getattr(self.troubles, trouble)
        if likely and self.chance.random() < likely:
            self.counts["faults"] += 1
            self.counts[trouble] += 1
            return True
        return False

    def note(self, words: str) -> None:
        self.trace.append(f"{self.at:10.3f} {words}")

    def blame(self, sentence: str) -> None:
        """Something that must never be; a seed with one has failed."""
        self.note(f"WRONG {sentence}")
        self.faults.append(f"at {self.at:.0f} s: {sentence}")

    def fail_over(self, down_s: float) -> None:
        """The database goes, with every open transaction, and comes back after a while."""
        self.counts["faults"] += 1
        self.counts["fail_overs"] += 1
        self.note(f"the database fails over for {down_s:.1f} s")
        self.database_term += 1
        self.database_back_at = max(self.database_back_at, self.at + down_s)


@dataclass
class Process:
    """One program of the world. `boundary` counts its side effects; it dies at number `dies_at`."""

    name: str
    stage: Stage
    boundary: int = 0
    dies_at: int | None = None
    dead: bool = False
    paused_until: float = 0.0
    scope: anyio.CancelScope | None = None

    async def reach(self, what: str) -> None:
        """Just before or after a side effect. Raises Killed where the process dies here, or has died."""
        self.boundary += 1
        if self.boundary == self.dies_at:
            self.stage.note(f"{self.name} is killed at boundary {self.boundary}, {what}")
            self.kill()
        self.check()
        while self.paused_until > self.stage.at:
            with anyio.CancelScope(shield=True):
                # A rest below the clock's resolution is slept through without time passing, again and again for ever.
                await anyio.sleep(max(0.001, self.paused_until - self.stage.at))
            self.check()

    def check(self) -> None:
        if self.dead:
            raise Killed(self.name)

    def kill(self) -> None:
        if not self.dead:
            self.dead = True
            self.stage.counts["faults"] += 1
            self.stage.counts["kills"] += 1
            if self.scope:
                self.scope.cancel()

    def pause(self, seconds: float) -> None:
        """SIGSTOP for so long."""
        self.stage.counts["faults"] += 1
        self.stage.counts["pauses"] += 1
        self.stage.note(f"{self.name} is stopped for {seconds:.1f} s")
        self.paused_until = self.stage.at + seconds
