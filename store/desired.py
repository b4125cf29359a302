"""Versions of the desired state: append-only, the newest is in force.

Written by the API (`PUT`, `PATCH`, rollback) and by the controller when the file was edited; read by everybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from schemas.frozen import Frozen
from schemas.lab import Lab
from schemas.version import Source, Version
from store.db import Connection, fetch, fetch_one, notify
from store.event import write_event

CHANNEL = "desired"  # key: the new version's number
LOCK = "SELECT pg_advisory_xact_lock(7002)"  # one writer at a time: numbers have no gaps, and a conflict is seen before it is made


class DesiredConflict(Exception):
    """The change was made from a version that is no longer in force. `newest` is (None: there is none yet)."""

    def __init__(self, based_on: int | None, newest: Version | None) -> None:
        self.newest = newest
        made_from = f"version {based_on}" if based_on is not None else "no version"
        in_force = f"version {newest.version}" if newest else "none"
        super().__init__(
            f"the change was made from {made_from}, but in force is {in_force}: look at what is new there and apply it again"
        )


class NoSuchVersion(LookupError):
    """There never was a version with this number."""


@dataclass(frozen=True, slots=True)
class Change:
    """A valid document that wants to be in force, and who says so."""

    yaml: str
    lab: Lab
    author: str
    source: Source


INSERT = """
INSERT INTO desired_version (version, author, source, yaml, document)
VALUES ((SELECT coalesce(max(version), 0) + 1 FROM desired_version), %s, %s, %s, %s)
RETURNING version, at, author, source, yaml
"""


async def append_version(conn: Connection, change: Change, based_on: int | None, *, adds: bool = False) -> Version:
    """Put a document in force, in the caller's transaction, with an event; wakes whoever reads versions.

    `based_on` is the version that the change was made from, None for the very first. Raises DesiredConflict when
    another is in force by now. A text that equals the one in force makes no new version and is no conflict, whatever
    it was made from: a form that was sent twice has its way (RFC 9110, 13.1.1). Not so where the change `adds` to what
    it was made from: two who add the same to the same version count twice.
    """
    await conn.execute(LOCK)
    newest = await read_newest(conn)
    stale = (newest.version if newest else None) != based_on
    if newest and newest.yaml == change.yaml and not (adds and stale):
        return newest
    if stale:
        raise DesiredConflict(based_on, newest)
    document = change.lab.model_dump_json()
    row = await fetch_one(conn, INSERT, (change.author, change.source, change.yaml, document))
    assert row is not None  # an INSERT … RETURNING answers
    version = Version(**row)
    await write_event(
        conn, change.author, "desired", "VersionAccepted", f"version {version.version} is in force (by {change.source})"
    )
    await notify(conn, CHANNEL, str(version.version))
    return version


NEWEST = "SELECT version, at, author, source, yaml FROM desired_version ORDER BY version DESC LIMIT 1"


async def read_newest(conn: Connection) -> Version | None:
    """The version in force, or None before the first was accepted."""
    row = await fetch_one(conn, NEWEST)
    return Version(**row) if row else None


IN_FORCE = "SELECT version, yaml, document::text AS document FROM desired_version ORDER BY version DESC LIMIT 1"


class InForce(Frozen):
    """The document in force, its number and its text."""

    version: int
    lab: Lab
    yaml: str


async def read_in_force(conn: Connection) -> InForce | None:
    """The version in force as models, or None before the first was accepted."""
    row = await fetch_one(conn, IN_FORCE)
    return InForce(version=row["version"], lab=parse_document(row["document"]), yaml=row["yaml"]) if row else None


@lru_cache(maxsize=4)
def parse_document(document: str) -> Lab:
    """The models of a stored version; a version never changes, so the last few are kept."""
    return Lab.model_validate_json(document)


ONE = "SELECT version, at, author, source, yaml FROM desired_version WHERE version = %s"


async def read_version(conn: Connection, number: int) -> Version:
    """One version by its number; raises NoSuchVersion."""
    row = await fetch_one(conn, ONE, (number,))
    if row is None:
        raise NoSuchVersion(f"there is no version {number} of the desired state")
    return Version(**row)


LIST = """
SELECT version, at, author, source, yaml FROM desired_version
 WHERE %(before)s::bigint IS NULL OR version < %(before)s
 ORDER BY version DESC LIMIT %(limit)s
"""


async def list_versions(conn: Connection, *, before: int | None = None, limit: int = 100) -> Sequence[Version]:
    """Versions, newest first; `before` is the cursor."""
    return [Version(**row) for row in await fetch(conn, LIST, {"before": before, "limit": limit})]
