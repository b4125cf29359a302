"""What a resource type and a data source are: small classes over `Cloud`, called by the servicer with plain dicts.

A type says by class attributes what its schema cannot (`rules`, `noun`, `gone_codes`) and by a few methods how boto3
makes, reads, changes and removes it. A type without such a class is `Unsimulated`.
"""

import itertools
import logging
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from sandbox.aws_provider.cloud import Cloud
from sandbox.aws_provider.errors import read_code
from sandbox.aws_provider.plan import Plan
from sandbox.aws_provider.schema import NO_RULES, Block, Rules
from sandbox.aws_provider.values import UNKNOWN, is_known

State = dict[str, Any]
_log = logging.getLogger(__name__)
_counter = itertools.count()
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


class Resource:
    """One resource of a type in one region. `create` returns its id as soon as AWS knows it; `complete` does the rest.

    What fails in `complete` leaves the resource in the state, tainted, and so does what fails in the read after it.
    """

    type_name: ClassVar[str]
    noun: ClassVar[str]  # as in the real provider's errors: "creating EC2 Instance: …"
    rules: ClassVar[Rules] = NO_RULES
    gone_codes: ClassVar[frozenset[str]] = frozenset()  # AWS codes that mean: it does not exist
    removal: ClassVar[str] = "deleting"

    def __init__(self, cloud: Cloud, region: str | None = None) -> None:
        self.cloud = cloud
        self.region = region or cloud.region

    def client(self, service: str) -> Any:
        return self.cloud.client(service, self.region)

    def is_gone(self, error: BaseException) -> bool:
        return read_code(error) in self.gone_codes

    @classmethod
    def check(cls, config: State) -> None:
        """Judges a configuration (it may hold unknowns); ProviderError when it cannot be."""

    def propose(self, prior: State | None, proposed: State, config: State) -> None:
        """Edits the proposed state before it is planned."""

    def adjust(self, plan: Plan, prior: State | None) -> None:
        """Edits the plan: more replacement, more unknowns."""

    def create(self, planned: State) -> str:
        raise NotImplementedError

    def complete(self, identity: str, planned: State) -> None:
        """What is left to do once the resource has its id."""

    def read(self, state: State) -> State | None:
        """Attributes as AWS has them now, those it cannot tell left out; None when the resource is gone."""
        raise NotImplementedError

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        """Makes the changes named; never called for those that force replacement."""

    def delete(self, state: State) -> None:
        raise NotImplementedError

    def import_(self, identity: str) -> State:
        """Enough state for `read` to find it; the servicer adds the defaults."""
        return {"id": identity}


class Tagged(Resource):
    """A resource with `tags`, and with `tags_all`: the provider's default tags under them."""

    def propose(self, prior: State | None, proposed: State, config: State) -> None:
        super().propose(prior, proposed, config)
        tags = proposed.get("tags")
        proposed["tags_all"] = {**self.cloud.default_tags, **(tags or {})} if is_known(tags) else UNKNOWN

    def split_tags(self, state: State, remote: Mapping[str, str]) -> State:
        """What AWS's tags mean for the two attributes: a default tag is in `tags` only when it was written there."""
        written = state.get("tags") or {}
        own = {k: v for k, v in remote.items() if k in written or self.cloud.default_tags.get(k) != v}
        return {"tags": own if own or state.get("tags") is not None else None, "tags_all": dict(remote)}


class DataSource:
    """One read of a data source; `region` as in `Resource`."""

    type_name: ClassVar[str]
    noun: ClassVar[str]

    def __init__(self, cloud: Cloud, region: str | None = None) -> None:
        self.cloud = cloud
        self.region = region or cloud.region

    def client(self, service: str) -> Any:
        return self.cloud.client(service, self.region)

    def read(self, config: State) -> State:
        raise NotImplementedError


class Unsimulated(Resource):
    """A type that is in the schema but has no class: Terraform's state is all there is of it, computed values are made up."""

    noun = "resource"
    block: ClassVar[Block]

    def create(self, planned: State) -> str:
        identity = f"{self.type_name.removeprefix('aws_').replace('_', '-')}-{secrets.token_hex(8)}"
        _log.warning("%s is not simulated: %s is in Terraform's state only, made up", self.type_name, identity)
        return identity

    def read(self, state: State) -> State:
        return make_up(self.block, state, self.cloud, self.region)

    def delete(self, state: State) -> None:
        _log.warning("%s is not simulated: %s is forgotten", self.type_name, state["id"])


def unsimulated(type_name: str, block: Block) -> type[Unsimulated]:
    """A class for a type that nobody wrote one for."""
    return type(f"Unsimulated_{type_name}", (Unsimulated,), {"type_name": type_name, "block": block})


class UnsimulatedData(DataSource):
    """A data source without a class: computed values are made up."""

    noun = "data source"
    block: ClassVar[Block]

    def read(self, config: State) -> State:
        _log.warning("data.%s is not simulated: its values are made up", self.type_name)
        return make_up(self.block, config, self.cloud, self.region)


def unsimulated_data(type_name: str, block: Block) -> type[UnsimulatedData]:
    return type(f"Unsimulated_{type_name}", (UnsimulatedData,), {"type_name": type_name, "block": block})


def make_up(block: Block, state: State, cloud: Cloud, region: str) -> State:
    """Values for the computed attributes that have none yet."""
    identity = state.get("id") or f"made-up-{secrets.token_hex(8)}"
    made_up: State = {}
    for name, attribute in block.attributes.items():
        if not attribute.computed or state.get(name) is not None:
            continue
        if name == "arn" or name.endswith("_arn"):
            made_up[name] = cloud.arn("made-up", identity, region)
        elif isinstance(attribute.type, str):
            made_up[name] = {"number": 0, "bool": False, "string": identity}.get(attribute.type)
        else:
            made_up[name] = {} if attribute.type[0] == "map" else None if attribute.type[0] == "object" else []
    return {**made_up, "id": identity}


def read_tags(tags: list[dict[str, str]] | None) -> dict[str, str]:
    """AWS's list of tags as a map, without AWS's own."""
    return {tag["Key"]: tag["Value"] for tag in tags or [] if not tag["Key"].startswith("aws:")}


def render_tags(tags: Mapping[str, str] | None) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted((tags or {}).items())]


def removed_tags(prior: State, planned: State) -> list[str]:
    return [key for key in prior["tags_all"] or {} if key not in (planned["tags_all"] or {})]


def given(planned: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """boto3 arguments by our attribute names, those left out whose value is unset or unknown; numbers made whole."""
    arguments = {}
    for name, argument in names.items():
        value = planned.get(name)
        if value is not None and value != "" and is_known(value):
            arguments[argument] = int(value) if isinstance(value, float) else value
    return arguments


def fresh_name(planned: State, name: str = "name", prefix: str = "name_prefix") -> str:
    """The name asked for, or one made of the prefix (else `terraform-`), the time and a counter."""
    if is_known(planned.get(name)) and planned.get(name):
        return str(planned[name])
    start = planned.get(prefix)
    start = start if start and is_known(start) else "terraform-"
    return f"{start}{datetime.now(UTC):%Y%m%d%H%M%S%f}{next(_counter) % 0xFFFFFFFF:08x}"


def timeout_s(state: State, step: str, default_s: float) -> float:
    """A `timeouts` value (`"10m"`, `"1h30m"`) in seconds."""
    text = (state.get("timeouts") or {}).get(step)
    parts = _DURATION.findall(text) if isinstance(text, str) else []
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) or default_s
