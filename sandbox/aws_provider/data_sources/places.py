"""Data sources that find one thing that is there already: `aws_eip`, `aws_route53_zone`, `aws_ec2_instance_type_offerings`."""

from sandbox.aws_provider.core import DataSource, State, read_tags
from sandbox.aws_provider.errors import ProviderError


class EipData(DataSource):
    """One elastic address, by its allocation id or its address."""

    type_name = "aws_eip"
    noun = "EC2 EIP"

    def read(self, config: State) -> State:
        asked = {"AllocationIds": [config["id"]]} if config["id"] else {"PublicIps": [config["public_ip"]]}
        found = self.client("ec2").describe_addresses(**asked)["Addresses"][0]
        return {
            "id": found["AllocationId"],
            "public_ip": found["PublicIp"],
            "association_id": found.get("AssociationId", ""),
            "instance_id": found.get("InstanceId", ""),
            "domain": found.get("Domain", "vpc"),
            "tags": read_tags(found.get("Tags")),
        }


class ZoneData(DataSource):
    """Exactly one hosted zone, by its id or its name."""

    type_name = "aws_route53_zone"
    noun = "Route 53 Hosted Zone"

    def read(self, config: State) -> State:
        route53 = self.client("route53")
        if config["zone_id"]:
            zones = [route53.get_hosted_zone(Id=config["zone_id"])["HostedZone"]]
        else:
            wanted = config["name"].rstrip(".") + "."
            pages = route53.get_paginator("list_hosted_zones").paginate()
            zones = [one for page in pages for one in page["HostedZones"] if one["Name"] == wanted]
            zones = [one for one in zones if one["Config"].get("PrivateZone", False) == bool(config["private_zone"])]
        if not zones:
            raise ProviderError("no matching Route 53 Hosted Zone found", "Create the zone, or name it by its zone_id.")
        if len(zones) > 1:
            raise ProviderError("multiple Route 53 Hosted Zones matched", "Name the zone by its zone_id.")
        identity = zones[0]["Id"].rpartition("/")[2]
        servers = route53.get_hosted_zone(Id=identity).get("DelegationSet", {}).get("NameServers", [])
        return {
            "id": identity,
            "zone_id": identity,
            "arn": f"arn:aws:route53:::hostedzone/{identity}",
            "name": zones[0]["Name"].rstrip("."),
            "name_servers": sorted(servers),
        }


class TypeOfferings(DataSource):
    """Where which instance types are on offer: three lists of equal length."""

    type_name = "aws_ec2_instance_type_offerings"
    noun = "EC2 Instance Type Offerings"

    def read(self, config: State) -> State:
        filters = [{"Name": one["name"], "Values": list(one["values"])} for one in config["filter"] or []]
        pages = (
            self.client("ec2")
            .get_paginator("describe_instance_type_offerings")
            .paginate(LocationType=config["location_type"] or "region", Filters=filters)
        )
        found = [one for page in pages for one in page["InstanceTypeOfferings"]]
        return {
            "id": self.region,
            "instance_types": [one["InstanceType"] for one in found],
            "locations": [one["Location"] for one in found],
            "location_types": [one["LocationType"] for one in found],
        }
