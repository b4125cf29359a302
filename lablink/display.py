"""What `lablink status` and the sandbox show of `GET /api/v1/status`: a bar a pool, what holds it up, the newest events.

Pure rendering: `rich` for a terminal (`render_status`), lines for everything else (`status_lines`, `news_lines`).
"""

from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lablink.output import local_time
from schemas.conditions import todo_of
from schemas.status import GOOD_WHEN_TRUE

BAR_CELLS = 40
EVENTS_SHOWN = 8
WARNED_SHOWN = 3
BUCKETS = {  # in the order of a VM's life, with the mark and colour of its cell
    "assigned": ("●", "bright_blue"),
    "ready": ("●", "green"),
    "booting": ("◐", "yellow"),
    "planned": ("○", "yellow"),
    "outdated": ("●", "cyan"),
    "reclaimed": ("●", "red"),
    "stopped": ("◌", "magenta"),
    "orphan": ("?", "magenta"),
    "duplicate": ("?", "magenta"),
    "silent": ("✗", "red"),
    "failed": ("✗", "red"),
    "lost": ("✗", "red"),
    "draining": ("◌", "bright_black"),
}


def render_status(status: dict[str, Any]) -> RenderableType:
    """The whole picture for a terminal; its height is bounded by the pools, the troubles and eight events."""
    pools = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("pool", "declared", "VMs", ""):
        pools.add_column(column, no_wrap=column == "pool")
    for pool in status["pools"]:
        pools.add_row(pool["name"], str(pool["declared"]), _bar(pool["buckets"]), Text(_summary(pool)))
    parts: list[RenderableType] = [pools]
    if not status["pools"]:
        parts = [Text("No pool is declared yet.", style="yellow")]
    parts += [Text(line) for pool in status["pools"] for line in _opening_lines(pool)[:1]]
    troubles = list(_troubles(status))
    parts += [Text(f"! {line}", style="yellow") for line in troubles]
    parts += [Text(""), *(_event(event) for event in status["events"][-EVENTS_SHOWN:])]
    return Group(*parts)


def status_lines(status: dict[str, Any]) -> list[str]:
    """The same as plain lines: a line a pool, then what is in the way."""
    lines = [f"desired state: version {status['version']}"]
    for pool in status["pools"]:
        lines += [_pool_line(pool), *_opening_lines(pool)[:1]]
    return lines + list(_troubles(status))


def news_lines(status: dict[str, Any], before: dict[str, Any] | None) -> list[str]:
    """What changed since `before`, as lines for a log: pools, troubles and events that were not there."""
    if before is None:
        return status_lines(status)
    seen = set(status_lines(before))
    newest = max((event["id"] for event in before["events"]), default=0)
    lines = [line for line in status_lines(status) if line not in seen]
    return lines + [event_line(event) for event in status["events"] if event["id"] > newest]


def explanation_lines(answer: dict[str, Any]) -> list[str]:
    """The answer of `/why`: what it is and why, what will be done and what waits, then its newest events."""
    lines = (
        _explain_vm(answer)
        if "hostname" in answer
        else [_pool_line(answer), *_opening_lines(answer), *_pool_troubles(answer)]
    )
    lines += [f"next: {action['kind'].replace('_', ' ')}, because {action['reason']}" for action in answer["actions"]]
    if answer.get("next_at"):
        lines.append(f"next try at {local_time(answer['next_at'])}")
    return lines + [event_line(event) for event in answer["events"]]


VM_FACTS = ("status", "phase", "seat", "gpu_health", "in_use", "instance_id", "instance_state", "instance_type", "zone")
EVIDENCE_LINES = 15
VM_TIMES = ("created_at", "launched_at", "ready_at", "heard_at", "bound_at", "ends_at")


def _explain_vm(vm: dict[str, Any]) -> list[str]:
    facts = [_fact(name.replace("_", " "), vm[name]) for name in VM_FACTS if vm.get(name) not in (None, "")]
    times = [f"{name.removesuffix('_at')} {local_time(vm[name])}" for name in VM_TIMES if vm.get(name)]
    held = [f"waits to {held['what']}: {held['reason']}" for held in vm.get("held", ())]
    told = [f"its user was told: {vm['warning']}"] if vm.get("warning") else []
    heads = [f"{vm['hostname']} is {vm['bucket']}: {vm['reason']}", ", ".join(facts), ", ".join(times)]
    return [*heads, *told, *held, *_evidence_lines(vm.get("evidence"))]


def _evidence_lines(evidence: dict[str, Any] | None) -> list[str]:
    """What a failed VM left behind: the end of each part; `--json` has the rest."""
    if not evidence:
        return []
    run = f", `lablink runs {evidence['run_id']}`" if evidence["run_id"] else ""
    lines = [f"kept at {local_time(evidence['at'])} ({evidence['reason']}{run}):"]
    for name in ("console", "log"):
        lines += [f"  {name}  {line}" for line in evidence[name].splitlines()[-EVIDENCE_LINES:]]
    return lines


