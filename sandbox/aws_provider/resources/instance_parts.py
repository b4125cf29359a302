"""Parts of an instance: between the blocks of `aws_instance` and the shapes of RunInstances and DescribeInstances.

Pure functions, called by `instance.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sandbox.aws_provider.core import State, given, read_tags
from sandbox.aws_provider.values import is_known

METADATA = {
    "http_endpoint": "HttpEndpoint",
    "http_tokens": "HttpTokens",
    "http_put_response_hop_limit": "HttpPutResponseHopLimit",
    "http_protocol_ipv6": "HttpProtocolIpv6",
    "instance_metadata_tags": "InstanceMetadataTags",
}
_VOLUME = {
    "volume_size": "VolumeSize",
    "volume_type": "VolumeType",
    "delete_on_termination": "DeleteOnTermination",
    "encrypted": "Encrypted",
    "iops": "Iops",
    "throughput": "Throughput",
    "kms_key_id": "KmsKeyId",
    "snapshot_id": "SnapshotId",
}
_SPOT = {
    "max_price": "MaxPrice",
    "spot_instance_type": "SpotInstanceType",
    "instance_interruption_behavior": "InstanceInterruptionBehavior",
    "valid_until": "ValidUntil",
}
_SPOT_DEFAULTS = {
    "max_price": "",
    "spot_instance_type": "one-time",
    "instance_interruption_behavior": "terminate",
    "valid_until": "",
}
# what AWS tells only by one call an attribute, and its answer for an instance launched without them
_NOT_READ = {
    "disable_api_stop": False,
    "disable_api_termination": False,
    "instance_initiated_shutdown_behavior": "stop",
}


def _items(planned: State, name: str) -> list[Any]:
    blocks = planned[name]
    return blocks if isinstance(blocks, list) else []


def launch_blocks(planned: State, read_root_device: Callable[[str], str]) -> dict[str, Any]:
    """RunInstances arguments for the nested blocks; the image's root device is asked for only with a root block."""
    arguments: dict[str, Any] = {}
    devices = [
        {"DeviceName": read_root_device(planned["ami"]), "Ebs": given(block, _VOLUME)}
        for block in _items(planned, "root_block_device")
    ]
    devices += [
        {"DeviceName": block["device_name"], "Ebs": given(block, _VOLUME)}
        for block in _items(planned, "ebs_block_device")
    ]
    if devices:
        arguments["BlockDeviceMappings"] = devices
    for block in _items(planned, "metadata_options"):
        arguments["MetadataOptions"] = given(block, METADATA)
    for block in _items(planned, "instance_market_options"):
        arguments["InstanceMarketOptions"] = _market(block)
    for block in _items(planned, "cpu_options"):
        arguments["CpuOptions"] = given(block, {"core_count": "CoreCount", "threads_per_core": "ThreadsPerCore"})
    for block in _items(planned, "credit_specification"):
        arguments["CreditSpecification"] = given(block, {"cpu_credits": "CpuCredits"})
    for block in _items(planned, "launch_template"):
        names = {"id": "LaunchTemplateId", "name": "LaunchTemplateName", "version": "Version"}
        arguments["LaunchTemplate"] = given(block, names)
    return arguments


def _market(block: State) -> dict[str, Any]:
    market = given(block, {"market_type": "MarketType"})
    for spot in _items(block, "spot_options"):
        market["SpotOptions"] = given(spot, _SPOT)
    return market


def planned_volume_tags(planned: State, default_tags: Mapping[str, str]) -> dict[str, str]:
    """Tags that the volumes get at launch; `volume_tags` exclude the root block's and the default ones."""
    tags = planned["volume_tags"]
    if tags and is_known(tags):
        return dict(tags)
    for block in _items(planned, "root_block_device"):
        if is_known(block["tags"]):
            return {**default_tags, **(block["tags"] or {})}
    return {}


def kept_or_default(state: State) -> State:
    return {name: value if state.get(name) is None else state[name] for name, value in _NOT_READ.items()}


