"""`aws_cloudwatch_log_group`; its id is its name."""

from typing import Any

from sandbox.aws_provider.core import State, Tagged, fresh_name, given, removed_tags
from sandbox.aws_provider.schema import Rules


class LogGroup(Tagged):
    """A log group with its retention."""

    type_name = "aws_cloudwatch_log_group"
    noun = "CloudWatch Logs Log Group"
    gone_codes = frozenset({"ResourceNotFoundException"})
    rules = Rules(
        replaced_by=frozenset({"log_group_class", "name", "name_prefix", "region"}),
        defaults={"retention_in_days": 0, "skip_destroy": False},
    )

    def create(self, planned: State) -> str:
        name = fresh_name(planned)
        arguments = given(planned, {"kms_key_id": "kmsKeyId", "log_group_class": "logGroupClass"})
        if planned["tags_all"]:
            arguments["tags"] = planned["tags_all"]
        self.client("logs").create_log_group(logGroupName=name, **arguments)
        return name

    def complete(self, identity: str, planned: State) -> None:
        if planned["retention_in_days"]:
            self._keep_for(identity, planned["retention_in_days"])

    def read(self, state: State) -> State | None:
        group = self._describe(state["id"])
        if group is None:
            return None
        arn = group["arn"].removesuffix(":*")
        return {
            "arn": arn,
            "name": group["logGroupName"],
            "name_prefix": state.get("name_prefix") or "",
            "retention_in_days": group.get("retentionInDays", 0),
            "kms_key_id": group.get("kmsKeyId", ""),
            "log_group_class": group.get("logGroupClass", "STANDARD"),
            "deletion_protection_enabled": group.get("deletionProtectionEnabled", False),
            **self.split_tags(state, self.client("logs").list_tags_for_resource(resourceArn=arn)["tags"]),
        }

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        logs = self.client("logs")
        if "retention_in_days" in changed:
            self._keep_for(prior["id"], planned["retention_in_days"])
        if "kms_key_id" in changed and planned["kms_key_id"]:
            logs.associate_kms_key(logGroupName=prior["id"], kmsKeyId=planned["kms_key_id"])
        elif "kms_key_id" in changed:
            logs.disassociate_kms_key(logGroupName=prior["id"])
        if "tags_all" in changed:
            removed = removed_tags(prior, planned)
            if removed:
                logs.untag_resource(resourceArn=prior["arn"], tagKeys=removed)
            if planned["tags_all"]:
                logs.tag_resource(resourceArn=prior["arn"], tags=planned["tags_all"])

    def delete(self, state: State) -> None:
        if not state["skip_destroy"]:
            self.client("logs").delete_log_group(logGroupName=state["id"])

    def _describe(self, name: str) -> dict[str, Any] | None:
        pages = self.client("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
        return next((group for page in pages for group in page["logGroups"] if group["logGroupName"] == name), None)

    def _keep_for(self, name: str, days: float | None) -> None:
        """0 or None: for ever."""
        if days:
            self.client("logs").put_retention_policy(logGroupName=name, retentionInDays=int(days))
        else:
            self.client("logs").delete_retention_policy(logGroupName=name)
