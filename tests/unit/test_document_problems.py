"""Texts that are refused: each problem with its place, its field, and one sentence."""

from pathlib import Path

import pytest

from schemas.document import InvalidDocument, Problem, parse_lab, text_hash
from schemas.yaml_tree import MAX_ALIASES, MAX_BYTES, MAX_DEPTH, MAX_NODES

ROOT = Path(__file__).parents[2]


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidDocument) as refused:
        parse_lab(text)
    return refused.value.problems


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pools:\n  client:\n    sise: 5\n", '3:5: pools.client.sise: unknown field; did you mean "size"?'),
        ("pools: {}\npols: {}\n", '2:1: pols: unknown field; did you mean "pools"?'),
        ("pools:\n  c:\n    health: {bot: 20m}\n", '3:14: pools.c.health.bot: unknown field; did you mean "boot"?'),
        ("pools:\n  c:\n    size: -1\n", "3:11: pools.c.size: must be at least 0, not -1"),
        ("pools:\n  c:\n    size: 1000000\n", "3:11: pools.c.size: must be at most 1000, not 1000000"),
        ("pools: {c: {size: true}}", "1:19: pools.c.size: must be a whole number, not true"),
        ("pools: {c: {size: '5'}}", "1:19: pools.c.size: must be a whole number, not text"),
        ("pools: {c: {size: 2.5}}", "1:19: pools.c.size: must be a whole number, not a fraction"),
        ("pools: {c: {size: [2]}}", "1:19: pools.c.size: must be a whole number, not a list"),
        ("pools: {c: {size: {min: 1}}}", "1:19: pools.c.size.max: is required"),
        ("pools: {c: {paused: no}}", "1:21: pools.c.paused: must be true or false, not text"),
        ("pools: {c: {software: 5}}", "1:23: pools.c.software: must be text, not a whole number: put it in quotes"),
        ("pools: {c: {volume: 50}}", "1:21: pools.c.volume: must be a mapping of names to values, not a whole number"),
        ("pools: {c: {zones: 5}}", "1:20: pools.c.zones: must be a list, not a whole number"),
        ("pools: {c: }", "1:11: pools.c: must be a mapping of names to values, not null"),
        ("pools: {c: {market: Spot}}", '1:21: pools.c.market: must be "on-demand" or "spot"; did you mean "spot"?'),
        ("pools: {}\nregion: us-wset-2", '2:9: region: there is no AWS region "us-wset-2"; did you mean "us-west-2"?'),
        (
            "pools: {c: {health: {boot: 20}}}",
            "1:28: pools.c.health.boot: must be a duration with its unit, such as 90s, 15m, 8h or 7d;"
            ' did you mean "20m"?',
        ),
        (
            'pools: {c: {schedule: [{cron: "0 9 * * *", for: 8h, size: 1, sise: 2}]}}',
            '1:62: pools.c.schedule.0.sise: unknown field; did you mean "size"?',
        ),
        (
            'pools: {c: {schedule: [{cron: "0 9 * * *", for: 8x, size: 1}]}}',
            "1:49: pools.c.schedule.0.for: must be a duration such as 90s, 15m, 8h or 7d",
        ),
        ("format: 1\n", "1:1: pools: is required"),
        ("budget: {hourly: -0.5}\npools: {}", "1:18: budget.hourly: must be above 0, not -0.5"),
        ("pools: {c: {size: 1}, c: {}}", '1:23: "c" is here for the second time; the first is in line 1'),
        ("pools: {5: {}}", "1:9: a name must be text: put it in quotes"),
        ("pools: {[a]: {}}", "1:9: a name must be text: put it in quotes"),
        ("", "1:1: is empty; the smallest document is `pools: {}`"),
        ("# nothing\n", "1:1: is empty; the smallest document is `pools: {}`"),
        ("- a\n", "1:1: must be a mapping of names to values; the smallest document is `pools: {}`"),
        ("pools", "1:1: must be a mapping of names to values; the smallest document is `pools: {}`"),
        ("null", "1:1: must be a mapping of names to values; the smallest document is `pools: {}`"),
        ("pools:\n\tclient: {}\n", "2:1: has a tab where YAML wants spaces"),
        ("pools: {}\n---\npools: {}\n", "2:1: is more than one document: a second one begins here"),
        ("%YAML 1.1\n---\npools: {}\n", "2:1: must be YAML 1.2, which needs no %YAML line"),
        ("pools: !!python/object:os.system ls", "1:8: has a tag, and this file uses none: write the value alone"),
        ("pools: {c: {size: !!int 5}}", "1:19: has a tag, and this file uses none: write the value alone"),
        ("pools: *x", '1:8: has an alias "*x" without an anchor before it'),
        ("pools: &x [*x]", '1:12: has an alias "*x" without an anchor before it'),
        ("a: 1\nb: '\x07'\n", "2:5: has a character that YAML does not allow"),
        ('pools: "\\UFFFFFFFF"', "1:1: has an escape that stands for no character"),
    ],
)
def test_a_problem_is_shown_where_it_is(text: str, shown: str) -> None:
    assert [str(problem) for problem in problems(text)] == [f"lablink.yaml:{shown}"]


