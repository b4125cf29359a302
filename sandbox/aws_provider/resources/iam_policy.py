"""`aws_iam_policy`: a managed policy; its id is its ARN, a change is a new version."""

import json
from typing import Any

from sandbox.aws_provider.core import State, fresh_name
from sandbox.aws_provider.resources.mapped import Calls, Mapped
from sandbox.aws_provider.schema import Rules, words

_MOST_VERSIONS = 5


class ManagedPolicy(Mapped):
    """A policy of the account's own."""

    type_name = "aws_iam_policy"
    noun = "IAM Policy"
    gone_codes = frozenset({"NoSuchEntity"})
    rules = Rules(
        replaced_by=words("description name name_prefix path"),
        defaults={"path": "/"},
        json_documents=frozenset({"policy"}),
    )
    calls = Calls("iam", "create_policy", "get_policy", "delete_policy", "PolicyArn", "Policy", "Policy.Arn")
    sent = {"description": "Description", "path": "Path"}
    seen = {"arn": "Arn", "name": "PolicyName", "policy_id": "PolicyId", "attachment_count": "AttachmentCount"}

    def arguments(self, planned: State) -> dict[str, Any]:
        return {"PolicyName": fresh_name(planned), "PolicyDocument": planned["policy"]}

    def render(self, found: dict[str, Any], state: State) -> State:
        version = self.aws.get_policy_version(PolicyArn=found["Arn"], VersionId=found["DefaultVersionId"])
        document = version["PolicyVersion"]["Document"]
        return {"policy": document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))}

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        if "policy" in changed:
            self._forget_oldest(prior["id"], keep=_MOST_VERSIONS - 1)
            self.aws.create_policy_version(PolicyArn=prior["id"], PolicyDocument=planned["policy"], SetAsDefault=True)
        super().update(prior, planned, changed & {"tags_all"})

    def delete(self, state: State) -> None:
        self._forget_oldest(state["id"], keep=1)
        super().delete(state)

    def _forget_oldest(self, arn: str, keep: int) -> None:
        """AWS keeps five versions, and deletes no policy that has more than its default one."""
        versions = self.aws.list_policy_versions(PolicyArn=arn)["Versions"]
        spare = sorted((one for one in versions if not one["IsDefaultVersion"]), key=lambda one: str(one["CreateDate"]))
        for one in spare[: max(0, len(versions) - keep)]:
            self.aws.delete_policy_version(PolicyArn=arn, VersionId=one["VersionId"])
