"""The simulated Terraform's states and plans: JSON of the shapes that the real one writes, as far as anybody here reads them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ADDRESS = re.compile(r'(\w+)\.(\w+)(?:\["([^"]+)"\])?')
PARTS = {
    "security_group": "aws_security_group.vm",
    "role": "aws_iam_role.vm",
    "role_policy": "aws_iam_role_policy.vm",
    "instance_profile": "aws_iam_instance_profile.vm",
    "key_pair": "aws_key_pair.vm",
}
RULES = {"ingress": "aws_vpc_security_group_ingress_rule.ssh", "egress": "aws_vpc_security_group_egress_rule.any"}


def address_of_vm(hostname: str) -> str:
    return f'aws_instance.vm["{hostname}"]'


def address_of_part(key: str) -> str:
    way, colon, network = key.partition(":")
    return f'{RULES[way]}["{network}"]' if colon else PARTS[key]


def part_of(address: str) -> str:
    """The key of `var.adopt` that a base's address has."""
    found = ADDRESS.fullmatch(address)
    assert found
    ways = {resource: way for way, resource in RULES.items()}
    resource = f"{found[1]}.{found[2]}"
    if resource in ways:
        return f"{ways[resource]}:{found[3]}"
    return next(key for key, address in PARTS.items() if address == resource)


@dataclass(slots=True)
class State:
    """What a state holds, by address."""

    serial: int = 0
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)
    tainted: set[str] = field(default_factory=set)
    outputs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, content: bytes) -> "State":
        if not content:
            return cls()
        document = json.loads(content)
        state = cls(document["serial"])
        state.outputs = {name: output["value"] for name, output in document["outputs"].items()}
        for resource in document["resources"]:
            for one in resource["instances"]:
                key = f'["{one["index_key"]}"]' if "index_key" in one else ""
                address = f"{resource['type']}.{resource['name']}{key}"
                state.attributes[address] = one["attributes"]
                if one.get("status") == "tainted":
                    state.tainted.add(address)
        return state

    def render(self) -> bytes:
        resources = []
        for address, attributes in sorted(self.attributes.items()):
            found = ADDRESS.fullmatch(address)
            assert found
            index = {"index_key": found[3]} if found[3] else {}
            status = {"status": "tainted"} if address in self.tainted else {}
            one = {**index, **status, "attributes": attributes}
            resources.append({"mode": "managed", "type": found[1], "name": found[2], "instances": [one]})
        outputs = {name: {"value": value, "type": "string"} for name, value in self.outputs.items()}
        document = {"version": 4, "serial": self.serial, "lineage": "sim", "outputs": outputs, "resources": resources}
        return json.dumps(document).encode()


def wanted_of(variables: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the module would hold with these variables, by address, in the order in which it is made."""
    if "vms" in variables:
        return {address_of_vm(name): {**variables["base"], **vm} for name, vm in sorted(variables["vms"].items())}
    networks = {*variables["ssh_ingress"], variables["allocator_cidr"]} - {""}
    rules = [f"ingress:{each}" for each in sorted(networks)] + ["egress:0.0.0.0/0", "egress:::/0"]
    return {
        address_of_part(key): {}
        for key in ("security_group", *rules, "role", "role_policy", "instance_profile", "key_pair")
    }


def adopted_of(variables: Mapping[str, Any]) -> dict[str, str]:
    name = address_of_vm if "vms" in variables else address_of_part
    return {name(key): found for key, found in variables.get("adopt", {}).items()}


def make_plan(variables: Mapping[str, Any], state: State, *, destroy: bool) -> dict[str, Any]:
    """As `terraform show -json` shows a saved plan; `sim` is what the apply wants to know again."""
    wanted = {} if destroy else wanted_of(variables)
    adopted = adopted_of(variables)
    changes = []
    for address in wanted:
        if address in state.attributes:
            replaced = address in state.tainted
            changes.append(_change(address, ["delete", "create"] if replaced else ["no-op"]))
        elif address in adopted:
            changes.append(_change(address, ["no-op"], importing={"id": adopted[address]}))
        else:
            changes.append(_change(address, ["create"]))
    gone = [address for address in state.attributes if address not in wanted]
    changes += [_change(address, ["delete"]) for address in reversed(gone)]
    known = {"serial": state.serial, "variables": variables, "destroy": destroy}
    return {"format_version": "1.2", "errored": False, "complete": True, "resource_changes": changes, "sim": known}


def _change(address: str, actions: list[str], **more: Any) -> dict[str, Any]:
    found = ADDRESS.fullmatch(address)
    assert found
    change = {"actions": actions, **more}
    return {"address": address, "mode": "managed", "type": found[1], "name": found[2], "change": change}
