"""Commands about what was done and where there is room: `runs`, `capacity`. Each is a call of `/api/v1`."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer

from lablink.client import LabLink, find_server, path_of
from lablink.fleet import Json, check_pool
from lablink.output import local_time, print_json, print_line, print_table
from lablink.watching import TableView, Watch
from lablink.watching import watch as keep_watching

RUN_COLUMNS = ("id", "at", "state", "outcome", "creates", "imports", "deletes", "message")
RUN_SPARE = ("imports", "at", "deletes", "creates")
NEED_COLUMNS = ("pools", "region", "market", "quota", "vCPUs this week", "AWS allows")
PLACE_COLUMNS = ("pool", "region", "market", "type", "zone", "refused for", "refused", "tried again")


def runs(
    number: Annotated[int | None, typer.Argument(metavar="[ID]", help="One run, with its output.", min=1)] = None,
    pool: Annotated[str | None, typer.Option(help="Only of this pool.")] = None,
    status: Annotated[
        Literal["running", "succeeded", "failed", "interrupted", "refused"] | None, typer.Option(help="Only these.")
    ] = None,
    watch: Watch = False,
    limit: Annotated[int, typer.Option(help="How many of the newest.", min=1, max=1000)] = 20,
    as_json: Json = False,
) -> None:
    """List Terraform's runs, the newest first; or show one with what Terraform said."""
    filters: dict[str, str | int] = {name: v for name, v in (("pool", pool), ("status", status)) if v}
    view = TableView(lambda: _read_runs(number, {"limit": limit, **filters}), RUN_COLUMNS, _run_rows, RUN_SPARE)
    if watch and number is None:
        keep_watching(view, as_json)
        return
    answer = view.read()
    if as_json:
        print_json(answer)
    elif number is not None:
        print_line(_sentence(answer))
        print(answer["output"], end="")
    else:
        print_table(RUN_COLUMNS, _run_rows(answer), RUN_SPARE)


def _read_runs(number: int | None, wanted: dict[str, str | int]) -> dict[str, Any]:
    with LabLink(find_server()) as lablink:
        if number is not None:
            return dict(lablink.get("/runs" + path_of(number)))
        answer = dict(lablink.get("/runs", **wanted))
        if not answer["items"] and "pool" in wanted:
            check_pool(lablink, str(wanted["pool"]))
        return answer


def _run_rows(answer: dict[str, Any]) -> list[Sequence[Any]]:
    return [[_cell(run, column) for column in RUN_COLUMNS] for run in answer["items"]]


def _sentence(run: dict[str, Any]) -> str:
    message = f": {run['message']}" if run["message"] else ""
    return f"run {run['id']} of {run['state_key']}, {local_time(run['started_at'])}, {run['outcome']}{message}"


def _cell(run: dict[str, Any], column: str) -> Any:
    match column:
        case "at":
            return local_time(run["started_at"])
        case "state":
            return run["state_key"]
        case _:
            return run[column]


def capacity(
    pool: Annotated[str | None, typer.Option(help="Only the places of this pool.")] = None, as_json: Json = False
) -> None:
    """Show where each pool would put VMs, where AWS has lately refused some and why, and the vCPUs that the week needs of each quota."""
    with LabLink(find_server()) as lablink:
        answer = lablink.get("/capacity", **({"pool": pool} if pool else {}))
        needs = lablink.get("/capacity/week")
        if not answer["items"]:
            check_pool(lablink, pool)
    if as_json:
        print_json({**answer, "needs": needs["items"]})
        return
    rows = (
        (one["pool"], one["region"], one["market"], one["instance_type"], one["zone"] or "any", one["cause"] or "",
         local_time(one["refused_at"]), local_time(one["again_at"]))
        for one in answer["items"]
    )  # fmt: skip
    print_table(PLACE_COLUMNS, rows, ("market", "refused", "region"))
    print_table(NEED_COLUMNS, (_need(one) for one in needs["items"]), ("market", "region"))


def _need(one: dict[str, Any]) -> tuple[str, ...]:
    known = [_limit(one), *(["AWS has refused VMs for it"] if one["used_up"] else [])]
    quota = f"{one['quota']} {one['code']}".strip()
    return ", ".join(one["pools"]), one["region"], one["market"], quota, str(one["vcpus"]), "; ".join(known)


def _limit(one: dict[str, Any]) -> str:
    if one["limit"] is None:
        return str(one["why"])
    allowed = f"{one['limit']:.0f}"
    return allowed if one["vcpus"] <= one["limit"] else f"{allowed}: ask AWS for more, or declare less"
