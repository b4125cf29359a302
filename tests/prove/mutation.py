"""Mutation testing of `controller.decide`: each small wrong change of it must fail some test.

`python -m tests.prove.mutation NUMBER…` says what becomes of these mutants; a piece of `make prove` is one of them. The tests that touch
`decide` are collected once, each is known by the functions that it runs through, and each mutant lives in a child of its own.
"""

import argparse
import inspect
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from tests.prove.mutants import FOLDER, Mutant, find_mutants, put_in_place

TESTS = (
    "scenarios", "unit/test_decide_edges.py", "unit/test_money_edges.py", "unit/test_decide_classify.py", "unit/test_decide_invariants.py", "unit/test_decide_recognise.py",
    "unit/test_decide_repair.py", "unit/test_decide_scale.py", "unit/test_decide_update.py", "unit/test_budget.py",
    "unit/test_calendar.py", "unit/test_conditions.py", "unit/test_prices.py", "unit/test_quota_need.py", "unit/test_simulate.py",
    "unit/test_tfplan.py", "unit/test_tfvars.py", "unit/test_unapplied.py", "unit/test_deploy_costs.py",
)  # fmt: skip
PATIENCE_S = 60
"""An endless loop is a difference, too. In seconds of the processor: a busy machine is none."""
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.txt")
SURVIVES, DIES, UNTOUCHED = 0, 1, 2


@dataclass
class Hunt:
    """A plugin of pytest that runs the collected tests over and over: once as they are, then in a child for each mutant."""

    numbers: Sequence[int]
    touched: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    outcomes: dict[int, int] = field(default_factory=dict)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for item in session.items:
            self._learn(item)
        mutants = find_mutants()
        for number in self.numbers:
            if number < len(mutants):
                self.outcomes[number] = self._try(session.items, mutants[number])
        return True

    def _learn(self, item: pytest.Item) -> None:
        """Which functions of `decide` a test runs through. A test that fails as things are proves nothing and is an error."""
        seen: set[tuple[str, int]] = set()

        def watch(frame: Any, event: str, _argument: Any) -> None:
            if event == "call" and frame.f_code.co_filename.startswith(str(FOLDER)):
                seen.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

        sys.setprofile(watch)
        try:
            reports = runtestprotocol(item, log=False)
        finally:
            sys.setprofile(None)
        assert not any(report.failed for report in reports), f"{item.nodeid} fails as it is"
        self.touched[item.nodeid] = seen

    def _try(self, items: Sequence[pytest.Item], mutant: Mutant) -> int:
        child = os.fork()
        if child:
            return self._wait(child)
        signal.setitimer(signal.ITIMER_PROF, PATIENCE_S)  # kills it
        code = DIES
        try:
            code = self._run(items, mutant)
        finally:
            os._exit(code)

    def _wait(self, child: int) -> int:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return DIES if status < 0 else status

    def _run(self, items: Sequence[pytest.Item], mutant: Mutant) -> int:
        place = self._place_of(mutant)
        if not put_in_place(mutant):
            return UNTOUCHED
        for item in items:
            if place is None or place & self.touched[item.nodeid]:
                reports = runtestprotocol(item, log=False)
                if any(report.failed for report in reports):
                    return DIES
        return SURVIVES

    def _place_of(self, mutant: Mutant) -> set[tuple[str, int]] | None:
        """The function as the tests were seen in it; None for a constant, which may be anywhere."""
        if not mutant.scope.endswith("()"):
            return None
        module = sys.modules.get(mutant.module)
        found: Any = module
        for name in mutant.scope.removesuffix("()").split("."):
            found = vars(found).get(name) if found is not None else None
        found = getattr(found, "fget", None) or getattr(found, "__func__", None) or found
        found = inspect.unwrap(getattr(found, "func", found)) if found is not None else None
        code = getattr(found, "__code__", None)
        return {(code.co_filename, code.co_firstlineno)} if code else set()


def read_equivalent() -> set[str]:
    """Mutants that no test can tell from the original, each with a reason beside it."""
    lines = EQUIVALENT.read_text().splitlines()
    return {line.partition(" # ")[0].strip() for line in lines if line and not line.startswith("#")}


def hunt(numbers: Sequence[int]) -> dict[str, Any]:
    plugin = Hunt(numbers)
    folder = FOLDER.parents[1] / "tests"
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        status = pytest.main(
            ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", *(str(folder / test) for test in TESTS)],
            plugins=[plugin],
        )
    assert status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED), f"pytest ended with {status}"
    mutants, equivalent = find_mutants(), read_equivalent()
    figures = {"mutants": 0, "killed": 0, "survived": 0, "equivalent": 0, "unreachable": 0}
    survivors = {}
    for number, outcome in plugin.outcomes.items():
        name = mutants[number].name
        kind = {DIES: "killed", UNTOUCHED: "unreachable"}.get(
            outcome, "equivalent" if name in equivalent else "survived"
        )
        figures[kind] += 1
        figures["mutants"] += kind in ("killed", "survived")
        if kind == "survived":
            survivors[f"{mutants[number].place}, {name}"] = {"number": number}
            sys.stderr.write(f"{number} survives: {mutants[number].place}, {name}\n")
    return {"figures": figures, "failures": [], "details": survivors, "known": len(mutants)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.prove.mutation", description=__doc__)
    parser.add_argument("numbers", nargs="*", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    print(json.dumps(hunt([*options.numbers, *range(options.first, options.first + options.count)])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
