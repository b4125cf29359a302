"""`make prove` runs each piece once, whatever stopped it before, and never counts what ran on other files."""

import json
from pathlib import Path

import pytest

from tests.prove import __main__ as prove
from tests.prove.__main__ import Shown
from tests.prove.mutants import find_mutants
from tests.prove.mutation import read_equivalent
from tests.prove.piece import Lived, Tally, live_all
from tests.prove.registry import Proof

PROOF = Proof("trial", "A trial", "Nothing.", "tests.trial", count=10, at_once=4, unit="pieces", lanes=2)


def test_what_was_stopped_goes_on_with_what_has_not_run(tmp_path: Path) -> None:
    file = tmp_path / "shown.json"
    shown = Shown.read(file, PROOF)
    assert shown.find_due(1.0, 4) == [range(4), range(4, 8), range(8, 10)]
    shown.add(range(4, 8), {"figures": {"deaths": 4, "most_s": 3}, "failures": [], "details": {"a": {"api": 1}}})
    shown.write(file)
    again = Shown.read(file, PROOF)
    assert again == shown
    assert again.find_due(1.0, 4) == [range(4), range(8, 10)]
    assert again.find_due(0.1, 4) == [range(1)]
    again.add(range(4), {"figures": {"deaths": 4, "most_s": 2}, "failures": [], "details": {"a": {"api": 2}}})
    assert again.tally == Tally({"deaths": 8, "most_s": 3}, [], {"a": {"api": 3}})
    assert again.find_parts() == [range(8)]


def test_a_proof_that_counts_its_own_pieces_runs_all_of_them() -> None:
    shown = Shown(known=3)
    shown.add(range(3), {"figures": {}, "failures": [], "known": 5})
    assert shown.find_due(1.0, 9) == [range(3, 5)]
    shown.add(range(3, 9), {"figures": {}, "failures": [], "known": 5})
    assert shown.ran == [0, 1, 2, 3, 4]


def test_files_that_change_meanwhile_stop_a_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = iter(["one", "one", "two"])
    monkeypatch.setattr(prove, "KEPT", tmp_path)
    monkeypatch.setattr(prove, "REPORT", tmp_path / "report.json")
    monkeypatch.setattr(prove, "read_commit", lambda: next(commits))
    monkeypatch.setattr(prove, "_run", lambda *_: {"figures": {"lived": 1}, "failures": []})
    with pytest.raises(SystemExit, match="not those of one any more"):
        prove._prove(PROOF, 1.0)
    kept = Shown.read(tmp_path / "one-trial.json", PROOF)
    assert kept.tally.figures == {"lived": 1}


def test_what_could_not_run_is_told_and_stays_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "KEPT", tmp_path)
    monkeypatch.setattr(prove, "REPORT", tmp_path / "report.json")
    monkeypatch.setattr(prove, "read_commit", lambda: "one")
    answer = {"figures": {"lived": 1}, "failures": []}
    monkeypatch.setattr(prove, "_run", lambda _proof, chunk, _: None if 4 in chunk else answer)
    assert prove._prove(PROOF, 1.0) == 4
    assert json.loads((tmp_path / "report.json").read_text()) == {}
    assert Shown.read(tmp_path / "one-trial.json", PROOF).find_parts() == [range(4), range(8, 10)]
    monkeypatch.setattr(prove, "_run", lambda *_: answer)
    assert prove._prove(PROOF, 1.0) == 0
    assert Shown.read(tmp_path / "one-trial.json", PROOF).find_parts() == [range(10)]


def test_a_piece_that_breaks_is_a_failure_with_its_command() -> None:
    def live(seed: int) -> Lived:
        if seed == 1:
            raise ValueError("broken")
        return Lived([], {"lived": 1})

    tally = live_all("tests.trial", range(3), live)
    assert tally.figures == {"lived": 2}
    assert tally.failures == [{"said": "ValueError: broken", "command": "python -m tests.trial 1"}]


def test_every_mutant_has_a_name_of_its_own_and_every_equivalent_one_is_one() -> None:
    names = [mutant.name for mutant in find_mutants()]
    assert len(names) == len(set(names))
    assert read_equivalent() <= set(names)
