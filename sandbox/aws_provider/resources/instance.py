"""`aws_instance`: launched with its tags, waited for, read together with others in one DescribeInstances.

Attributes that need a DescribeInstanceAttribute call each are kept as planned; user data is read on import only.
"""

import base64
from collections.abc import Mapping
from typing import Any

from sandbox.aws_provider.core import State, Tagged, given, read_tags, render_tags, timeout_s
from sandbox.aws_provider.errors import CloudError, ProviderError
from sandbox.aws_provider.plan import Plan
from sandbox.aws_provider.resources import instance_parts as parts
from sandbox.aws_provider.resources.ec2_tags import retag, tag_specifications
from sandbox.aws_provider.schema import Rules, words
from sandbox.aws_provider.values import UNKNOWN, is_known

_CREATE_TIMEOUT_S = 600.0
_DELETE_TIMEOUT_S = 1200.0
_GONE_STATES = ("shutting-down", "terminated")
_LAUNCH = {
    "ami": "ImageId",
    "instance_type": "InstanceType",
    "key_name": "KeyName",
    "ebs_optimized": "EbsOptimized",
    "disable_api_termination": "DisableApiTermination",
    "disable_api_stop": "DisableApiStop",
    "instance_initiated_shutdown_behavior": "InstanceInitiatedShutdownBehavior",
}
_NETWORK = {
    "subnet_id": "SubnetId",
    "private_ip": "PrivateIpAddress",
    "vpc_security_group_ids": "SecurityGroupIds",
    "security_groups": "SecurityGroups",
}
_PLACEMENT = {
    "availability_zone": "AvailabilityZone",
    "tenancy": "Tenancy",
    "host_id": "HostId",
    "placement_group": "GroupName",
    "placement_partition_number": "PartitionNumber",
}
_MODIFIABLE = {
    "source_dest_check": "SourceDestCheck",
    "disable_api_termination": "DisableApiTermination",
    "disable_api_stop": "DisableApiStop",
    "instance_initiated_shutdown_behavior": "InstanceInitiatedShutdownBehavior",
}
_BEHIND_A_RESTART = frozenset({"instance_type", "user_data", "user_data_base64"})


