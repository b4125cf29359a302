"""`aws_launch_template` and `aws_autoscaling_group`, as far as a group of allocators uses them."""

from typing import Any

from sandbox.aws_provider.core import Resource, State, fresh_name, given, timeout_s
from sandbox.aws_provider.resources.ec2_tags import tag_specifications
from sandbox.aws_provider.resources.mapped import Calls, Mapped
from sandbox.aws_provider.schema import Rules, words

_TEMPLATE = {"image_id": "ImageId", "instance_type": "InstanceType", "key_name": "KeyName", "user_data": "UserData"}
_SINGLE = {"iam_instance_profile": "IamInstanceProfile", "metadata_options": "MetadataOptions"}
_MANY = {
    "network_interfaces": "NetworkInterfaces",
    "block_device_mappings": "BlockDeviceMappings",
    "tag_specifications": "TagSpecifications",
}
_OTHER_NAMES = {"security_groups": "Groups"}
_DELETE_S = 900.0


class LaunchTemplate(Mapped):
    """A launch template; a change of what it launches is a new version of it."""

    type_name = "aws_launch_template"
    noun = "EC2 Launch Template"
    gone_codes = frozenset({"InvalidLaunchTemplateId.NotFound"})
    rules = Rules(
        replaced_by=words("name name_prefix region"),
        follows=dict.fromkeys(("latest_version", "default_version"), frozenset({*_TEMPLATE, *_SINGLE, *_MANY})),
    )
    calls = Calls(
        "ec2", "create_launch_template", "describe_launch_templates", "delete_launch_template", "LaunchTemplateId",
        "LaunchTemplates.0", "LaunchTemplate.LaunchTemplateId", lists=True,
    )  # fmt: skip
    seen = {
        "name": "LaunchTemplateName",
        "latest_version": "LatestVersionNumber",
        "default_version": "DefaultVersionNumber",
    }

    def arguments(self, planned: State) -> dict[str, Any]:
        tags = tag_specifications("launch-template", planned["tags_all"])  # moto knows those given at birth alone
        document = _render_template(planned)
        return {"LaunchTemplateName": fresh_name(planned), "LaunchTemplateData": document, "TagSpecifications": tags}

    def render(self, found: dict[str, Any], state: State) -> State:
        return {"arn": self.cloud.arn("ec2", f"launch-template/{state['id']}", self.region)}

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        if changed & {*_TEMPLATE, *_SINGLE, *_MANY}:
            made = self.aws.create_launch_template_version(
                LaunchTemplateId=prior["id"], LaunchTemplateData=_render_template(planned)
            )
            if planned["update_default_version"]:
                number = str(made["LaunchTemplateVersion"]["VersionNumber"])
                self.aws.modify_launch_template(LaunchTemplateId=prior["id"], DefaultVersion=number)
        super().update(prior, planned, changed & {"tags_all"})


def _render_template(planned: State) -> dict[str, Any]:
    document: dict[str, Any] = given(planned, _TEMPLATE)
    for name, key in _SINGLE.items():
        for block in planned[name] or []:
            document[key] = _camel(block)
    for name, key in _MANY.items():
        if planned[name]:
            document[key] = [_camel(block) for block in planned[name]]
    return document


def _camel(block: State) -> dict[str, Any]:
    """A block in boto3's notation: names in capitals, switches that Terraform writes as text, what is unset left out."""
    rendered: dict[str, Any] = {}
    for name, value in block.items():
        key = _OTHER_NAMES.get(name, "".join(part.capitalize() for part in name.split("_")))
        if value in ("true", "false"):
            rendered[key] = value == "true"
        elif name == "tags":
            rendered[key] = [{"Key": one, "Value": text} for one, text in (value or {}).items()]
        elif name == "ebs" and value:
            rendered[key] = _camel(value[0])
        elif isinstance(value, float):
            rendered[key] = int(value)
        elif value:
            rendered[key] = value
    return rendered


_GROUP = {
    "min_size": "MinSize",
    "max_size": "MaxSize",
    "desired_capacity": "DesiredCapacity",
    "health_check_type": "HealthCheckType",
    "health_check_grace_period": "HealthCheckGracePeriod",
}


class Group(Resource):
    """An Auto Scaling group; its id is its name. Its end waits for its instances'."""

    type_name = "aws_autoscaling_group"
    noun = "Auto Scaling Group"
    rules = Rules(
        replaced_by=words("name name_prefix placement_group region"),
        defaults={"force_delete": False, "metrics_granularity": "1Minute", "protect_from_scale_in": False},
        computed_blocks=words(
            "availability_zone_distribution capacity_reservation_specification instance_maintenance_policy"
        ),
    )

    def create(self, planned: State) -> str:
        name = fresh_name(planned)
        self.client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=name, TargetGroupARNs=planned["target_group_arns"] or [], **_render_group(planned)
        )
        return name

    def read(self, state: State) -> State | None:
        listed = self.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[state["id"]])
        if not listed["AutoScalingGroups"]:
            return None
        found = listed["AutoScalingGroups"][0]
        template = found["LaunchTemplate"]
        return {
            **{name: found[key] for name, key in _GROUP.items()},
            "arn": found["AutoScalingGroupARN"],
            "name": found["AutoScalingGroupName"],
            "availability_zones": found["AvailabilityZones"],
            "vpc_zone_identifier": [part for part in found.get("VPCZoneIdentifier", "").split(",") if part],
            "target_group_arns": found.get("TargetGroupARNs", []),
            "load_balancers": found.get("LoadBalancerNames", []),
            "launch_template": [
                {
                    "id": template["LaunchTemplateId"],
                    "name": template["LaunchTemplateName"],
                    "version": str(template.get("Version", "")),
                }
            ],
        }

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        self.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=prior["id"], **_render_group(planned))

    def delete(self, state: State) -> None:
        scaling, name = self.client("autoscaling"), state["id"]
        scaling.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0, MaxSize=0, DesiredCapacity=0)

        def is_empty() -> bool:
            groups = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
            return not groups or not groups[0]["Instances"]

        self.cloud.wait_until(is_empty, f"Auto Scaling Group ({name}) drain", timeout_s(state, "delete", _DELETE_S))
        scaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=bool(state["force_delete"]))


def _render_group(planned: State) -> dict[str, Any]:
    template = planned["launch_template"][0]
    names = {"id": "LaunchTemplateId", "version": "Version"}
    return {
        "VPCZoneIdentifier": ",".join(planned["vpc_zone_identifier"] or []),
        "LaunchTemplate": given(template, names),
        **given(planned, _GROUP),
    }
