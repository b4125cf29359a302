"""How answers reach a person or a script: rich on a terminal, plain lines elsewhere, JSON with `--json`. Writes to stdout."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

LAST_WIDTH = 24
"""So narrow may a table's last column become, which holds sentences."""
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


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], spare: Sequence[str] = ()) -> None:
    """A table on a terminal; elsewhere a line a row with aligned columns, the column names first."""
    given = list(rows)
    if on_terminal():
        Console().print(make_table(columns, given, spare))
    else:
        print("\n".join(aligned(columns, given)))


def make_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], spare: Sequence[str] = ()) -> Table:
    """For a terminal. One that is too narrow loses the `spare` columns, the first named first; then the last column is folded, then all are."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    widths[-1] = min(widths[-1], LAST_WIDTH)
    shown, width = list(range(len(columns))), Console().width
    for name in spare:
        if _fits(widths, shown, width):
            break
        shown.remove(columns.index(name))
    whole = _fits(widths, shown, width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index in shown:
        table.add_column(columns[index], overflow="fold", no_wrap=whole and index != shown[-1])
    for row in cells:
        table.add_row(*(Text(row[index]) for index in shown))
    return table


def _fits(widths: Sequence[int], shown: Sequence[int], width: int) -> bool:
    """Beside each other, two blanks between them."""
    return sum(widths[index] + 2 for index in shown) - 2 <= width


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


def aligned(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """A line a row, the column names first."""
    cells = [list(columns), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


@contextmanager
def working(sentence: str) -> Iterator[Callable[[str], None]]:
    """Something moves on a terminal while a long work goes on; what is called with another sentence says what is done now.

    On standard error, so that output that goes elsewhere stays clean; where that is no terminal, nothing is said. Print nothing meanwhile: it would
    stand in the same line.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with Console(stderr=True).status(sentence) as status:
        yield status.update
