"""How answers reach a person or a script: rich on a terminal, plain lines elsewhere, JSON with `--json`. Writes to stdout."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def on_terminal() -> bool:
    """Whether a person looks at the output; only then it has colours, boxes and questions."""
    return sys.stdout.isatty()


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_line(line: str, style: str = "") -> None:
    """One line; `style` is seen on a terminal only. The text is never read as markup."""
    if on_terminal():
        Console().print(Text(line, style=style), soft_wrap=True)
    else:
        print(line)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table on a terminal; elsewhere a line a row with aligned columns, the column names first."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not on_terminal():
        print("\n".join(_aligned([list(columns), *cells])))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def print_diff(text: str) -> None:
    """A unified diff, coloured on a terminal."""
    for line in text.splitlines():
        print_line(line, DIFF_STYLES.get(line[:1], ""))


def local_time(instant: str) -> str:
    """An RFC 3339 instant of the API as a person here reads it."""
    try:
        return datetime.fromisoformat(instant).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (TypeError, ValueError):
        return instant or ""


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
