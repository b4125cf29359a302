"""Every condition that the controller can set is known, with what to do about it; nothing else can be asked for."""

import ast
import re
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from controller.decide.conditions import USUAL
from lablink.__main__ import create_app
from schemas.conditions import CONDITIONS, DEPLOYMENT, POOL, Severity, todo_of
from schemas.lab import Notify

ROOT = Path(__file__).parents[2]
SETTERS = {"find": 0, "Finding": 0, "say": 2, "say_no_more": 2}
"""Calls that name a condition, and the place of the name among their arguments."""


def named_in_the_controller() -> set[object]:
    names: set[object] = set()
    for path in (ROOT / "controller").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call):
                name = getattr(call.func, "attr", getattr(call.func, "id", ""))
                place = SETTERS.get(name)
                if place is not None and len(call.args) > place:
                    names |= {one.value for one in [call.args[place]] if isinstance(one, ast.Constant)}
    return names


def test_the_controller_sets_no_other_condition() -> None:
    named = named_in_the_controller() | {usual.type for usual, _ in USUAL}
    assert {"BudgetReached", "DesiredValid", "Observed"} <= named
    assert named <= CONDITIONS.keys()
    assert all(status == CONDITIONS[usual.type].good for usual, status in USUAL)


def test_each_says_what_it_means_and_what_to_do_and_commands_that_exist() -> None:
    for name, kind in CONDITIONS.items():
        assert kind.meaning.endswith("."), name
        assert kind.todo.endswith("."), name
    commands = {found for kind in CONDITIONS.values() for found in re.findall(r"`lablink ([a-z-]+)", kind.todo)}
    assert len(commands) > 5
    for command in commands:
        assert CliRunner().invoke(create_app(command), [command, "--help"]).exit_code == 0, command


def test_what_passes_by_itself_asks_for_nothing() -> None:
    assert {name for name, kind in CONDITIONS.items() if not todo_of(name)} == {
        name for name, kind in CONDITIONS.items() if kind.severity is Severity.INFO
    }


@pytest.mark.parametrize("name", [*CONDITIONS, *(f"Pool{name}" for name in POOL)])
def test_each_can_be_told_of(name: str) -> None:
    assert Notify(email="a@example.org", on=(name,)).wants(name.removeprefix("Pool"))


@pytest.mark.parametrize(("name", "meant"), [("BugdetReached", "BudgetReached"), ("PoolStaled", "PoolStalled")])
def test_a_slip_is_refused_with_the_right_name(name: str, meant: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Notify.model_validate({"email": "a@example.org", "on": [name]})
    (error,) = refused.value.errors()
    assert error["ctx"] == {
        "sentence": f'"{name}" is not the name of a condition, such as PoolStalled',
        "suggestion": meant,
    }


def test_none_is_of_both() -> None:
    assert not POOL.keys() & DEPLOYMENT.keys()
