"""EBS: `aws_ebs_volume`, `aws_volume_attachment`."""

import hashlib
from typing import Any

from sandbox.aws_provider.core import Resource, State
from sandbox.aws_provider.errors import CloudError, ProviderError, read_code
from sandbox.aws_provider.resources.mapped import Calls, Mapped
from sandbox.aws_provider.schema import Rules, words

_DETACH_S = 300.0


class Volume(Mapped):
    """A volume; where `final_snapshot` says so, its end leaves a snapshot."""

    type_name = "aws_ebs_volume"
    noun = "EBS Volume"
    gone_codes = frozenset({"InvalidVolume.NotFound"})
    rules = Rules(
        replaced_by=words("availability_zone encrypted kms_key_id multi_attach_enabled outpost_arn region snapshot_id"),
        defaults={"final_snapshot": False},
    )
    calls = Calls(
        "ec2", "create_volume", "describe_volumes", "delete_volume", "VolumeId", "Volumes.0", "VolumeId",
        "modify_volume", lists=True,
    )  # fmt: skip
    sent = {
        "availability_zone": "AvailabilityZone",
        "size": "Size",
        "type": "VolumeType",
        "encrypted": "Encrypted",
        "iops": "Iops",
        "throughput": "Throughput",
        "kms_key_id": "KmsKeyId",
        "snapshot_id": "SnapshotId",
    }

    def render(self, found: dict[str, Any], state: State) -> State:
        arn = self.cloud.arn("ec2", f"volume/{state['id']}", self.region)
        return {"arn": arn, "create_time": f"{found['CreateTime']:%Y-%m-%dT%H:%M:%SZ}"}

    def delete(self, state: State) -> None:
        if state["final_snapshot"]:
            made = self.aws.create_snapshot(VolumeId=state["id"], Description=f"Final snapshot of {state['id']}")
            self.write_tags(made["SnapshotId"], state["tags_all"] or {}, [])
        super().delete(state)


class VolumeAttachment(Resource):
    """A volume in an instance; its id is made of both, as the real provider's."""

    type_name = "aws_volume_attachment"
    noun = "EBS Volume Attachment"
    gone_codes = frozenset({"InvalidVolume.NotFound", "IncorrectState"})
    removal = "detaching"
    rules = Rules(replaced_by=words("device_name instance_id region volume_id"))

    def create(self, planned: State) -> str:
        names = planned["device_name"], planned["instance_id"], planned["volume_id"]
        self.client("ec2").attach_volume(Device=names[0], InstanceId=names[1], VolumeId=names[2])
        return f"vai-{hashlib.sha256('-'.join(names).encode()).hexdigest()[:10]}"

    def read(self, state: State) -> State | None:
        volume = self.client("ec2").describe_volumes(VolumeIds=[state["volume_id"]])["Volumes"][0]
        here = [one for one in volume["Attachments"] if one["InstanceId"] == state["instance_id"]]
        return {"device_name": here[0]["Device"]} if here else None

    def update(self, prior: State, planned: State, changed: set[str]) -> None:
        """Only how it is detached can change, which AWS does not know."""

    def delete(self, state: State) -> None:
        if state["skip_destroy"]:
            return
        ec2, instance_id = self.client("ec2"), state["instance_id"]
        if state["stop_instance_before_detaching"]:
            self._stop(ec2, instance_id)
        ec2.detach_volume(
            VolumeId=state["volume_id"],
            InstanceId=instance_id,
            Device=state["device_name"],
            Force=bool(state["force_detach"]),
        )

    def _stop(self, ec2: Any, instance_id: str) -> None:
        def is_still() -> bool:
            found = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
            return not found or found[0]["Instances"][0]["State"]["Name"] in ("stopped", "terminated")

        try:
            ec2.stop_instances(InstanceIds=[instance_id])
        except CloudError as error:
            if read_code(error) not in ("IncorrectInstanceState", "InvalidInstanceID.NotFound"):
                raise ProviderError(f"stopping EC2 Instance ({instance_id}) before detaching: {error}") from error
            return
        self.cloud.wait_until(is_still, f"EC2 Instance ({instance_id}) stop", _DETACH_S)
