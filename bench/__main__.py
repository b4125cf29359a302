"""`make bench`: every figure of this release, each beside its limit or its baseline, in one run. Exit code 1 when one does not hold.

`python -m bench --json FILE` also writes the figures for tools.
"""

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path

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


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    options = parser.parse_args()
    figures = [
        *measure_decide(),
        *measure_rehearsals(),
        *anyio.run(measure_ticks),
        *measure_pages(),
        *measure_logs(),
        *measure_reports(),
        *measure_holding(),
        *measure_seating(),
        *anyio.run(measure_admin_pages),
        *measure_convergence(),
    ]
    show(figures)
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) | {"holds": figure.holds} for figure in figures], indent=2))
    return 0 if all(figure.holds for figure in figures) else 1


def show(figures: list[Figure]) -> None:
    table = Table(
        title=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    for heading in ("what", "measured", "limit", "", "note"):
        table.add_column(heading, justify="left" if heading in ("what", "note") else "right")
    for figure in figures:
        measured, limit = f"{figure.value:,.0f} {figure.unit}", f"{figure.limit:,.0f} {figure.unit}"
        if figure.baseline is not None:
            measured = f"{figure.judged:.2f} × ({figure.value:,.0f} / {figure.baseline:,.0f} {figure.unit})"
            limit = f"{figure.limit} ×"
        table.add_row(figure.name, measured, limit, "holds" if figure.holds else "MISSED", figure.note)
    Console(width=None if sys.stdout.isatty() else 150).print(table)


if __name__ == "__main__":
    sys.exit(main())
