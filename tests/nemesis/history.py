"""What clients asked and were answered, and whether some order of single steps explains it (linearizability).

Each person and each VM is looked at by itself, which is enough: a history is linearizable when those of its objects are
(Herlihy and Wing 1990). For each the search of Wing and Gong (1993) is made, with Lowe's memory of what was tried (2017).
A call without an answer may have come true at any later time, or never.
"""

import math
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

UNKNOWN = "?"
"""The result of a call that broke off, or was answered with an error that leaves open what was done."""


@dataclass(frozen=True)
class Call:
    """`kind`: a person asks (result: a VM, or None for a place in line) or ends; a VM is told (result: a code of the person's)."""

    kind: str
    who: str
    began: float
    code: str = ""
    ended: float = math.inf
    result: Any = UNKNOWN


@dataclass
class History:
    """Written by all clients of a process."""

    calls: list[Call] = field(default_factory=list)
    judged_until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, kind: str, who: str, code: str = "") -> int:
        """A number for `end`."""
        with self._lock:
            self.calls.append(Call(kind, who, time.monotonic(), code))
            return len(self.calls) - 1

    def end(self, number: int, result: Any) -> None:
        """What was answered; UNKNOWN leaves the end open."""
        if result != UNKNOWN:
            self.calls[number] = replace(self.calls[number], ended=time.monotonic(), result=result)

    def judge_new(self) -> list[str]:
        """Of what ended since the last time, when everybody had gone. What was never answered may have come true since."""
        news = [call for call in self.calls if call.ended > self.judged_until]
        self.judged_until = time.monotonic()
        return judge(news, {call.code: call.who for call in self.calls if call.code})


@dataclass(frozen=True)
class Step:
    """A call as one object sees it: `value` is the other side, the VM for a person and the person for a VM."""

    kind: str
    value: str | None
    who: str
    began: float
    ended: float


State = tuple[frozenset[str], str | None]
"""Who is open (has asked and not ended since), and who or what is bound."""
START: State = (frozenset(), None)


def judge(calls: Sequence[Call], sent: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each object whose history no order explains, and for each VM that was told a code nobody sent."""
    codes = dict(sent or {call.code: call.who for call in calls if call.code})
    strangers = [c for c in calls if c.kind == "told" and c.result != UNKNOWN and c.result not in codes]
    wrong = [f"{call.who} was told the code {call.result}, which nobody sent" for call in strangers]
    known = [call for call in calls if call not in strangers]
    for name, steps in split(known, codes).items():
        if not explain(steps):
            wrong.append(f"no order explains what was answered about {name}:\n" + "\n".join(map(str, steps)))
    return wrong


def split(calls: Sequence[Call], codes: dict[str, str]) -> dict[str, list[Step]]:
    """The steps of each object. A VM sees all of a person's calls who was ever seen with it; a person sees what its VMs were told."""
    met: dict[str, set[str]] = defaultdict(set)  # person → VMs
    for person, vm, _ in _find_meetings(calls, codes):
        met[person].add(vm)
    steps: dict[str, list[Step]] = defaultdict(list)
    for call in calls:
        if call.kind in ("ask", "end"):
            steps[call.who].append(Step(call.kind, _seen(call), call.who, call.began, call.ended))
            for vm in met[call.who]:
                kind, seen = _as_vm_sees(call, vm)
                steps[vm].append(Step(kind, seen, call.who, call.began, call.ended))
    for person, vm, call in _find_meetings(calls, codes):
        if call.kind == "told":
            steps[vm].append(Step("told", person, person, call.began, call.ended))
            steps[person].append(Step("told", vm, person, call.began, call.ended))
    return steps


def _find_meetings(calls: Sequence[Call], codes: dict[str, str]) -> Iterator[tuple[str, str, Call]]:
    for call in calls:
        if call.kind == "ask" and call.result not in (None, UNKNOWN):
            yield call.who, call.result, call
        elif call.kind == "told" and call.result != UNKNOWN:
            yield codes[call.result], call.who, call


def _seen(call: Call) -> str | None:
    return call.result if call.kind == "ask" else None


def _as_vm_sees(call: Call, vm: str) -> tuple[str, str | None]:
    """Of another VM than this one a person's answer says that this one is not theirs."""
    if call.kind == "end":
        return "end", None
    if call.result == UNKNOWN:
        return "ask", UNKNOWN
    return "ask", call.who if call.result == vm else None


def explain(steps: Sequence[Step]) -> bool:
    """Whether the steps can be put in an order that keeps to their times and in which each answer is right."""
    ordered = sorted(steps, key=lambda step: step.began)
    due = frozenset(n for n, step in enumerate(ordered) if step.ended < math.inf)
    seen: set[tuple[frozenset[int], State]] = set()
    stack: list[tuple[frozenset[int], State]] = [(frozenset(range(len(ordered))), START)]
    while stack:
        left, state = stack.pop()
        if not left & due:
            return True
        if (left, state) in seen:
            continue
        seen.add((left, state))
        first_end = min(ordered[n].ended for n in left)
        next_ = sorted((n for n in left if ordered[n].began <= first_end), key=lambda n: -ordered[n].ended)
        afters = ((n, take(state, ordered[n])) for n in next_)  # the last of them, which ended first, is tried first
        stack.extend((left - {n}, after) for n, after in afters if after is not None)
    return False


def take(state: State, step: Step) -> State | None:
    """The state after a step, or None where its answer is not right in this state.

    Binding is no call of anybody: it happens at the latest when it is seen.
    """
    opened, bound = state
    match step.kind:
        case "ask":
            opened = opened | {step.who}
            if step.value == UNKNOWN:
                return opened, bound
            if step.value is None:
                return None if bound is not None and _holds(bound, step) else (opened, bound)
            return _see((opened, bound), step.value)
        case "told":
            assert step.value is not None
            return _see(state, step.value) if step.who in opened else None
        case _:
            freed = None if bound is not None and _holds(bound, step) else bound
            return opened - {step.who}, freed


def _holds(bound: str, step: Step) -> bool:
    """Whether what is bound is this person: of a VM the person itself, of a person (who has no other) any VM."""
    return bound == step.who or not bound.startswith(PERSON)


def _see(state: State, value: str) -> State | None:
    opened, bound = state
    return (opened, value) if bound in (None, value) else None


PERSON = "person"
"""How the names of people begin, which no VM's does."""
