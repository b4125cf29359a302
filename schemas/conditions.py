"""Every condition that LabLink can report: how bad it is, what it means, and what to do. The pages, messages, metrics and the manual read it here."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True)
class ConditionType:
    """`meaning` is said of the condition while it is a trouble. `good`: it is fine while it holds; every other one while it does not."""

    severity: Severity
    meaning: str
    todo: str
    good: bool = False


POOL = {
    "Converged": ConditionType(
        Severity.INFO,
        "Something has to be made, ended or replaced, or is held back.",
        "Nothing while VMs boot. If it stays, `lablink why POOL` says what is held back and why.",
        good=True,
    ),
    "Ready": ConditionType(
        Severity.INFO,
        "Fewer VMs can be used than are declared.",
        "Nothing while VMs boot. If it stays, `lablink vms` names the bucket of each VM and why it is in it.",
        good=True,
    ),
    "Observed": ConditionType(
        Severity.INFO,
        "The instances of a region could not be listed whole, so nothing is done there.",
        "It passes by itself when AWS answers again. If it stays, run `lablink doctor`.",
        good=True,
    ),
    "AmiResolved": ConditionType(
        Severity.INFO,
        "The pool's AMI is not known, so no VM can be made.",
        "Check `ami` of the pool: the SSM parameter must exist, or the mapping name the pool's region. `lablink doctor` looks it up.",
        good=True,
    ),
    "Paused": ConditionType(
        Severity.INFO,
        "The pool is observed and reported only, because the document says `paused: true`.",
        "`lablink resume POOL` when it is to converge again.",
    ),
    "BackingOff": ConditionType(
        Severity.INFO,
        "A Terraform run failed, and the next one waits for a while.",
        "Nothing: it is tried again by itself. `lablink runs` shows what Terraform said.",
    ),
    "Stalled": ConditionType(
        Severity.CRITICAL,
        "Terraform runs of the pool failed one after another, and are not tried again by themselves.",
        "Read the newest run (`lablink runs`), remove its cause, then `lablink retry POOL`. An edit of the pool is a new try, too.",
    ),
    "PlanRefused": ConditionType(
        Severity.CRITICAL,
        "Terraform planned something that was not decided, and it was not applied.",
        "Read the run's plan: somebody changed the state or resources by hand, or another program acts on them. Mend that, then `lablink retry POOL`.",
    ),
    "DecisionRefused": ConditionType(
        Severity.CRITICAL,
        "What was decided for the pool would break a rule that never bends; nothing of it was written.",
        "It is a defect of LabLink. Nobody is disturbed, the pool stays as it is; report it with the output of `lablink replay ID`.",
    ),
    "FleetSuspect": ConditionType(
        Severity.CRITICAL,
        "More VMs are lost or unexplained at once than accidents explain, so nothing is created or given up.",
        "See whether the AWS account and the database are the right ones and what somebody may have ended; it passes when the view is whole again.",
    ),
    "TooManyUnhealthy": ConditionType(
        Severity.CRITICAL,
        "More than three VMs and more than a fifth of the pool broke at once or within an hour, so none is replaced for now.",
        "Look for one cause: an image, an AMI, the network. `lablink vms` says what is wrong with each; `lablink replace VM` replaces one by hand.",
    ),
    "VmUnhealthy": ConditionType(
        Severity.WARNING,
        "A VM that somebody has is in trouble. It is never taken away without notice.",
        "Tell its user. `lablink replace VM` gives the person another one; `health: {assigned: replace}` does so by itself.",
    ),
    "CapacityLacking": ConditionType(
        Severity.WARNING,
        "AWS has no machine of the wanted types in any of the zones just now.",
        "It is tried again by itself. `lablink capacity` shows what was refused where; more `instance_type`s or `zones` help.",
    ),
    "QuotaReached": ConditionType(
        Severity.WARNING,
        "A quota of the AWS account holds growth back.",
        "Ask AWS for more (Service Quotas, the message names which), or declare less. `lablink capacity` shows what the week will need.",
    ),
    "BudgetReached": ConditionType(
        Severity.WARNING,
        "`budget` holds growth back. Nobody's VM is ended for it.",
        "Raise `budget`, or declare less. `lablink costs` shows what costs what.",
    ),
    "ApprovalNeeded": ConditionType(
        Severity.WARNING,
        "A change costs more per hour than `budget.approve_above`, and waits.",
        "`lablink preview` shows it; `lablink approve VERSION` lets it happen.",
    ),
    "UpdateStalled": ConditionType(
        Severity.WARNING,
        "New VMs of a changed pool fail, so the old ones stay.",
        "`lablink vms` says how they fail. Mend the document, or go back with `lablink rollback VERSION`.",
    ),
    "Drifted": ConditionType(
        Severity.WARNING,
        "Something that Terraform made was changed by hand.",
        "`lablink why VM` names the difference. Change it back, replace the VM, or let `drift: correct` do that.",
    ),
    "CourseShort": ConditionType(
        Severity.WARNING,
        "A course begins soon, or has begun, and seats are missing.",
        "`lablink why POOL` says what holds them back; `lablink capacity` whether AWS refuses them.",
    ),
    "OrphansFound": ConditionType(
        Severity.WARNING,
        "Instances carry this pool's tags, and nothing explains them. They cost money.",
        "Find out who made them (`lablink vms` names them); end them by hand, or let `orphans: terminate` do it after a day.",
    ),
}
"""Of a single pool, by name."""

DEPLOYMENT = {
    "DesiredValid": ConditionType(
        Severity.WARNING,
        "The file cannot be read or is not valid; the last good version stays in force.",
        "The message names line and field. `lablink validate lablink.yaml` checks before you save.",
        good=True,
    ),
    "DesiredConflict": ConditionType(
        Severity.WARNING,
        "The file and the record were both changed; the record is in force and nothing of the file is lost.",
        "Choose on /admin/desired, or `lablink diff` and then `lablink apply lablink.yaml`.",
    ),
    "DesiredFileBehind": ConditionType(
        Severity.WARNING,
        "A change of the record could not be written to the file.",
        "Make the file writable for LabLink, or take the change over by hand: `lablink diff` shows it.",
    ),
    "CloudReachable": ConditionType(
        Severity.CRITICAL,
        "AWS cannot be asked, so nothing is made or ended. People still get the VMs that are there.",
        "The message says why: credentials (/admin/credentials), network, or AWS itself. It heals by itself.",
        good=True,
    ),
    "ObserveOnly": ConditionType(
        Severity.CRITICAL,
        "The account or the VMs in it belong to another record or deployment, so nothing is done.",
        'See "Another AWS account" and "Everything is lost" in the runbook; `lablink adopt` when this record takes the other\'s place.',
    ),
}
"""Of the deployment as a whole."""

CONDITIONS = POOL | DEPLOYMENT


def severity_of(condition: str) -> Severity:
    known = CONDITIONS.get(condition)
    return known.severity if known else Severity.WARNING


def todo_of(condition: str, subject: str = "") -> str:
    """What a person has to do while it is a trouble of `subject` (`pool/client`); nothing where it passes by itself or is somebody's wish."""
    known = CONDITIONS.get(condition)
    pool = subject.removeprefix("pool/") if subject.startswith("pool/") else "POOL"
    return known.todo.replace("POOL", pool) if known and known.severity is not Severity.INFO else ""


def page_of(condition: str) -> str:
    """The allocator's own page about it; alerts and messages lead there, since each deployment has one and none needs the manual to be published."""
    return f"/admin/conditions/{condition}" if condition in CONDITIONS else "/admin"
