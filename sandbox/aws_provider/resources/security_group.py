"""`aws_security_group`, with rules written inline as `ingress` and `egress`; rules left out are left alone."""

from typing import Any

from sandbox.aws_provider.core import State, Tagged, fresh_name, given, read_tags, timeout_s
from sandbox.aws_provider.errors import CloudError, read_code
from sandbox.aws_provider.resources.ec2_tags import retag, tag_specifications
from sandbox.aws_provider.schema import Rules
from sandbox.aws_provider.values import is_known

_DELETE_TIMEOUT_S = 900.0


class SecurityGroup(Tagged):
    """A security group of a VPC."""

    type_name = "aws_security_group"
    noun = "Security Group"
    gone_codes = frozenset({"InvalidGroup.NotFound", "InvalidGroupId.Malformed"})
    rules = Rules(
        replaced_by=frozenset({"description", "name", "name_prefix", "region", "vpc_id"}),
        defaults={"description": "Managed by Terraform", "revoke_rules_on_delete": False},
    )

    def create(self, planned: State) -> str:
        made = self.client("ec2").create_security_group(
            GroupName=fresh_name(planned),
            Description=planned["description"],
            TagSpecifications=tag_specifications("security-group", planned["tags_all"]),
            **given(planned, {"vpc_id": "VpcId"}),
        )
        return str(made["GroupId"])

    def complete(self, identity: str, planned: State) -> None:
        # AWS opens every new group to the outside; the real provider closes it, so that only what is written holds
        opened = self._describe(identity)["IpPermissionsEgress"]
        if opened:
            self.client("ec2").revoke_security_group_egress(GroupId=identity, IpPermissions=opened)
        for direction in ("ingress", "egress"):
            if is_known(planned[direction]):
                self._replace_rules(identity, direction, [], planned[direction] or [])

    def read(self, state: State) -> State | None:
        group = self._describe(state["id"])
        return {
            "arn": self.cloud.arn("ec2", f"security-group/{group['GroupId']}", self.region),
            "name": group["GroupName"],
            "name_prefix": state.get("name_prefix") or "",
            "description": group["Description"],
            "owner_id": group["OwnerId"],
            "vpc_id": group.get("VpcId", ""),
            "ingress": [_render_rule(item, group) for item in group["IpPermissions"]],
            "egress": [_render_rule(item, group) for item in group["IpPermissionsEgress"]],
            **self.split_tags(state, read_tags(group.get("Tags"))),
        }

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        for direction in changed & {"ingress", "egress"}:
            if is_known(planned[direction]):
                self._replace_rules(prior["id"], direction, prior[direction] or [], planned[direction] or [])
        if "tags_all" in changed:
            retag(self.client("ec2"), prior["id"], prior, planned)

    def delete(self, state: State) -> None:
        identity = state["id"]
        if state["revoke_rules_on_delete"]:
            for direction in ("ingress", "egress"):
                self._replace_rules(identity, direction, state[direction] or [], [])

        def is_deleted() -> bool:
            try:
                self.client("ec2").delete_security_group(GroupId=identity)
            except CloudError as error:
                if read_code(error) == "DependencyViolation":  # an interface of a dying instance holds it for a while
                    return False
                raise
            return True

        limit_s = timeout_s(state, "delete", _DELETE_TIMEOUT_S)
        self.cloud.wait_until(is_deleted, f"Security Group ({identity}) delete", limit_s)

    def _describe(self, identity: str) -> dict[str, Any]:
        group: dict[str, Any] = self.client("ec2").describe_security_groups(GroupIds=[identity])["SecurityGroups"][0]
        return group

    def _replace_rules(self, identity: str, direction: str, old: list[State], new: list[State]) -> None:
        ec2 = self.client("ec2")
        for rule in old:
            revoke = getattr(ec2, f"revoke_security_group_{direction}")
            revoke(GroupId=identity, IpPermissions=[_permission(rule, identity)])
        if new:
            authorize = getattr(ec2, f"authorize_security_group_{direction}")
            authorize(GroupId=identity, IpPermissions=[_permission(rule, identity) for rule in new])


def _permission(rule: State, group_id: str) -> dict[str, Any]:
    """An inline rule as AWS's IpPermission."""
    protocol = "-1" if rule["protocol"] in ("-1", "all") else rule["protocol"]
    permission: dict[str, Any] = {"IpProtocol": protocol}
    if protocol != "-1":
        permission |= {"FromPort": int(rule["from_port"]), "ToPort": int(rule["to_port"])}
    more = {"Description": rule["description"]} if rule["description"] else {}
    groups = [*(rule["security_groups"] or []), *([group_id] if rule["self"] else [])]
    sources = {
        "IpRanges": [{"CidrIp": cidr, **more} for cidr in rule["cidr_blocks"] or []],
        "Ipv6Ranges": [{"CidrIpv6": cidr, **more} for cidr in rule["ipv6_cidr_blocks"] or []],
        "PrefixListIds": [{"PrefixListId": item, **more} for item in rule["prefix_list_ids"] or []],
        "UserIdGroupPairs": [{"GroupId": group, **more} for group in groups],
    }
    return permission | {name: items for name, items in sources.items() if items}


def _render_rule(permission: dict[str, Any], group: dict[str, Any]) -> State:
    """AWS's IpPermission as an inline rule."""
    sources = {
        name: permission.get(name, []) for name in ("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs")
    }
    groups = [item["GroupId"] for item in sources["UserIdGroupPairs"]]
    said = [item["Description"] for items in sources.values() for item in items if item.get("Description")]
    everything = permission["IpProtocol"] == "-1"
    return {
        "protocol": permission["IpProtocol"],
        "from_port": 0 if everything else permission.get("FromPort", 0),
        "to_port": 0 if everything else permission.get("ToPort", 0),
        "cidr_blocks": [item["CidrIp"] for item in sources["IpRanges"]],
        "ipv6_cidr_blocks": [item["CidrIpv6"] for item in sources["Ipv6Ranges"]],
        "prefix_list_ids": [item["PrefixListId"] for item in sources["PrefixListIds"]],
        "security_groups": [item for item in groups if item != group["GroupId"]],
        "self": group["GroupId"] in groups,
        "description": said[0] if said else "",
    }
