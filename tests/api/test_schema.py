"""The OpenAPI document is there, names what the command line calls, and says of every answer in JSON what is in it, with examples."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.api.world import serving

pytestmark = pytest.mark.anyio

Json = dict[str, Any]


async def test_openapi_document_lists_our_paths_and_describes_every_answer(dsn: str) -> None:
    async with serving(dsn) as world:
        document = (await world.http.get("/schema/openapi.json")).json()
    assert {"/api/v1/desired", "/api/v1/pools/{name}", "/api/v1/why/{name}", "/api/request_vm"} <= document[
        "paths"
    ].keys()
    calls = [call for path in document["paths"].values() for call in path.values()]
    ids = [call["operationId"] for call in calls]
    assert len(ids) == len(set(ids))
    assert [f"{call['operationId']} {status}" for call in calls for status in list_untyped(document, call)] == []
    models = document["components"]["schemas"]
    assert [wrong for name, schema in models.items() for wrong in list_wrong_examples(document, name, schema)] == []
    without = [name for name, schema in models.items() if not has_example(schema, models)]
    assert len(without) <= len(models) // 20, without  # nearly all: a few are of words that only their maker could show


def list_untyped(document: Json, call: Json) -> Iterator[str]:
    """Answers in JSON of which nothing is said."""
    for status, answer in call["responses"].items():
        schema = answer.get("content", {}).get("application/json", {}).get("schema")
        if schema is not None and not is_described(schema):
            yield status


def is_described(schema: Json) -> bool:
    """By a model, or a list or map of something that is described."""
    if kinds := schema.get("anyOf") or schema.get("oneOf"):
        return all(is_described(kind) for kind in kinds)
    inner = schema.get("items") or schema.get("additionalProperties")
    return bool("$ref" in schema or schema.get("properties") or (inner and (inner.get("type") or is_described(inner))))


def list_wrong_examples(document: Json, name: str, schema: Json) -> Iterator[str]:
    """Examples that do not fit what they are examples of."""
    for field, part in [
        (name, schema),
        *((f"{name}.{key}", each) for key, each in schema.get("properties", {}).items()),
    ]:
        validator = Draft202012Validator({**part, "components": document["components"]})
        for example in part.get("examples", ()):
            yield from (f"{field}: {error.message}" for error in validator.iter_errors(example))


def has_example(schema: Json, models: Json, seen: frozenset[str] = frozenset()) -> bool:
    """Of its own, of a field, or of a model inside; words of a list, flags and numbers need none."""
    if (
        "examples" in schema
        or "enum" in schema
        or "const" in schema
        or schema.get("type") in ("boolean", "integer", "number")
    ):
        return True
    if ref := schema.get("$ref"):
        name = ref.rpartition("/")[2]
        return name in seen or has_example(models[name], models, seen | {name})
    kinds = schema.get("anyOf") or schema.get("oneOf") or ()
    parts = [*schema.get("properties", {}).values(), *kinds]
    parts += [inner for inner in (schema.get("items"), schema.get("additionalProperties")) if isinstance(inner, dict)]
    return any(has_example(part, models, seen) for part in parts)
