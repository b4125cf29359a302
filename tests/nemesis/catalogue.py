"""Which deaths the sweep has to die: each boundary of each turn of the day, with everybody who may be killed there.

They are learned from undisturbed days, once for all processes of a proof, and numbered. What is found later comes behind.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from fcntl import LOCK_EX, flock
from itertools import chain, zip_longest
from pathlib import Path


@dataclass(frozen=True)
class Death:
    """Who dies in which turn, at which crossing of a boundary."""

    turn: str
    at: str
    victim: str

    @property
    def boundary(self) -> str:
        return self.at.partition(" #")[0]

    @property
    def kind(self) -> tuple[str, ...]:
        """The class of boundaries that it stands for: who, in which process, at what."""
        role, _, kind, _ = self.at.split(" ", 3)
        return (self.victim, role, kind)

    def __str__(self) -> str:
        return f"{self.victim} killed in {self.turn}, {self.at}"


@dataclass
class Catalogue:
    """`deaths` by their numbers, and how many ticks decide something in an undisturbed turn. Kept in a file that several processes share."""

    file: Path
    deaths: list[Death] = field(default_factory=list)
    ticks: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else reads or writes it meanwhile."""
        with self.file.with_suffix(".lock").open("w") as lock:
            flock(lock, LOCK_EX)
            if self.file.exists():
                kept = json.loads(self.file.read_text())
                self.deaths, self.ticks = [Death(*one) for one in kept["deaths"]], kept["ticks"]
            yield

    def add(self, crossed: Mapping[str, Iterable[str]], ticks: Mapping[str, int]) -> None:
        """What undisturbed turns have crossed. Turns take turns, so that any part of the numbers is of the whole day."""
        found = [_order(turn, places) for turn, places in crossed.items()]
        known = set(self.deaths)
        self.deaths += [death for death in chain(*zip_longest(*found)) if death and death not in known]
        self.ticks = {turn: max(count, self.ticks.get(turn, 0)) for turn, count in ticks.items()}
        draft = self.file.with_suffix(".draft")
        draft.write_text(json.dumps({"deaths": [astuple(death) for death in self.deaths], "ticks": self.ticks}))
        draft.replace(self.file)


def _order(turn: str, places: Iterable[str]) -> list[Death]:
    """The same for each process, and mixed."""
    deaths = [Death(turn, place, victim) for place in {*places} for victim in find_victims(place)]
    return sorted(deaths, key=lambda death: hashlib.sha256(str(death).encode()).digest())


def find_victims(place: str) -> list[str]:
    """Who may die there: the process itself, the one it works for, or the database that it has just spoken to."""
    role, _, kind, _ = place.split(" ", 3)
    if role == "provider":
        return ["terraform", "controller"]
    of_states = kind == "answer" and role == "controller"
    return [role, *(["postgres"] if kind in ("commit", "statement") else []), *(["terraform"] if of_states else [])]


def choose_kinds(offered: Sequence[Death]) -> list[Death]:
    """One of each kind, spread over the turns: of several that would do, in the turn that has the fewest yet."""
    chosen: dict[tuple[str, ...], Death] = {}
    for death in offered:
        if death.kind not in chosen or _count(chosen, death.turn) < _count(chosen, chosen[death.kind].turn) - 1:
            chosen[death.kind] = death
    return list(chosen.values())


def _count(chosen: dict[tuple[str, ...], Death], turn: str) -> int:
    return sum(death.turn == turn for death in chosen.values())
