"""Tags of EC2 objects: at creation by TagSpecifications, later by CreateTags and DeleteTags."""

from collections.abc import Mapping
from typing import Any

from sandbox.aws_provider.core import State, removed_tags, render_tags


def tag_specifications(kind: str, tags: Mapping[str, str] | None) -> list[dict[str, Any]]:
    """The argument that sets tags in the creating call itself, so that nothing is ever there without them."""
    return [{"ResourceType": kind, "Tags": render_tags(tags)}] if tags else []


def retag(ec2: Any, identity: str, prior: State, planned: State) -> None:
    """Makes `tags_all` of one object so."""
    removed = removed_tags(prior, planned)
    if removed:
        ec2.delete_tags(Resources=[identity], Tags=[{"Key": key} for key in removed])
    if planned["tags_all"]:
        ec2.create_tags(Resources=[identity], Tags=render_tags(planned["tags_all"]))
