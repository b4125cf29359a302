"""The templates' environment: how pages write times, durations and sentences. Made once by `api.app`."""

import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template import TemplateConfig
from markupsafe import Markup, escape

from api.pages.bar import segments
from schemas.conditions import todo_of
from schemas.status import Condition

TEMPLATES = Path(__file__).parents[1] / "templates"
INSTANT = re.compile(r"\b(\d{4}-\d\d-\d\d) (\d\d:\d\d(?::\d\d)?) UTC\b")
NOT = re.compile(r"Not([A-Z]\w*)")
SHORT = {"vm": "VM", "vms": "VMs", "ami": "AMI", "aws": "AWS", "gpu": "GPU"}
UNTRUE = {
    "AmiResolved": "the AMI is not known",
    "CloudReachable": "AWS cannot be reached",
    "Converged": "not there yet",
    "DesiredValid": "the document is not valid",
    "Observed": "AWS cannot be listed",
    "Ready": "too few VMs are ready",
}
"""What it means that a condition which is good while it holds does not hold."""


def make_templates() -> TemplateConfig[JinjaTemplateEngine]:
    """Over the one environment of the process."""
    return TemplateConfig(instance=JinjaTemplateEngine.from_environment(make_environment()))


@cache
def make_environment() -> Environment:
    """Names that a template does not know are mistakes, not empty texts. All templates are compiled at once: nobody's first look waits for it."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        auto_reload=False,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "ago": ago,
        "clock": clock,
        "count": count,
        "figure": figure,
        "instant": instant,
        "money": money,
        "segments": segments,
        "happening": happening,
        "headline": headline,
        "span": span,
        "told": told,
        "todo": todo_of,
        "command_words": command_words,
    }
    environment.tests |= {"troubling": troubling}
    for name in environment.list_templates():
        environment.get_template(name)
    return environment


def span(seconds: float | None) -> str:
    """A length of time in the one or two units that matter: `45 s`, `3 min`, `2 h 10 min`, `5 d`."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, hours, days = round(whole / 60), whole // 3600, whole / 86400
    if minutes < 100:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
    return f"{days:.0f} d"


def ago(at: datetime | str | None, now: datetime | None = None) -> str:
    """How long before now, or after it."""
    if not at:
        return "never"
    passed_s = ((now or datetime.now(UTC)) - instant(at)).total_seconds()
    if abs(passed_s) < 2:
        return "just now"
    return f"{span(passed_s)} ago" if passed_s > 0 else f"in {span(-passed_s)}"


def clock(at: datetime | str) -> str:
    """For readers without scripts; a script writes the browser's own time in its place."""
    return instant(at).strftime("%d %b, %H:%M:%S UTC")


def instant(at: datetime | str) -> datetime:
    """What was written as JSON, as an instant again; in UTC."""
    return (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(UTC)


def sentence(text: str) -> str:
    """Begins with a capital and ends with a stop, as a sentence for people does. A name at its head stays as it is."""
    text = text.strip()
    head = text.split(" ", 1)[0]
    begun = text if any(sign in head for sign in "-_.[/") else text[:1].upper() + text[1:]
    return begun if not begun or begun.endswith((".", "!", "?", "…", ".)")) else f"{begun}."


def told(text: str) -> Markup:
    """A sentence whose instants a script shows on the reader's own clock."""

    def mark(found: re.Match[str]) -> str:
        at = datetime.fromisoformat(f"{found[1]}T{found[2]}").replace(tzinfo=UTC)
        return f'<time datetime="{at.isoformat()}" data-local="minute">{found[0]}</time>'

    return Markup(INSTANT.sub(mark, str(escape(sentence(text)))))  # noqa: S704 - escaped before it is marked


def command_words(text: str) -> Markup:
    """A sentence in which what stands between backticks is shown as something to type."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


def words(name: str) -> str:
    """`end_instance` and `DesiredValid` as words."""
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
    return " ".join(SHORT.get(word, word) for word in spaced.replace("_", " ").split())


def headline(condition: Any) -> str:
    """A condition as the beginning of a sentence."""
    told = condition if isinstance(condition, Condition) else Condition.model_validate(condition)
    return happening(told.type if told.status else f"Not{told.type}")


def happening(reason: str) -> str:
    """An event's reason as the beginning of a sentence; `Not` and a condition: it does not hold any more."""
    gone = NOT.fullmatch(reason)
    return sentence(UNTRUE.get(gone[1], f"{words(gone[1])}: over") if gone else words(reason))


def money(usd: float | None, signed: bool = False) -> str:
    """US dollars with cents; a dash for what has no price."""
    if usd is None:
        return "–"
    sign = "−" if usd < -0.005 else ("+" if signed and usd > 0.005 else "")
    return f"{sign}${abs(usd):,.2f}"


def figure(value: float | None) -> str:
    """A number of a plot, with at most one decimal."""
    return "–" if value is None else f"{value:,.1f}".removesuffix(".0")


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 VM`, `3 VMs`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def troubling(condition: Any) -> bool:
    """Whether this is not how it should be."""
    told = condition if isinstance(condition, Condition) else Condition.model_validate(condition)
    return not told.good
