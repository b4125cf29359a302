"""Load balancing: `aws_lb`, `aws_lb_target_group`, `aws_lb_target_group_attachment`, `aws_lb_listener`; ids are ARNs."""

from typing import Any

from sandbox.aws_provider.core import Resource, State, fresh_name
from sandbox.aws_provider.resources.mapped import Calls, Mapped
from sandbox.aws_provider.schema import Rules, words

_HEALTH = {
    "path": "HealthCheckPath",
    "port": "HealthCheckPort",
    "protocol": "HealthCheckProtocol",
    "interval": "HealthCheckIntervalSeconds",
    "timeout": "HealthCheckTimeoutSeconds",
    "healthy_threshold": "HealthyThresholdCount",
    "unhealthy_threshold": "UnhealthyThresholdCount",
    "enabled": "HealthCheckEnabled",
}


class LoadBalancer(Mapped):
    """An application load balancer; what AWS calls its attributes are texts."""

    type_name = "aws_lb"
    noun = "ELBv2 Load Balancer"
    gone_codes = frozenset({"LoadBalancerNotFound"})
    rules = Rules(
        replaced_by=words("internal load_balancer_type name name_prefix region"),
        defaults={
            "load_balancer_type": "application",
            "internal": False,
            "idle_timeout": 60,
            "enable_deletion_protection": False,
            "drop_invalid_header_fields": False,
            "ip_address_type": "ipv4",
        },
        computed_blocks=words("subnet_mapping"),
    )
    calls = Calls(
        "elbv2", "create_load_balancer", "describe_load_balancers", "delete_load_balancer", "LoadBalancerArn",
        "LoadBalancers.0", "LoadBalancers.0.LoadBalancerArn", lists=True,
    )  # fmt: skip
    sent = {"security_groups": "SecurityGroups", "subnets": "Subnets", "load_balancer_type": "Type"}
    seen = {"arn": "LoadBalancerArn", "dns_name": "DNSName", "zone_id": "CanonicalHostedZoneId", "vpc_id": "VpcId"}
    attributes = {
        "idle_timeout": "idle_timeout.timeout_seconds",
        "enable_deletion_protection": "deletion_protection.enabled",
        "drop_invalid_header_fields": "routing.http.drop_invalid_header_fields.enabled",
    }

    def arguments(self, planned: State) -> dict[str, Any]:
        return {"Name": fresh_name(planned), "Scheme": "internal" if planned["internal"] else "internet-facing"}

    def complete(self, identity: str, planned: State) -> None:
        super().complete(identity, planned)
        self._write_attributes(identity, planned)

    def render(self, found: dict[str, Any], state: State) -> State:
        listed = self.aws.describe_load_balancer_attributes(LoadBalancerArn=state["id"])["Attributes"]
        values = {one["Key"]: one["Value"] for one in listed}
        switches = {
            name: values[key] if name == "idle_timeout" else values[key] == "true"
            for name, key in self.attributes.items()
            if key in values
        }
        return {
            **switches,
            **({"idle_timeout": int(switches["idle_timeout"])} if "idle_timeout" in switches else {}),
            "name": found["LoadBalancerName"],
            "arn_suffix": found["LoadBalancerArn"].partition(":loadbalancer/")[2],
            "internal": found["Scheme"] == "internal",
            "subnets": [zone["SubnetId"] for zone in found["AvailabilityZones"]],
        }

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        if "security_groups" in changed:
            self.aws.set_security_groups(LoadBalancerArn=prior["id"], SecurityGroups=planned["security_groups"])
        if "subnets" in changed:
            self.aws.set_subnets(LoadBalancerArn=prior["id"], Subnets=planned["subnets"])
        if changed & set(self.attributes):
            self._write_attributes(prior["id"], planned)
        super().update(prior, planned, changed)

    def _write_attributes(self, identity: str, planned: State) -> None:
        written = [
            {"Key": key, "Value": _as_text(planned[name])}
            for name, key in self.attributes.items()
            if planned[name] is not None
        ]
        self.aws.modify_load_balancer_attributes(LoadBalancerArn=identity, Attributes=written)


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(int(value))