class Instance(Tagged):
    """An EC2 instance."""

    type_name = "aws_instance"
    noun = "EC2 Instance"
    removal = "terminating"
    gone_codes = frozenset({"InvalidInstanceID.NotFound"})
    rules = Rules(
        replaced_by=words(
            "ami associate_public_ip_address availability_zone cpu_options enable_primary_ipv6 ephemeral_block_device "
            "get_password_data hibernation host_resource_group_arn instance_market_options key_name placement_group "
            "private_ip region root_block_device.encrypted root_block_device.kms_key_id secondary_private_ips "
            "security_groups subnet_id tenancy"
        ),
        defaults={
            "force_destroy": False,
            "get_password_data": False,
            "source_dest_check": True,
            "user_data_replace_on_change": False,
            "root_block_device.delete_on_termination": True,
            "ebs_block_device.delete_on_termination": True,
            "metadata_options.http_endpoint": "enabled",
            "metadata_options.http_protocol_ipv6": "disabled",
        },
        computed_blocks=words(
            "capacity_reservation_specification cpu_options ebs_block_device enclave_options ephemeral_block_device "
            "instance_market_options instance_market_options.spot_options maintenance_options metadata_options "
            "network_interface primary_network_interface private_dns_name_options root_block_device"
        ),
        follows={"public_ip": _BEHIND_A_RESTART, "public_dns": _BEHIND_A_RESTART},
    )

    @classmethod
    def check(cls, config: State) -> None:
        if config["ami"] is None and not config["launch_template"] and config["launch_template"] is not UNKNOWN:
            raise ProviderError(
                "Missing required argument", "One of `ami` or `launch_template` must be specified.", "ami"
            )
        if all(config[name] is not None and is_known(config[name]) for name in ("user_data", "user_data_base64")):
            raise ProviderError(
                "Conflicting configuration arguments", '"user_data" conflicts with "user_data_base64"', "user_data"
            )

    def adjust(self, plan: Plan, prior: State | None) -> None:
        if prior is None or not plan.state["user_data_replace_on_change"]:
            return
        plan.replace += [(name,) for name in ("user_data", "user_data_base64") if name in plan.changed]

    def create(self, planned: State) -> str:
        arguments = given(planned, _LAUNCH) | parts.launch_blocks(planned, self._read_root_device)
        arguments |= self._network(planned) | self._user_data(planned)
        placement = given(planned, _PLACEMENT)
        if placement:
            arguments["Placement"] = placement
        profile = given(planned, {"iam_instance_profile": "Name"})
        if profile:
            arguments["IamInstanceProfile"] = profile
        if planned["monitoring"]:
            arguments["Monitoring"] = {"Enabled": True}
        tags = tag_specifications("instance", planned["tags_all"])
        tags += tag_specifications("volume", parts.planned_volume_tags(planned, self.cloud.default_tags))
        launched = self.client("ec2").run_instances(MinCount=1, MaxCount=1, TagSpecifications=tags, **arguments)
        return str(launched["Instances"][0]["InstanceId"])

    def complete(self, identity: str, planned: State) -> None:
        def is_running() -> bool:
            found = self._describe(identity)
            state = found["State"]["Name"] if found else "pending"  # AWS may not know of it for a moment
            if state in _GONE_STATES:
                reason = (found or {}).get("StateReason", {}).get("Message", "no reason given")
                raise ProviderError(
                    f"waiting for EC2 Instance ({identity}) create: unexpected state '{state}': {reason}"
                )
            return bool(state == "running")

        limit_s = timeout_s(planned, "create", _CREATE_TIMEOUT_S)
        self.cloud.wait_until(is_running, f"EC2 Instance ({identity}) create", limit_s)
        if planned["source_dest_check"] is False:
            self.client("ec2").modify_instance_attribute(InstanceId=identity, SourceDestCheck={"Value": False})

    def read(self, state: State) -> State | None:
        found = self._describe(state["id"])
        if found is None or found["State"]["Name"] in _GONE_STATES:
            return None
        volumes = self._read_volumes(found)
        return {
            **parts.render_instance(found, self.cloud.arn("ec2", f"instance/{state['id']}", self.region)),
            **parts.render_blocks(found, volumes, state),
            **parts.kept_or_default(state),
            **self.split_tags(state, read_tags(found.get("Tags"))),
        }

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        ec2, identity = self.client("ec2"), prior["id"]
        if "tags_all" in changed:
            retag(ec2, identity, prior, planned)
        if "vpc_security_group_ids" in changed:
            ec2.modify_instance_attribute(InstanceId=identity, Groups=planned["vpc_security_group_ids"])
        if "volume_tags" in changed:
            self._retag_volumes(identity, planned)
        for name, argument in _MODIFIABLE.items():
            if name in changed:
                ec2.modify_instance_attribute(InstanceId=identity, **{argument: {"Value": planned[name]}})
        if "metadata_options" in changed and planned["metadata_options"]:
            options = given(planned["metadata_options"][0], parts.METADATA)
            ec2.modify_instance_metadata_options(InstanceId=identity, **options)
        if "root_block_device" in changed:
            self._resize(prior, planned)
        if changed & _BEHIND_A_RESTART:
            self._restart_with(identity, planned, changed)

    def delete(self, state: State) -> None:
        ec2, identity = self.client("ec2"), state["id"]
        if state["force_destroy"] and state["disable_api_termination"]:
            ec2.modify_instance_attribute(InstanceId=identity, DisableApiTermination={"Value": False})
        ec2.terminate_instances(InstanceIds=[identity])

        def is_terminated() -> bool:
            found = self._describe(identity)
            return found is None or found["State"]["Name"] == "terminated"

        limit_s = timeout_s(state, "delete", _DELETE_TIMEOUT_S)
        self.cloud.wait_until(is_terminated, f"EC2 Instance ({identity}) delete", limit_s)

    def import_(self, identity: str) -> State:
        try:
            answer = self.client("ec2").describe_instance_attribute(InstanceId=identity, Attribute="userData")
        except CloudError as error:
            if not self.is_gone(error):
                raise
            return {"id": identity}  # the read that follows finds nothing, and Terraform words the error
        encoded = answer.get("UserData", {}).get("Value", "")
        try:
            return {"id": identity, "user_data": base64.b64decode(encoded).decode() or None}
        except UnicodeDecodeError:  # gzip and the like can only have come by the other attribute
            return {"id": identity, "user_data_base64": encoded}

    def _describe(self, identity: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.cloud.coalesced("instances", self.region, _describe_many).read(identity)
        return found

    def _read_volumes(self, found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Volumes by device name; those of one instance that are asked for together come in one call."""
        reader = self.cloud.coalesced("volumes", self.region, _describe_volumes)
        mappings = {item["DeviceName"]: item["Ebs"] for item in found.get("BlockDeviceMappings", []) if "Ebs" in item}
        volumes = {device: reader.read(ebs["VolumeId"]) for device, ebs in mappings.items()}
        return {device: {**mappings[device], **volume} for device, volume in volumes.items() if volume}

    def _read_root_device(self, image_id: str) -> str:
        image = self.cloud.coalesced("images", self.region, _describe_images).read(image_id)
        return str((image or {}).get("RootDeviceName") or "/dev/sda1")

    def _network(self, planned: State) -> dict[str, Any]:
        """A public address can only be asked for on an interface, and then the rest of the network goes there too."""
        arguments = given(planned, _NETWORK)
        public = given(planned, {"associate_public_ip_address": "AssociatePublicIpAddress"})
        if not public:
            return arguments
        if "SecurityGroupIds" in arguments:
            arguments["Groups"] = arguments.pop("SecurityGroupIds")
        return {"NetworkInterfaces": [{"DeviceIndex": 0, **arguments, **public}]}

    def _user_data(self, planned: State) -> dict[str, Any]:
        plain = given(planned, {"user_data": "UserData"})
        encoded = given(planned, {"user_data_base64": "UserData"})
        if encoded:  # boto3 encodes what it is given
            return {"UserData": base64.b64decode(encoded["UserData"])}
        return plain

    def _resize(self, prior: State, planned: State) -> None:
        names = {"volume_size": "Size", "volume_type": "VolumeType", "iops": "Iops", "throughput": "Throughput"}
        volume = prior["root_block_device"][0]
        before, wanted = given(volume, names), given(planned["root_block_device"][0], names)
        wanted = {name: value for name, value in wanted.items() if before.get(name) != value}
        if wanted:
            self.client("ec2").modify_volume(VolumeId=volume["volume_id"], **wanted)

    def _retag_volumes(self, identity: str, planned: State) -> None:
        volumes = [volume["VolumeId"] for volume in self._read_volumes(self._describe(identity) or {}).values()]
        tags = render_tags(planned["volume_tags"])
        if volumes and tags:
            self.client("ec2").create_tags(Resources=volumes, Tags=tags)

    def _restart_with(self, identity: str, planned: State, changed: set[str]) -> None:
        ec2 = self.client("ec2")
        ec2.stop_instances(InstanceIds=[identity])
        self._wait_for_state(identity, "stopped", planned)
        if "instance_type" in changed:
            ec2.modify_instance_attribute(InstanceId=identity, InstanceType={"Value": planned["instance_type"]})
        if changed & {"user_data", "user_data_base64"}:
            value = self._user_data(planned).get("UserData", "")
            ec2.modify_instance_attribute(InstanceId=identity, UserData={"Value": value})
        ec2.start_instances(InstanceIds=[identity])
        self._wait_for_state(identity, "running", planned)

    def _wait_for_state(self, identity: str, state: str, planned: State) -> None:
        def is_so() -> bool:
            return bool((self._describe(identity) or {}).get("State", {}).get("Name") == state)

        self.cloud.wait_until(
            is_so, f"EC2 Instance ({identity}) {state}", timeout_s(planned, "update", _CREATE_TIMEOUT_S)
        )


def _describe_many(ec2: Any, identities: list[str]) -> dict[str, Any]:
    # by filter, because one unknown id in InstanceIds would fail the whole call
    pages = ec2.get_paginator("describe_instances").paginate(Filters=[{"Name": "instance-id", "Values": identities}])
    reservations = [reservation for page in pages for reservation in page["Reservations"]]
    return {item["InstanceId"]: item for reservation in reservations for item in reservation["Instances"]}


def _describe_volumes(ec2: Any, identities: list[str]) -> dict[str, Any]:
    pages = ec2.get_paginator("describe_volumes").paginate(Filters=[{"Name": "volume-id", "Values": identities}])
    return {item["VolumeId"]: item for page in pages for item in page["Volumes"]}


def _describe_images(ec2: Any, identities: list[str]) -> dict[str, Any]:
    found = ec2.describe_images(Filters=[{"Name": "image-id", "Values": identities}])["Images"]
    return {item["ImageId"]: item for item in found}
