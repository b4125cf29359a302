"""`/admin/instances/{hostname}`: one VM; its course, why it is as it is, its run, what happened to it, the end of its log."""

from datetime import datetime
from typing import NamedTuple

from litestar import get
from litestar.params import FromPath
from litestar.response import Template

from api.pages.deeds import DEEDS
from api.pages.desk import show_desk
from api.pages.shell import AnyRequest
from api.parts import AnyDb, TheOutlook
from api.vms import describe_vm, find_vm
from controller.decide.work import describe
from schemas.vm import Vm
from store.event import read_events
from store.history import Course, Stay, Which, list_stays, read_course

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
        course = await read_course(conn, hostname)
        stays = await list_stays(conn, Which(hostname=hostname), limit=10)
        events = await read_events(conn, subject=f"vm/{hostname}", limit=NEWEST)
    actions = [one for one in view.decision.actions if getattr(one, "hostname", None) == hostname]
    return show_desk(
        request,
        "admin/vm.html",
        vm=vm,
        judged=describe_vm(vm, view),
        steps=list_steps(vm, course, stays[0] if stays else None),
        stays=stays,
        actions=[(describe(action), action.reason) for action in actions],
        held=[(one.what, one.reason) for one in view.decision.held if one.pool == vm.pool and hostname in one.what],
        run=view.snapshot.runs.get(f"{vm.pool}/{vm.region}/{vm.shard}"),
        newest=list(reversed(events)),
        deeds=DEEDS,
    )


def list_steps(vm: Vm, course: Course, stay: Stay | None) -> list[Step]:
    """From planned to assigned; the first that is not reached yet is the one that is waited for."""
    reached = [
        Step("Planned", vm.created_at, None, "done", vm.reason),
        Step("Terraform", course.applied_at or vm.launched_at, course.terraform_s),
        Step("Instance", vm.launched_at, None, note=vm.instance_id or ""),
        Step("cloud-init", None, course.cloud_init_s),
        Step("Container", None, course.container_s),
        Step("Ready", vm.ready_at, _between(vm.created_at, vm.ready_at), note="since it was planned"),
        Step("Assigned", stay.bound_at if stay else None, note=stay.email if stay else ""),
    ]
    if course.ended_at:
        reached.append(Step("Gone", course.ended_at))
    return _mark(reached)


def _mark(steps: list[Step]) -> list[Step]:
    last = max(i for i, step in enumerate(steps) if step.at or step.took_s is not None)
    gone = steps[-1].name == "Gone"
    marked = [step._replace(state="done") for step in steps[: last + 1]]
    following = [
        step._replace(state="now" if i == 0 and not gone else "ahead") for i, step in enumerate(steps[last + 1 :])
    ]
    return marked + following


def _between(begun: datetime, reached: datetime | None) -> float | None:
    return (reached - begun).total_seconds() if reached else None


ROUTES = [get_vm]
