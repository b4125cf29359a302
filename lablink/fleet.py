"""Commands about what exists: `status`, `wait`, `vms`, `why`, `events`, and the small changes of a pool or a VM.

Each is one or two calls of `/api/v1`; nothing is decided here.
"""

import json
import time
from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any

import typer
from rich.console import Console

from lablink.client import LabLink, find_server, path_of
from lablink.display import (
    event_line,
    explain_waiting,
    explanation_lines,
    is_settled,
    news_lines,
    render_status,
    status_lines,
)
from lablink.errors import Failed
from lablink.output import on_terminal, print_json, print_line, print_table
from lablink.watching import TableView, View, Watch, answers
from lablink.watching import watch as keep_watching
from schemas.values import nearest, parse_duration

PAGE = 500

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def read_span(option: str, text: str) -> float:
    """Seconds of `30m`, `90s`, `2h`."""
    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise Failed(f"{option} {text}: {error}.") from None


PoolName = Annotated[str, typer.Argument(metavar="POOL", help="Name of a pool in lablink.yaml.")]
VmName = Annotated[str, typer.Argument(metavar="VM", help="Host name of a VM, as `lablink vms` lists it.")]


def status(watch: Watch = False, as_json: Json = False) -> None:
    """Show every pool: what is declared, what is there, and what is in the way."""
    if watch:
        keep_watching(STATUS, as_json)
        return
    found = _read_status()
    if as_json:
        print_json(found)
    elif on_terminal():
        Console().print(render_status(found))
    else:
        print("\n".join(status_lines(found)))


def wait(
    pools: Annotated[list[str] | None, typer.Argument(metavar="[POOL]...", help="Only these.")] = None,
    within: Annotated[str, typer.Option(help="How long at most.")] = "30m",
    as_json: Json = False,
) -> None:
    """Wait until all pools, or those named, are as declared; then exit status 0. When the time is over: 1, with what is in the way."""
    ends = time.monotonic() + read_span("--within", within)
    found = keep_watching(STATUS, as_json, until=lambda seen: _all_settled(seen, pools) or time.monotonic() > ends)
    if not _all_settled(found, pools):
        raise Failed("\n".join([f"Not as declared within {within}.", *explain_waiting(found, pools)]))


def _all_settled(found: dict[str, Any], names: list[str] | None) -> bool:
    """Raises `Failed` for a pool that is not there."""
    known = {pool["name"]: pool for pool in found["pools"]}
    for name in names or ():
        if name not in known:
            meant = nearest(name, list(known))
            raise Failed(f"There is no pool {name!r}" + (f"; did you mean {meant!r}?" if meant else "."))
    return is_settled({"pools": [known[name] for name in names or known]})


def _read_status() -> dict[str, Any]:
    with LabLink(find_server()) as lablink:
        return dict(lablink.get("/status"))


STATUS = View(_read_status, render_status, news_lines)
VM_COLUMNS = ("hostname", "pool", "bucket", "status", "seat", "instance_type", "zone", "instance_id", "reason")
VM_SPARE = ("instance_id", "zone", "instance_type", "pool", "status", "seat")


def vms(
    pool: Annotated[str | None, typer.Option(help="Only the VMs of this pool.")] = None,
    watch: Watch = False,
    as_json: Json = False,
) -> None:
    """List the VMs, each with the bucket it is in and why."""
    view = TableView(lambda: _read_vms(pool), VM_COLUMNS, _vm_rows, VM_SPARE)
    if watch:
        keep_watching(view, as_json)
        return
    found = view.read()
    if as_json:
        print_json(found)
    elif found["items"]:
        print_table(VM_COLUMNS, _vm_rows(found), VM_SPARE)
    else:
        print_line(f"Pool {pool} has no VM." if pool else "There is no VM.")


def _read_vms(pool: str | None) -> dict[str, Any]:
    with LabLink(find_server()) as lablink:
        items = _all_pages(lablink, "/vms", {"pool": pool} if pool else {})
        if not items:
            check_pool(lablink, pool)
    return {"items": items}


def _vm_rows(found: dict[str, Any]) -> list[Sequence[Any]]:
    return [[vm.get(column) for column in VM_COLUMNS] for vm in found["items"]]


def check_pool(lablink: LabLink, pool: str | None) -> None:
    """Where nothing was found: refused when there is no such pool, with the one that was probably meant."""
    if pool:
        lablink.get("/pools" + path_of(pool))


def _all_pages(lablink: LabLink, path: str, params: dict[str, str | int]) -> list[dict[str, Any]]:
    page = lablink.get(path, limit=PAGE, **params)
    items = list(page["items"])
    while page.get("next") is not None:
        page = lablink.get(path, limit=PAGE, after=page["next"], **params)
        items += page["items"]
    return items


