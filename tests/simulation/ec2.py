"""`controller.ec2` on the simulated AWS: the real class, with clients of its own in place of boto3's, and with all that may befall a call."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio

from controller.ec2 import Ec2
from controller.errors import Cause, CloudError
from tests.simulation.cloud import ACCOUNT, Cloud, refuse
from tests.simulation.stage import Process

T = TypeVar("T")


@dataclass(frozen=True)
class SimEc2(Ec2):
    cloud: Cloud = field(kw_only=True)
    process: Process = field(kw_only=True)

    def _client(self, service: str, region: str) -> Any:
        return CLIENTS[service](self.cloud)

    async def _call(self, what: str, work: Callable[..., T], *arguments: Any, **more: Any) -> T:
        stage = self.process.stage
        await self.process.reach(f"before {what}")
        await anyio.sleep(stage.chance.uniform(5, 40) if stage.happens("slow") else stage.chance.uniform(0.05, 0.6))
        self.process.check()
        if stage.happens("throttling"):
            raise CloudError(Cause.THROTTLING, what, "RequestLimitExceeded")
        done = await super()._call(what, work, *arguments, **more)
        await self.process.reach(f"after {what}")
        if stage.happens("network"):
            raise CloudError(Cause.NETWORK, what, "connection reset")
        return done


@dataclass(frozen=True)
class _Pages:
    read: Callable[[Mapping[str, str]], list[dict[str, Any]]]
    key: str

    def paginate(self, Filters: Sequence[Mapping[str, Any]] = (), **_: Any) -> list[dict[str, Any]]:
        wanted = {one["Name"]: one["Values"] for one in Filters}
        found = self.read({name: values[0] for name, values in wanted.items() if len(values) == 1})
        return [{self.key: found}]


@dataclass(frozen=True)
class _Ec2Client:
    """The calls that the controller makes, each as AWS answers it."""

    cloud: Cloud

    def get_paginator(self, operation: str) -> _Pages:
        if operation == "describe_instances":
            return _Pages(self._describe, "Reservations")
        return _Pages(self._describe_rules, "SecurityGroupRules")

    def _describe(self, wanted: Mapping[str, str]) -> list[dict[str, Any]]:
        tags = {name.removeprefix("tag:"): value for name, value in wanted.items() if name.startswith("tag:")}
        found = [
            raw
            for raw in self.cloud.describe()
            if all({"Key": key, "Value": value} in raw["Tags"] for key, value in tags.items())
        ]
        return [{"Instances": found}]

    def terminate_instances(self, InstanceIds: list[str]) -> None:
        self._find(InstanceIds[0])
        self.cloud.terminate(InstanceIds[0], "the controller")

    def start_instances(self, InstanceIds: list[str]) -> None:
        one = self._find(InstanceIds[0])
        if one.stopped:
            one.stopped, one.runs_at = False, self.cloud.stage.at + 10.0

    def reboot_instances(self, InstanceIds: list[str]) -> None:
        one = self._find(InstanceIds[0])
        one.boots_anew_at = self.cloud.stage.at

    def create_tags(self, Resources: list[str], Tags: list[dict[str, str]]) -> None:
        self._find(Resources[0]).tags.update({tag["Key"]: tag["Value"] for tag in Tags})

    def delete_tags(self, Resources: list[str], Tags: list[dict[str, str]]) -> None:
        for tag in Tags:
            self._find(Resources[0]).tags.pop(tag["Key"], None)

    def get_console_output(self, InstanceId: str) -> dict[str, str]:
        self._find(InstanceId)
        return {"Output": f"console of {InstanceId}"}

    def _find(self, instance_id: str) -> Any:
        if instance_id not in self.cloud.instances:
            raise refuse("InvalidInstanceID.NotFound", "TerminateInstances")
        return self.cloud.instances[instance_id]

    def describe_vpcs(self, **_: Any) -> dict[str, Any]:
        return {"Vpcs": [{"VpcId": "vpc-1"}]}

    def describe_security_groups(self, Filters: list[dict[str, Any]]) -> dict[str, Any]:
        parts = self.cloud.bases.get(Filters[0]["Values"][0], {})
        return {"SecurityGroups": [{"GroupId": parts["security_group"]}] if "security_group" in parts else []}

    def _describe_rules(self, wanted: Mapping[str, str]) -> list[dict[str, Any]]:
        rules = []
        for parts in self.cloud.bases.values():
            if parts.get("security_group") == wanted["group-id"]:
                rules += [_describe_rule(key, found) for key, found in parts.items() if ":" in key]
        return rules

    def describe_key_pairs(self, KeyNames: list[str], **_: Any) -> dict[str, Any]:
        parts = self.cloud.bases.get(KeyNames[0], {})
        if "key_pair" not in parts:
            raise refuse("InvalidKeyPair.NotFound", "DescribeKeyPairs")
        return {"KeyPairs": [{"KeyName": KeyNames[0], "PublicKey": parts["public_key"]}]}

    def delete_key_pair(self, KeyName: str) -> None:
        self.cloud.bases.get(KeyName, {}).pop("key_pair", None)

    def import_key_pair(self, KeyName: str, PublicKeyMaterial: bytes, **_: Any) -> None:
        self.cloud.bases.setdefault(KeyName, {}).update(key_pair=KeyName, public_key=PublicKeyMaterial.decode())


def _describe_rule(key: str, found: str) -> dict[str, Any]:
    way, _, network = key.partition(":")
    family = "CidrIpv6" if ":" in network else "CidrIpv4"
    ports = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22} if way == "ingress" else {"IpProtocol": "-1"}
    return {"SecurityGroupRuleId": found, "IsEgress": way == "egress", family: network, **ports}


@dataclass(frozen=True)
class _IamClient:
    cloud: Cloud

    def get_role(self, RoleName: str) -> dict[str, Any]:
        self._find("role", RoleName)
        return {"Role": {"AssumeRolePolicyDocument": {}}}

    def list_role_policies(self, RoleName: str) -> dict[str, Any]:
        own = any(parts.get("role_policy") == f"{RoleName}:telemetry" for parts in self.cloud.bases.values())
        return {"PolicyNames": ["telemetry"] if own else []}

    def get_role_policy(self, RoleName: str, PolicyName: str) -> dict[str, Any]:
        self._find("role_policy", f"{RoleName}:{PolicyName}")
        return {"PolicyDocument": {}}

    def list_attached_role_policies(self, RoleName: str) -> dict[str, Any]:
        return {"AttachedPolicies": []}

    def get_instance_profile(self, InstanceProfileName: str) -> dict[str, Any]:
        self._find("instance_profile", InstanceProfileName)
        return {"InstanceProfile": {"Roles": [{"RoleName": InstanceProfileName}]}}

    def _find(self, part: str, name: str) -> None:
        if not any(parts.get(part) == name for parts in self.cloud.bases.values()):
            raise refuse("NoSuchEntity", part)


@dataclass(frozen=True)
class _StsClient:
    cloud: Cloud

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": ACCOUNT}


CLIENTS: Mapping[str, Callable[[Cloud], Any]] = {"ec2": _Ec2Client, "iam": _IamClient, "sts": _StsClient}
