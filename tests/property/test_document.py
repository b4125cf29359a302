"""For any document: dumps come back equal, edits keep comments, and nothing but InvalidDocument is ever raised."""

from io import StringIO
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from schemas.document import InvalidDocument, Problem, edit_lab, parse_lab
from schemas.lab import Lab
from schemas.values import format_duration, parse_duration
from schemas.yaml_edit import render
from schemas.yaml_tree import read_tree

names = st.from_regex(r"[a-z][a-z0-9]{0,9}(-[a-z0-9]{1,4})?", fullmatch=True)
durations = st.builds(lambda number, unit: f"{number}{unit}", st.integers(1, 900), st.sampled_from("smhd"))
pools = st.fixed_dictionaries(
    {},
    optional={
        "size": st.integers(0, 1000),
        "instance_type": st.sampled_from(["g4dn.xlarge", ["g5.xlarge", "p3.2xlarge"]]),
        "ami": st.sampled_from(["ami-12345678", "/aws/ami-id", {"us-west-2": "ami-12345678"}]),
        "volume": st.fixed_dictionaries({}, optional={"size": st.integers(8, 16384), "type": st.just("gp2")}),
        "software": st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,20}", fullmatch=True),
        "startup_script": st.none() | st.just({"path": "deploy/a b.sh", "on_error": "fail"}),
        "ssh": st.just({"ingress": ["0.0.0.0/0", "2001:db8::/32"]}),
        "update": st.fixed_dictionaries({"surge": st.integers(1, 9)}),
        "health": st.fixed_dictionaries({}, optional={"boot": durations, "silent": durations}),
        "paused": st.booleans(),
    },
)
documents = st.fixed_dictionaries(
    {"pools": st.dictionaries(names, pools, max_size=4)},
    optional={
        "environment": st.sampled_from(["dev", "ci-test"]),
        "seat_hold": durations,
        "repeat": st.just("pin"),
        "backup": st.fixed_dictionaries({"every": durations}),
        "desired": st.just({"git_commit": True}),
    },
)
comments = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(lambda text: f"# {text}")


def block_text(document: dict[str, Any]) -> str:
    stream = StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(document, stream)
    return stream.getvalue()


def problems_in(text: str) -> tuple[Problem, ...]:
    """Nothing for a valid text. The property is that no other exception gets out."""
    try:
        parse_lab(text)
    except InvalidDocument as refused:
        return refused.problems
    return ()


@settings(max_examples=50, deadline=None)
@given(documents)
def test_a_valid_lab_dumped_and_parsed_is_equal(document: dict[str, Any]) -> None:
    lab = Lab.model_validate(document)
    dumped = lab.model_dump(mode="json")
    assert parse_lab(block_text(dumped)).lab == lab
    assert parse_lab(render(dumped)).lab == lab
    assert Lab.model_validate_json(lab.model_dump_json()) == lab


@settings(max_examples=60, deadline=None)
@given(documents, st.integers(0, 1000), st.booleans(), st.lists(comments, min_size=1, max_size=30), st.data())
def test_an_edit_gives_the_value_and_keeps_every_comment(
    document: dict[str, Any], size: int, flow: bool, remarks: list[str], data: st.DataObject
) -> None:
    lines = [render(document)] if flow else block_text(document).splitlines()
    text = "\n".join(f"{line}  {remarks[index % len(remarks)]}" for index, line in enumerate(lines))
    pool = data.draw(st.sampled_from([*document["pools"], "fresh"]))
    edited = edit_lab(text, {f"pools.{pool}.size": size})
    before, after = parse_lab(text).lab, parse_lab(edited).lab
    assert after.pools[pool].size == size
    others = {name: declared for name, declared in before.pools.items() if name != pool}
    assert {name: declared for name, declared in after.pools.items() if name != pool} == others
    position = 0
    for index in range(len(lines)):
        position = edited.index(remarks[index % len(remarks)], position) + 1
    assert len(text.splitlines()) <= len(edited.splitlines()) <= len(text.splitlines()) + 1


yaml_like = st.text(st.sampled_from("ab:-?&*!%|>[]{}#'\"\\,~ \n\r\t0x.Uu\ufeff\x85\u2028\ud800\0"), max_size=60)
fragments = st.lists(
    st.sampled_from(
        [
            "pools:",
            " client:",
            "  size: 5",
            "{",
            "}",
            "[",
            "]",
            "\n",
            "  ",
            "- ",
            "&a ",
            "*a",
            "!!int ",
            "<<: ",
            "? ",
            ": ",
            "%YAML 1.1\n",
            "---\n",
            '"\\U',
            "|\n",
            ".nan",
            "null",
        ]
    ),
    max_size=25,
).map("".join)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=80), yaml_like, fragments))
def test_any_text_is_parsed_or_refused_with_a_place_in_it(text: str) -> None:
    assert all(problem.line >= 1 and problem.column >= 1 and problem.message for problem in problems_in(text))


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(max_size=6), plain, max_size=4))
def test_any_document_is_refused_or_accepted_as_a_whole(document: dict[str, Any]) -> None:
    text = render(document)
    assert read_tree(text, "lablink.yaml").value == document
    wrong = problems_in(render({"pools": {"client": document}}))
    assert all(problem.field.startswith("pools.client") for problem in wrong)


@given(st.integers(0, 3650 * 86_400))
def test_every_duration_is_read_back(seconds: int) -> None:
    length = parse_duration(f"{seconds}s") if seconds < 10**8 else parse_duration(f"{seconds // 86400}d")
    assert parse_duration(format_duration(length)) == length
