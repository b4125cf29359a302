"""Edits of the text: the value changes, and nothing else does."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.document import InvalidDocument, diff_texts, edit_lab, parse_lab

EXAMPLE = (Path(__file__).parents[2] / "lablink.yaml").read_text()


def changed_lines(old: str, new: str) -> list[str]:
    return [line for line in diff_texts(old, new).splitlines()[2:] if line[0] in "+-"]


def test_only_the_changed_line_differs() -> None:
    edited = edit_lab(EXAMPLE, {"pools.client.size": 8})
    assert changed_lines(EXAMPLE, edited) == [
        "-    size: 5                 # VMs to keep",
        "+    size: 8                 # VMs to keep",
    ]
    assert parse_lab(edited).lab.pools["client"].size == 8


def test_the_value_that_is_there_changes_nothing() -> None:
    assert edit_lab(EXAMPLE, {"pools.client.size": 5, "pools.client.paused": False}) == EXAMPLE


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        ("pools: {c: {size: 5}}", {"pools.c.paused": True}, "pools: {c: {size: 5, paused: true}}"),
        ("pools: {c: {}}  # x", {"pools.c.size": 1}, "pools: {c: {size: 1}}  # x"),
        ("pools: {c: {size: 5,},}", {"pools.c.paused": True}, "pools: {c: {size: 5, paused: true,},}"),
        ("pools:\n  c: {}\n", {"pools.d.size": 2}, "pools:\n  c: {}\n  d: {size: 2}\n"),
        ("pools:\n    c:\n        size: 1 # x\n# end\n", {"pools.c.paused": True}, None),
        (
            "pools:\r\n  c:\r\n    size: 1\r\n",
            {"pools.c.paused": True},
            "pools:\r\n  c:\r\n    size: 1\r\n    paused: true\r\n",
        ),
        ("pools:\n  c:\n    size: 1", {"pools.c.paused": True}, "pools:\n  c:\n    size: 1\n    paused: true"),
        ("pools:\n  c: {}", {"seat_hold": timedelta(minutes=10)}, "pools:\n  c: {}\nseat_hold: 10m"),
        (
            "pools:\n  c:\n    access_code:   # none\n",
            {"pools.c.access_code": None},
            "pools:\n  c:\n    access_code:   # none\n",
        ),
        ("pools:\n  c:\n    startup_script:  # none\n", {"pools.c.startup_script.path": "a.sh"}, None),
        ("pools: {c: {software: 'a'}}", {"pools.c.software": "b"}, "pools: {c: {software: 'b'}}"),
        ('pools: {c: {software: "a"}}', {"pools.c.software": "b"}, 'pools: {c: {software: "b"}}'),
        ("pools: {c: {software: a}}", {"pools.c.software": "null"}, 'pools: {c: {software: "null"}}'),
        ("pools: {c: {software: a}}", {"pools.c.software": "on"}, 'pools: {c: {software: "on"}}'),
        ("pools: {c: {software: a}}", {"pools.c.software": ""}, 'pools: {c: {software: ""}}'),
        ("pools: {c: {software: a}}", {"pools.c.software": "007"}, 'pools: {c: {software: "007"}}'),
        ("pools: {c: {zones: []}}", {"pools.c.zones": ("us-west-2a", "us-west-2b")}, None),
        (
            "pools:\n  c:\n    zones:\n      - us-west-2a\n      - us-west-2b  # y\n    size: 1\n",
            {"pools.c.zones": []},
            None,
        ),
        ("pools:\n  c:\n    zones:\n    - us-west-2a\n\n    # size\n    size: 1\n", {"pools.c.size": 2}, None),
        ("pools:\n  c:\n    volume:\n      size: 50\n# end\n", {"pools.c.volume.type": "gp2"}, None),
        ("pools:\n  c:\n    software: |-\n      a\n    size: 2\n", {"pools.c.software": "b"}, None),
    ],
)
def test_edits_fit_into_the_text_as_it_is_written(before: str, changes: dict[str, Any], after: str | None) -> None:
    edited = edit_lab(before, changes)
    assert after is None or edited == after
    assert edited.endswith("\n") == before.endswith("\n")
    assert [line for line in before.splitlines() if line.startswith("#")] == [
        line for line in edited.splitlines() if line.startswith("#")
    ]
    ((path, value),) = changes.items()
    found: Any = parse_lab(edited).lab
    for name in path.split("."):
        found = found[name] if isinstance(found, dict) else getattr(found, name)
    assert found == (tuple(value) if isinstance(value, list) else value)


def test_a_block_is_replaced_in_place() -> None:
    before = "pools:\n  c:\n    zones:\n      - us-west-2a\n      - us-west-2b  # y\n    size: 1\n"
    assert edit_lab(before, {"pools.c.zones": []}) == "pools:\n  c:\n    zones: []  # y\n    size: 1\n"


def test_several_changes_are_made_at_once() -> None:
    edited = edit_lab(EXAMPLE, {"pools.client.size": 0, "pools.gpu.size": 4, "vm_auth": "hostname"})
    lab = parse_lab(edited).lab
    assert (lab.pools["client"].size, lab.pools["gpu"].size, lab.vm_auth) == (0, 4, "hostname")
    assert [line for line in changed_lines(EXAMPLE, edited) if line.startswith("-")] == [
        "-    size: 5                 # VMs to keep"
    ]


def test_an_invalid_change_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidDocument, match=r"pools\.client\.size: must be at least 0, not -1"):
        edit_lab(EXAMPLE, {"pools.client.size": -1})
    with pytest.raises(InvalidDocument, match=r"pools\.client\.size: min \(9\) must not be above max \(2\)"):
        edit_lab(EXAMPLE, {"pools.client.size": {"min": 9, "max": 2, "spare": 2}})
    with pytest.raises(InvalidDocument, match="unknown field"):
        edit_lab(EXAMPLE, {"pools.client.sise": 5})


def test_a_text_cannot_smuggle_in_another_field() -> None:
    with pytest.raises(InvalidDocument, match="name of a process"):
        edit_lab("pools: {c: {software: a}}", {"pools.c.software": "b, size: 5"})
    with pytest.raises(InvalidDocument, match="name of a process"):
        edit_lab("pools: {c: {software: 'a'}}", {"pools.c.software": "b'\nsize: 5\x85\u2028"})


@pytest.mark.parametrize("path", ["pools.a.size", "pools.b.size", "pools.b"])
def test_a_shared_value_is_left_to_its_author(path: str) -> None:
    text = "pools:\n  a: &a {size: 2}\n  b: *a\n"
    with pytest.raises(InvalidDocument, match="shared with other places by an anchor"):
        edit_lab(text, {path: 4 if path.endswith("size") else {"size": 4}})


def test_equal_texts_have_no_diff_and_others_name_both_sides() -> None:
    assert diff_texts("a\n", "a\n") == ""
    assert diff_texts("a\n", "b\n", ("version 1", "file")) == "--- version 1\n+++ file\n@@ -1 +1 @@\n-a\n+b\n"
