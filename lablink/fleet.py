"""Commands about what exists: `status`, `vms`, `why`, `events`, and the small changes of a pool or a VM.

Each is one or two calls of `/api/v1`; nothing is decided here.
"""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from lablink.client import LabLink, find_server, path_of
from lablink.display import event_line, explanation_lines, news_lines, render_status, status_lines
from lablink.errors import Failed
from lablink.output import on_terminal, print_json, print_line, print_table

REFRESH_S = 1.0
PAGE = 500

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PoolName = Annotated[str, typer.Argument(metavar="POOL", help="Name of a pool in lablink.yaml.")]
VmName = Annotated[str, typer.Argument(metavar="VM", help="Host name of a VM, as `lablink vms` lists it.")]


def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Show every pool: what is declared, what is there, and what is in the way."""
    if watch:
        with suppress(KeyboardInterrupt):
            _watch(as_json)
        return
    found = _read_status()
    if as_json:
        print_json(found)
    elif on_terminal():
        Console().print(render_status(found))
    else:
        print("\n".join(status_lines(found)))


def _read_status() -> dict[str, Any]:
    with LabLink(find_server()) as lablink:
        return dict(lablink.get("/status"))


def _watch(as_json: bool) -> None:
    """Shows what changes until Ctrl-C; only the first contact may fail."""
    first = _read_status()
    if on_terminal() and not as_json:
        _watch_screen(first)
    else:
        _watch_lines(first, as_json)


def _answers() -> Iterator[dict[str, Any] | Failed]:
    """Status after status. The server is looked for each time: a sandbox that starts again may have another port."""
    while True:
        _pause()
        try:
            answer: dict[str, Any] | Failed = _read_status()
        except Failed as failure:
            answer = failure
        yield answer


def _watch_screen(found: dict[str, Any]) -> None:
    with Live(render_status(found), auto_refresh=False) as live:
        for answer in _answers():
            if isinstance(answer, Failed):
                live.update(Group(render_status(found), Text(_no_answer(answer), style="yellow")), refresh=True)
            else:
                found = answer
                live.update(render_status(found), refresh=True)


def _watch_lines(found: dict[str, Any], as_json: bool) -> None:
    """As JSON: an object a line. That nobody answers is said once a reason, on standard error."""
    _print_news(found, None, as_json)
    trouble = ""
    for answer in _answers():
        if isinstance(answer, Failed):
            if trouble != (trouble := _no_answer(answer)):
                print(trouble, file=sys.stderr, flush=True)
        else:
            _print_news(answer, found, as_json)
            found, trouble = answer, ""


def _print_news(found: dict[str, Any], before: dict[str, Any] | None, as_json: bool) -> None:
    for line in [json.dumps(found, ensure_ascii=False)] if as_json else news_lines(found, before):
        print(line, flush=True)


def _no_answer(failure: Failed) -> str:
    return f"no answer ({str(failure).rstrip('.')}), trying again"


def _pause() -> None:
    threading.Event().wait(REFRESH_S)


VM_COLUMNS = ("hostname", "pool", "bucket", "status", "seat", "instance_type", "zone", "instance_id", "reason")


def vms(
    pool: Annotated[str | None, typer.Option(help="Only the VMs of this pool.")] = None, as_json: Json = False
) -> None:
    """List the VMs, each with the bucket it is in and why."""
    with LabLink(find_server()) as lablink:
        items = _all_pages(lablink, "/vms", {"pool": pool} if pool else {})
        if pool and not items:
            lablink.get("/pools" + path_of(pool))  # refused when there is no such pool
    if as_json:
        print_json({"items": items})
    elif items:
        print_table(VM_COLUMNS, ([vm.get(column) for column in VM_COLUMNS] for vm in items))
    else:
        print_line(f"Pool {pool} has no VM." if pool else "There is no VM.")


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
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Show what happened: who did what to whom, and why. With `--json --follow`: a JSON object a line."""
    with LabLink(find_server()) as lablink:
        filters: dict[str, str | int] = {"subject": subject} if subject else {}
        page = lablink.get("/events", limit=limit, **filters)
        if follow:
            with suppress(KeyboardInterrupt):
                _follow(lablink, page, filters, as_json)
        elif as_json:
            print_json(page)
        else:
            _print_events(page["items"], as_json)


def _follow(lablink: LabLink, page: dict[str, Any], filters: dict[str, str | int], as_json: bool) -> None:
    """Polls: a hint that is missed costs a second, a dropped connection nothing."""
    newest = 0
    while True:
        _print_events(page["items"], as_json)
        newest = max([newest, *(event["id"] for event in page["items"])])
        _pause()
        page = lablink.get("/events", after=newest, limit=PAGE, **filters)


def _print_events(items: list[dict[str, Any]], as_json: bool) -> None:
    for event in items:
        if as_json:
            print(json.dumps(event, ensure_ascii=False), flush=True)
        else:
            print_line(event_line(event))
