"""Small edits of the document in force, as `PATCH /pools` and the old system's scripts ask for them. Comments are kept."""

from collections.abc import Callable, Mapping
from typing import Any

from anyio import to_thread

from api.answers import VersionMade
from api.desired import accept
from api.errors import BadInputError, NotFoundError, no_pool
from api.in_force import DesiredInForce
from schemas.document import Parsed, edit_lab, parse_lab
from schemas.lab import Demand, Lab
from store.db import Db
from store.desired import Change, DesiredConflict, InForce

Edit = Callable[[Lab], Mapping[str, Any]]
"""From the document in force to new values by dotted path."""
TRIES = 5
BOUNDS = ("min", "max", "spare")


async def edit_in_force(
    db: Db, desired: DesiredInForce, edit: Edit, actor: str, based_on: int | None = None
) -> VersionMade:
    """A new version with the edit in it. Raises DesiredConflict when `based_on` is not in force.

    Without `based_on` an edit that another writer overtakes is made again from the newer text.
    """
    for left in reversed(range(TRIES)):
        desired.forget()  # an edit is made from the newest text there is
        in_force = await desired.read()
        if in_force is None:
            raise NotFoundError("no document is in force yet; put one in force with `lablink apply`")
        change = await to_thread.run_sync(_make_change, in_force, edit, actor)
        try:
            return await accept(db, desired, change, in_force.version if based_on is None else based_on, adds=True)
        except DesiredConflict:
            if based_on is not None or not left:
                raise
    raise AssertionError("the last try returns or raises")


def _make_change(in_force: InForce, edit: Edit, actor: str) -> Change:
    draft = make_draft(in_force, edit)
    return Change(draft.text, draft.lab, actor, "api")


def make_draft(in_force: InForce, edit: Edit) -> Parsed:
    """The document with the edit in it, judged. Raises InvalidDocument. Slow for large ones: for a worker thread."""
    return parse_lab(edit_lab(in_force.yaml, edit(in_force.lab)))


def edit_pool(name: str, fields: Mapping[str, Any]) -> Edit:
    """Sets `size`, `min`, `max`, `spare` and `paused` of one pool; the document judges the values."""

    def edit(lab: Lab) -> Mapping[str, Any]:
        pool = lab.pools.get(name)
        if pool is None:
            raise no_pool(name, lab.pools)
        values = {field: value for field, value in fields.items() if field not in BOUNDS}
        values |= _bound(pool.size, {field: fields[field] for field in BOUNDS if field in fields})
        return {f"pools.{name}.{field}": value for field, value in values.items()}

    return edit


def _bound(size: int | Demand, bounds: Mapping[str, Any]) -> Mapping[str, Any]:
    """An elastic size changes at its bounds alone; a number becomes one, with the number as its `min` unless another is sent."""
    if not bounds or isinstance(size, Demand):
        return {f"size.{bound}": value for bound, value in bounds.items()}
    if "max" not in bounds:
        raise BadInputError(f"the size is the number {size}; send `max` too, which makes it elastic")
    ordered = {"min": size, **bounds}
    return {"size": {bound: ordered[bound] for bound in BOUNDS if bound in ordered}}


def raise_size(name: str, by: int) -> Edit:
    """That many more: of an elastic size, more that are always there."""

    def edit(lab: Lab) -> Mapping[str, Any]:
        size = lab.pools[name].size
        if not isinstance(size, Demand):
            return {f"pools.{name}.size": size + by}
        least = size.min + by
        bounds = {"min": least} | ({"max": least} if least > size.max else {})
        return {f"pools.{name}.size.{bound}": value for bound, value in bounds.items()}

    return edit
