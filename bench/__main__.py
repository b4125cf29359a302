"""`make bench`: every figure of this release, each beside its limit or its baseline, in one run. Exit code 1 when one does not hold.

`python -m bench --json FILE` also writes the figures for tools, `python -m bench logs ticks` measures these groups only,
`python -m bench --compare FILE_OR_COMMIT` shows them beside another run and then has exit code 1 when something became slower.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio
from rich.console import Console
from rich.table import Table

from bench.comparing import ComparisonError, Run, compare, read_other, render_changes
from bench.converging import measure_convergence, measure_large_convergence
from bench.deciding import measure_decide
from bench.figure import Curve, Figure
from bench.fleet_pages import measure_pages
from bench.holding import measure_holding
from bench.listing import measure_listing
from bench.logging import measure_logs
from bench.paging import measure_admin_pages
from bench.rehearsing import measure_rehearsals
from bench.reporting import measure_reports
from bench.resting import measure_rest, measure_up
from bench.seating import measure_seating
from bench.ticking import measure_ticks

MACHINE = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
Measured = Sequence[Figure | Curve]
MEASURES: dict[str, Callable[[], Measured]] = {
    "decide": measure_decide,
    "rehearsals": measure_rehearsals,
    "ticks": partial(anyio.run, measure_ticks),
    "listing": measure_listing,
    "pages": measure_pages,
    "logs": measure_logs,
    "reports": measure_reports,
    "holding": measure_holding,
    "seating": measure_seating,
    "admin-pages": measure_admin_pages,
    "rest": measure_rest,
    "up": measure_up,
    "convergence": measure_convergence,
    "large-convergence": measure_large_convergence,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.add_argument("--compare", metavar="FILE_OR_COMMIT", help="show each figure beside that of another run")
    parser.add_argument("only", nargs="*", metavar="GROUP", help=f"groups to measure, else all: {', '.join(MEASURES)}")
    options = parser.parse_args()
    if unknown := set(options.only) - set(MEASURES):
        parser.error(f"no group {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    try:
        other = read_other(options.compare, options.only) if options.compare else None
    except ComparisonError as error:
        parser.error(str(error))
    measured, broken = measure(options.only or list(MEASURES))
    run = describe_run(measured)
    show(measured)
    if options.json:
        options.json.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n")
    for group in broken:
        print(f"{group} could not be measured: its error is above", file=sys.stderr)
    if other is not None:
        return show_changes(other, run)
    return 0 if not broken and all(row.holds for row in measured if isinstance(row, Figure)) else 1


def measure(groups: list[str]) -> tuple[list[Figure | Curve], list[str]]:
    """What was measured, and the groups that failed: one that fails costs nothing of the others."""
    measured: list[Figure | Curve] = []
    broken: list[str] = []
    for group in groups:
        begun = time.monotonic()
        try:
            measured += MEASURES[group]()
        except Exception:
            traceback.print_exc()
            broken.append(group)
        print(f"{group}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return measured, broken


def describe_run(measured: Measured) -> Run:
    """What the manual's page on performance is made of."""
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": commit.stdout.strip(),
        "machine": MACHINE,
        "figures": [
            asdict(row) | {"judged": row.judged, "holds": row.holds} for row in measured if isinstance(row, Figure)
        ],
        "curves": [asdict(row) | {"exponent": row.exponent} for row in measured if isinstance(row, Curve)],
    }


def show(measured: Measured) -> None:
    table = Table(title=MACHINE)
    for heading in ("what", "measured", "limit", "", "note"):
        table.add_column(heading, justify="left" if heading in ("what", "note") else "right")
    for row in measured:
        table.add_row(*(_show_figure(row) if isinstance(row, Figure) else _show_curve(row)))
    Console(width=None if sys.stdout.isatty() else 150).print(table)


def _show_figure(figure: Figure) -> tuple[str, ...]:
    measured, limit = f"{figure.value:,.1f} {figure.unit}", f"{figure.limit:,.1f} {figure.unit}"
    if figure.baseline is not None:
        measured = f"{figure.judged:.2f} × ({figure.value:,.0f} / {figure.baseline:,.0f} {figure.unit})"
        limit = f"{figure.limit:.2f} ×"
    repeated = f"{figure.repeats} times, ± {figure.spread / 2:.0%}" if figure.repeats > 1 else ""
    note = "; ".join(part for part in (repeated, figure.note) if part)
    return figure.name, measured, limit, "holds" if figure.holds else "MISSED", note


def _show_curve(curve: Curve) -> tuple[str, ...]:
    points = ", ".join(f"{n:,}: {cost:,.1f}" for n, cost in curve.points.items())
    return f"{curve.name}, by {curve.what}", f"exponent {curve.exponent:.2f}", "", "", f"{points} {curve.unit}"


def show_changes(other: Run, run: Run) -> int:
    """1 where something became worse."""
    changes = compare(other, run)
    Console(width=None if sys.stdout.isatty() else 150).print(render_changes(other, changes))
    return int(any(one.verdict == "WORSE" for one in changes))


if __name__ == "__main__":
    sys.exit(main())
