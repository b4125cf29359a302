"""The planner: from prior state, proposed state and configuration to the planned state and what forces replacement.

Pure; called by the servicer for every PlanResourceChange, and again in an update to learn which attributes changed.
"""

from dataclasses import dataclass, field
from typing import Any

from sandbox.aws_provider.schema import Block, NestedBlock
from sandbox.aws_provider.values import UNKNOWN

Path = tuple[str | int, ...]


@dataclass
class Plan:
    """The planned state, the top names that differ from the prior one, and the paths that force replacement."""

    state: dict[str, Any]
    changed: set[str] = field(default_factory=set)
    replace: list[Path] = field(default_factory=list)


def plan_change(block: Block, prior: dict[str, Any] | None, proposed: dict[str, Any], config: dict[str, Any]) -> Plan:
    """Plans a create (`prior` None) or an update; edits and returns `proposed`.

    Only-`timeouts` differences are no change at all, as with the real provider.
    """
    if prior is None:
        _fill_new(block, proposed)
        return Plan(proposed)
    plan = Plan(proposed)
    _plan_attributes(block, prior, config, plan)
    for name, nested in block.blocks.items():
        _plan_block(name, nested, prior, config, plan)
    if not plan.changed - {"timeouts"}:
        return Plan(prior)
    for name, attribute in block.attributes.items():
        if attribute.follows & plan.changed and name not in plan.changed and config.get(name) is None:
            proposed[name] = UNKNOWN
    return plan


def _fill_new(block: Block, value: dict[str, Any]) -> None:
    """A body that does not exist yet: what the configuration leaves open is a default or only known after the apply."""
    for name, attribute in block.attributes.items():
        if value.get(name) is not None:
            continue
        if attribute.default is not None:
            value[name] = attribute.default
        elif attribute.computed:
            value[name] = UNKNOWN
    for name, nested in block.blocks.items():
        body = value.get(name)
        if not body and body is not UNKNOWN and nested.computed:
            value[name] = UNKNOWN
        elif isinstance(body, dict):
            _fill_new(nested.block, body)
        elif isinstance(body, list):
            for item in body:
                _fill_new(nested.block, item)


def _plan_attributes(block: Block, prior: dict[str, Any], config: dict[str, Any], plan: Plan) -> None:
    for name, attribute in block.attributes.items():
        if plan.state.get(name) is None and attribute.default is not None and config.get(name) is None:
            plan.state[name] = attribute.default
        if attribute.same(prior.get(name), plan.state.get(name)):
            plan.state[name] = prior.get(name)
            continue
        plan.changed.add(name)
        if attribute.replaces:
            plan.replace.append((name,))


def _plan_block(name: str, nested: NestedBlock, prior: dict[str, Any], config: dict[str, Any], plan: Plan) -> None:
    planned, before = plan.state.get(name), prior.get(name)
    if nested.computed and not config.get(name) and before:
        planned = before
    elif isinstance(planned, list):
        _plan_items(name, nested, before or [], planned, plan)
    if nested.same(before, planned):
        plan.state[name] = before
        return
    plan.state[name] = planned
    plan.changed.add(name)
    if nested.replaces:
        plan.replace.append((name,))


def _plan_items(name: str, nested: NestedBlock, before: list[Any], planned: list[Any], plan: Plan) -> None:
    """Pairs the items of a list by their index, those of a set by what is written in them; one without a pair is new."""
    if nested.nesting == "set":
        for index, item in enumerate(planned):
            paired = next((other for other in before if _is_within(nested.block, item, other)), None)
            planned[index] = paired or item
            if paired is None:
                _fill_new(nested.block, item)
        return
    for index, item in enumerate(planned):
        if index < len(before):
            inner = Plan(item)
            _plan_attributes(nested.block, before[index], item, inner)
            for child, deeper in nested.block.blocks.items():
                _plan_block(child, deeper, before[index], item, inner)
            plan.replace += [(name, index, *path) for path in inner.replace]
        else:
            _fill_new(nested.block, item)


def _is_within(block: Block, written: dict[str, Any], existing: dict[str, Any]) -> bool:
    """Whether all that is written in a body is so in an existing one, which has the provider's values besides."""
    return all(
        member.same(value, existing.get(name))
        for name, member in block.members().items()
        if (value := written.get(name)) is not None and value != []
    )
