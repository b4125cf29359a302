"""What the simulated provider does to the simulated AWS, one resource at a time, and how each may fail."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from tests.simulation.cloud import Cloud, Instance
from tests.simulation.tfstate import ADDRESS, State, adopted_of, part_of, wanted_of

LAUNCH = "creating EC2 Instance: operation error EC2: RunInstances, api error"
SAID = {
    "capacity": f"{LAUNCH} InsufficientInstanceCapacity: We currently do not have sufficient capacity",
    "quota": f"{LAUNCH} VcpuLimitExceeded: You have requested more vCPU capacity than your current vCPU limit",
    "refused": f"{LAUNCH} UnauthorizedOperation: You are not authorized to perform this operation.",
    "throttling": f"{LAUNCH} RequestLimitExceeded: Request limit exceeded.",
}
CUT_SHORT = "waiting for EC2 Instance create: unexpected state 'terminated', wanted target 'running'"
IDS = {"role_policy": "{iam}:telemetry", "role": "{iam}", "instance_profile": "{iam}", "key_pair": "{name}"}


class Failed(Exception):
    """An error diagnostic; the rest of the apply goes on where it does not depend on it."""

    def __init__(self, said: str, address: str | None = None, detail: str = "") -> None:
        super().__init__(said)
        where = {"address": address} if address else {}
        diagnostic = {"severity": "error", "summary": said, "detail": detail, **where}
        self.diagnostic = {
            "@level": "error",
            "@message": f"Error: {said}",
            "type": "diagnostic",
            "diagnostic": diagnostic,
        }


def _nothing(_message: Mapping[str, Any]) -> None: ...


@dataclass
class Changes:
    """`state` is changed as things are made; `why` is not 0 once everything has to end."""

    cloud: Cloud
    variables: Mapping[str, Any]
    state: State
    say: Callable[[Mapping[str, Any]], None] = _nothing
    why: Callable[[], int] = int
    failed: bool = False

    async def make(self, change: Mapping[str, Any]) -> None:
        address, action = change["address"], change["change"]
        if "importing" in action:  # of which `apply -json` says nothing
            return self._import(address)
        verb = action["actions"][-1]
        self._tell("apply_start", address, verb)
        try:
            id_value = await self._do(address, verb)
        except Failed as failed:
            self.failed = True
            self._tell("apply_errored", address, verb)
            self.say(failed.diagnostic)
        else:
            if id_value:
                self._tell("apply_complete", address, verb, id_value)
        return None

    def _tell(self, kind: str, address: str, verb: str, id_value: str = "") -> None:
        hook = {"resource": {"addr": address}, "action": verb, "id_value": id_value}
        self.say({"type": kind, "@message": f"{address}: {kind}", "hook": hook})

    async def _do(self, address: str, verb: str) -> str:
        """The id when it came to its end."""
        is_vm = address.startswith("aws_instance.")
        await anyio.sleep(self.cloud.stage.chance.uniform(0.1, 1.0))
        if is_vm:
            return await (self._create_vm(address) if verb == "create" else self._delete_vm(address))
        return self._create_part(address) if verb == "create" else self._delete_part(address)

    def _import(self, address: str) -> None:
        found = adopted_of(self.variables)[address]
        is_vm = address.startswith("aws_instance.")
        self.state.attributes[address] = (
            self._describe(self.cloud.instances[found]) if is_vm else self._describe_part(found)
        )

    async def _create_vm(self, address: str) -> str:
        for trouble, said in SAID.items():
            if self.cloud.stage.happens(trouble):
                raise Failed(said, address)
        hostname = (ADDRESS.fullmatch(address) or [""] * 4)[3]
        if codes := self.cloud.refusals.get(self.variables["vms"][hostname]["instance_type"]):
            raise Failed(f"{LAUNCH} {codes.pop(0)}: as the test wants it", address)
        made = self.cloud.launch(wanted_of(self.variables)[address], self._tags(hostname))
        self.state.attributes[address] = self._describe(made)
        if self.cloud.stage.happens("cut_short"):
            self.cloud.terminate(made.instance_id, "AWS")
        while made.state(self.cloud.stage.at) == "pending":
            await anyio.sleep(1)
            if self.why() and self.cloud.stage.happens("cancelled"):
                self.state.tainted.add(address)  # it is there, and Terraform would replace it
                return ""
        self.state.attributes[address] = self._describe(made)
        if made.ends_at is not None:
            self.state.tainted.add(address)
            raise Failed(CUT_SHORT, address)
        return made.instance_id

    async def _delete_vm(self, address: str) -> str:
        instance_id = str(self.state.attributes[address]["id"])
        self.cloud.terminate(instance_id, "Terraform")
        one = self.cloud.instances.get(instance_id)
        while one and one.exists(self.cloud.stage.at):
            await anyio.sleep(2)
            if self.why():
                return ""
        self._drop(address)
        return instance_id

    def _drop(self, address: str) -> None:
        self.state.attributes.pop(address, None)
        self.state.tainted.discard(address)

    def _create_part(self, address: str) -> str:
        key, parts = part_of(address), self._parts()
        if key in parts:
            raise Failed(f"creating {key}: EntityAlreadyExists", address)
        pattern = IDS.get(key, "sg-{name}" if key == "security_group" else "sgr-{key}")
        parts[key] = pattern.format(name=self._name, iam=self._iam, key=key)
        if key == "key_pair":
            parts["public_key"] = self.variables["public_key"]
        self.state.attributes[address] = self._describe_part(str(parts[key]))
        return str(parts[key])

    def _describe_part(self, found: str) -> dict[str, Any]:
        """What each kind of part says; policies are empty here."""
        said = {"assume_role_policy": "{}", "policy": "{}", "role": self._iam}
        return {"id": found, **said, "public_key": self.variables["public_key"]}

    def _delete_part(self, address: str) -> str:
        key, parts = part_of(address), self._parts()
        if key == "security_group" and any(self._holds(one, parts.get(key)) for one in self.cloud.existing()):
            raise Failed("deleting Security Group: DependencyViolation", address)
        parts.pop(key, None)
        self._drop(address)
        return key

    def _holds(self, one: Instance, group: object) -> bool:
        return bool(one.made_of["security_group_id"] == group)

    def refresh(self) -> None:
        """What is gone from AWS is gone from the state."""
        for address in [each for each, one in self.state.attributes.items() if not self.is_there(each, str(one["id"]))]:
            self._drop(address)

    def is_there(self, address: str, found: str) -> bool:
        if address.startswith("aws_instance."):
            one = self.cloud.instances.get(found)
            return one is not None and one.state(self.cloud.stage.at) != "terminated"
        return bool(self._parts().get(part_of(address)) == found)

    def write_outputs(self) -> None:
        if "vms" in self.variables:
            return
        parts = self._parts() if self.state.attributes else {}
        names = {"security_group_id": "security_group", "instance_profile": "instance_profile", "key_name": "key_pair"}
        self.state.outputs = {name: parts[key] for name, key in names.items() if key in parts}

    def _parts(self) -> dict[str, Any]:
        return self.cloud.bases.setdefault(self._name, {})

    @property
    def _name(self) -> str:
        return "-".join(str(self.variables[name]) for name in ("deployment", "pool", "environment"))

    @property
    def _iam(self) -> str:
        return f"{self._name}-{self.variables['region']}"

    def _tags(self, hostname: str) -> dict[str, str]:
        vm = self.variables["vms"][hostname]
        named = {name: str(self.variables[name]) for name in ("deployment", "environment", "pool")}
        return {
            "Name": hostname,
            "lablink:hostname": hostname,
            "lablink:deployment-id": str(self.variables["deployment_id"]),
            "lablink:generation": str(vm["generation"]),
            **{f"lablink:{name}": value for name, value in named.items()},
        }

    def _describe(self, one: Instance) -> dict[str, Any]:
        return {
            "id": one.instance_id,
            "public_ip": "",
            "private_ip": "",
            "availability_zone": one.made_of.get("zone") or "us-west-2a",
        }
