"""`/admin/instances/{hostname}`: one VM; its course, why it is as it is, its run, what happened to it, the end of its log."""

from datetime import datetime
from typing import NamedTuple

from litestar import get
from litestar.params import FromPath
from litestar.response import Template

from api.pages.deeds import DEEDS
from api.pages.desk import show_desk
from api.pages.plots import plot_gauges
from api.pages.shell import AnyRequest
from api.parts import AnyDb, TheOutlook
from api.vms import describe_vm, find_vm
from controller.decide.work import describe
from schemas.startup import StartUp
from schemas.vm import Vm
from store.event import read_events
from store.evidence import read_evidence
from store.history import Stay, Which, list_stays
from store.startup import read_startup

NEWEST = 20


class Step(NamedTuple):
    """A stage of a VM's life: when it was reached, or whether it is the one that is waited for."""

    name: str
    at: datetime | None
    took_s: float | None = None
    state: str = "ahead"  # done | now | ahead
    note: str = ""


@get("/admin/instances/{hostname:str}", media_type="text/html", include_in_schema=False)
async def get_vm(request: AnyRequest, db: AnyDb, outlook: TheOutlook, hostname: FromPath[str]) -> Template:
    """All that is known of one VM, also of one that is gone."""
    vm, view = await find_vm(db, hostname), await outlook.read()
    async with db.connection() as conn:
        startup = await read_startup(conn, hostname)
        evidence = await read_evidence(conn, hostname)
        stays = await list_stays(conn, Which(hostname=hostname), limit=10)
        events = await read_events(conn, subject=f"vm/{hostname}", limit=NEWEST)
    actions = [one for one in view.decision.actions if getattr(one, "hostname", None) == hostname]
    return show_desk(
        request,
        "admin/vm.html",
        vm=vm,
        judged=describe_vm(vm, view),
        steps=list_steps(vm, startup, stays[0] if stays else None) if startup else [],
        stays=stays,
        evidence=evidence,
        actions=[(describe(action), action.reason) for action in actions],
        held=[(one.what, one.reason) for one in view.decision.held if one.pool == vm.pool and hostname in one.what],
        run=view.snapshot.runs.get(f"{vm.pool}/{vm.region}/{vm.shard}"),
        newest=list(reversed(events)),
        deeds=DEEDS,
        plot=None if "hx-request" in request.headers else await plot_gauges(db, hostname),
    )


def list_steps(vm: Vm, known: StartUp, stay: Stay | None) -> list[Step]:
    """From planned to assigned; the first that is not reached yet is the one that is waited for."""
    whole_s = (vm.ready_at - vm.created_at).total_seconds() if vm.ready_at else None
    steps = [
        Step("Planned", vm.created_at, note=vm.reason),
        Step("Terraform", known.applied_at, known.terraform_s),
        Step("Instance", vm.launched_at, note=vm.instance_id or ""),
        Step("cloud-init", known.cloud_init_ended_at, known.cloud_init_s),
        Step("Container", known.container_ended_at, known.container_s),
        Step("Ready", vm.ready_at, whole_s, note="since it was planned" if whole_s else ""),
        Step("Assigned", stay.bound_at if stay else None, note=stay.email if stay else ""),
    ]
    return _mark([*steps, Step("Gone", known.ended_at)] if known.ended_at else steps)


def _mark(steps: list[Step]) -> list[Step]:
    last = max(i for i, step in enumerate(steps) if step.at or step.took_s is not None)
    gone = steps[-1].name == "Gone"
    marked = [step._replace(state="done") for step in steps[: last + 1]]
    following = [
        step._replace(state="now" if i == 0 and not gone else "ahead") for i, step in enumerate(steps[last + 1 :])
    ]
    return marked + following


ROUTES = [get_vm]
