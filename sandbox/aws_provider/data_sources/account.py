"""Data sources on the account: `aws_caller_identity`, `aws_partition`, `aws_region`, `aws_ssm_parameter`."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import botocore.session

from sandbox.aws_provider.cloud import partition_of
from sandbox.aws_provider.core import DataSource, State
from sandbox.aws_provider.errors import ProviderError


@cache
def _partitions() -> Mapping[str, Mapping[str, Any]]:
    """AWS's partitions as botocore knows them."""
    endpoints = botocore.session.get_session().get_data("endpoints")
    return {item["partition"]: item for item in endpoints["partitions"]}


class CallerIdentity(DataSource):
    """Who we are, by STS."""

    type_name = "aws_caller_identity"
    noun = "STS Caller Identity"

    def read(self, config: State) -> State:
        found = self.client("sts").get_caller_identity()
        return {"id": found["Account"], "account_id": found["Account"], "arn": found["Arn"], "user_id": found["UserId"]}


class Partition(DataSource):
    """The partition of the provider's region."""

    type_name = "aws_partition"
    noun = "Partition"

    def read(self, config: State) -> State:
        partition = partition_of(self.region)
        suffix = _partitions()[partition]["dnsSuffix"]
        reverse = ".".join(reversed(suffix.split(".")))
        return {"id": partition, "partition": partition, "dns_suffix": suffix, "reverse_dns_prefix": reverse}


class Region(DataSource):
    """A region by its name or its EC2 endpoint, else the provider's."""

    type_name = "aws_region"
    noun = "Region"

    def read(self, config: State) -> State:
        region = config["name"] or self.region
        if config["endpoint"]:
            region = config["endpoint"].removeprefix("ec2.").partition(".")[0]
        partition = _partitions()[partition_of(region)]
        if region not in partition["regions"]:
            raise ProviderError(f"no matching EC2 Region found: {region}", "Give the name of an AWS region.")
        return {
            "id": region,
            "name": region,
            "region": region,
            "description": partition["regions"][region]["description"],
            "endpoint": f"ec2.{region}.{partition['dnsSuffix']}",
        }


class Parameter(DataSource):
    """A parameter of the SSM parameter store, decrypted unless told not to."""

    type_name = "aws_ssm_parameter"
    noun = "SSM Parameter"

    def read(self, config: State) -> State:
        decrypt = config["with_decryption"] is not False
        found = self.client("ssm").get_parameter(Name=config["name"], WithDecryption=decrypt)["Parameter"]
        return {
            "id": config["name"],
            "arn": found["ARN"],
            "type": found["Type"],
            "value": found["Value"],
            "insecure_value": None if found["Type"] == "SecureString" else found["Value"],
            "version": found["Version"],
            "with_decryption": decrypt,
        }
