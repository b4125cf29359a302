"""`aws_vpc_security_group_ingress_rule` and `…_egress_rule`: one rule each, by its `sgr-…` id."""

from typing import Any, ClassVar

from sandbox.aws_provider.core import State, Tagged, given, read_tags
from sandbox.aws_provider.errors import ProviderError
from sandbox.aws_provider.resources.ec2_tags import retag, tag_specifications
from sandbox.aws_provider.schema import Rules
from sandbox.aws_provider.values import UNKNOWN

_SOURCES = ("cidr_ipv4", "cidr_ipv6", "prefix_list_id", "referenced_security_group_id")
_REQUEST = {
    "ip_protocol": "IpProtocol",
    "from_port": "FromPort",
    "to_port": "ToPort",
    "cidr_ipv4": "CidrIpv4",
    "cidr_ipv6": "CidrIpv6",
    "prefix_list_id": "PrefixListId",
    "referenced_security_group_id": "ReferencedGroupId",
    "description": "Description",
}


class _Rule(Tagged):
    direction: ClassVar[str]
    noun = "VPC Security Group Rule"
    gone_codes = frozenset({"InvalidSecurityGroupRuleId.NotFound", "InvalidGroup.NotFound"})
    rules = Rules(replaced_by=frozenset({"region", "security_group_id"}))

    @classmethod
    def check(cls, config: State) -> None:
        given_names = [name for name in _SOURCES if config[name] is not None]
        certain = [name for name in given_names if config[name] is not UNKNOWN]  # an unknown may turn out null
        if not given_names or len(certain) > 1:
            raise ProviderError(
                "Invalid Attribute Combination", f"Exactly one of these must be configured: {', '.join(_SOURCES)}"
            )

    def create(self, planned: State) -> str:
        authorize = getattr(self.client("ec2"), f"authorize_security_group_{self.direction}")
        made = authorize(
            GroupId=planned["security_group_id"],
            IpPermissions=[_permission(planned)],
            TagSpecifications=tag_specifications("security-group-rule", planned["tags_all"]),
        )
        return str(made["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    def read(self, state: State) -> State | None:
        found = self.client("ec2").describe_security_group_rules(SecurityGroupRuleIds=[state["id"]])[
            "SecurityGroupRules"
        ]
        if not found:
            return None
        rule = found[0]
        everything = rule["IpProtocol"] == "-1"
        return {
            "arn": self.cloud.arn("ec2", f"security-group-rule/{state['id']}", self.region),
            "security_group_rule_id": state["id"],
            "security_group_id": rule["GroupId"],
            "ip_protocol": rule["IpProtocol"],
            "from_port": None if everything else rule.get("FromPort"),
            "to_port": None if everything else rule.get("ToPort"),
            "cidr_ipv4": rule.get("CidrIpv4"),
            "cidr_ipv6": rule.get("CidrIpv6"),
            "prefix_list_id": rule.get("PrefixListId"),
            "referenced_security_group_id": rule.get("ReferencedGroupInfo", {}).get("GroupId"),
            # moto forgets it where a group is the source
            "description": rule.get("Description") or state.get("description"),
            **self.split_tags(state, read_tags(rule.get("Tags"))),
        }

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        ec2 = self.client("ec2")
        if changed & set(_REQUEST):
            wanted = {"SecurityGroupRuleId": prior["id"], "SecurityGroupRule": given(planned, _REQUEST)}
            ec2.modify_security_group_rules(GroupId=prior["security_group_id"], SecurityGroupRules=[wanted])
        if "tags_all" in changed:
            retag(ec2, prior["id"], prior, planned)

    def delete(self, state: State) -> None:
        revoke = getattr(self.client("ec2"), f"revoke_security_group_{self.direction}")
        revoke(GroupId=state["security_group_id"], SecurityGroupRuleIds=[state["id"]])


class IngressRule(_Rule):
    """One rule for what comes in."""

    type_name = "aws_vpc_security_group_ingress_rule"
    direction = "ingress"


class EgressRule(_Rule):
    """One rule for what goes out."""

    type_name = "aws_vpc_security_group_egress_rule"
    direction = "egress"


def _permission(planned: State) -> dict[str, Any]:
    more = given(planned, {"description": "Description"})
    permission = given(planned, {"ip_protocol": "IpProtocol", "from_port": "FromPort", "to_port": "ToPort"})
    for name, group, key in (
        ("cidr_ipv4", "IpRanges", "CidrIp"),
        ("cidr_ipv6", "Ipv6Ranges", "CidrIpv6"),
        ("prefix_list_id", "PrefixListIds", "PrefixListId"),
        ("referenced_security_group_id", "UserIdGroupPairs", "GroupId"),
    ):
        if planned[name]:
            permission[group] = [{key: planned[name], **more}]
    return permission
