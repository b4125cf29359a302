"""What of a Terraform state matters here: which VMs it holds, and the outputs of a base. Read from the state's own JSON (version 4)."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class StateVm:
    """One `aws_instance.vm` of a state."""

    hostname: str
    instance_id: str
    public_ip: str | None = None
    private_ip: str | None = None
    zone: str | None = None
    tainted: bool = False  # made, but its creation did not come to its end


@dataclass(frozen=True, slots=True)
class TfState:
    serial: int = 0
    vms: tuple[StateVm, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    resources: int = 0  # managed objects of any kind

    @property
    def hostnames(self) -> frozenset[str]:
        return frozenset(vm.hostname for vm in self.vms)


def parse_state(content: bytes | None) -> TfState:
    """An absent state is an empty one. ValueError when it cannot be read, which must never pass for empty."""
    if not content:
        return TfState()
    document = json.loads(content)
    if document.get("version") != 4:
        raise ValueError(f"Terraform state of version {document.get('version')}: only version 4 can be read")
    return TfState(
        serial=int(document["serial"]),
        vms=tuple(_read_vms(document)),
        outputs={name: str(output["value"]) for name, output in document.get("outputs", {}).items()},
        resources=sum(len(r["instances"]) for r in document["resources"] if r["mode"] == "managed"),
    )


def _read_vms(document: Mapping[str, Any]) -> Iterator[StateVm]:
    for resource in document["resources"]:
        if (resource["mode"], resource["type"], resource["name"]) != ("managed", "aws_instance", "vm"):
            continue
        for instance in resource["instances"]:
            attributes = instance["attributes"]
            if not instance.get("deposed"):
                yield StateVm(
                    hostname=str(instance["index_key"]),
                    instance_id=str(attributes["id"]),
                    public_ip=attributes.get("public_ip") or None,
                    private_ip=attributes.get("private_ip") or None,
                    zone=attributes.get("availability_zone") or None,
                    tainted=instance.get("status") == "tainted",
                )
