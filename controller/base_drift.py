"""Looks now and then whether what a pool's VMs share is as Terraform made it; the difference is told and decided about.

A handler of the controller's runtime on a slow timer of its own: some calls to AWS a pool and its state's record, no Terraform.
"""

import structlog

from controller.actuator import Actuator, find_place, make_site
from controller.base import BaseWork, declared_ingress, find_base, networks_of, render
from controller.decide.drift import find_base_drift, find_text_drift
from controller.decide.tfvars import hash_variables
from controller.errors import CloudError
from controller.record import open_workspace, read_tf_state
from controller.result import Place
from controller.world import World
from schemas.tfstate import TfState
from store.base import keep_base_drift, read_applied_bases
from store.deployment import read_deployment
from store.desired import read_in_force
from store.lease import fenced

log = structlog.get_logger()


async def look_at_bases(world: World, actuator: Actuator) -> None:
    """Write down what changed, and wake who decides."""
    async with world.db.connection() as conn:
        in_force, deployment = await read_in_force(conn), await read_deployment(conn)
        bases = await read_applied_bases(conn)
    if in_force is None or deployment.account_id is None or world.sight.observe_only:
        return
    for base in bases:
        ingress = declared_ingress(in_force.lab, base)
        if ingress is None:
            continue
        site = make_site(actuator, in_force.lab, str(deployment.id), deployment.account_id)
        place = find_place(actuator, in_force.lab, base.pool, base.region, "base")
        try:
            drift = await _find_drift(actuator, BaseWork(place, site, base, ingress, certain=True))
        except CloudError as error:
            log.info("a base cannot be looked at now", pool=base.pool, region=base.region, error=str(error))
            continue
        if drift is not None and drift != base.drift:
            async with fenced(world.db, world.lease) as conn:
                await keep_base_drift(conn, base, drift)
            world.wake("reconcile", "")


async def _find_drift(actuator: Actuator, work: BaseWork) -> str | None:
    """None while the base is not what is declared anyway: then it is about to be applied."""
    variables = await render(actuator, work)
    if hash_variables(variables) != work.base.applied_hash:
        return None
    found, made = await find_base(actuator, work), await _read_made(actuator, work.place)
    differences = (
        find_base_drift(found.parts, networks_of(variables)),
        find_text_drift(found.parts, found.texts, made.texts if made else {}),
    )
    return ", ".join(filter(None, differences))


async def _read_made(actuator: Actuator, place: Place) -> TfState | None:
    """None: the state cannot be read now."""
    try:
        workspace = await open_workspace(actuator, place)
    except OSError:
        return None
    async with actuator.db.connection() as conn:
        return await read_tf_state(conn, actuator, place, workspace)