def scale(
    pool: PoolName,
    size: Annotated[
        int | None, typer.Argument(metavar="[N]", help="How many VMs the pool is to have.", min=0, max=1000)
    ] = None,
    least: Annotated[int | None, typer.Option("--min", help="At least so many.", min=0, max=1000)] = None,
    most: Annotated[int | None, typer.Option("--max", help="At most so many.", min=0, max=1000)] = None,
    spare: Annotated[int | None, typer.Option(help="Free ones beside those in use.", min=0, max=1000)] = None,
    as_json: Json = False,
) -> None:
    """Declare another size for a pool: a number, or bounds between which it follows the demand."""
    bounds = {"min": least, "max": most, "spare": spare}
    change = {name: value for name, value in ({"size": size} | bounds).items() if value is not None}
    if not change or (size is not None and len(change) > 1):
        raise typer.BadParameter("give either N, or some of --min, --max and --spare")
    words = f"{size} VMs" if size is not None else ", ".join(f"{name} {value}" for name, value in change.items())
    _change_pool(pool, change, f"Pool {pool} is declared with {words}", as_json)


def pause(pool: PoolName, as_json: Json = False) -> None:
    """Observe and report only: nothing is made or ended in this pool until `resume`."""
    _change_pool(pool, {"paused": True}, f"Pool {pool} is paused", as_json)


def resume(pool: PoolName, as_json: Json = False) -> None:
    """Let a paused pool converge again."""
    _change_pool(pool, {"paused": False}, f"Pool {pool} is resumed", as_json)


def retry(pool: PoolName, as_json: Json = False) -> None:
    """Say that a person has looked: failures are forgotten, and all lost or broken VMs of the pool are replaced."""
    with LabLink(find_server()) as lablink:
        answer = lablink.call("POST", f"/pools{path_of(pool)}/retry")
    if as_json:
        print_json(answer)
    else:
        print_line(f"Pool {pool}: {answer['message']}.", "green")


def release(vm: VmName, as_json: Json = False) -> None:
    """End the assignment of a VM; what then becomes of it, the pool's session.after says (a clean one takes its place)."""
    _change_vm(vm, "release", as_json)


def replace(
    vm: VmName,
    force: Annotated[bool, typer.Option("--force", help="Also when somebody has it: ends the assignment.")] = False,
    as_json: Json = False,
) -> None:
    """Put a new VM in the place of one; somebody's VM only with `--force`."""
    _change_vm(vm, "replace", as_json, force="true" if force else "false")


def reboot(vm: VmName, as_json: Json = False) -> None:
    """Reboot a VM, whoever has it; the assignment stays."""
    _change_vm(vm, "reboot", as_json)


def cordon(vm: VmName, as_json: Json = False) -> None:
    """Give a VM to nobody from now on; who has it keeps it."""
    _change_vm(vm, "cordon", as_json)


def uncordon(vm: VmName, as_json: Json = False) -> None:
    """Let a cordoned VM be given to people again."""
    _change_vm(vm, "uncordon", as_json)


def _change_vm(vm: str, change: str, as_json: bool, **params: str | int) -> None:
    with LabLink(find_server()) as lablink:
        answer = lablink.call("POST", "/vms" + path_of(vm, change), params=params)
    if as_json:
        print_json(answer)
    else:
        print_line(f"{answer['message']}.", "green")


def _change_pool(pool: str, change: dict[str, Any], sentence: str, as_json: bool) -> None:
    with LabLink(find_server()) as lablink:
        answer = lablink.call("PATCH", "/pools" + path_of(pool), json=change)
    if as_json:
        print_json(answer)
    else:
        print_line(f"{sentence} (version {answer['version']}).", "green")


def why(
    name: Annotated[str, typer.Argument(metavar="VM|POOL", help="Host name of a VM, or name of a pool.")],
    as_json: Json = False,
) -> None:
    """Say why a VM is in its bucket, or what a pool does and waits for."""
    with LabLink(find_server()) as lablink:
        answer = lablink.get("/why" + path_of(name))
    if as_json:
        print_json(answer)
    else:
        for line in explanation_lines(answer):
            print_line(line)


def events(
    subject: Annotated[str | None, typer.Option(help="Only about this, such as pool/client or vm/NAME.")] = None,
    limit: Annotated[int, typer.Option(help="How many of the newest.", min=1, max=1000)] = 50,
    follow: Annotated[
        bool, typer.Option("--watch", "-w", "--follow", "-f", help="Go on with new ones until Ctrl-C.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what happened: who did what to whom, and why. With `--json --watch`: a JSON object a line."""
    filters: dict[str, str | int] = {"subject": subject} if subject else {}
    with LabLink(find_server()) as lablink:
        page = lablink.get("/events", limit=limit, **filters)
        if subject and not page["items"] and subject.startswith("pool/"):
            check_pool(lablink, subject.removeprefix("pool/"))
    if follow:
        _follow(page, filters, as_json)
    elif as_json:
        print_json(page)
    else:
        _print_events(page["items"], as_json)


def _follow(page: dict[str, Any], filters: dict[str, str | int], as_json: bool) -> None:
    """A server that is away for a moment is asked again: nothing is missed meanwhile."""
    newest = 0

    def read() -> dict[str, Any]:
        with LabLink(find_server()) as lablink:
            return dict(lablink.get("/events", after=newest, limit=PAGE, **filters))

    for answer in chain([page], answers(read)):
        if not isinstance(answer, Failed):
            _print_events(answer["items"], as_json)
            newest = max([newest, *(event["id"] for event in answer["items"])])


def _print_events(items: list[dict[str, Any]], as_json: bool) -> None:
    for event in items:
        if as_json:
            print(json.dumps(event, ensure_ascii=False), flush=True)
        else:
            print_line(event_line(event))
