"""The gate before an apply: exactly what was decided passes, everything else is refused with the difference."""

from collections.abc import Mapping
from typing import Any

import pytest

from controller.decide.state_change import ShardChange
from controller.decide.tfplan import check_base_plan, check_plan

NOTHING = ShardChange()


def vm(host: str, *actions: str, **more: Any) -> dict[str, Any]:
    importing = {"importing": {"id": more.pop("id")}} if "id" in more else {}
    return {
        "address": f'aws_instance.vm["{host}"]',
        "mode": "managed",
        "type": "aws_instance",
        "change": {"actions": list(actions), **importing},
        **more,
    }


def other(address: str, *actions: str, mode: str = "managed") -> dict[str, Any]:
    return {"address": address, "mode": mode, "type": address.partition(".")[0], "change": {"actions": list(actions)}}


def plan(*changes: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"errored": False, "complete": True, "resource_changes": list(changes), **more}


ACCEPTED = {
    "nothing": (plan(), NOTHING),
    "no-op": (plan(vm("a", "no-op")), NOTHING),
    "creates": (plan(vm("a", "no-op"), vm("b", "create")), ShardChange(creates=frozenset({"b"}))),
    "deletes": (plan(vm("a", "delete"), vm("b", "no-op")), ShardChange(deletes=frozenset({"a"}))),
    "imports": (plan(vm("a", "no-op", id="i-1")), ShardChange(imports={"a": "i-1"})),
    "all three": (
        plan(vm("a", "create"), vm("b", "delete"), vm("c", "no-op", id="i-3")),
        ShardChange(frozenset({"a"}), frozenset({"b"}), {"c": "i-3"}),
    ),
    "reads data": (plan(other("data.aws_vpc.default", "read", mode="data")), NOTHING),
}


@pytest.mark.parametrize(("found", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_exactly_what_was_decided_passes(found: Mapping[str, Any], expected: ShardChange) -> None:
    assert check_plan(found, expected) is None


REFUSED = {
    "one create too many": (plan(vm("a", "create")), NOTHING, "would create a, which nobody decided"),
    "one delete too many": (plan(vm("a", "delete")), NOTHING, "would delete a, which nobody decided"),
    "a missing create": (plan(), ShardChange(creates=frozenset({"a"})), "would not create a"),
    "a missing delete": (plan(vm("a", "no-op")), ShardChange(deletes=frozenset({"a"})), "would not delete a"),
    "another instance": (
        plan(vm("a", "no-op", id="i-2")),
        ShardChange(imports={"a": "i-1"}),
        "would import a as i-2, which nobody decided",
    ),
    "a missing import": (plan(vm("a", "no-op")), ShardChange(imports={"a": "i-1"}), "would not import a as i-1"),
    "a create in place of an import": (
        plan(vm("a", "create")),
        ShardChange(imports={"a": "i-1"}),
        "would create a, which nobody decided",
    ),
    "an import that changes": (plan(vm("a", "update", id="i-1")), ShardChange(imports={"a": "i-1"}), "update of a"),
    "an update": (plan(vm("a", "update")), NOTHING, "update of a"),
    "a replacement": (plan(vm("a", "delete", "create")), ShardChange(deletes=frozenset({"a"})), "delete/create of a"),
    "a replacement, new first": (plan(vm("a", "create", "delete")), NOTHING, "create/delete of a"),
    "a tainted one": (
        plan(vm("a", "delete", "create", action_reason="replace_because_tainted")),
        NOTHING,
        "delete/create of a (replace_because_tainted)",
    ),
    "a move": (plan(vm("a", "no-op", previous_address='aws_instance.vm["b"]')), NOTHING, "moves"),
    "a deposed object": (plan(vm("a", "delete", deposed="1234")), ShardChange(deletes=frozenset({"a"})), "deposed"),
    "forgetting": (plan(vm("a", "forget")), NOTHING, "forget of a"),
    "something else": (plan(other("aws_eip.x", "create")), NOTHING, "create of aws_eip.x, which is no VM"),
    "a VM of another module": (plan(other('module.x.aws_instance.vm["a"]', "create")), NOTHING, "which is no VM"),
    "an error": (plan(errored=True), NOTHING, "ended with an error"),
    "no word of errors": ({"complete": True, "resource_changes": []}, NOTHING, "ended with an error"),
    "an incomplete plan": (plan(complete=False), NOTHING, "not complete"),
    "a deferral": (plan(deferred_changes=[{}]), NOTHING, "puts off"),
}


@pytest.mark.parametrize(("found", "expected", "said"), REFUSED.values(), ids=REFUSED)
def test_everything_else_is_refused_with_the_difference(
    found: Mapping[str, Any], expected: ShardChange, said: str
) -> None:
    refusal = check_plan(found, expected)
    assert refusal is not None
    assert said in refusal.message


def test_a_long_list_of_differences_is_cut() -> None:
    refusal = check_plan(plan(*(vm(f"h{n}", "create") for n in range(30))), NOTHING)
    assert refusal is not None
    assert refusal.message.endswith("; and 20 more")


RULE, GROUP = "aws_vpc_security_group_ingress_rule.ssh", "aws_security_group.vm"


@pytest.mark.parametrize(
    ("address", "actions", "wanted", "passes"),
    [
        (GROUP, ["create"], True, True),
        (GROUP, ["update"], True, True),
        (GROUP, ["delete"], True, False),
        (GROUP, ["delete", "create"], True, False),
        (RULE, ["delete"], True, True),
        (RULE, ["delete", "create"], True, False),
        ("aws_key_pair.vm", ["delete", "create"], True, False),
        ("aws_iam_user.x", ["create"], True, False),
        (GROUP, ["delete"], False, True),
        (GROUP, ["create"], False, False),
        (GROUP, ["update"], False, False),
    ],
)
def test_a_base_is_made_and_corrected_but_never_replaced(
    address: str, actions: list[str], wanted: bool, passes: bool
) -> None:
    refusal = check_base_plan(plan(other(address, *actions)), wanted=wanted)
    assert (refusal is None) is passes
