"""The gate before every apply: a saved plan, read as JSON, must ask for exactly what the rows ask for.

Called by actuation with the output of `terraform show -json` (https://developer.hashicorp.com/terraform/internals/json-format).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.decide.state_change import ShardChange

VM_ADDRESS = re.compile(r'aws_instance\.vm\["([^"]+)"\]')
BASE_TYPES = frozenset(
    {
        "aws_security_group",
        "aws_vpc_security_group_ingress_rule",
        "aws_vpc_security_group_egress_rule",
        "aws_iam_role",
        "aws_iam_role_policy",
        "aws_iam_instance_profile",
        "aws_key_pair",
    }
)
NO_OP, CREATE, DELETE, UPDATE = ["no-op"], ["create"], ["delete"], ["update"]


@dataclass(frozen=True, slots=True)
class PlanRefusal:
    """Why a plan is not applied: one line a difference."""

    differences: tuple[str, ...]

    @property
    def message(self) -> str:
        shown = "; ".join(self.differences[:10])
        more = len(self.differences) - 10
        return shown + (f"; and {more} more" if more > 0 else "")


@dataclass(slots=True)
class _Found:
    """What a plan asks for, and what no plan of ours may ask for."""

    creates: set[str] = field(default_factory=set)
    deletes: set[str] = field(default_factory=set)
    imports: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


def check_plan(plan: Mapping[str, Any], expected: ShardChange) -> PlanRefusal | None:
    """None when the plan of a shard creates, deletes and imports exactly what is expected and nothing else."""
    found = _Found(refused=_check_whole(plan))
    for change in plan.get("resource_changes", []):
        if not _is_harmless_read(change):
            _read_vm_change(change, found)
    _compare("create", expected.creates, found.creates, found.refused)
    _compare("delete", expected.deletes, found.deletes, found.refused)
    wanted = {f"{host} as {instance_id}" for host, instance_id in expected.imports.items()}
    _compare("import", wanted, {f"{host} as {i}" for host, i in found.imports.items()}, found.refused)
    return PlanRefusal(tuple(found.refused)) if found.refused else None


def check_base_plan(plan: Mapping[str, Any], *, wanted: bool) -> PlanRefusal | None:
    """None when the plan of a base only makes and corrects what is wanted, or only deletes what is not wanted any more.

    A rule whose network is not declared any more is deleted from a wanted base, too. Nothing is ever replaced: instances hold
    the security group, and the name of the role is in use.
    """
    refused = _check_whole(plan)
    for change in plan.get("resource_changes", []):
        if not _is_harmless_read(change):
            refused += _check_base_change(change, wanted)
    return PlanRefusal(tuple(refused)) if refused else None


def _check_whole(plan: Mapping[str, Any]) -> list[str]:
    refused = []
    if plan.get("errored") is not False:
        refused.append("the plan ended with an error")
    if plan.get("complete") is not True:
        refused.append("the plan is not complete")
    if plan.get("deferred_changes"):
        refused.append("the plan puts off a part of its changes")
    return refused


def _is_harmless_read(change: Mapping[str, Any]) -> bool:
    return change.get("mode") == "data" and change["change"]["actions"] in (["read"], NO_OP)


def _check_kind(change: Mapping[str, Any]) -> str | None:
    """What is wrong with a change whatever it is about."""
    address = change["address"]
    if change.get("previous_address", address) != address:
        return f"moves {change['previous_address']} to {address}"
    if change.get("deposed"):
        return f"touches a deposed object of {address}"
    if change.get("mode") != "managed":
        return f"{'/'.join(change['change']['actions'])} of {address}"
    return None


def _read_vm_change(change: Mapping[str, Any], found: _Found) -> None:
    address, actions = change["address"], change["change"]["actions"]
    match = VM_ADDRESS.fullmatch(address)
    importing = change["change"].get("importing")
    if (wrong := _check_kind(change)) is not None:
        found.refused.append(wrong)
    elif match is None:
        found.refused.append(f"{'/'.join(actions)} of {address}, which is no VM")
    elif actions == NO_OP and importing:
        found.imports[match[1]] = str(importing.get("id"))
    elif actions == CREATE and not importing:
        found.creates.add(match[1])
    elif actions == DELETE and not importing:
        found.deletes.add(match[1])
    elif actions != NO_OP:
        reason = change.get("action_reason")
        found.refused.append(f"{'/'.join(actions)} of {match[1]}" + (f" ({reason})" if reason else ""))


def _check_base_change(change: Mapping[str, Any], wanted: bool) -> list[str]:
    address, actions, kind = change["address"], change["change"]["actions"], change.get("type", "")
    if (wrong := _check_kind(change)) is not None:
        return [wrong]
    rule = kind.endswith("_rule")
    allowed = [NO_OP, CREATE, UPDATE, *([DELETE] if rule else [])] if wanted else [NO_OP, DELETE]
    if kind not in BASE_TYPES or actions not in allowed:
        return [f"{'/'.join(actions)} of {address}"]
    return []


def _compare(verb: str, wanted: "frozenset[str] | set[str]", found: set[str], refused: list[str]) -> None:
    refused.extend(f"would {verb} {name}, which nobody decided" for name in sorted(found - wanted))
    refused.extend(f"would not {verb} {name}" for name in sorted(wanted - found))
