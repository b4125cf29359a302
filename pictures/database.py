"""`database`: every table with its columns and keys, and which table refers to which."""

from collections.abc import Iterator

from pictures.catalog import Column
from pictures.picture import Arrow, Card, Group, Picture, Row

NAMED = {
    "assignment_id": "assignment",
    "hostname": "vm",
    "instance_id": "instance",
    "lock_run": "run",
    "pool": "pool",
    "run_id": "run",
    "state_key": "tf_state",
}
"""Columns that name a row of another table without a foreign key: the row named may be gone, or not be there yet."""
SHORT = {"timestamp with time zone": "timestamptz", "double precision": "float8"}
ALONE = Group("alone", "Refer to no other table")
COLUMNS = 4  # in which those stand


def draw_database(tables: dict[str, list[Column]], whole: bool) -> Picture:
    """Of what `pictures.catalog.read_tables` found; with all columns, or with those alone that are keys or refer."""
    arrows = sorted(set(_list_arrows(tables)), key=lambda arrow: (arrow.tail, arrow.head))
    joined = {name for arrow in arrows for name in (arrow.tail, arrow.head)}
    return Picture(
        title="The tables of LabLink",
        about="Brown: primary key. Blue: names a row of another table; dashed where no foreign key holds it. Partitions are left out.",
        cards=tuple(
            _card(name, columns, whole, "" if name in joined else ALONE.key) for name, columns in tables.items()
        ),
        arrows=tuple(arrows),
        groups=(ALONE,),
        columns=COLUMNS,
    )


def _card(name: str, columns: list[Column], whole: bool, group: str) -> Card:
    shown = [column for column in columns if whole or column.key or column.refers or _named(column)]
    left = len(columns) - len(shown)
    more = (Row((f"and {left} more", ""), "none"),) if left else ()
    return Card(name, name, rows=(*map(_row, shown), *more), group=group)


def _list_arrows(tables: dict[str, list[Column]]) -> Iterator[Arrow]:
    for columns in tables.values():
        for column in columns:
            if column.refers:
                yield Arrow(column.table, column.refers)
            elif _named(column) in tables:
                yield Arrow(column.table, _named(column), faint=True)


def _named(column: Column) -> str:
    """The table that a column means by its name; "" for none, and for the table's own key."""
    named = NAMED.get(column.name, "")
    return "" if named == column.table else named


def _row(column: Column) -> Row:
    kind = SHORT.get(column.type, column.type)
    mark = "reference" if column.refers or _named(column) else "key" if column.key else ""
    return Row((column.name, kind if column.needed else f"{kind} or null"), mark)
