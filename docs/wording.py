"""How the manual's reference writes fields, values and sentences. Used by its other parts; knows nothing of LabLink."""

import re
from collections.abc import Iterator
from typing import Any


def fields(title: str, words: str, part: dict[str, Any], parts: dict[str, Any]) -> Iterator[str]:
    required = part.get("required", ())
    yield from (f"## {title} {{ #{title.lower().replace(' ', '-')} }}", "", text(words), "")
    yield from ("| field | value | default | |", "|---|---|---|---|")
    for name, field in part["properties"].items():
        usual = "**needed**" if name in required else default_of(field)
        section = parts.get(field.get("$ref", "").rpartition("/")[2], {})
        words = field.get("description") or section.get("description", "")
        yield f"| `{name}` | {value(field)} | {usual} | {text(words)} |"
    yield ""


def value(field: dict[str, Any], page: str = "#") -> str:
    """What may stand there, in a few words; models are linked to on `page`."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}]({page}{name.lower()})"
    several = field.get("anyOf") or field.get("oneOf")
    if several:
        return " or ".join(value(one, page) for one in several if one.get("type") != "null")
    if "enum" in field:
        known = [one for one in field["enum"] if one != ""]
        return " ".join(f"`{one}`" for one in known) if len(known) < 12 else f"a name such as `{known[0]}`"
    if "const" in field:
        return f"`{field['const']}`"
    return plain(field, page)


def plain(field: dict[str, Any], page: str) -> str:
    kind = field.get("type")
    if kind == "array":
        return f"list of {value(field['items'], page)}" if "items" in field else "list"
    if kind == "object":
        inner = [*field.get("patternProperties", {}).values(), field.get("additionalProperties")]
        return f"by name: {value(inner[0], page)}" if inner and isinstance(inner[0], dict) else "mapping"
    if kind in ("integer", "number"):
        return bounds(field)
    if field.get("examples"):
        return f"text such as `{field['examples'][0]}`"
    return {"boolean": "`true` `false`", "string": "text"}.get(str(kind), "")


def bounds(field: dict[str, Any]) -> str:
    least = field.get("minimum", field.get("exclusiveMinimum"))
    most = field.get("maximum")
    if least is None or most is None:
        return "number"
    return f"{'above ' if 'exclusiveMinimum' in field else ''}{least:,} to {most:,}"


def default_of(field: dict[str, Any]) -> str:
    default = field.get("default")
    if default in (None, "", [], {}) or isinstance(default, dict):
        return "–"
    shown = ", ".join(map(str, default)) if isinstance(default, list) else str(default)
    return f"`{shown.lower() if isinstance(default, bool) else shown}`"


def text(words: str) -> str:
    """A sentence inside a table: no line ends, nothing that is taken for markup."""
    return re.sub(r"([<>|{}*])", r"\\\1", " ".join(words.split())) if "`" not in words else cell(words)


def cell(words: str) -> str:
    return " ".join(words.split()).replace("|", "\\|")
