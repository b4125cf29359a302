"""The checker itself: it explains what a right allocator may answer, however calls overlap, and nothing else."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.nemesis.history import UNKNOWN, Call, judge

ADA, BEN = "person-ada", "person-ben"


def ask(who: str, began: float, ended: float, result: str | None, code: str = "") -> Call:
    return Call("ask", who, began, code or f"{who}-{began}", ended, result)


def lost(kind: str, who: str, began: float) -> Call:
    return Call(kind, who, began, f"{who}-{began}" if kind == "ask" else "")


def end(who: str, began: float, ended: float) -> Call:
    return Call("end", who, began, "", ended, True)


def told(vm: str, began: float, ended: float, code: str) -> Call:
    return Call("told", vm, began, "", ended, code)


GOOD: dict[str, Sequence[Call]] = {
    "one after the other": [ask(ADA, 0, 1, "vm1"), end(ADA, 2, 3), ask(BEN, 4, 5, "vm1")],
    "given while it was given back": [ask(ADA, 0, 1, "vm1"), end(ADA, 2, 6), ask(BEN, 3, 4, "vm1")],
    "in line, then told": [ask(ADA, 0, 1, None, "a"), told("vm1", 0, 5, "a"), ask(ADA, 6, 7, "vm1")],
    "the answer was lost, not the seat": [lost("ask", ADA, 0), ask(ADA, 2, 3, "vm1")],
    "a lost ask comes true late": [lost("ask", ADA, 0), ask(ADA, 1, 2, "vm1"), end(ADA, 3, 4), told("vm2", 3, 9, "person-ada-0")],
    "a lost end came true": [ask(ADA, 0, 1, "vm1"), lost("end", ADA, 2), ask(BEN, 3, 4, "vm1")],
    "a lost end never came true": [ask(ADA, 0, 1, "vm1"), lost("end", ADA, 2), ask(ADA, 3, 4, "vm1")],
    "two at once, two VMs": [ask(ADA, 0, 5, "vm1"), ask(BEN, 0, 5, "vm2")],
}  # fmt: skip
BAD: dict[str, Sequence[Call]] = {
    "one VM for two": [ask(ADA, 0, 1, "vm1"), ask(BEN, 2, 3, "vm1")],
    "one VM for two at once": [ask(ADA, 0, 5, "vm1"), ask(BEN, 0, 5, "vm1")],
    "two VMs for one": [ask(ADA, 0, 1, "vm1"), ask(ADA, 2, 3, "vm2")],
    "a seat was lost": [ask(ADA, 0, 1, "vm1"), ask(ADA, 2, 3, None)],
    "a stale answer": [ask(ADA, 0, 1, "vm1"), end(ADA, 2, 3), ask(BEN, 4, 5, "vm1"), ask(ADA, 6, 7, "vm1")],
    "told of somebody who has gone": [ask(ADA, 0, 1, "vm1", "a"), end(ADA, 2, 3), told("vm1", 4, 5, "a")],
    "told of another's person": [ask(ADA, 0, 1, "vm1", "a"), told("vm2", 2, 3, "a")],
    "told before it was asked": [told("vm1", 0, 1, "a"), ask(ADA, 2, 3, "vm1", "a")],
    "told what nobody sent": [told("vm1", 0, 1, "forged")],
    "the acknowledged end did not come true": [ask(ADA, 0, 1, "vm1", "a"), end(ADA, 2, 3), told("vm1", 4, 5, "a"), ask(BEN, 6, 7, "vm1")],
}  # fmt: skip


@pytest.mark.parametrize("situation", GOOD)
def test_what_may_be_is_explained(situation: str) -> None:
    assert judge(GOOD[situation]) == []


@pytest.mark.parametrize("situation", BAD)
def test_what_may_not_be_is_found(situation: str) -> None:
    assert judge(BAD[situation])


Turn = tuple[str, int, bool, float, float]
"""Of a right allocator: what is done, by whom, whether the answer is lost, and how long before and after the step the call lasted."""
TURNS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "end", "told"]),
        st.integers(0, 3),
        st.integers(0, 5).map(lambda n: n == 0),
        st.floats(0, 3),
        st.floats(0, 3),
    ),
    max_size=24,
)


def play(turns: Sequence[Turn], vms: int = 2) -> list[Call]:
    """A right allocator takes the steps one by one; the calls around them overlap as they like."""
    open_: dict[str, str | None] = {}
    calls: list[Call] = []
    codes: dict[str, str] = {}
    for at, (kind, number, is_lost, before, after) in enumerate(turns):
        who = f"person-{number}"
        began, ended = at - before, at + after
        if kind == "ask":
            codes[who] = f"code{at}"
            free = [f"vm{n}" for n in range(vms) if f"vm{n}" not in open_.values()]
            open_[who] = open_.get(who) or (free[0] if free else None)
            call = ask(who, began, ended, open_[who], codes[who])
        elif kind == "end":
            call = end(who, began, ended)
            open_.pop(who, None)
            codes.pop(who, None)
        elif who not in codes or open_.get(who) is None:
            continue
        else:
            call = told(str(open_[who]), began, ended, codes[who])
        calls.append(Call(call.kind, call.who, call.began, call.code) if is_lost else call)
    return calls


@given(TURNS)
def test_a_right_allocator_is_always_explained(turns: list[Turn]) -> None:
    assert judge(play(turns)) == []


@given(TURNS, st.floats(0, 1))
def test_a_vm_that_was_given_twice_is_always_found(turns: list[Turn], lasts: float) -> None:
    calls = play(turns)
    wrong = [ask("person-x", 100, 100 + lasts, "vm9"), ask("person-y", 102, 103, "vm9")]
    assert judge([*calls, *wrong])


@given(TURNS)
def test_one_wrong_answer_in_a_quiet_history_is_found(turns: list[Turn]) -> None:
    quiet = [(kind, number, False, 0.0, 0.2) for kind, number, *_ in turns]
    calls = play(quiet)
    for n, call in enumerate(calls):
        if call.kind == "ask" and call.result not in (None, UNKNOWN):
            forged = Call("ask", "person-z", call.ended + 0.1, "z", call.ended + 0.2, call.result)
            assert judge([*calls[: n + 1], forged])