def test_a_course_of_no_pool_is_told_which_pool_there_is() -> None:
    course = "{pool: clint, from: 2026-12-04T09:00Z, to: 2026-12-05T09:00Z, seats: 4}"
    (shown,) = [str(problem) for problem in problems(f"courses: {{x: {course}}}\npools: {{client: {{}}}}")]
    assert shown == 'lablink.yaml:1:21: courses.x.pool: there is no pool "clint"; did you mean "client"?'


def test_a_half_written_file_is_a_syntax_error_with_its_line() -> None:
    (problem,) = problems("pools:\n  client:\n    size: 5\n    instance_type: [g4dn.xl")
    assert problem.line == 4
    assert problem.message.startswith("is not valid YAML: ")


def test_all_problems_are_told_at_once_in_the_order_of_the_text() -> None:
    text = "region: mars\npools:\n  c:\n    size: -1\n    zoness: []\n  D: {}\nrepeat: never\n"
    assert [(problem.line, problem.field) for problem in problems(text)] == [
        (1, "region"),
        (4, "pools.c.size"),
        (5, "pools.c.zoness"),
        (6, "pools.D"),
        (7, "repeat"),
    ]


def test_one_field_has_one_problem_although_it_may_be_several_things() -> None:
    (problem,) = problems("pools: {c: {ami: 5}}")
    assert (problem.field, problem.message) == ("pools.c.ami", "must be text, not a whole number: put it in quotes")


def test_a_password_is_not_repeated() -> None:
    (problem,) = problems("pools: {}\nadmin:\n  password_hash: hunter2\n")
    assert (problem.line, problem.field) == (3, "admin.password_hash")
    assert "hunter2" not in str(problem)
    assert "lablink hash-password" in problem.message


def test_what_an_alias_gets_wrong_is_shown_where_it_is_used() -> None:
    places = [(p.line, p.field) for p in problems("pools:\n  a: {size: &n -1}\n  b:\n    size: *n\n")]
    assert places == [(2, "pools.a.size"), (4, "pools.b.size")]


def test_an_anchor_may_be_shared() -> None:
    lab = parse_lab("pools:\n  a: &a {size: 2}\n  b: *a\n").lab
    assert lab.pools["a"] == lab.pools["b"]


def test_a_bomb_of_aliases_is_refused_before_it_grows() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 7)}]\n" for n in range(1, 9))
    (problem,) = problems(bomb)
    assert problem.message == f"has more than {MAX_NODES} values"
    (problem,) = problems("a: &a x\nb: [" + "*a, " * (MAX_ALIASES + 1) + "]")
    assert f"has more than {MAX_ALIASES} aliases" in problem.message


@pytest.mark.parametrize("deep", ["[" * 100_000, "{a: " * 10_000, "- " * 10_000])
def test_deep_nesting_is_refused(deep: str) -> None:
    (problem,) = problems(deep)
    assert f"more than {MAX_DEPTH} levels" in problem.message


def test_a_chain_of_aliases_is_as_deep_as_what_it_stands_for() -> None:
    chain = "a0: &a0 x\n" + "".join(f"a{n}: &a{n} {'[' * 10}*a{n - 1}{']' * 10}\n" for n in range(1, 60))
    (problem,) = problems(chain)
    assert f"more than {MAX_DEPTH} levels" in problem.message


def test_a_long_list_is_refused_before_it_is_read_to_its_end() -> None:
    (problem,) = problems("pools:\n" + "- a\n" * (MAX_NODES + 5))
    assert problem.message == f"has more than {MAX_NODES} values"


def test_a_field_is_called_as_the_file_has_it_not_as_python_does() -> None:
    window = "{from: 2026-12-01T09:00Z, to_at: 2026-12-02T09:00Z, size: 1}"
    found = problems(f"pools: {{c: {{schedule: [{window}]}}}}")
    assert {problem.field: problem.message for problem in found} == {
        "pools.c.schedule.0.to": "is required",
        "pools.c.schedule.0.to_at": "unknown field",
    }


def test_of_very_many_problems_the_first_hundred_are_told() -> None:
    found = problems("pools:\n" + "".join(f"  p{n}: {{sise: 1}}\n" for n in range(120)))
    assert [problem.line for problem in found] == list(range(2, 102))


def test_a_huge_file_is_refused_by_its_size() -> None:
    (problem,) = problems("#" + "x" * MAX_BYTES)
    assert problem.message == f"is {MAX_BYTES + 1} bytes long, and the limit is {MAX_BYTES}"


def test_the_file_is_named_as_given() -> None:
    with pytest.raises(InvalidDocument, match=r"^deploy/other\.yaml:1:1: is empty"):
        parse_lab("", "deploy/other.yaml")


def test_the_example_is_valid_and_knows_its_hash() -> None:
    text = (ROOT / "lablink.yaml").read_text()
    parsed = parse_lab(text)
    assert parsed.lab.pools["client"].size == 5
    assert (parsed.text, parsed.hash) == (text, text_hash(text))
    assert text.splitlines()[0] == "# yaml-language-server: $schema=./lablink.schema.json"


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert parse_lab("\ufeffpools: {}\n").lab.pools == {}
