"""The manual's pages about the API: each call with who may, what it takes, what it answers and how it refuses; and the models. Used by `manual.py`."""

import json
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from typing import Any

from pydantic_core import to_jsonable_python
from wording import cell, fields, text, value

from api.openapi import ERRORS
from pictures.calls import METHODS, make_api

DEEPEST = 6
"""Models within models that an example shows."""
FORM = "application/x-www-form-urlencoded"
MAY = {"admin": "the admin's name and password", "token": "a token (`Authorization: Bearer …`)"}
NO_MODEL = {
    "text/html": "A page, for browsers.",
    "text/event-stream": "Server-sent events, for who asks with `Accept: text/event-stream`.",
}
LINKED = "models.md#"


@cache
def describe_api() -> dict[str, Any]:
    """The OpenAPI document of an API that nobody has started."""
    return dict(to_jsonable_python(make_api().openapi_schema.to_schema()))


def write_calls() -> Iterator[str]:
    document = describe_api()
    yield from ("# The API", "", "[![Every call by who makes it](../pictures/api.svg)](../pictures/api.svg)", "")
    yield "A running LabLink has the same at `/schema`, to be tried. Bodies and answers are JSON where nothing else is said, instants RFC 3339 in UTC. Lists come in pages: "
    yield '`limit` says how many, and `next` of an answer is the cursor of the page after it. Every error is `{"error": "<what happened and what to do>"}`:'
    yield from (
        "",
        "| status | |",
        "|---|---|",
        *(f"| {code} {HTTPStatus(code).phrase} | {text(words)} |" for code, words in ERRORS.items()),
        "",
    )
    for tag in document["tags"]:
        yield from (f"## {tag['name']}", "", text(tag["description"]), "")
        for path, methods in document["paths"].items():
            for method in METHODS:
                call = methods.get(method)
                if call and tag["name"] in call.get("tags", ()):
                    yield from _call(f"{method.upper()} {path}", call)


def _call(name: str, call: dict[str, Any]) -> Iterator[str]:
    yield from (f"### {name} {{ #{call['operationId'].lower()} }}", "", f"{call.get('summary', '').rstrip('.')}.", "")
    if call.get("description"):
        yield from (text(call["description"]), "")
    may = " or ".join(MAY[kind] for each in call.get("security", ()) for kind in each)
    yield from (f"*May call it:* {may or 'everybody'}.", "")
    if parameters := call.get("parameters"):
        yield from ("| parameter | in | value | |", "|---|---|---|---|")
        for one in parameters:
            needed = " **needed**" if one.get("required") else ""
            yield f"| `{one['name']}` | {one['in']} | {value(one['schema'], LINKED)}{needed} | {text(one.get('description', ''))} |"
        yield ""
    yield from _body(call.get("requestBody", {}).get("content", {}))
    yield from _answers(call["responses"])


def _body(content: dict[str, Any]) -> Iterator[str]:
    """What is taken as a form is taken as JSON with the same fields."""
    for kind, body in content.items():
        if kind == FORM and len(content) > 1:
            continue
        as_form = ", or as a form" if FORM in content else ""
        schema = resolve(body.get("schema", {}))
        yield from (f"*Body:* `{kind}`{as_form}. {_named(body.get('schema', {}))}", "")
        if "properties" in schema and "$ref" not in body.get("schema", {}):
            yield from _table(schema)
        if kind.endswith("json"):
            yield from _json(example(body))


def _answers(responses: dict[str, Any]) -> Iterator[str]:
    """Successes with an example each; refusals by their status, with words where they say more than the table above."""
    refusals = []
    for status, answer in responses.items():
        words = answer["description"]
        if int(status) >= 400 and words == ERRORS.get(int(status)):
            refusals.append(status)
            continue
        special = "" if words.startswith("Request fulfilled") else f" {words}"
        for kind, body in answer.get("content", {"": {}}).items():
            if kind in NO_MODEL:
                yield from (f"*{status}:* {NO_MODEL[kind]}", "")
                continue
            yield from (f"*{status}:*{special} {_named(body.get('schema', {}))}".rstrip(), "")
            if kind.endswith("json"):
                yield from _json(example(body))
            elif kind:
                yield from (f"`{kind}`.", "")
    if refusals:
        yield from (f"*Errors:* {', '.join(refusals)}.", "")


def _named(schema: dict[str, Any]) -> str:
    named = value(schema, LINKED) if "$ref" in json.dumps(schema) else ""
    return f"{named}:" if named else ""


def _table(schema: dict[str, Any]) -> Iterator[str]:
    yield from ("| field | value | |", "|---|---|---|")
    for name, field in schema["properties"].items():
        needed = " **needed**" if name in schema.get("required", ()) else ""
        yield f"| `{name}` | {value(field, LINKED)}{needed} | {text(field.get('description', ''))} |"
    yield ""


def _json(shown: Any) -> Iterator[str]:
    if shown is not None:
        yield from ("```json", json.dumps(shown, indent=2, ensure_ascii=False), "```", "")


def example(body: dict[str, Any]) -> Any:
    """What is given as one, else one that is put together from the fields'."""
    given = body.get("example") or next((one["value"] for one in body.get("examples", {}).values()), None)
    return given if given is not None else _example(body.get("schema", {}), DEEPEST)


def _example(schema: dict[str, Any], depth: int) -> Any:
    found = resolve(schema)
    for key in ("examples", "enum"):
        if found.get(key):
            return found[key][0]
    for key in ("const", "default"):
        if key in found:
            return found[key]
    if several := found.get("anyOf") or found.get("oneOf"):
        return _example(several[0], depth)
    if depth == 0:
        return None
    if "properties" in found:
        return {name: _example(field, depth - 1) for name, field in found["properties"].items()}
    if found.get("type") == "array":
        one = _example(found.get("items", {}), depth - 1)
        return [] if one is None else [one]
    return {"string": "…", "integer": 0, "number": 0, "boolean": False, "object": {}}.get(str(found.get("type")))


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    return dict(describe_api()["components"]["schemas"][schema["$ref"].rpartition("/")[2]])


def write_models() -> Iterator[str]:
    """Every model that a call takes or answers, by name."""
    models = describe_api()["components"]["schemas"]
    yield from ("# Models of the API", "", "What [calls](api.md) take and answer.", "")
    for name in sorted(models):
        if "properties" in models[name]:
            yield from fields(name, models[name].get("description", ""), models[name], models)
        else:
            yield from (
                f"## {name} {{ #{name.lower()} }}",
                "",
                cell(f"{text(models[name].get('description', ''))} {value(models[name])}"),
                "",
            )