class TargetGroup(Mapped):
    """Where a load balancer sends calls, and how it asks whether a target is well."""

    type_name = "aws_lb_target_group"
    noun = "ELBv2 Target Group"
    gone_codes = frozenset({"TargetGroupNotFound"})
    rules = Rules(
        replaced_by=words("ip_address_type name name_prefix port protocol protocol_version region target_type vpc_id"),
        defaults={
            "target_type": "instance",
            "deregistration_delay": "300",
            "health_check.enabled": True,
            "health_check.port": "traffic-port",
            "health_check.protocol": "HTTP",
        },
        computed_blocks=words("health_check stickiness target_failover target_group_health target_health_state"),
    )
    calls = Calls(
        "elbv2", "create_target_group", "describe_target_groups", "delete_target_group", "TargetGroupArn",
        "TargetGroups.0", "TargetGroups.0.TargetGroupArn", lists=True,
    )  # fmt: skip
    sent = {"port": "Port", "protocol": "Protocol", "vpc_id": "VpcId", "target_type": "TargetType"}
    seen = {"arn": "TargetGroupArn", "name": "TargetGroupName", "load_balancer_arns": "LoadBalancerArns"}

    def arguments(self, planned: State) -> dict[str, Any]:
        return {"Name": fresh_name(planned), **_render_health(planned)}

    def complete(self, identity: str, planned: State) -> None:
        super().complete(identity, planned)
        self._write_delay(identity, planned)

    def render(self, found: dict[str, Any], state: State) -> State:
        health = {name: found.get(key) for name, key in _HEALTH.items()}
        health["matcher"] = found.get("Matcher", {}).get("HttpCode")
        return {"arn_suffix": found["TargetGroupArn"].partition(":")[2].rpartition(":")[2], "health_check": [health]}

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        if "health_check" in changed:
            self.aws.modify_target_group(TargetGroupArn=prior["id"], **_render_health(planned))
        if "deregistration_delay" in changed:
            self._write_delay(prior["id"], planned)
        super().update(prior, planned, changed)

    def _write_delay(self, identity: str, planned: State) -> None:
        delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": str(planned["deregistration_delay"])}]
        self.aws.modify_target_group_attributes(TargetGroupArn=identity, Attributes=delay)


def _render_health(planned: State) -> dict[str, Any]:
    """The arguments for the block `health_check`."""
    arguments: dict[str, Any] = {}
    for block in planned["health_check"] or []:
        for name, key in _HEALTH.items():
            if block[name]:
                arguments[key] = int(block[name]) if isinstance(block[name], float) else block[name]
        if block["matcher"]:
            arguments["Matcher"] = {"HttpCode": block["matcher"]}
    return arguments


class TargetGroupAttachment(Resource):
    """An instance in a target group."""

    type_name = "aws_lb_target_group_attachment"
    noun = "ELBv2 Target Group Attachment"
    gone_codes = frozenset({"TargetGroupNotFound", "InvalidTarget"})
    removal = "deregistering"
    rules = Rules(replaced_by=words("availability_zone port region target_group_arn target_id"))

    def create(self, planned: State) -> str:
        self.client("elbv2").register_targets(
            TargetGroupArn=planned["target_group_arn"], Targets=[_render_target(planned)]
        )
        return f"{planned['target_group_arn']}-{planned['target_id']}"

    def read(self, state: State) -> State | None:
        answer = self.client("elbv2").describe_target_health(TargetGroupArn=state["target_group_arn"])
        listed = [one["Target"]["Id"] for one in answer["TargetHealthDescriptions"]]
        return {"target_id": state["target_id"]} if state["target_id"] in listed else None

    def delete(self, state: State) -> None:
        self.client("elbv2").deregister_targets(
            TargetGroupArn=state["target_group_arn"], Targets=[_render_target(state)]
        )


def _render_target(state: State) -> dict[str, Any]:
    return {"Id": state["target_id"], **({"Port": int(state["port"])} if state["port"] else {})}


class Listener(Mapped):
    """A port of a load balancer with its default action: forward or redirect."""

    type_name = "aws_lb_listener"
    noun = "ELBv2 Listener"
    gone_codes = frozenset({"ListenerNotFound"})
    rules = Rules(
        replaced_by=words("load_balancer_arn region"),
        computed_blocks=words("default_action.forward mutual_authentication"),
    )
    calls = Calls(
        "elbv2", "create_listener", "describe_listeners", "delete_listener", "ListenerArn", "Listeners.0",
        "Listeners.0.ListenerArn", lists=True,
    )  # fmt: skip
    sent = {"load_balancer_arn": "LoadBalancerArn", "port": "Port", "protocol": "Protocol", "ssl_policy": "SslPolicy"}
    seen = {"arn": "ListenerArn", "certificate_arn": "Certificates.0.CertificateArn"}

    def arguments(self, planned: State) -> dict[str, Any]:
        return _render_listener(planned)

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        if changed & {"default_action", "certificate_arn", "port", "protocol", "ssl_policy"}:
            self.aws.modify_listener(ListenerArn=prior["id"], **_render_listener(planned))
        super().update(prior, planned, changed - set(self.sent))


def _render_listener(planned: State) -> dict[str, Any]:
    actions: list[dict[str, Any]] = []
    for block in planned["default_action"]:
        action: dict[str, Any] = {"Type": block["type"]}
        if block["target_group_arn"]:
            action["TargetGroupArn"] = block["target_group_arn"]
        for redirect in block["redirect"] or []:
            names = {"port": "Port", "protocol": "Protocol", "status_code": "StatusCode"}
            action["RedirectConfig"] = {key: redirect[name] for name, key in names.items() if redirect[name]}
        actions.append(action)
    certificates = [{"CertificateArn": planned["certificate_arn"]}] if planned["certificate_arn"] else []
    return {"DefaultActions": actions, **({"Certificates": certificates} if certificates else {})}
