"""The schema of a resource type, data source or provider, read from `terraform providers schema -json` (`schema.json`).

What that JSON cannot say (which change replaces, which default the provider fills in) is laid over it as `Rules`, by
dotted attribute names. The planner, the resources and the servicer ask these classes; nothing here touches AWS.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.aws_provider import wire
from sandbox.aws_provider.values import UNKNOWN, canonical, same_json, sorted_canonically

_NESTING = {"single": 1, "list": 2, "set": 3, "map": 4, "group": 5}
_PUBLISHED = Path(__file__).with_name("schema.json")
_SOURCE = "registry.terraform.io/hashicorp/aws"


@dataclass(frozen=True)
class Rules:
    """What the real provider does beyond its published schema; names in blocks are dotted: `root_block_device.iops`."""

    replaced_by: frozenset[str] = frozenset()  # a change of these makes a new resource
    defaults: Mapping[str, Any] = field(default_factory=dict)  # planned where the configuration is silent
    json_documents: frozenset[str] = frozenset()  # compared as JSON, not as text
    computed_blocks: frozenset[str] = frozenset()  # absent from the configuration: whatever is there, is kept
    # computed attribute: the changes in whose plan it is unknown again
    follows: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def names(self) -> set[str]:
        """All attribute and block names that the rules speak of."""
        return {*self.replaced_by, *self.defaults, *self.json_documents, *self.computed_blocks, *self.follows}


NO_RULES = Rules()


def words(text: str) -> frozenset[str]:
    """Names written in one text."""
    return frozenset(text.split())


@dataclass(frozen=True)
class Attribute:
    """One attribute; `type` in Terraform's JSON notation, for example `["set", "string"]`."""

    type: Any
    required: bool
    optional: bool
    computed: bool
    sensitive: bool
    replaces: bool
    is_json: bool
    default: Any
    follows: frozenset[str]

    def same(self, one: Any, other: Any) -> bool:
        if one is UNKNOWN or other is UNKNOWN:
            return one is other
        return bool(canonical(self.type, one) == canonical(self.type, other)) or (
            self.is_json and same_json(one, other)
        )


@dataclass(frozen=True)
class NestedBlock:
    """A block type inside a block; `computed` blocks keep what is there when the configuration has none."""

    nesting: str
    min_items: int
    max_items: int
    computed: bool
    replaces: bool
    block: "Block"

    def canonical(self, value: Any) -> Any:
        if value is UNKNOWN or not value:
            return UNKNOWN if value is UNKNOWN else None
        if self.nesting == "single":
            return self.block.canonical(value)
        items = [self.block.canonical(item) for item in value]
        return sorted_canonically(items) if self.nesting == "set" else items

    def same(self, one: Any, other: Any) -> bool:
        return bool(self.canonical(one) == self.canonical(other))

    def fill(self, value: Any) -> Any:
        if value is UNKNOWN or self.nesting == "single":
            return self.block.fill(value)
        return [self.block.fill(item) for item in value or []]


