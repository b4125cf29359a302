"""Data sources on EC2: `aws_ami`, `aws_availability_zones`, `aws_subnets`, `aws_vpc`."""

import re
from typing import Any

from sandbox.aws_provider.core import DataSource, State, given, read_tags
from sandbox.aws_provider.errors import ProviderError

_NOTHING = "Your query returned no results. Please change your search criteria and try again."
_TOO_MANY = (
    "Your query returned more than one result. Please try a more specific search criteria, "
    "or set `most_recent` attribute to true."
)
_IMAGE = {
    "architecture": "Architecture",
    "boot_mode": "BootMode",
    "creation_date": "CreationDate",
    "deprecation_time": "DeprecationTime",
    "description": "Description",
    "ena_support": "EnaSupport",
    "hypervisor": "Hypervisor",
    "image_id": "ImageId",
    "image_location": "ImageLocation",
    "image_owner_alias": "ImageOwnerAlias",
    "image_type": "ImageType",
    "imds_support": "ImdsSupport",
    "kernel_id": "KernelId",
    "last_launched_time": "LastLaunchedTime",
    "name": "Name",
    "owner_id": "OwnerId",
    "platform": "Platform",
    "platform_details": "PlatformDetails",
    "public": "Public",
    "ramdisk_id": "RamdiskId",
    "root_device_name": "RootDeviceName",
    "root_device_type": "RootDeviceType",
    "sriov_net_support": "SriovNetSupport",
    "state": "State",
    "tpm_support": "TpmSupport",
    "usage_operation": "UsageOperation",
    "virtualization_type": "VirtualizationType",
}


def _filters(config: State, **more: str | None) -> list[dict[str, Any]]:
    """`filter` blocks, `tags` and the attributes given as EC2 filters."""
    filters = [{"Name": block["name"], "Values": list(block["values"])} for block in config["filter"] or []]
    filters += [{"Name": f"tag:{key}", "Values": [value]} for key, value in (config.get("tags") or {}).items()]
    return filters + [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in more.items() if value]


class Image(DataSource):
    """One image by owners, filters and a pattern; the newest of several when asked for."""

    type_name = "aws_ami"
    noun = "EC2 AMI"

    def read(self, config: State) -> State:
        if (
            not config["owners"]
            and not config["filter"]
            and not config["executable_users"]
            and not config["name_regex"]
        ):
            raise ProviderError(
                "Missing required argument", "One of executable_users, filter, name_regex, owners must be set."
            )
        lists = given(config, {"owners": "Owners", "executable_users": "ExecutableUsers"})
        filters = _filters({**config, "tags": None})  # `tags` is what was found, here
        images = self.client("ec2").describe_images(Filters=filters, **lists)["Images"]
        if config["name_regex"]:
            images = [image for image in images if re.search(config["name_regex"], image.get("Name", ""))]
        if not images:
            raise ProviderError(_NOTHING)
        if len(images) > 1 and not config["most_recent"]:
            raise ProviderError(_TOO_MANY)
        return self._render(max(images, key=lambda image: str(image.get("CreationDate", ""))))

    def _render(self, image: dict[str, Any]) -> State:
        mappings = image.get("BlockDeviceMappings", [])
        root: dict[str, Any] = next(
            (item for item in mappings if item.get("DeviceName") == image.get("RootDeviceName")), {}
        )
        return {
            **{name: image.get(key) for name, key in _IMAGE.items()},
            "id": image["ImageId"],
            "arn": f"arn:aws:ec2:{self.region}::image/{image['ImageId']}",
            "block_device_mappings": [_render_mapping(item) for item in mappings],
            "product_codes": [],
            "root_snapshot_id": root.get("Ebs", {}).get("SnapshotId", ""),
            "state_reason": {},
            "tags": read_tags(image.get("Tags")),
        }


