"""`vm-provisioning`: from a declared number to a VM that waits for its person, step by step, as code and user data have it."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from pictures.facts import Facts
from pictures.picture import Arrow, Card, Group, Picture
from pictures.things import list_rows
from schemas.spec import has_gpu
from schemas.values import format_duration

STEP = re.compile(r'^run_step "([^"]+)" (\w+)', re.MULTILINE)
EVERY = re.compile(r"^OnUnitInactiveSec=(\d+)s", re.MULTILINE)
GROUPS = (
    Group("controller", "Controller, at each tick"),
    Group("terraform", "Terraform, in AWS"),
    Group("boot", "First boot of the VM"),
    Group("life", "From then on"),
)
ICONS = {
    "start_cloudwatch_agent": "cloudwatch",
    "start_docker": "container",
    "prepare_gpu": "gpu",
    "start_container": "container",
}
CONTROLLER = (
    ("snapshot", "Take a snapshot", "the document, the rows, EC2's listing", "document"),
    ("decide", "Decide", "how many, of which type and zone, and why; pure", "program"),
    ("commit", "Write it down", "rows of planned VMs, under the lease", "postgresql"),
)
"""The steps of `controller.loop.reconcile_once`."""


def draw_provisioning(facts: Facts) -> Picture:
    steps = _number([*_list_controller(), *_list_terraform(facts), *_list_boot(facts)])
    life = list(_list_life(facts))
    return Picture(
        title=f"{facts.name}: how a VM comes to be",
        about="Numbers are the order. A step that fails is reported; the controller then makes another VM, under another name.",
        cards=(*steps, *life),
        arrows=(
            *(Arrow(one.key, other.key) for one, other in pairwise(steps) if one.group == other.group),
            *(Arrow(one.key, other.key, hidden=True) for one, other in pairwise(life)),
        ),
        groups=GROUPS,
    )


def _number(cards: list[Card]) -> list[Card]:
    return [replace(card, step=number) for number, card in enumerate(cards, 1)]


def _list_controller() -> Iterator[Card]:
    for key, title, words, icon in CONTROLLER:
        yield Card(key, title, icon, (words,), group="controller")


def _list_terraform(facts: Facts) -> Iterator[Card]:
    lab = facts.lab
    base = facts.base(*lab.pools.values())
    shared = list_rows(one for one in base.made.values() if one.kind == "resource")
    yield Card(
        "base", "What a pool's VMs share", "terraform", ("once for a pool and region",), shared, group="terraform"
    )
    yield Card(
        "plan",
        "Plan, and compare",
        "terraform",
        ("a plan with anything but what was decided is refused",),
        group="terraform",
    )
    rows = list_rows(facts.vms.of_type("aws_instance"))
    yield Card("apply", "Apply exactly this plan", "terraform", tuple(_places(facts)), rows, group="terraform")


def _places(facts: Facts) -> Iterator[str]:
    for name, pool in facts.lab.pools.items():
        spot = ", spot" if pool.market == "spot" else ""
        yield f"{name}: {' or '.join(pool.instance_type)}{spot}, {pool.region}"


def _list_boot(facts: Facts) -> Iterator[Card]:
    """The steps of setup.sh, without those that no pool needs."""
    pools = facts.lab.pools.values()
    needed = {
        "prepare_gpu": any(has_gpu(one) for pool in pools for one in pool.instance_type),
        "run_startup_script": any(pool.startup_script for pool in pools),
    }
    yield Card("initializing", "Status: initializing", "message", ("POST /api/vm-status",), group="boot")
    for title, function in STEP.findall((facts.terraform / "vms/setup.sh").read_text()):
        if needed.get(function, True):
            words = tuple(_boot_words(facts, function))
            yield Card(function, title[0].upper() + title[1:], ICONS.get(function, "script"), words, group="boot")


def _boot_words(facts: Facts, function: str) -> Iterator[str]:
    pools = facts.lab.pools.items()
    if function == "prepare_gpu":
        yield "where the type has one: " + ", ".join(
            name for name, pool in pools if any(map(has_gpu, pool.instance_type))
        )
    if function == "run_startup_script":
        yield ", ".join(
            f"{name}: on error {pool.startup_script.on_error}" for name, pool in pools if pool.startup_script
        )
    if function == "start_container":
        yield from sorted({pool.image.rpartition("/")[2] for _, pool in pools})
    if function == "report_running":
        yield "POST /api/vm-status, /api/vm-metrics/{hostname}"


def _list_life(facts: Facts) -> Iterator[Card]:
    lab = facts.lab
    (seconds,) = EVERY.findall((facts.terraform / "vms/setup.sh").read_text())
    boots = sorted({pool.health.boot for pool in lab.pools.values()})
    yield Card("wait", "Wait for a person", "wait", ("POST /vm_startup, held; the VM is ready",), group="life")
    yield Card(
        "heartbeat",
        f"Heartbeat every {seconds} s",
        "message",
        ("POST /api/v1/client/{hostname}/heartbeat", "gauges, GPU, whether the software runs"),
        group="life",
    )
    if any(pool.market == "spot" for pool in lab.pools.values()):
        yield Card(
            "reclaim",
            "Spot: AWS takes it back",
            "spot",
            ("told two minutes before; a free one is replaced at once",),
            group="life",
        )
    late = " or ".join(map(format_duration, boots))
    yield Card(
        "end",
        "Ended by the controller",
        "terraform",
        (f"when it is broken, outdated, too much, or not ready within {late}",),
        group="life",
    )
