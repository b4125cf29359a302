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
    texts: Mapping[str, str] = field(default_factory=dict)  # what the parts of a base were made to say, by their names

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
        texts=dict(_read_texts(document)),
    )


def canonical_json(document: str | Mapping[str, Any]) -> str:
    """One text for all ways to write the same policy: keys and lists of words sorted. ValueError when it is no JSON."""
    return json.dumps(_sort(json.loads(document) if isinstance(document, str) else document), sort_keys=True)


def _sort(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sort(one) for key, one in value.items()}
    if isinstance(value, list):
        return sorted(map(_sort, value), key=lambda one: json.dumps(one, sort_keys=True))
    return value


def key_body(public_key: str) -> str:
    """Kind and key without the comment, which EC2 does not keep."""
    return " ".join(public_key.split()[:2])


def tag_texts(part: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Tags of a part of a base, named as in `TfState.texts`."""
    return {f"tag {key} of the {part}": value for key, value in tags.items()}


TAGGED = {
    "aws_security_group": "security group",
    "aws_iam_role": "role",
    "aws_iam_instance_profile": "instance profile",
    "aws_key_pair": "key pair",
}


def _read_texts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Of the parts of `terraform/pool` that have one; rules are known by what they open."""
    for resource in document["resources"]:
        if (resource["mode"], resource["name"]) != ("managed", "vm") or not resource["instances"]:
            continue
        made, kind = resource["instances"][0]["attributes"], resource["type"]
        if part := TAGGED.get(kind):
            yield from tag_texts(part, made.get("tags") or {}).items()
        if kind == "aws_iam_role":
            yield "trust of the role", canonical_json(made["assume_role_policy"])
            yield "boundary of the role", made.get("permissions_boundary") or ""
        elif kind == "aws_iam_role_policy":
            yield "policy of the role", canonical_json(made["policy"])
        elif kind == "aws_iam_instance_profile":
            yield "role of the instance profile", made.get("role") or ""
        elif kind == "aws_key_pair" and made.get("public_key"):
            yield "public key of the key pair", key_body(made["public_key"])


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
