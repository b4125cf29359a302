"""Whether a person's command has reached the VM, and what else the person should know of it. Pure.

A VM with our reporter says when the desktop is up, and restarts the client for each newer command. The old client asks
until it was told once and then never again, so only a reboot makes it take a newer command.
"""

from enum import StrEnum

from schemas.assignment import AssignmentStatus
from schemas.vm import GpuHealth, VmStatus
from store.line import Followed
from store.tenancy import SOON

PROMPT_S = 10.0  # a VM that asks is told within a moment
PATIENCE_S = 180.0  # a reporter that restarts the client, and the desktop's start


class Delivery(StrEnum):
    CONNECTING = "connecting"
    READY = "ready"
    NOT_ASKING = "not_asking"  # the VM does not fetch the command


def judge_delivery(one: Followed) -> Delivery | None:
    """None while the person has no VM."""
    if one.assignment.status is not AssignmentStatus.ACTIVE:
        return None
    if one.assignment.delivered_version >= one.assignment.code_version:
        return Delivery.READY
    told_before = one.assignment.delivered_version > 0
    patience_s = PROMPT_S if told_before and not one.reporter else PATIENCE_S
    return Delivery.NOT_ASKING if (one.command_age_s or 0) > patience_s else Delivery.CONNECTING


def list_warnings(one: Followed) -> list[str]:
    """Sentences for the person, the most pressing first."""
    host = one.assignment.hostname
    found = [
        (judge_delivery(one) is Delivery.NOT_ASKING, _not_asking(one)),
        (host and one.vm_status == VmStatus.REBOOTING, "your computer is rebooting"),
        (host and one.vm_status == VmStatus.ERROR, "your computer reports an error; tell whoever runs LabLink"),
        (host and one.gpu_health == GpuHealth.UNHEALTHY, "the GPU of your computer does not work"),
        (one.assignment.warning, f"{one.assignment.warning}; save your work"),
        (
            ends_soon(one) and not one.assignment.warning,
            f"your session ends in {round((one.left_s or 0) / 60)} min; save your work",
        ),
        (one.assignment.lapsed, "a computer was held for you, but no fresh command came; send one to be served again"),
    ]
    return [sentence for holds, sentence in found if holds]


def _not_asking(one: Followed) -> str:
    if one.reporter:
        return "your computer has not connected yet; send a fresh command, the old one may have expired"
    return "your computer does not ask for its new command; have it rebooted"


def ends_soon(one: Followed) -> bool:
    """Whether the session's own deadline is near: from then on its person may push it."""
    active = one.assignment.status is AssignmentStatus.ACTIVE
    return active and one.left_s is not None and one.left_s <= SOON.total_seconds()
