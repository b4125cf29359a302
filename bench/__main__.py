"""`make bench`: every figure of this release, each beside its limit or its baseline, in one run. Exit code 1 when one does not hold.

`python -m bench --json FILE` also writes the figures for tools, `python -m bench logs ticks` measures these groups only.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console
from rich.table import Table

from bench.converging import measure_convergence
from bench.deciding import measure_decide
from bench.figure import Figure
from bench.fleet_pages import measure_pages
from bench.holding import measure_holding
from bench.logging import measure_logs
from bench.paging import measure_admin_pages
from bench.rehearsing import measure_rehearsals
from bench.reporting import measure_reports
from bench.seating import measure_seating
from bench.ticking import measure_ticks

MACHINE = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
MEASURES: dict[str, Callable[[], list[Figure]]] = {
    "decide": measure_decide,
    "rehearsals": measure_rehearsals,
    "ticks": partial(anyio.run, measure_ticks),
    "pages": measure_pages,
    "logs": measure_logs,
    "reports": measure_reports,
    "holding": measure_holding,
    "seating": measure_seating,
    "admin-pages": measure_admin_pages,
    "convergence": measure_convergence,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.add_argument("only", nargs="*", metavar="GROUP", help=f"groups to measure, else all: {', '.join(MEASURES)}")
    options = parser.parse_args()
    if unknown := set(options.only) - set(MEASURES):
        parser.error(f"no group {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    figures, broken = measure(options.only or list(MEASURES))
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(describe_run(figures), indent=1, ensure_ascii=False) + "\n")
    for group in broken:
        print(f"{group} could not be measured: its error is above", file=sys.stderr)
    return 0 if not broken and all(figure.holds for figure in figures) else 1


def measure(groups: list[str]) -> tuple[list[Figure], list[str]]:
    """The figures, and the groups that failed: one that fails costs nothing of the others."""
    figures: list[Figure] = []
    broken: list[str] = []
    for group in groups:
        print(f"measuring {group}", file=sys.stderr)
        try:
            figures += MEASURES[group]()
        except Exception:
            traceback.print_exc()
            broken.append(group)
    return figures, broken


def describe_run(figures: list[Figure]) -> dict[str, Any]:
    """What the manual's page on performance is made of."""
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": commit.stdout.strip(),
        "machine": MACHINE,
        "figures": [asdict(figure) | {"judged": figure.judged, "holds": figure.holds} for figure in figures],
    }


def show(figures: list[Figure]) -> None:
    table = Table(title=MACHINE)
    for heading in ("what", "measured", "limit", "", "note"):
        table.add_column(heading, justify="left" if heading in ("what", "note") else "right")
    for figure in figures:
        measured, limit = f"{figure.value:,.0f} {figure.unit}", f"{figure.limit:,.0f} {figure.unit}"
        if figure.baseline is not None:
            measured = f"{figure.judged:.2f} × ({figure.value:,.0f} / {figure.baseline:,.0f} {figure.unit})"
            limit = f"{figure.limit:.2f} ×"
        table.add_row(figure.name, measured, limit, "holds" if figure.holds else "MISSED", figure.note)
    Console(width=None if sys.stdout.isatty() else 150).print(table)


if __name__ == "__main__":
    sys.exit(main())
