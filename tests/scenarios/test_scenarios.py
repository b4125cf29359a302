"""Each pair of situation and recorded decision; what a person wrote must and must never happen is checked apart."""

import pytest

from tests.scenarios.situation import HERE, Scenario, read_scenarios

SCENARIOS = read_scenarios()
each = pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.path.stem for scenario in SCENARIOS])


@each
def test_what_must_happen_happens(scenario: Scenario) -> None:
    assert scenario.missing() == [], scenario.render()


@each
def test_what_must_never_happen_does_not(scenario: Scenario) -> None:
    assert scenario.written["never"], "a scenario says what must never happen"
    assert scenario.forbidden() == [], scenario.render()


@each
def test_the_decision_is_the_recorded_one(scenario: Scenario) -> None:
    assert scenario.expected.exists(), "not recorded yet: read it after `make bless`"
    assert scenario.render() == scenario.expected.read_text(), "if this is meant, `make bless` and read the difference"


def test_every_recorded_text_has_its_situation() -> None:
    recorded = {path.name.removesuffix(".expected.txt") for path in HERE.glob("*.expected.txt")}
    assert recorded == {scenario.path.stem for scenario in SCENARIOS}
