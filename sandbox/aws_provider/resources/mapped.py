"""Resource types that are little more than boto3's calls under other names: a type states its calls and its names in a table.

`Mapped` does the rest: create, tag, read back, change, remove. What a type has beyond that it says in the few hooks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sandbox.aws_provider.core import State, Tagged, given, read_tags, removed_tags, render_tags
from sandbox.aws_provider.values import is_known


@dataclass(frozen=True)
class Calls:
    """The methods of one service's client for one type; paths are dotted, numbers index lists."""

    service: str
    create: str
    read: str
    delete: str
    key: str  # the argument that names one object
    found: str  # path of the object in what `read` answers
    made: str = ""  # path of the id in what `create` answers; empty: the id is the attribute `name`
    update: str = ""  # takes what has changed of `sent`; empty: nothing is changed in place
    lists: bool = False  # `read` takes a list of keys


@dataclass(frozen=True)
class Tagging:
    """How a service tags: methods, the argument that names the object, and how the tags are written."""

    add: str
    remove: str
    read: str
    key: str
    found: str
    tags: str = "Tags"
    as_map: bool = False
    in_list: bool = False
    more: Mapping[str, str] | None = None

    def name(self, identity: str) -> dict[str, Any]:
        return {**(self.more or {}), self.key: [identity] if self.in_list else identity}

    def write(self, client: Any, identity: str, tags: Mapping[str, str]) -> None:
        if tags:
            getattr(client, self.add)(
                **self.name(identity), **{self.tags: dict(tags) if self.as_map else render_tags(tags)}
            )

    def take_away(self, client: Any, identity: str, keys: list[str]) -> None:
        if keys:
            getattr(client, self.remove)(**self.name(identity), TagKeys=keys)

    def look(self, client: Any, identity: str) -> dict[str, str]:
        tags = dig(getattr(client, self.read)(**self.name(identity)), self.found)
        return dict(tags or {}) if self.as_map else read_tags(tags)


_BY_ARN = ("tag_resource", "untag_resource")
TAGGING: Mapping[str, Tagging] = {
    "cloudwatch": Tagging(*_BY_ARN, "list_tags_for_resource", "ResourceARN", "Tags"),
    "dynamodb": Tagging(*_BY_ARN, "list_tags_of_resource", "ResourceArn", "Tags"),
    "elbv2": Tagging(
        "add_tags", "remove_tags", "describe_tags", "ResourceArns", "TagDescriptions.0.Tags", in_list=True
    ),
    "iam": Tagging("tag_policy", "untag_policy", "list_policy_tags", "PolicyArn", "Tags"),
    "lambda": Tagging(*_BY_ARN, "list_tags", "Resource", "Tags", as_map=True),
    "rds": Tagging(
        "add_tags_to_resource", "remove_tags_from_resource", "list_tags_for_resource", "ResourceName", "TagList"
    ),
    "sqs": Tagging("tag_queue", "untag_queue", "list_queue_tags", "QueueUrl", "Tags", as_map=True),
    "ssm": Tagging(
        "add_tags_to_resource",
        "remove_tags_from_resource",
        "list_tags_for_resource",
        "ResourceId",
        "TagList",
        more={"ResourceType": "Parameter"},
    ),
}


def dig(value: Any, path: str) -> Any:
    """What lies at a dotted path, or None where it breaks off."""
    for step in filter(None, path.split(".")):
        try:
            value = value[int(step)] if step.isdecimal() else value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


class Mapped(Tagged):
    """A type by its table. `sent`: attribute → argument, also the name in what is read; `seen`: attribute → path, read only."""

    calls: ClassVar[Calls]
    sent: ClassVar[Mapping[str, str]] = {}
    seen: ClassVar[Mapping[str, str]] = {}

    @property
    def aws(self) -> Any:
        return self.client(self.calls.service)

    def propose(self, prior: State | None, proposed: State, config: State) -> None:
        if "tags_all" in proposed:
            super().propose(prior, proposed, config)

    def arguments(self, planned: State) -> dict[str, Any]:
        """Further arguments of the create call."""
        return {}

    def locate(self, identity: str) -> dict[str, Any]:
        """The arguments that name one object."""
        return {self.calls.key: identity}

    def render(self, found: dict[str, Any], state: State) -> State:
        """Attributes that are no plain part of what was found."""
        return {}

    def tagged_as(self, identity: str) -> str:
        """The object's name for the tagging calls."""
        return identity

    def create(self, planned: State) -> str:
        answer = getattr(self.aws, self.calls.create)(**given(planned, self.sent), **self.arguments(planned))
        return str(dig(answer, self.calls.made) if self.calls.made else planned["name"])

    def complete(self, identity: str, planned: State) -> None:
        if self._is_tagged(planned):
            self.write_tags(identity, planned["tags_all"] or {}, [])

    def read(self, state: State) -> State | None:
        where = self.locate(state["id"])
        if self.calls.lists:
            where[f"{self.calls.key}s"] = [where.pop(self.calls.key)]
        found = dig(getattr(self.aws, self.calls.read)(**where), self.calls.found)
        if found is None:
            return None
        values = {name: dig(found, path) for name, path in {**self.sent, **self.seen}.items()}
        known = {name: value for name, value in values.items() if value is not None}
        tags = self.split_tags(state, self.read_tags(state["id"], found)) if self._is_tagged(state) else {}
        return {**known, **self.render(found, state), **tags}

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        names = {name: argument for name, argument in self.sent.items() if name in changed}
        if names and self.calls.update:
            getattr(self.aws, self.calls.update)(**self.locate(prior["id"]), **given(planned, names))
        if "tags_all" in changed:
            self.write_tags(prior["id"], planned["tags_all"] or {}, removed_tags(prior, planned))

    def delete(self, state: State) -> None:
        getattr(self.aws, self.calls.delete)(**self.locate(state["id"]))

    def write_tags(self, identity: str, tags: Mapping[str, str], removed: list[str]) -> None:
        name = self.tagged_as(identity)
        if self.calls.service == "ec2":
            if removed:
                self.aws.delete_tags(Resources=[name], Tags=[{"Key": key} for key in removed])
            if tags:
                self.aws.create_tags(Resources=[name], Tags=render_tags(tags))
            return
        tagging = TAGGING[self.calls.service]
        tagging.take_away(self.aws, name, removed)
        tagging.write(self.aws, name, tags)

    def read_tags(self, identity: str, found: dict[str, Any]) -> dict[str, str]:
        if self.calls.service == "ec2":
            return read_tags(found.get("Tags"))
        return TAGGING[self.calls.service].look(self.aws, self.tagged_as(identity))

    @staticmethod
    def _is_tagged(state: State) -> bool:
        return "tags_all" in state and is_known(state["tags_all"])
