"""IAM: `aws_iam_role`, `aws_iam_role_policy`, `aws_iam_role_policy_attachment`, `aws_iam_instance_profile`."""

import json
from datetime import datetime
from typing import Any

from sandbox.aws_provider.core import Resource, State, Tagged, fresh_name, given, read_tags, removed_tags, render_tags
from sandbox.aws_provider.errors import CloudError, ProviderError, read_code
from sandbox.aws_provider.schema import Rules
from sandbox.aws_provider.values import is_known

_GONE = frozenset({"NoSuchEntity"})


class Role(Tagged):
    """A role; its id is its name."""

    type_name = "aws_iam_role"
    noun = "IAM Role"
    gone_codes = _GONE
    rules = Rules(
        replaced_by=frozenset({"name", "name_prefix", "path"}),
        defaults={"force_detach_policies": False, "max_session_duration": 3600, "path": "/"},
        json_documents=frozenset({"assume_role_policy", "inline_policy.policy"}),
        computed_blocks=frozenset({"inline_policy"}),
    )

    def create(self, planned: State) -> str:
        names = {"description": "Description", "permissions_boundary": "PermissionsBoundary", "path": "Path"}
        made = self.client("iam").create_role(
            RoleName=fresh_name(planned),
            AssumeRolePolicyDocument=planned["assume_role_policy"],
            MaxSessionDuration=int(planned["max_session_duration"]),
            Tags=render_tags(planned["tags_all"]),
            **given(planned, names),
        )
        return str(made["Role"]["RoleName"])

    def complete(self, identity: str, planned: State) -> None:
        if is_known(planned["managed_policy_arns"]):
            self._attach_only(identity, [], planned["managed_policy_arns"] or [])
        if is_known(planned["inline_policy"]):
            self._inline_only(identity, [], planned["inline_policy"])

    def read(self, state: State) -> State | None:
        iam, name = self.client("iam"), state["id"]
        role = iam.get_role(RoleName=name)["Role"]
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        return {
            "arn": role["Arn"],
            "assume_role_policy": _render_document(role["AssumeRolePolicyDocument"]),
            "create_date": _render_time(role["CreateDate"]),
            "description": role.get("Description", ""),
            "inline_policy": [
                self._read_inline(name, item) for item in state.get("inline_policy") or [] if item["name"]
            ],
            "managed_policy_arns": [item["PolicyArn"] for item in attached],
            "max_session_duration": role.get("MaxSessionDuration", 3600),
            "name": role["RoleName"],
            "name_prefix": state.get("name_prefix") or "",
            "path": role["Path"],
            "permissions_boundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""),
            "unique_id": role["RoleId"],
            **self.split_tags(state, read_tags(role.get("Tags"))),
        }

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        iam, name = self.client("iam"), prior["id"]
        if "assume_role_policy" in changed:
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=planned["assume_role_policy"])
        if changed & {"description", "max_session_duration"}:
            session_s = int(planned["max_session_duration"])
            iam.update_role(RoleName=name, Description=planned["description"] or "", MaxSessionDuration=session_s)
        if "permissions_boundary" in changed and planned["permissions_boundary"]:
            iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=planned["permissions_boundary"])
        elif "permissions_boundary" in changed:
            iam.delete_role_permissions_boundary(RoleName=name)
        if "managed_policy_arns" in changed:
            self._attach_only(name, prior["managed_policy_arns"] or [], planned["managed_policy_arns"] or [])
        if "inline_policy" in changed:
            self._inline_only(name, prior["inline_policy"], planned["inline_policy"])
        if "tags_all" in changed:
            removed = removed_tags(prior, planned)
            if removed:
                iam.untag_role(RoleName=name, TagKeys=removed)
            iam.tag_role(RoleName=name, Tags=render_tags(planned["tags_all"]))

    def delete(self, state: State) -> None:
        name = state["id"]
        if state["force_detach_policies"]:
            iam = self.client("iam")
            attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
            self._attach_only(name, [item["PolicyArn"] for item in attached], [])
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                iam.delete_role_policy(RoleName=name, PolicyName=policy)
        self._inline_only(name, state["inline_policy"], [])
        self.client("iam").delete_role(RoleName=name)

    def _attach_only(self, name: str, old: list[str], new: list[str]) -> None:
        for arn in set(old) - set(new):
            self.client("iam").detach_role_policy(RoleName=name, PolicyArn=arn)
        for arn in set(new) - set(old):
            self.client("iam").attach_role_policy(RoleName=name, PolicyArn=arn)

    def _inline_only(self, name: str, old: list[State], new: list[State]) -> None:
        iam, kept = self.client("iam"), {item["name"] for item in new}
        for item in old:
            if item["name"] and item["name"] not in kept:
                iam.delete_role_policy(RoleName=name, PolicyName=item["name"])
        for item in new:
            if item["name"]:  # an empty block says: none
                iam.put_role_policy(RoleName=name, PolicyName=item["name"], PolicyDocument=item["policy"])

    def _read_inline(self, role: str, item: State) -> State:
        found = self.client("iam").get_role_policy(RoleName=role, PolicyName=item["name"])
        return {"name": item["name"], "policy": _render_document(found["PolicyDocument"])}


