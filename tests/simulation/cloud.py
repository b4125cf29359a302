"""The simulated AWS: what really exists there, how it comes and goes, and what its listings say of it, which may be old or short.

The truth that a world is judged by. `tests/simulation/test_contract.py` holds it, together with the simulated Terraform, to the real
binary with moto.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from botocore.exceptions import ClientError

from tests.simulation.database import EPOCH
from tests.simulation.stage import Stage

ACCOUNT = "123456789012"
COMES_UP_S = (4.0, 25.0)
GOES_DOWN_S = (5.0, 40.0)
LINGERS_S = 3600.0  # how long a terminated instance is listed
OLDEST = 5  # listings
YOUNG_S = 20.0  # how long a launch may be missing in a listing: less than what the controller waits for
MOST_LAG_S = 45.0  # how old a stale listing may be, for the same reason


class Refused(Exception):
    """AWS says no; `code` is its word."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def refuse(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "as the seed wants it"}}, operation)


@dataclass
class Instance:
    """`ends_at`: when it is wholly terminated; None while nobody has ended it."""

    instance_id: str
    number: int
    launched_at: float
    runs_at: float
    made_of: Mapping[str, Any]
    tags: dict[str, str]
    ends_at: float | None = None
    stopped: bool = False
    boots_anew_at: float = 0.0
    health: str = "well"  # or mute, error, silent: what becomes of it once it has booted

    @property
    def hostname(self) -> str:
        return self.tags.get("lablink:hostname", "")

    def state(self, at: float) -> str:
        if self.ends_at is not None:
            return "terminated" if at >= self.ends_at else "shutting-down"
        if self.stopped:
            return "stopped"
        return "running" if at >= self.runs_at else "pending"

    def exists(self, at: float) -> bool:
        """Whether it is paid for."""
        return self.ends_at is None or at < self.ends_at


@dataclass
class Cloud:
    stage: Stage
    instances: dict[str, Instance] = field(default_factory=dict)
    bases: dict[str, dict[str, Any]] = field(default_factory=dict)  # by base name: its parts by the keys of `var.adopt`
    listed: deque[tuple[float, list[dict[str, Any]]]] = field(default_factory=lambda: deque(maxlen=OLDEST))
    ended: list[str] = field(default_factory=list)
    watch: "Watch | None" = None
    ailment: str = ""  # that every instance has
    refusals: dict[str, list[str]] = field(default_factory=dict)  # by instance type: codes for its next launches
    terraform_killed: bool = False  # kill -9 of whatever Terraform is at work
    _number: int = 0

    def launch(self, made_of: Mapping[str, Any], tags: Mapping[str, str]) -> Instance:
        """Exists, and costs money, from now on."""
        self._number += 1
        at, chance = self.stage.at, self.stage.chance
        made = Instance(
            instance_id=f"i-{self._number:017x}",
            number=self._number,
            launched_at=at,
            runs_at=at + chance.uniform(*COMES_UP_S),
            made_of=dict(made_of),
            tags=dict(tags),
        )
        if self.ailment:
            made.health = self.ailment
        elif self.stage.happens("broken"):
            made.health = chance.choice(("mute", "error", "silent"))
        if self.watch:
            self.watch.launched(made)
        self.instances[made.instance_id] = made
        self.stage.counts["launches"] += 1
        self.stage.note(f"{made.instance_id} is launched as {made.hostname}")
        return made

    def terminate(self, instance_id: str, by: str) -> None:
        one = self.instances.get(instance_id)
        if one is None or one.ends_at is not None:
            return
        if self.watch and by != "AWS":
            self.watch.ending(one, by)
        one.ends_at = self.stage.at + self.stage.chance.uniform(*GOES_DOWN_S)
        self.ended.append(instance_id)
        self.stage.note(f"{instance_id} ({one.hostname}) is ended by {by}")

    def existing(self) -> list[Instance]:
        return [one for one in self.instances.values() if one.exists(self.stage.at)]

    def describe(self) -> list[dict[str, Any]]:
        """What DescribeInstances answers: usually what is, sometimes what was, sometimes without what is very young."""
        at = self.stage.at
        if self.stage.happens("unseen"):
            raise refuse("InternalError", "DescribeInstances")
        seen = [
            self._describe(one)
            for one in self.instances.values()
            if one.ends_at is None or at < one.ends_at + LINGERS_S
        ]
        if self.stage.troubles.short:
            seen = [raw for raw in seen if not (self._is_young(raw) and self.stage.happens("short"))]
        fresh_enough = [each for each in self.listed if at - each[0] <= MOST_LAG_S]
        self.listed.append((at, seen))
        if fresh_enough and self.stage.happens("stale"):
            return self.stage.chance.choice(fresh_enough)[1]
        return seen

    def _is_young(self, raw: Mapping[str, Any]) -> bool:
        return self.stage.at - self.instances[raw["InstanceId"]].launched_at < YOUNG_S

    def _describe(self, one: Instance) -> dict[str, Any]:
        spec, up = one.made_of, one.state(self.stage.at) == "running"
        described = {
            "InstanceId": one.instance_id,
            "State": {"Name": one.state(self.stage.at)},
            "InstanceType": spec["instance_type"],
            "ImageId": spec["ami"],
            "SecurityGroups": [{"GroupId": spec["security_group_id"]}],
            "IamInstanceProfile": {"Arn": f"arn:aws:iam::{ACCOUNT}:instance-profile/{spec['instance_profile']}"},
            "Tags": [{"Key": key, "Value": value} for key, value in sorted(one.tags.items())],
            "Placement": {"AvailabilityZone": spec.get("zone") or "us-west-2a"},
            "LaunchTime": EPOCH + timedelta(seconds=one.launched_at),
        }
        if up:
            described |= {
                "PublicIpAddress": f"198.51.100.{one.number % 250}",
                "PrivateIpAddress": f"10.0.0.{one.number % 250}",
            }
        return described


class Watch(Protocol):
    """Is told of what is about to be done (`tests.simulation.checks`)."""

    def launched(self, made: Instance) -> None: ...

    def ending(self, one: Instance, by: str) -> None: ...

    def applies(self, state_key: str, changes: Sequence[Mapping[str, Any]]) -> None: ...

    def applied(self, state_key: str) -> None: ...