def _render_mapping(mapping: dict[str, Any]) -> State:
    names = ("DeleteOnTermination", "Encrypted", "Iops", "SnapshotId", "Throughput", "VolumeSize", "VolumeType")
    ebs = mapping.get("Ebs", {})
    texts = {re.sub("(?<!^)([A-Z])", r"_\1", name).lower(): _as_text(ebs.get(name, 0)) for name in names}
    return {
        "device_name": mapping.get("DeviceName", ""),
        "ebs": texts,
        "no_device": mapping.get("NoDevice", ""),
        "virtual_name": mapping.get("VirtualName", ""),
    }


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class AvailabilityZones(DataSource):
    """The zones of the region, in the order of their names."""

    type_name = "aws_availability_zones"
    noun = "EC2 Availability Zones"

    def read(self, config: State) -> State:
        everything = bool(config["all_availability_zones"])
        filters = _filters(config, state=config["state"])
        found = self.client("ec2").describe_availability_zones(Filters=filters, AllAvailabilityZones=everything)
        names, ids = config["exclude_names"] or [], config["exclude_zone_ids"] or []
        zones = [
            zone
            for zone in sorted(found["AvailabilityZones"], key=lambda zone: str(zone["ZoneName"]))
            if zone["ZoneName"] not in names and zone["ZoneId"] not in ids
        ]
        return {
            "id": self.region,
            "names": [zone["ZoneName"] for zone in zones],
            "zone_ids": [zone["ZoneId"] for zone in zones],
            "group_names": sorted({zone.get("GroupName") or self.region for zone in zones}),
        }


class Subnets(DataSource):
    """Ids of the subnets that match."""

    type_name = "aws_subnets"
    noun = "EC2 Subnets"

    def read(self, config: State) -> State:
        pages = self.client("ec2").get_paginator("describe_subnets").paginate(Filters=_filters(config))
        return {"id": self.region, "ids": sorted(subnet["SubnetId"] for page in pages for subnet in page["Subnets"])}


class Vpc(DataSource):
    """Exactly one VPC."""

    type_name = "aws_vpc"
    noun = "EC2 VPC"

    def read(self, config: State) -> State:
        default = None if config["default"] is None else _as_text(config["default"])
        named = {name: config[name] for name in ("dhcp_options_id", "state")}
        filters = _filters(config, is_default=default, cidr=config["cidr_block"], vpc_id=config["id"], **named)
        found = self.client("ec2").describe_vpcs(Filters=filters)["Vpcs"]
        if not found:
            raise ProviderError("no matching EC2 VPC found", "Change the search criteria of the data source.")
        if len(found) > 1:
            raise ProviderError(
                "multiple EC2 VPCs matched; use additional constraints to reduce matches to a single EC2 VPC"
            )
        return self._render(found[0])

    def _render(self, vpc: dict[str, Any]) -> State:
        ec2, identity = self.client("ec2"), vpc["VpcId"]
        support = {
            name: ec2.describe_vpc_attribute(VpcId=identity, Attribute=attribute)[attribute[0].upper() + attribute[1:]]
            for name, attribute in (
                ("enable_dns_hostnames", "enableDnsHostnames"),
                ("enable_dns_support", "enableDnsSupport"),
            )
        }
        main = [{"Name": "association.main", "Values": ["true"]}, {"Name": "vpc-id", "Values": [identity]}]
        tables = ec2.describe_route_tables(Filters=main)["RouteTables"]
        return {
            **{name: answer["Value"] for name, answer in support.items()},
            "id": identity,
            "arn": self.cloud.arn("ec2", f"vpc/{identity}", self.region),
            "cidr_block": vpc["CidrBlock"],
            "cidr_block_associations": [
                {
                    "association_id": item["AssociationId"],
                    "cidr_block": item["CidrBlock"],
                    "state": item["CidrBlockState"]["State"],
                }
                for item in vpc.get("CidrBlockAssociationSet", [])
            ],
            "default": vpc["IsDefault"],
            "dhcp_options_id": vpc.get("DhcpOptionsId", ""),
            "enable_network_address_usage_metrics": False,
            "instance_tenancy": vpc.get("InstanceTenancy", "default"),
            "main_route_table_id": tables[0]["RouteTableId"] if tables else "",
            "owner_id": vpc.get("OwnerId", ""),
            "state": vpc["State"],
            "tags": read_tags(vpc.get("Tags")),
        }
