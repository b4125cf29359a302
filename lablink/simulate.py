"""The command `lablink simulate`: rehearses a document and shows what came of it as a table and a plot.

With a FILE it needs no server; without one the server rehearses what is in force.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from controller.simulate.plan import NoPlan, read_plan, rehearse_plan
from controller.simulate.rehearsal import TooLarge
from lablink.client import LabLink, find_server
from lablink.desired import read_document
from lablink.errors import Failed
from lablink.fleet import Json, read_span
from lablink.output import local_time, print_json, print_line, print_table, working
from lablink.plot import plot_lines


def simulate(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A document; left out: the one in force.")
    ] = None,
    *,
    days: Annotated[float, typer.Option(help="How long.", min=0.1, max=31)] = 7,
    arrivals: Annotated[
        list[str] | None, typer.Option(help="People a day: 40, or POOL=40; again for other pools.")
    ] = None,
    stay: Annotated[str, typer.Option(help="How long people stay, on average.")] = "2h",
    course: Annotated[str | None, typer.Option(help="Only this course and its people.")] = None,
    fail: Annotated[list[str] | None, typer.Option(help="Chance that AWS has no capacity: g4dn=0.6.")] = None,
    boot: Annotated[str, typer.Option(help="From launch to ready, as a rule.")] = "4m",
    start: Annotated[datetime | None, typer.Option(help="When it begins (UTC); left out: the next full hour.")] = None,
    seed: Annotated[int, typer.Option(help="What happens by chance follows from it.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Rehearse days in a simulated world: seats ready by when, waits, refusals, hours and cost. Nothing is changed."""
    wishes: dict[str, Any] = {
        "days": days,
        "seed": seed,
        "arrivals": read_shares("--arrivals", arrivals or []),
        "fail": read_shares("--fail", fail or []),
        "stay_s": read_span("--stay", stay),
        "boot_s": read_span("--boot", boot),
        "course": course,
    }
    if start is not None:
        wishes["start"] = start.replace(tzinfo=UTC).isoformat()
    with working(f"rehearsing {days:g} days"):
        report = _rehearse_here(file, wishes) if file else _rehearse_there(wishes)
    if as_json:
        print_json(report)
    else:
        show_report(report)


def _rehearse_here(file: Path, wishes: dict[str, Any]) -> dict[str, Any]:
    lab = read_document(file).lab
    try:
        return rehearse_plan(lab, read_plan(lab, wishes, datetime.now(UTC))).model_dump(mode="json")
    except (NoPlan, TooLarge) as error:
        raise Failed(f"Not rehearsed: {error}.") from None


def _rehearse_there(wishes: dict[str, Any]) -> dict[str, Any]:
    with LabLink(find_server()) as lablink:
        return dict(lablink.call("POST", "/simulate", json={"plan": wishes}))


def read_shares(option: str, written: list[str]) -> dict[str, float]:
    """`40` stands for all, `client=40` for one."""
    shares = {}
    for text in written:
        name, _, number = text.rpartition("=")
        try:
            shares[name] = float(number)
        except ValueError:
            raise Failed(f"{option} {text}: must be a number, or NAME=NUMBER.") from None
    return shares


COLUMNS = (
    "pool",
    "people",
    "at once",
    "median",
    "95 %",
    "worst",
    "gave up",
    "VMs made",
    "most",
    "refused",
    "VM-hours",
    "used",
    "cost",
)


SPARE = ("refused", "at once", "most", "VMs made", "95 %", "used")


def show_report(report: dict[str, Any]) -> None:
    """The figures of each pool, the seats that were due, and how the pool fared over time."""
    print_table(COLUMNS, [_row(pool) for pool in report["pools"]], SPARE)
    print_line(
        f"In all ${report['usd']:,.2f} with the allocator, over {report['plan']['days']:g} days (seed {report['plan']['seed']})."
    )
    for sentence in report["unpriced"]:
        print_line(f"Not counted: {sentence}.", "yellow")
    for pool in report["pools"]:
        for seats in pool["seats"]:
            print_line(f"{pool['name']}: {_seats(seats)}", "green" if seats["ready"] >= seats["wanted"] else "red")
        for line in plot_lines(pool["name"], pool["samples"]):
            print_line(line)


def _row(pool: dict[str, Any]) -> list[str]:
    waits = pool["waits"]
    used = f"{pool['used_hours'] / pool['vm_hours']:.0%}" if pool["vm_hours"] else ""
    times = [_span(waits[name]) if pool["served"] else "" for name in ("median_s", "p95_s", "worst_s")]
    counts = [pool[name] for name in ("gave_up", "created", "most", "refused")]
    return [
        pool["name"],
        pool["people"],
        pool["at_once"],
        *times,
        *counts,
        f"{pool['vm_hours']:,.1f}",
        used,
        f"${pool['usd']:,.2f}",
    ]


def _seats(seats: dict[str, Any]) -> str:
    when = f"all since {local_time(seats['all_ready_at'])}" if seats["all_ready_at"] else "never all of them"
    return f"{seats['name']} at {local_time(seats['at'])}: {seats['ready']} of {seats['wanted']} seats ready, {when}"


def _span(seconds: float) -> str:
    """A wait as people say it."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
