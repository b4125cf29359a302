"""`lablink adopt`: database and states are lost, VMs run on. A new record takes them over by what their tags say."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import psycopg
import typer
from botocore.exceptions import BotoCoreError, ClientError

from lablink.desired import DEFAULT_FILE, read_document
from lablink.errors import Failed
from lablink.fleet import Json
from lablink.host import reach_postgres
from lablink.named_instances import Named, find_highest, list_named
from lablink.output import print_json, print_line
from lablink.programs import read_settings
from schemas.lab import Lab
from store.adopted import read_own, take_identity

UNKNOWN = (
    "the people's addresses, PINs and commands (whoever comes back with the same browser is known again)",
    "who waited in line",
    "earlier versions of the document, events, logs, costs",
    "what the VMs were made of beyond type and AMI",
    "SSH keys of the pools, API tokens, AWS keys that were set here",
)


def adopt(
    record: Annotated[
        str, typer.Argument(metavar="[UUID]", help="Whose VMs, where AWS has those of several lost records.")
    ] = "",
    file: Annotated[
        Path, typer.Option(help="What should exist; best the very document of the lost record.")
    ] = DEFAULT_FILE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Take over the VMs of a lost record, by their tags: this new record becomes that one.

    For when no backup is left (else: `lablink restore`). Ends nothing: who has a VM keeps it, and each VM is imported into a
    new state. The lost record must not be in use anywhere any more.
    """
    lab = read_document(file).lab
    with reach_postgres():
        dsn = read_settings().database_dsn
        try:
            report = _take_over(lab, dsn, record, ask=not yes)
        except (psycopg.Error, ClientError, BotoCoreError) as error:
            raise Failed(f"Nothing was taken over: {' '.join(str(error).split())}") from None
    if as_json:
        print_json(report)
        return
    print_line(
        f"This record is {report['record']} now; {report['vms']} VMs ({report['assigned']} in use) are its own.",
        "green",
    )
    print_line("Within a minute `lablink vms` shows them. Not known any more:")
    for line in UNKNOWN:
        print_line(f"  {line}")
    for line in report["unexplained"]:
        print_line(f"  {line}", "yellow")


def _take_over(lab: Lab, dsn: str, wanted: str, *, ask: bool) -> dict[str, Any]:
    with psycopg.connect(dsn) as conn:
        own, present = read_own(conn)
    if present:
        raise Failed(f"This record has {present} VMs of its own: only a new, empty one can take another one's place.")
    instances = list_named(lab)
    chosen = _choose(instances, own, wanted)
    mine = [one for one in instances if one.alive and one.record == str(chosen)]
    assigned = sum(one.assigned for one in mine)
    question = f"Take over {len(mine)} VMs of record {chosen}, {assigned} of them in use? Its own LabLink must be gone for good."
    if ask and not typer.confirm(question, err=True):
        raise Failed("Nothing was changed.")
    take_identity(
        dsn, chosen, find_highest(instances), f"took over {len(mine)} VMs of the lost record {chosen} by their tags"
    )
    unexplained = [f"{one.instance_id}: {why}" for one in mine if (why := _unexplained(one, lab))]
    return {"record": str(chosen), "vms": len(mine), "assigned": assigned, "unexplained": unexplained}


def _choose(instances: list[Named], own: UUID, wanted: str) -> UUID:
    """The one lost record there is, or the named one."""
    found = Counter(one.record for one in instances if one.alive and one.record and one.record != str(own))
    told = ", ".join(f"{record} ({number} VMs)" for record, number in found.most_common())
    if not found:
        raise Failed("AWS has no VM of another record under this deployment's names: there is nothing to take over.")
    if wanted and wanted not in found:
        raise Failed(f"AWS has no VM of record {wanted}; it has those of {told}.")
    if not wanted and len(found) > 1:
        raise Failed(f"AWS has VMs of several records: {told}. Name the one whose VMs are to be taken over.")
    chosen = wanted or next(iter(found))
    try:
        return UUID(chosen)
    except ValueError:
        raise Failed(f"The tag lablink:deployment-id of {found[chosen]} VMs is {chosen!r}, which is no UUID.") from None


def _unexplained(one: Named, lab: Lab) -> str:
    """Why a VM will be reported instead of taken over, or nothing."""
    pool = lab.pools.get(one.pool)
    if pool is None:
        return f"its pool {one.pool or '(none)'} is not in the document; declare it, or end the VM by hand"
    if pool.region != one.region:
        return f"it is in {one.region}, its pool in {pool.region}"
    return ""