def render_instance(found: Mapping[str, Any], arn: str) -> State:
    """The plain attributes from one instance of DescribeInstances."""
    placement, lifecycle = found.get("Placement", {}), found.get("InstanceLifecycle", "")
    interfaces = found.get("NetworkInterfaces", [])
    # groups asked for on an interface stand there alone in moto; AWS names them in both places
    groups = found.get("SecurityGroups") or (interfaces[0].get("Groups", []) if interfaces else [])
    return {
        "arn": arn,
        "ami": found["ImageId"],
        "associate_public_ip_address": bool(found.get("PublicIpAddress")),
        "availability_zone": placement.get("AvailabilityZone"),
        "ebs_optimized": found.get("EbsOptimized", False),
        "host_id": placement.get("HostId", ""),
        "iam_instance_profile": found.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2],
        "instance_lifecycle": lifecycle,
        "instance_state": found["State"]["Name"],
        "instance_type": found["InstanceType"],
        "ipv6_address_count": 0,
        "ipv6_addresses": [],
        "key_name": found.get("KeyName", ""),
        "monitoring": found.get("Monitoring", {}).get("State") in ("enabled", "pending"),
        "outpost_arn": "",
        "password_data": "",
        "placement_group": placement.get("GroupName", ""),
        "placement_partition_number": placement.get("PartitionNumber", 0),
        "primary_network_interface_id": interfaces[0]["NetworkInterfaceId"] if interfaces else "",
        "private_dns": found.get("PrivateDnsName", ""),
        "private_ip": found.get("PrivateIpAddress", ""),
        "public_dns": found.get("PublicDnsName", ""),
        "public_ip": found.get("PublicIpAddress", ""),
        "secondary_private_ips": [],
        # names are for the groups of the default VPC
        "security_groups": [group["GroupName"] for group in groups],
        "source_dest_check": found.get("SourceDestCheck", True),
        "spot_instance_request_id": found.get("SpotInstanceRequestId", ""),
        "subnet_id": found.get("SubnetId", ""),
        "tenancy": placement.get("Tenancy", "default"),
        "vpc_security_group_ids": [group["GroupId"] for group in groups],
    }


def render_blocks(found: Mapping[str, Any], volumes: Mapping[str, Mapping[str, Any]], state: State) -> State:
    """The nested blocks that AWS tells of."""
    options = found.get("MetadataOptions", {})
    root = str(found.get("RootDeviceName"))
    blocks: State = {
        "root_block_device": [_render_volume(volumes[root], state)] if root in volumes else [],
        "ebs_block_device": [_render_volume(volume, {}) for device, volume in volumes.items() if device != root],
        "metadata_options": [
            {
                "http_endpoint": options.get("HttpEndpoint", "enabled"),
                "http_tokens": options.get("HttpTokens", "optional"),
                "http_put_response_hop_limit": options.get("HttpPutResponseHopLimit", 1),
                "http_protocol_ipv6": options.get("HttpProtocolIpv6", "disabled"),
                "instance_metadata_tags": options.get("InstanceMetadataTags", "disabled"),
            }
        ],
    }
    if found.get("InstanceLifecycle") == "spot" and not state.get("instance_market_options"):
        blocks["instance_market_options"] = [{"market_type": "spot", "spot_options": [_SPOT_DEFAULTS]}]
    elif state.get("instance_market_options"):
        blocks["instance_market_options"] = [_fill_market(item) for item in state["instance_market_options"]]
    return blocks


def _fill_market(block: State) -> State:
    """The market as launched; options that were left to AWS are AWS's defaults."""
    spots = block["spot_options"] or [{}]
    filled = [_SPOT_DEFAULTS | {name: value for name, value in spot.items() if value is not None} for spot in spots]
    return {**block, "spot_options": filled if block["market_type"] == "spot" else block["spot_options"] or []}


def _render_volume(volume: Mapping[str, Any], state: State) -> State:
    remote = read_tags(volume.get("Tags"))
    before = (state.get("root_block_device") or [{}])[0]
    written = before.get("tags")
    attachment: Mapping[str, Any] = next(iter(volume.get("Attachments", [])), {})
    return {
        "volume_id": volume["VolumeId"],
        "device_name": attachment.get("Device", before.get("device_name")),
        "volume_size": volume["Size"],
        "volume_type": volume.get("VolumeType", "gp2"),
        "delete_on_termination": volume.get("DeleteOnTermination", True),
        "encrypted": volume.get("Encrypted", False),
        "iops": volume.get("Iops") or 0,
        "throughput": volume.get("Throughput") or 0,
        "kms_key_id": volume.get("KmsKeyId") or "",
        "snapshot_id": volume.get("SnapshotId") or "",
        "tags": {key: value for key, value in remote.items() if key in written} if written else None,
        "tags_all": remote,
    }
