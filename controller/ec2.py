"""AWS by boto3, in worker threads: lists instances, ends and starts them, finds what a killed first run left, resolves AMIs.

Called by `controller.observe` and actuation. Everything is answered whole or raises `CloudError`.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import boto3
from anyio import to_thread
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from controller.ec2_base import FoundBase, code_of, find_base, renew_key_pair, revoke_rules, strip_role
from controller.errors import Cause, CloudError, classify
from controller.garbage import Collector
from schemas.credentials import AwsKeys
from schemas.vm import MADE_WITH, Instance

CONFIG = Config(
    connect_timeout=5, read_timeout=30, retries={"max_attempts": 3, "mode": "standard"}, max_pool_connections=20
)
PAGE = 250  # botocore reads a page's XML in one go, and has the interpreter to itself meanwhile
T = TypeVar("T")
ASSIGNMENT = "lablink:assignment"
GONE = ("InvalidInstanceID.NotFound",)


@dataclass(slots=True)
class KeyRing:
    """The AWS keys that an admin has set, as this process knows them; None: boto3 and Terraform search in their own ways."""

    in_force: AwsKeys | None = None


@dataclass(frozen=True)
class Ec2:
    """Clients of one account. `endpoint_url` None: AWS itself, or what AWS_ENDPOINT_URL says. Keys: those in force, else
    these, else boto3's own search."""

    endpoint_url: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    home_region: str = "us-west-2"  # for what is not asked of a region
    keys: KeyRing = field(default_factory=KeyRing)
    _clients: dict[tuple[str, str, AwsKeys | None], Any] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _collector: Collector = field(default_factory=Collector, repr=False)

    async def list_instances(self, region: str, deployment_id: UUID) -> tuple[Instance, ...]:
        """All instances that carry this deployment's tag, of every state, from all pages; CloudError when one page fails."""
        return await self._call(f"listing the instances of {region}", self._list_instances, region, deployment_id)

    def _list_instances(self, region: str, deployment_id: UUID) -> tuple[Instance, ...]:
        asked_at = datetime.now(UTC)
        pages = (
            self._client("ec2", region)
            .get_paginator("describe_instances")
            .paginate(
                Filters=[{"Name": "tag:lablink:deployment-id", "Values": [str(deployment_id)]}],
                PaginationConfig={"PageSize": PAGE},
            )
        )
        with self._collector.held_back():
            return tuple(
                _read_instance(raw, region, asked_at)
                for page in pages
                for reservation in page["Reservations"]
                for raw in reservation["Instances"]
            )

    async def find_namesakes(
        self, region: str, deployment: str, environment: str, deployment_id: UUID
    ) -> tuple[str, ...]:
        """Instances that exist and carry this deployment's names but another one's UUID: not ours to touch."""
        what = f"looking for another deployment {deployment} in {region}"
        return await self._call(what, self._find_namesakes, region, deployment, environment, deployment_id)

    def _find_namesakes(self, region: str, deployment: str, environment: str, deployment_id: UUID) -> tuple[str, ...]:
        pages = (
            self._client("ec2", region)
            .get_paginator("describe_instances")
            .paginate(
                Filters=[
                    {"Name": "tag:lablink:deployment", "Values": [deployment]},
                    {"Name": "tag:lablink:environment", "Values": [environment]},
                    {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
                ]
            )
        )
        found = [raw for page in pages for reservation in page["Reservations"] for raw in reservation["Instances"]]
        return tuple(sorted(raw["InstanceId"] for raw in found if not _is_of(raw, deployment_id)))

    async def terminate(self, region: str, instance_ids: Sequence[str]) -> None:
        """End these; one that is gone already is fine."""
        await self._call(f"ending {', '.join(instance_ids)}", self._each, "terminate_instances", region, instance_ids)

    async def start(self, region: str, instance_ids: Sequence[str]) -> None:
        """Start these; one that runs already is fine."""
        await self._call(f"starting {', '.join(instance_ids)}", self._each, "start_instances", region, instance_ids)

    async def reboot(self, region: str, instance_ids: Sequence[str]) -> None:
        """Reboot these; one that is gone already is fine."""
        await self._call(f"rebooting {', '.join(instance_ids)}", self._each, "reboot_instances", region, instance_ids)

    async def tag_assignment(self, region: str, instance_id: str, value: str) -> None:
        """Say on an instance whose it is; one that is gone already is fine."""
        tags = [{"Key": ASSIGNMENT, "Value": value}]
        await self._call(f"tagging {instance_id}", self._each, "create_tags", region, [instance_id], Tags=tags)

    async def untag_assignment(self, region: str, instance_id: str) -> None:
        """Say on an instance that it is nobody's; one that is gone already is fine."""
        tags = [{"Key": ASSIGNMENT}]
        await self._call(f"untagging {instance_id}", self._each, "delete_tags", region, [instance_id], Tags=tags)

    async def read_console(self, region: str, instance_id: str) -> str:
        """What an instance has last written on its console; empty where EC2 has nothing yet."""
        what = f"reading the console of {instance_id}"
        found = await self._call(what, lambda: self._client("ec2", region).get_console_output(InstanceId=instance_id))
        return str(found.get("Output") or "")

    def _each(self, method: str, region: str, instance_ids: Sequence[str], **more: Any) -> None:
        """One call an instance: AWS refuses a whole call for one id that it does not know."""
        named = "Resources" if method.endswith("_tags") else "InstanceIds"
        for instance_id in instance_ids:
            try:
                getattr(self._client("ec2", region), method)(**{named: [instance_id]}, **more)
            except ClientError as error:
                if code_of(error) not in GONE:
                    raise

    async def read_account_id(self) -> str:
        """The account that the credentials are of (STS GetCallerIdentity)."""
        identity = await self._call(
            "asking AWS who we are", lambda: self._client("sts", self.home_region).get_caller_identity()
        )
        return str(identity["Account"])

    async def resolve_ami(self, region: str, path: str) -> str:
        """The AMI id that an SSM parameter holds, such as /aws/service/canonical/ubuntu/…/ami-id."""
        what = f"reading the SSM parameter {path} in {region}"
        found = await self._call(what, lambda: self._client("ssm", region).get_parameter(Name=path))
        value = str(found["Parameter"]["Value"])
        if not value.startswith("ami-"):
            raise CloudError(Cause.BAD_AMI, what, "it holds no AMI id")
        return value

    async def read_price_list(self, wanted: Mapping[str, str]) -> list[str]:
        """Products of EC2 in AWS's price list that have these attributes, each a JSON text. The list of all regions is asked for in one."""
        filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
        query = {"ServiceCode": "AmazonEC2", "Filters": filters, "MaxResults": 10}
        found = await self._call(
            "asking AWS for prices", lambda: self._client("pricing", "us-east-1").get_products(**query)
        )
        return [str(product) for product in found["PriceList"]]

    async def publish(self, topic_arn: str, subject: str, text: str) -> None:
        """One message to a topic of SNS; its subject is cut to what mail subscribers can get."""
        region = topic_arn.split(":")[3]
        line = " ".join(subject.encode("ascii", "replace").decode().split())[:100]
        what = f"publishing to SNS in {region}"
        await self._call(
            what, lambda: self._client("sns", region).publish(TopicArn=topic_arn, Subject=line, Message=text)
        )

    async def find_base(self, region: str, name: str, iam_name: str) -> FoundBase:
        """What exists of a base under its names, and what its parts say."""
        what = f"looking for the base {name} in {region}"
        return await self._call(
            what, lambda: find_base(self._client("ec2", region), self._client("iam", self.home_region), name, iam_name)
        )

    async def renew_key_pair(self, region: str, name: str, public_key: str) -> None:
        """Where AWS has another public key under the name, this one takes its place, with its tags; running instances keep theirs."""
        what = f"renewing the key pair {name} in {region}"
        await self._call(what, lambda: renew_key_pair(self._client("ec2", region), name, public_key))

    async def revoke_rules(self, region: str, group_id: str, rules: Mapping[str, Sequence[str]]) -> None:
        """Take rules out of a security group by their ids, `ingress` and `egress` apart."""
        await self._call(
            f"taking rules out of {group_id}", lambda: revoke_rules(self._client("ec2", region), group_id, rules)
        )

    async def strip_role(self, name: str, attached: Sequence[str], inline: Sequence[str]) -> None:
        """Take managed policies (ARNs) and inline ones (`ROLE:POLICY`) from a role."""
        if attached or inline:
            await self._call(
                f"taking policies from the role {name}",
                lambda: strip_role(self._client("iam", self.home_region), name, attached, inline),
            )

    async def use(self, service: str, region: str, what: str, work: Callable[[Any], T]) -> T:
        """Let `work` use a client of any service, in a worker thread; `what` says in an error what was being done."""
        return await self._call(what, lambda: work(self._client(service, region)))

    def _client(self, service: str, region: str) -> Any:
        """Making a client is slow and not safe in several threads; using one is both. Those of other keys are dropped."""
        with self._lock:
            keys = self.keys.in_force
            mark = (service, region, keys)
            if mark not in self._clients:
                for old in [old for old in self._clients if old[2] != keys]:
                    del self._clients[old]
                session = self._open_session(region, keys)
                self._clients[mark] = session.client(service, endpoint_url=self.endpoint_url, config=CONFIG)  # type: ignore[call-overload]
            return self._clients[mark]

    def _open_session(self, region: str, keys: AwsKeys | None) -> boto3.Session:
        if keys is None:
            return boto3.Session(self.access_key, self.secret_key, region_name=region)
        return boto3.Session(keys.access_key_id, keys.secret_access_key, keys.session_token, region_name=region)

    async def _call(self, what: str, work: Callable[..., T], *arguments: Any, **more: Any) -> T:
        try:
            return await to_thread.run_sync(partial(work, *arguments, **more), abandon_on_cancel=True)
        except (ClientError, BotoCoreError) as error:
            cause = classify(f"{type(error).__name__}: {error}", Cause.PROVIDER)
            if cause is Cause.CREDENTIALS:
                # A client keeps the credentials that it was made with: the next call looks for better ones.
                with self._lock:
                    self._clients.clear()
            raise CloudError(cause, what, str(error)) from error


def _is_of(raw: Mapping[str, Any], deployment_id: UUID) -> bool:
    return {"Key": "lablink:deployment-id", "Value": str(deployment_id)} in raw.get("Tags", [])


def _read_groups(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Of the instance and of all its interfaces: who attaches another one opens it as well."""
    interfaces = [group for interface in raw.get("NetworkInterfaces", []) for group in interface.get("Groups", [])]
    return tuple(sorted({group["GroupId"] for group in (*raw.get("SecurityGroups", []), *interfaces)}))


def _read_instance(raw: Mapping[str, Any], region: str, asked_at: datetime) -> Instance:
    tags = {tag["Key"]: tag["Value"] for tag in raw.get("Tags", [])}
    generation = tags.get("lablink:generation", "")
    return Instance(
        instance_id=raw["InstanceId"],
        region=region,
        hostname=tags.get("lablink:hostname"),
        pool=tags.get("lablink:pool"),
        generation=int(generation) if generation.isdecimal() and len(generation) <= 18 else None,
        state=raw["State"]["Name"],
        instance_type=raw["InstanceType"],
        image_id=raw["ImageId"],
        security_groups=_read_groups(raw),
        profile=raw.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2] or None,
        tags={name: tags[name] for name in MADE_WITH if name in tags},
        assignment=tags.get(ASSIGNMENT),
        zone=raw.get("Placement", {}).get("AvailabilityZone"),
        public_ip=raw.get("PublicIpAddress"),
        private_ip=raw.get("PrivateIpAddress"),
        launched_at=raw["LaunchTime"],
        first_seen_at=asked_at,
    )
