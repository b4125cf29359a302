"""`lablink doctor`: everything that a deployment needs, looked at once, a line each. Changes nothing."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from lablink.client import data_folder
from lablink.desired import DEFAULT_FILE, read_document
from lablink.doctor import account, machine, pools, tier
from lablink.doctor.cloud import REFUSALS, Cloud
from lablink.doctor.finding import Finding, Verdict, unknown
from lablink.doctor.patient import Patient, enter_sandbox, find_resolver
from lablink.fleet import Json
from lablink.output import print_json, print_line

Check = Callable[[Patient], Iterator[Finding]]
ALWAYS = True  # also without credentials
CHECKS: tuple[tuple[str, Check, bool], ...] = (
    ("permissions", account.check_permissions, not ALWAYS),
    ("region", account.check_regions, not ALWAYS),
    ("quotas", pools.check_quotas, not ALWAYS),
    ("AMI", pools.check_amis, not ALWAYS),
    ("types", pools.check_types, not ALWAYS),
    ("SSH key", pools.check_pool_keys, not ALWAYS),
    ("keys", machine.check_keys, ALWAYS),
    ("DNS", tier.check_dns, ALWAYS),
    ("certificate", tier.check_certificate, ALWAYS),
    ("state bucket", tier.check_buckets, ALWAYS),
    ("clock", account.check_clock, not ALWAYS),
    ("disk", machine.check_disk, ALWAYS),
    ("database", machine.check_database, ALWAYS),
    ("Terraform", machine.check_terraform, ALWAYS),
)
MARKS = {Verdict.FINE: ("ok", "green"), Verdict.MEND: ("MEND", "red"), Verdict.UNKNOWN: ("?", "yellow")}


def doctor(
    file: Annotated[Path, typer.Option(help="What should exist.")] = DEFAULT_FILE,
    sandbox: Annotated[bool, typer.Option(help="Look at the sandbox, where one runs here.")] = True,
    as_json: Json = False,
) -> None:
    """Check everything that a deployment needs, and say what to do about what is missing.

    Looks at credentials and permissions, region, quotas, AMIs, instance types, keys, DNS, certificate, buckets and lock, clock,
    disk, database, Terraform. Changes nothing. Exit status 1 when something must be mended.
    """
    lab = read_document(file).lab
    notice = enter_sandbox(data_folder(), os.environ) if sandbox else ""
    cloud = Cloud.of(os.environ)
    patient = Patient(lab, os.environ, data_folder(), cloud, None if cloud.played else find_resolver())
    findings = []
    if notice and not as_json:
        print_line(notice)
    for finding in examine(patient):
        findings.append(finding)
        if not as_json:
            _print(finding)
    broken = sum(finding.verdict is Verdict.MEND for finding in findings)
    if as_json:
        print_json([_render(finding) for finding in findings])
    else:
        print_line(f"{broken} to mend." if broken else "Nothing to mend.", "red" if broken else "green")
    if broken:
        raise typer.Exit(1)


def examine(patient: Patient) -> Iterator[Finding]:
    """Every check, in order; where AWS does not know us, what only AWS can say is unknown."""
    first = list(_look(patient, "credentials", account.check_credentials))
    yield from first
    known = all(finding.verdict is Verdict.FINE for finding in first)
    for name, check, always in CHECKS:
        if known or always:
            yield from _look(patient, name, check, known=known)
        else:
            yield _not_asked(name)


def _look(patient: Patient, name: str, check: Check, *, known: bool = True) -> Iterator[Finding]:
    """What a check says; AWS's refusal of it is a finding, too."""
    try:
        yield from check(patient)
    except REFUSALS as error:
        yield patient.cloud.explain(name, error) if known else _not_asked(name)
    except OSError as error:
        yield unknown(name, f"cannot be checked: {error}", "look whether this user may read it")


def _not_asked(name: str) -> Finding:
    return unknown(name, "AWS was not asked", "see credentials, above")


def _print(finding: Finding) -> None:
    mark, style = MARKS[finding.verdict]
    advice = f" → {finding.advice}" if finding.advice else ""
    print_line(
        f"{mark:4}  {finding.check}: {finding.said}{advice}", style if finding.verdict is not Verdict.FINE else ""
    )


def _render(finding: Finding) -> dict[str, str]:
    return {"check": finding.check, "verdict": finding.verdict, "said": finding.said, "advice": finding.advice}