def _fact(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name if value else f"not {name}"
    return f"{name} {value}"


def is_settled(status: dict[str, Any]) -> bool:
    """Whether every declared pool has converged."""
    return bool(status["pools"]) and all(pool["converged"] for pool in status["pools"])


def explain_waiting(status: dict[str, Any], names: list[str] | None) -> list[str]:
    """What stands between pools and their declaration: their line, and what is in the way."""
    waiting = [pool for pool in status["pools"] if not pool["converged"] and (not names or pool["name"] in names)]
    return [line for pool in waiting for line in (_pool_line(pool), *_pool_troubles(pool))] or ["No pool is declared."]


def event_line(event: dict[str, Any]) -> str:
    return f"{local_time(event['at'])}  {event['subject']}  {event['reason']}: {event['message']}"


def _bar(buckets: dict[str, int]) -> Text:
    """One mark a VM, scaled down for large pools; no bucket that has a VM disappears."""
    total = sum(buckets.get(name, 0) for name in BUCKETS)
    scale = min(1.0, BAR_CELLS / total) if total else 1.0
    bar = Text()
    for name, (mark, style) in BUCKETS.items():
        if count := buckets.get(name, 0):
            bar.append(mark * max(1, round(count * scale)), style=style)
    return bar


def _summary(pool: dict[str, Any]) -> str:
    counts = ", ".join(f"{pool['buckets'][name]} {name}" for name in BUCKETS if pool["buckets"].get(name))
    return f"{counts or 'no VM'}{'' if pool['converged'] else ' …'}"


def _pool_line(pool: dict[str, Any]) -> str:
    state = "converged" if pool["converged"] else "converging"
    return f"pool {pool['name']}: {pool['declared']} declared, {_summary(pool).removesuffix(' …')} ({state})"


def _opening_lines(pool: dict[str, Any]) -> list[str]:
    """What the calendar holds for a pool, what is open first."""
    return [f"{pool['name']}: {_opening_line(one)}" for one in pool.get("openings", ())]


def _opening_line(one: dict[str, Any]) -> str:
    word = "open" if one["is_open"] else "next"
    missing = f", {one['missing']} seats are missing" if one.get("missing") else ""
    span = f"from {local_time(one['from_at'])} to {local_time(one['to_at'])}"
    return f"{word}: {one['name']}: {one['size']} {span}{missing}"


def _troubles(status: dict[str, Any]) -> Iterable[str]:
    yield from _trouble_lines("deployment", status["conditions"])
    for pool in status["pools"]:
        yield from _pool_troubles(pool)


def _pool_troubles(pool: dict[str, Any]) -> Iterable[str]:
    yield from _trouble_lines(f"pool/{pool['name']}", pool["conditions"])
    yield from _warned_lines(pool)
    yield from (f"{pool['name']}: waits to {held['what']}: {held['reason']}" for held in pool["held"])


def _trouble_lines(subject: str, conditions: Iterable[dict[str, Any]]) -> Iterable[str]:
    """Each trouble, and below it what to do unless it passes by itself."""
    whose = f"{subject.removeprefix('pool/')}: " if subject.startswith("pool/") else ""
    for condition in filter(_is_trouble, conditions):
        yield f"{whose}{'' if condition['status'] else 'not '}{condition['type']}: {condition['message']}"
        if todo := todo_of(condition["type"], subject):
            yield f"  → {todo}"


def _warned_lines(pool: dict[str, Any]) -> Iterable[str]:
    """Whose person has been told something, one line for each thing that they were told."""
    by_warning: dict[str, list[str]] = {}
    for one in pool.get("warned", ()):
        by_warning.setdefault(one["warning"], []).append(one["hostname"])
    for warning, hostnames in by_warning.items():
        more = f" and {len(hostnames) - WARNED_SHOWN} more" if len(hostnames) > WARNED_SHOWN else ""
        yield f"{pool['name']}: the users of {', '.join(hostnames[:WARNED_SHOWN])}{more} were told: {warning}"


def _is_trouble(condition: dict[str, Any]) -> bool:
    """What has not converged or is not ready yet is work, not trouble."""
    if condition["type"] in ("Converged", "Ready"):
        return False
    return bool(condition["status"]) is not (condition["type"] in GOOD_WHEN_TRUE)


def _event(event: dict[str, Any]) -> Text:
    line = Text(local_time(event["at"])[-8:], style="bright_black", no_wrap=True, overflow="ellipsis")
    line.append(f"  {event['subject']}  ", style="cyan")
    return line.append(f"{event['reason']}: {event['message']}", style="default")
