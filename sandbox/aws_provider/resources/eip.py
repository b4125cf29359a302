"""Elastic addresses: `aws_eip`, `aws_eip_association`."""

from typing import Any

from sandbox.aws_provider.core import State
from sandbox.aws_provider.resources.mapped import Calls, Mapped, dig
from sandbox.aws_provider.schema import Rules, words

_GONE = frozenset({"InvalidAllocationID.NotFound", "InvalidAddress.NotFound", "InvalidAssociationID.NotFound"})


class Eip(Mapped):
    """An address of the account; its id is the allocation's."""

    type_name = "aws_eip"
    noun = "EC2 EIP"
    gone_codes = _GONE
    rules = Rules(replaced_by=words("address domain network_border_group public_ipv4_pool region"))
    calls = Calls(
        "ec2", "allocate_address", "describe_addresses", "release_address", "AllocationId", "Addresses.0",
        "AllocationId", lists=True,
    )  # fmt: skip
    sent = {"domain": "Domain"}
    seen = {
        "allocation_id": "AllocationId",
        "public_ip": "PublicIp",
        "association_id": "AssociationId",
        "instance": "InstanceId",
        "network_interface": "NetworkInterfaceId",
        "private_ip": "PrivateIpAddress",
    }

    def render(self, found: dict[str, Any], state: State) -> State:
        name = f"ec2-{found['PublicIp'].replace('.', '-')}.{self.region}.compute.amazonaws.com"
        return {"arn": self.cloud.arn("ec2", f"elastic-ip/{state['id']}", self.region), "public_dns": name}


class EipAssociation(Mapped):
    """An address on an instance."""

    type_name = "aws_eip_association"
    noun = "EC2 EIP Association"
    gone_codes = _GONE
    removal = "disassociating"
    rules = Rules(replaced_by=words("allocation_id instance_id network_interface_id private_ip_address region"))
    calls = Calls(
        "ec2", "associate_address", "describe_addresses", "disassociate_address", "AssociationId", "Addresses.0",
        "AssociationId",
    )  # fmt: skip
    sent = {"allocation_id": "AllocationId", "instance_id": "InstanceId"}
    seen = {"public_ip": "PublicIp", "network_interface_id": "NetworkInterfaceId"}

    def read(self, state: State) -> State | None:
        wanted = [{"Name": "association-id", "Values": [state["id"]]}]
        found = dig(self.aws.describe_addresses(Filters=wanted), "Addresses.0")
        if found is None:
            return None
        return {name: found[key] for name, key in {**self.sent, **self.seen}.items() if key in found}
