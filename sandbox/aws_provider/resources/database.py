"""RDS: `aws_db_instance`, `aws_db_subnet_group`; ids are their names."""

from typing import Any

from sandbox.aws_provider.core import State, fresh_name, given
from sandbox.aws_provider.resources.mapped import Calls, Mapped
from sandbox.aws_provider.schema import Rules, words


class SubnetGroup(Mapped):
    """The subnets that a database may stand in."""

    type_name = "aws_db_subnet_group"
    noun = "RDS DB Subnet Group"
    gone_codes = frozenset({"DBSubnetGroupNotFoundFault", "DBSubnetGroupNotFound"})
    rules = Rules(replaced_by=words("name name_prefix region"), defaults={"description": "Managed by Terraform"})
    calls = Calls(
        "rds", "create_db_subnet_group", "describe_db_subnet_groups", "delete_db_subnet_group", "DBSubnetGroupName",
        "DBSubnetGroups.0", "DBSubnetGroup.DBSubnetGroupName", "modify_db_subnet_group",
    )  # fmt: skip
    sent = {"description": "DBSubnetGroupDescription", "subnet_ids": "SubnetIds"}
    seen = {"arn": "DBSubnetGroupArn", "name": "DBSubnetGroupName", "vpc_id": "VpcId"}

    def arguments(self, planned: State) -> dict[str, Any]:
        return {"DBSubnetGroupName": fresh_name(planned)}

    def render(self, found: dict[str, Any], state: State) -> State:
        return {
            "subnet_ids": [one["SubnetIdentifier"] for one in found["Subnets"]],
            "supported_network_types": ["IPV4"],
        }

    def tagged_as(self, identity: str) -> str:
        return self.cloud.arn("rds", f"subgrp:{identity}", self.region)


_INSTANCE = {
    "allocated_storage": "AllocatedStorage",
    "auto_minor_version_upgrade": "AutoMinorVersionUpgrade",
    "backup_retention_period": "BackupRetentionPeriod",
    "copy_tags_to_snapshot": "CopyTagsToSnapshot",
    "deletion_protection": "DeletionProtection",
    "engine_version": "EngineVersion",
    "instance_class": "DBInstanceClass",
    "max_allocated_storage": "MaxAllocatedStorage",
    "multi_az": "MultiAZ",
    "storage_type": "StorageType",
}
_AT_BIRTH = {
    "db_name": "DBName",
    "db_subnet_group_name": "DBSubnetGroupName",
    "engine": "Engine",
    "publicly_accessible": "PubliclyAccessible",
    "storage_encrypted": "StorageEncrypted",
    "username": "MasterUsername",
}


class DbInstance(Mapped):
    """A database; its end leaves a snapshot unless told otherwise."""

    type_name = "aws_db_instance"
    noun = "RDS DB Instance"
    gone_codes = frozenset({"DBInstanceNotFound", "DBInstanceNotFoundFault"})
    rules = Rules(
        replaced_by=words("db_name engine identifier identifier_prefix kms_key_id region storage_encrypted username"),
        defaults={"skip_final_snapshot": False, "delete_automated_backups": True, "publicly_accessible": False},
        computed_blocks=words("blue_green_update restore_to_point_in_time s3_import"),
    )
    calls = Calls(
        "rds", "create_db_instance", "describe_db_instances", "delete_db_instance", "DBInstanceIdentifier",
        "DBInstances.0", "DBInstance.DBInstanceIdentifier", "modify_db_instance",
    )  # fmt: skip
    sent = _INSTANCE
    seen = {
        "arn": "DBInstanceArn",
        "identifier": "DBInstanceIdentifier",
        "address": "Endpoint.Address",
        "port": "Endpoint.Port",
        "hosted_zone_id": "Endpoint.HostedZoneId",
        "resource_id": "DbiResourceId",
        "status": "DBInstanceStatus",
        "engine_version_actual": "EngineVersion",
        "storage_encrypted": "StorageEncrypted",
        "username": "MasterUsername",
    }

    def arguments(self, planned: State) -> dict[str, Any]:
        return {
            "DBInstanceIdentifier": fresh_name(planned, "identifier", "identifier_prefix"),
            "VpcSecurityGroupIds": planned["vpc_security_group_ids"],
            "ManageMasterUserPassword": bool(planned["manage_master_user_password"]),
            **given(planned, _AT_BIRTH),
        }

    def render(self, found: dict[str, Any], state: State) -> State:
        secret, endpoint = found.get("MasterUserSecret"), found.get("Endpoint", {})
        return {
            "engine_version": state.get("engine_version") or found["EngineVersion"],  # "17" stays "17"
            "endpoint": f"{endpoint.get('Address', '')}:{endpoint.get('Port', '')}",
            "vpc_security_group_ids": [one["VpcSecurityGroupId"] for one in found["VpcSecurityGroups"]],
            "master_user_secret": [
                {
                    "secret_arn": secret["SecretArn"],
                    "secret_status": secret.get("SecretStatus", "active"),
                    "kms_key_id": secret.get("KmsKeyId", ""),
                }
            ]
            if secret
            else [],
        }

    def tagged_as(self, identity: str) -> str:
        return self.cloud.arn("rds", f"db:{identity}", self.region)

    def delete(self, state: State) -> None:
        final = state["final_snapshot_identifier"]
        last = {"SkipFinalSnapshot": True} if state["skip_final_snapshot"] else {"FinalDBSnapshotIdentifier": final}
        self.aws.delete_db_instance(DBInstanceIdentifier=state["id"], **last)
