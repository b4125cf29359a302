"""Brings the base of a pool in a region (security group, role, profile, key) to its declaration, or ends it.

Called by `controller.actuate` before the shards that stand on it. What a killed run left behind is found by name and imported.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.actuator import Actuator
from controller.apply import apply_job
from controller.decide.drift import find_strays, name_part
from controller.decide.tfplan import check_base_plan
from controller.decide.tfvars import Site, base_name, hash_variables, iam_name, render_base
from controller.ec2_base import FoundBase
from controller.record import ACTOR
from controller.result import SUCCEEDED, Job, Place, Result
from schemas.lab import Lab
from schemas.pool import Base
from schemas.tfstate import TfState
from store import actuation as rows
from store.db import Connection
from store.event import write_event
from store.lease import fenced
from store.secret import forget_secret, keep_secret, read_secret, ssh_key_name
from store.tfstate import forget_state

STRAYS = {
    "ingress": ("ingress:", "rule:ingress "),
    "egress": ("egress:", "rule:egress "),
    "attached": ("attached:",),
    "inline": ("inline:",),
}
"""How keys begin of what is taken away in the same way."""


@dataclass(frozen=True, slots=True)
class BaseWork:
    """One base, what its pool declares, and whether its last run may have left what its state does not know."""

    place: Place
    site: Site
    base: Base
    ssh_ingress: tuple[str, ...]
    certain: bool
    corrects: bool = False  # what a hand added is taken away

    @property
    def key_name(self) -> str:
        return ssh_key_name(self.place.pool, self.place.region)


def declared_ingress(lab: Lab, base: Base) -> tuple[str, ...] | None:
    """Networks that may reach port 22, or None when the file knows nothing of this base (any more)."""
    pool = lab.pools.get(base.pool)
    return tuple(str(cidr) for cidr in pool.ssh.ingress) if pool and pool.region == base.region else None


async def converge_base(actuator: Actuator, work: BaseWork) -> Result | None:
    """The result of the run that was needed; None when it was none. Raises CloudError when AWS cannot say what exists."""
    variables = await render(actuator, work)
    if not work.base.wanted and work.certain:
        return await apply_job(actuator, _make_end(work, variables))
    if work.base.applied_hash == hash_variables(variables) and work.certain:
        return None
    adopt: Mapping[str, str] = {}
    if work.base.applied_hash is None or not work.certain:
        adopt = (await find_base(actuator, work)).parts
        if work.corrects:
            await _take_strays_out(actuator, work, variables, adopt)
        if "key_pair" in adopt:  # AWS may have one whose private half is lost
            await actuator.ec2.renew_key_pair(work.place.region, adopt["key_pair"], variables["public_key"])
    return await apply_job(actuator, _make_job(work, variables, adopt))


async def render(actuator: Actuator, work: BaseWork) -> dict[str, Any]:
    """What Terraform is told of it."""
    public_key = await _take_public_key(actuator, work)
    return render_base(work.site, work.place.pool, work.place.region, work.ssh_ingress, public_key)


async def find_base(actuator: Actuator, work: BaseWork) -> FoundBase:
    """What exists of it in AWS. Raises CloudError."""
    pool, region = work.place.pool, work.place.region
    return await actuator.ec2.find_base(region, base_name(work.site, pool), iam_name(work.site, pool, region))


def networks_of(variables: Mapping[str, Any]) -> set[str]:
    """Who may reach port 22."""
    return {*variables["ssh_ingress"], variables["allocator_cidr"]} - {""}


async def _take_strays_out(
    actuator: Actuator, work: BaseWork, variables: Mapping[str, Any], found: Mapping[str, str]
) -> None:
    """Rules and policies that somebody added: Terraform knows nothing of them. Connections that people have do not come in by any rule."""
    strays = find_strays(found, networks_of(variables))
    if not strays:
        return
    ids = {kind: [found[key] for key in strays if key.startswith(kinds)] for kind, kinds in STRAYS.items()}
    if ids["ingress"] or ids["egress"]:
        ways = {way: ids[way] for way in ("ingress", "egress")}
        await actuator.ec2.revoke_rules(work.place.region, found["security_group"], ways)
    await actuator.ec2.strip_role(found.get("role", ""), ids["attached"], ids["inline"])
    async with fenced(actuator.db, actuator.lease) as conn:
        message = f"taken away: {', '.join(map(name_part, strays))}"
        await write_event(conn, ACTOR, f"pool/{work.place.pool}", "BaseCorrected", message)


def _make_job(work: BaseWork, variables: dict[str, Any], adopt: Mapping[str, str]) -> Job:
    networks = networks_of(variables)
    known = {f"ingress:{cidr}" for cidr in networks} | {"egress:0.0.0.0/0", "egress:::/0"}
    kept = {key: found for key, found in adopt.items() if ":" not in key or key in known}
    return Job(
        place=work.place,
        variables=variables | {"adopt": kept},
        change={"imports": sorted(kept)},
        check=partial(check_base_plan, wanted=True),
        allow=_allow,
        record=partial(_record, work, hash_variables(variables)),
        refresh=bool(work.base.drift),
    )


def _make_end(work: BaseWork, variables: dict[str, Any]) -> Job:
    return Job(
        place=work.place,
        variables=variables,
        change={"deletes": ["the whole base"]},
        check=partial(check_base_plan, wanted=False),
        allow=_allow,
        record=partial(_record, work, ""),
        destroy=True,
    )


async def _allow(_conn: Connection) -> list[str]:
    """A base stands on no rows; the lease, which is checked in the same transaction, is enough."""
    return []


async def _record(work: BaseWork, applied_hash: str, conn: Connection, state: TfState | None, result: Result) -> None:
    if result.outcome != SUCCEEDED or state is None:
        return
    if applied_hash:
        await rows.record_base(conn, work.base, applied_hash, state.outputs)
    elif not state.resources:
        await rows.forget_base(conn, work.base)
        await forget_state(conn, work.place.state_key)
        await forget_secret(conn, work.key_name)


async def _take_public_key(actuator: Actuator, work: BaseWork) -> str:
    """The public half of the pool's SSH key, which is made at the first use; the private half stays in the database."""
    async with actuator.db.connection() as conn:
        private = await read_secret(conn, actuator.cipher, work.key_name)
    if private is None:
        made = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        async with fenced(actuator.db, actuator.lease) as conn:
            private = await keep_secret(conn, actuator.cipher, work.key_name, made)
    public = serialization.load_ssh_private_key(private, password=None).public_key()
    return public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