class RolePolicy(Resource):
    """An inline policy of a role; its id is `role:name`."""

    type_name = "aws_iam_role_policy"
    noun = "IAM Role Policy"
    gone_codes = _GONE
    rules = Rules(replaced_by=frozenset({"name", "name_prefix", "role"}), json_documents=frozenset({"policy"}))

    def create(self, planned: State) -> str:
        name = fresh_name(planned)
        self._put(planned["role"], name, planned["policy"])
        return f"{planned['role']}:{name}"

    def read(self, state: State) -> State | None:
        role, name = _split(state["id"], ":")
        found = self.client("iam").get_role_policy(RoleName=role, PolicyName=name)
        document = _render_document(found["PolicyDocument"])
        return {"role": role, "name": name, "name_prefix": state.get("name_prefix") or "", "policy": document}

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        self._put(*_split(prior["id"], ":"), planned["policy"])

    def delete(self, state: State) -> None:
        role, name = _split(state["id"], ":")
        self.client("iam").delete_role_policy(RoleName=role, PolicyName=name)

    def _put(self, role: str, name: str, policy: str) -> None:
        self.client("iam").put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=policy)


class RolePolicyAttachment(Resource):
    """A managed policy attached to a role; its id is `role/arn`."""

    type_name = "aws_iam_role_policy_attachment"
    noun = "IAM Role Policy Attachment"
    gone_codes = _GONE
    removal = "detaching"
    rules = Rules(replaced_by=frozenset({"policy_arn", "role"}))

    def create(self, planned: State) -> str:
        self.client("iam").attach_role_policy(RoleName=planned["role"], PolicyArn=planned["policy_arn"])
        return f"{planned['role']}/{planned['policy_arn']}"

    def read(self, state: State) -> State | None:
        role, arn = _split(state["id"], "/")
        pages = self.client("iam").get_paginator("list_attached_role_policies").paginate(RoleName=role)
        attached = {item["PolicyArn"] for page in pages for item in page["AttachedPolicies"]}
        return {"role": role, "policy_arn": arn} if arn in attached else None

    def delete(self, state: State) -> None:
        self.client("iam").detach_role_policy(RoleName=state["role"], PolicyArn=state["policy_arn"])


class InstanceProfile(Tagged):
    """An instance profile with at most one role; its id is its name."""

    type_name = "aws_iam_instance_profile"
    noun = "IAM Instance Profile"
    gone_codes = _GONE
    rules = Rules(replaced_by=frozenset({"name", "name_prefix", "path"}), defaults={"path": "/"})

    def create(self, planned: State) -> str:
        name, tags = fresh_name(planned), render_tags(planned["tags_all"])
        self.client("iam").create_instance_profile(InstanceProfileName=name, Path=planned["path"], Tags=tags)
        return name

    def complete(self, identity: str, planned: State) -> None:
        self._use_role(identity, None, planned["role"])

    def read(self, state: State) -> State | None:
        profile = self.client("iam").get_instance_profile(InstanceProfileName=state["id"])["InstanceProfile"]
        return {
            "arn": profile["Arn"],
            "create_date": _render_time(profile["CreateDate"]),
            "name": profile["InstanceProfileName"],
            "name_prefix": state.get("name_prefix") or "",
            "path": profile["Path"],
            "role": profile["Roles"][0]["RoleName"] if profile["Roles"] else None,
            "unique_id": profile["InstanceProfileId"],
            **self.split_tags(state, read_tags(profile.get("Tags"))),
        }

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        iam = self.client("iam")
        if "role" in changed:
            self._use_role(prior["id"], prior["role"], planned["role"])
        if "tags_all" in changed:
            removed = removed_tags(prior, planned)
            if removed:
                iam.untag_instance_profile(InstanceProfileName=prior["id"], TagKeys=removed)
            iam.tag_instance_profile(InstanceProfileName=prior["id"], Tags=render_tags(planned["tags_all"]))

    def delete(self, state: State) -> None:
        self._use_role(state["id"], state["role"], None)
        self.client("iam").delete_instance_profile(InstanceProfileName=state["id"])

    def _use_role(self, profile: str, old: str | None, new: str | None) -> None:
        iam = self.client("iam")
        if old:
            try:
                iam.remove_role_from_instance_profile(InstanceProfileName=profile, RoleName=old)
            except CloudError as error:
                if read_code(error) not in _GONE:
                    raise
        if new:
            iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=new)


def _split(identity: str, separator: str) -> tuple[str, str]:
    first, found, second = identity.partition(separator)
    if not found:
        raise ProviderError(f"unexpected format of ID ({identity})", f"Expected ROLE{separator}POLICY.")
    return first, second


def _render_document(document: Any) -> str:
    """A policy as compact JSON; boto3 hands it decoded."""
    return document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))


def _render_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
