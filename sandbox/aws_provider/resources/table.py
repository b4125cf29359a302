"""`aws_dynamodb_table`, as far as a table of locks uses it; its id is its name."""

from typing import Any

from sandbox.aws_provider.core import State
from sandbox.aws_provider.resources.mapped import Calls, Mapped
from sandbox.aws_provider.schema import Rules, words


class Table(Mapped):
    """A table with its keys; streams, indexes and replicas are not played."""

    type_name = "aws_dynamodb_table"
    noun = "DynamoDB Table"
    gone_codes = frozenset({"ResourceNotFoundException"})
    rules = Rules(
        replaced_by=words("hash_key name range_key region"),
        defaults={"billing_mode": "PROVISIONED"},
        computed_blocks=words("point_in_time_recovery server_side_encryption ttl warm_throughput"),
    )
    calls = Calls(
        "dynamodb", "create_table", "describe_table", "delete_table", "TableName", "Table", update="update_table"
    )
    sent = {"billing_mode": "BillingMode", "deletion_protection_enabled": "DeletionProtectionEnabled"}
    seen = {"arn": "TableArn", "name": "TableName"}

    def arguments(self, planned: State) -> dict[str, Any]:
        keys = [("HASH", planned["hash_key"]), ("RANGE", planned["range_key"])]
        return {
            "TableName": planned["name"],
            "KeySchema": [{"AttributeName": name, "KeyType": kind} for kind, name in keys if name],
            "AttributeDefinitions": [
                {"AttributeName": one["name"], "AttributeType": one["type"]} for one in planned["attribute"]
            ],
        }

    def render(self, found: dict[str, Any], state: State) -> State:
        return {
            "billing_mode": found.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
            "hash_key": next(one["AttributeName"] for one in found["KeySchema"] if one["KeyType"] == "HASH"),
        }

    def tagged_as(self, identity: str) -> str:
        return self.cloud.arn("dynamodb", f"table/{identity}", self.region)
