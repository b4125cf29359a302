"""Instances that were changed behind our back: the difference between what is listed and what the row says. Pure.

Called by `classify` for each live row. A VM is never changed back: where `drift: correct` is declared a free one is
replaced as an outdated one is, and one in use is left alone.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta

from schemas.lab import Pool
from schemas.vm import Vm

CHANGED = "changed by hand"
LISTED_WHOLE = frozenset({"running", "stopped"})
"""While an instance comes up or goes, EC2 may not show all of it yet, or any more."""
STEADY = timedelta(minutes=15)
"""What something changes on every new VM would be replaced for ever: a younger one is only told of."""


def find_drift(vm: Vm, base: Mapping[str, str]) -> str:
    """What differs, each part with what it should be; empty where nothing does or can be told. `base`: outputs of the pool's base."""
    if vm.listed is None or vm.instance_state not in LISTED_WHOLE:
        return ""
    parts = [f"{what} {found or 'none'} instead of {due}" for what, found, due in _compare(vm, base) if found != due]
    return ", ".join(parts)


def _compare(vm: Vm, base: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Name, found and due of each part that could have been changed. What the base is not known to have is not compared."""
    seen = vm.listed
    if seen is None:
        return
    yield "instance type", seen.instance_type, vm.spec.instance_type
    yield "AMI", seen.image_id, vm.spec.ami
    if group := base.get("security_group_id"):
        yield "security groups", " and ".join(seen.security_groups), group
    if profile := base.get("instance_profile"):
        yield "instance profile", seen.profile or "", profile
    due = {"Name": vm.hostname, "lablink:hostname": vm.hostname, "lablink:pool": vm.pool}
    for tag, value in {**due, "lablink:generation": str(vm.generation)}.items():
        yield f"tag {tag}", seen.tags.get(tag, ""), value


SHARED = {
    "security_group": "security group",
    "role": "role",
    "role_policy": "policy of the role",
    "instance_profile": "instance profile",
    "key_pair": "key pair",
}
"""Parts of a base by their keys in `terraform/pool/adopt.tf`."""
STRAY = {
    "ingress": "rule for SSH from",
    "egress": "rule for all that goes to",
    "attached": "policy attached to the role:",
    "inline": "policy in the role:",
}
"""What may have been added to a base, by how its key begins; any other key is a rule's."""
MOST_SHOWN = 200
"""Characters of one statement of a policy."""
EGRESS = frozenset({"egress:0.0.0.0/0", "egress:::/0"})


def find_base_drift(found: Collection[str], networks: Collection[str]) -> str:
    """What differs of a base, by the keys of what was found of it; `networks` may reach port 22. Empty where nothing does."""
    due = {*SHARED, *EGRESS, *(f"ingress:{network}" for network in networks)}
    missing = [f"no {SHARED.get(key) or name_part(key)}" for key in sorted(due - set(found))]
    return ", ".join([*missing, *(f"{name_part(key)} that is not declared" for key in find_strays(found, networks))])


def find_text_drift(found: Collection[str], texts: Mapping[str, str], due: Mapping[str, str]) -> str:
    """Which parts of a base say another thing than they were made to say (`TfState.texts`); one that is gone is `find_base_drift`'s."""
    gone = tuple(words for key, words in SHARED.items() if key not in found)
    changed = [name for name in sorted(due) if texts.get(name, "") != due[name] and not name.endswith(gone)]
    return ", ".join(_show_difference(name, texts.get(name, ""), due[name]) for name in changed)


def _show_difference(name: str, found: str, due: str) -> str:
    """Of a policy what was added and what lacks, statement by statement, the rest as it is."""
    if not due.startswith("{"):
        return f"{name} {found or 'none'} instead of {due or 'none'}"
    seen, made = (json.loads(text).get("Statement", []) for text in (found, due))
    added = [f"also {_brief(one)}" for one in seen if one not in made]
    lacking = [f"not {_brief(one)}" for one in made if one not in seen]
    return f"{name} says {' and '.join([*added, *lacking]) or found[:MOST_SHOWN]}"


def _brief(statement: object) -> str:
    text = json.dumps(statement, sort_keys=True)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def find_strays(found: Collection[str], networks: Collection[str]) -> list[str]:
    """Keys of the rules and policies that somebody added."""
    due = EGRESS | {f"ingress:{network}" for network in networks}
    return sorted(key for key in found if ":" in key and key not in due)


def name_part(key: str) -> str:
    kind, _, what = key.partition(":")
    return f"{STRAY.get(kind, 'rule')} {what}"


def is_corrected(vm: Vm, pool: Pool | None, now: datetime) -> bool:
    return pool is not None and pool.drift == "correct" and now - vm.created_at >= STEADY
