"""The errors of pydantic as one sentence a field, at its place in the text; used by `schemas.document`.

No value that could be a secret is repeated: of texts only the kind is named.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import ValidationError

from schemas.lab_schema import lab_json_schema
from schemas.problem import Problem
from schemas.values import nearest
from schemas.yaml_tree import Path, Tree

MAX_PROBLEMS = 100
UNKNOWN = "unknown field"
SENTENCES = {
    "missing": "is required",
    "extra_forbidden": UNKNOWN,
    "int_type": "must be a whole number, not {kind}",
    "float_type": "must be a number, not {kind}",
    "bool_type": "must be true or false, not {kind}",
    "string_type": "must be text, not {kind}",
    "dict_type": "must be a mapping of names to values, not {kind}",
    "model_type": "must be a mapping of names to values, not {kind}",
    "model_attributes_type": "must be a mapping of names to values, not {kind}",
    "tuple_type": "must be a list, not {kind}",
    "greater_than_equal": "must be at least {ge:g}, not {input}",
    "greater_than": "must be above {gt:g}, not {input:g}",
    "less_than_equal": "must be at most {le:g}, not {input}",
    "finite_number": "must be a finite number",
    "too_short": "must not be empty",
    "too_long": "must have at most {max_length} entries",
    "literal_error": "must be {expected}",
}


def problems_of(error: ValidationError, tree: Tree, file: str) -> tuple[Problem, ...]:
    """One problem a field, in the order of the text, and at most the first hundred."""
    found: dict[Path, Problem] = {}
    for path, sentence, suggestion in _findings(error, tree.value):
        found.setdefault(path, place(path, sentence, suggestion, tree, file))
    return tuple(sorted(found.values(), key=lambda problem: (problem.line, problem.column))[:MAX_PROBLEMS])


def _findings(error: ValidationError, document: Any) -> Iterator[tuple[Path, str, str]]:
    for detail in error.errors(include_url=False):
        context = detail.get("ctx", {})
        if detail["type"] == "findings":
            yield from context["findings"]
        else:
            path = _path_in(document, detail["loc"], detail["type"])
            yield path, _sentence(detail, context), _suggestion(detail, context, path)


def _path_in(document: Any, location: Path, kind: str) -> Path:
    """The location without what pydantic adds to it: names of branches of a union, `[key]`."""
    path: Path = ()
    for part in location:
        index = isinstance(part, int) and isinstance(document, list)
        if index or (isinstance(document, dict) and part in document):
            document, path = document[part], (*path, part)
    return (*path, location[-1]) if kind == "missing" else path


def place(path: Path, sentence: str, suggestion: str, tree: Tree, file: str) -> Problem:
    """A wrong name is shown at the name, a wrong value at the value, a missing one at what it is missing from."""
    known = path
    while known not in tree.values:
        known = known[:-1]
    about_name = sentence == UNKNOWN or (tree.values[known].shared and known in tree.keys)
    node = tree.keys[known] if about_name else tree.values[known]
    return Problem(file, node.line, node.column, ".".join(map(str, path)), sentence, suggestion)


def _sentence(detail: Any, context: dict[str, Any]) -> str:
    if detail["type"] == "refused":
        return str(context["sentence"])
    template = SENTENCES.get(detail["type"])
    if template is None:
        return str(detail["msg"])
    values = {**context, "kind": _kind(detail["input"]), "input": detail["input"]}
    quoted = (
        ": put it in quotes" if detail["type"] == "string_type" and isinstance(detail["input"], int | float) else ""
    )
    return template.format(**values).replace("'", '"') + quoted


def _suggestion(detail: Any, context: dict[str, Any], path: Path) -> str:
    if detail["type"] == "refused":
        return str(context["suggestion"])
    if detail["type"] == "extra_forbidden":
        return nearest(str(path[-1]), fields_at(path[:-1]))
    if detail["type"] == "literal_error":
        words = context["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        return nearest(str(detail["input"]), words)
    return ""


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return "a whole number"
        case float():
            return "a fraction"
        case str():
            return "text"
        case dict():
            return "a mapping"
        case _:
            return "a list"


def fields_at(path: Path) -> list[str]:
    """The names that may stand below a path, by the JSON Schema."""
    schema = _schema()
    places = list(_branches(schema, schema))
    for part in path:
        places = [branch for place in places for inner in _inner(place, part) for branch in _branches(schema, inner)]
    return sorted({name for place in places for name in place.get("properties", ())})


@cache
def _schema() -> dict[str, Any]:
    return lab_json_schema()


def _inner(place: dict[str, Any], part: str | int) -> Iterator[dict[str, Any]]:
    if isinstance(part, int):
        candidate = place.get("items")
    else:
        candidate = place.get("properties", {}).get(part, place.get("additionalProperties"))
        yield from place.get("patternProperties", {}).values()
    if isinstance(candidate, dict):
        yield candidate


def _branches(schema: dict[str, Any], place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A place itself, or what its references and alternatives lead to."""
    if "$ref" in place:
        yield from _branches(schema, schema["$defs"][place["$ref"].removeprefix("#/$defs/")])
    for alternative in (*place.get("anyOf", ()), *place.get("oneOf", ())):
        yield from _branches(schema, alternative)
    yield place