@dataclass(frozen=True)
class Block:
    """A body: attributes and nested blocks by name."""

    attributes: Mapping[str, Attribute]
    blocks: Mapping[str, NestedBlock]
    version: int = 0

    def fill(self, value: Any) -> Any:
        """Gives a partial value every key that the schema has and no other, as Terraform wants it."""
        if value is None or value is UNKNOWN:
            return value
        filled = {name: _conform(attribute.type, value.get(name)) for name, attribute in self.attributes.items()}
        return filled | {name: nested.fill(value.get(name)) for name, nested in self.blocks.items()}

    def canonical(self, value: Mapping[str, Any]) -> dict[str, Any]:
        attributes = {name: canonical(item.type, value.get(name)) for name, item in self.attributes.items()}
        return attributes | {name: item.canonical(value.get(name)) for name, item in self.blocks.items()}

    def find_read_only(self, config: Mapping[str, Any]) -> str | None:
        """The first attribute that a configuration sets although AWS alone decides it."""
        for name, attribute in self.attributes.items():
            if config.get(name) is not None and not (attribute.optional or attribute.required):
                return name
        for name, nested in self.blocks.items():
            bodies = config.get(name) or []
            for body in bodies if isinstance(bodies, list) else [bodies]:
                if body is not UNKNOWN and (found := nested.block.find_read_only(body)):
                    return found
        return None

    def members(self) -> Mapping[str, Attribute | NestedBlock]:
        return {**self.attributes, **self.blocks}

    def defaults(self) -> dict[str, Any]:
        """The top attributes that the provider fills in."""
        return {name: item.default for name, item in self.attributes.items() if item.default is not None}

    def to_wire(self) -> Any:
        """The protocol's `Block` message."""
        message = wire.Block(version=self.version)
        for name, item in sorted(self.attributes.items()):
            message.attributes.add(
                name=name,
                type=json.dumps(item.type).encode(),
                required=item.required,
                optional=item.optional,
                computed=item.computed,
                sensitive=item.sensitive,
            )
        for name, nested in sorted(self.blocks.items()):
            message.block_types.add(
                type_name=name,
                block=nested.block.to_wire(),
                nesting=_NESTING[nested.nesting],
                min_items=nested.min_items,
                max_items=nested.max_items,
            )
        return message

    def to_schema_message(self) -> Any:
        return wire.Schema(version=self.version, block=self.to_wire())


def _conform(type_: Any, value: Any) -> Any:
    if value is None or value is UNKNOWN or isinstance(type_, str):
        return value
    kind, inner = type_
    if kind == "object":
        return {name: _conform(inner[name], value.get(name)) for name in inner}
    if kind == "map":
        return {name: _conform(inner, item) for name, item in value.items()}
    return [_conform(inner, item) for item in value]


def read_block(document: Mapping[str, Any], rules: Rules = NO_RULES, prefix: str = "") -> Block:
    """A block from its JSON form (`{"attributes": …, "block_types": …}`), with rules for names under `prefix`."""
    return Block(
        attributes={
            name: _read_attribute(item, rules, prefix + name) for name, item in document.get("attributes", {}).items()
        },
        blocks={
            name: NestedBlock(
                nesting=item["nesting_mode"],
                min_items=item.get("min_items", 0),
                max_items=item.get("max_items", 0),
                computed=prefix + name in rules.computed_blocks,
                replaces=prefix + name in rules.replaced_by,
                block=read_block(item["block"], rules, f"{prefix}{name}."),
            )
            for name, item in document.get("block_types", {}).items()
        },
    )


def _read_attribute(document: Mapping[str, Any], rules: Rules, name: str) -> Attribute:
    return Attribute(
        type=document["type"],
        required=document.get("required", False),
        optional=document.get("optional", False),
        computed=document.get("computed", False),
        sensitive=document.get("sensitive", False),
        replaces=name in rules.replaced_by,
        is_json=name in rules.json_documents,
        default=rules.defaults.get(name),
        follows=rules.follows.get(name, frozenset()),
    )


def unknown_names(block: Block, rules: Rules) -> set[str]:
    """Names in the rules that the schema does not have: mistakes of ours."""

    def walk(body: Block, prefix: str) -> set[str]:
        found = {prefix + name for name in body.members()}
        for name, nested in body.blocks.items():
            found |= walk(nested.block, f"{prefix}{name}.")
        return found

    return rules.names() - walk(block, "")


@dataclass(frozen=True)
class PublishedSchemas:
    """The JSON blocks of all resource types and data sources of one provider version."""

    version: str
    resources: Mapping[str, Mapping[str, Any]]
    data_sources: Mapping[str, Mapping[str, Any]]


def read_published_schemas() -> PublishedSchemas:
    document = json.loads(_PUBLISHED.read_text(encoding="utf-8"))
    provider = document["provider_schemas"][_SOURCE]
    return PublishedSchemas(
        version=document["provider_version"],
        resources={name: item["block"] for name, item in provider["resource_schemas"].items()},
        data_sources={name: item["block"] for name, item in provider["data_source_schemas"].items()},
    )
