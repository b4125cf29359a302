"""`aws_iam_policy_document`: renders statements to the JSON that the real provider writes, merging other documents.

Touches nothing: the order of keys, one item for a list of one, lists sorted downwards, and HTML characters escaped are
those of the real provider's Go code.
"""

import json
import zlib
from typing import Any

from sandbox.aws_provider.core import DataSource, State
from sandbox.aws_provider.errors import ProviderError

Document = dict[str, Any]
_VERSION = "2012-10-17"
_HTML = {"&": "\\u0026", "<": "\\u003c", ">": "\\u003e"}


class PolicyDocument(DataSource):
    """A policy document as JSON."""

    type_name = "aws_iam_policy_document"
    noun = "IAM Policy Document"

    def read(self, config: State) -> State:
        document = _render_document(config)
        text = _to_json(document, indent=2)
        return {
            "id": str(zlib.crc32(text.encode())),
            "json": text,
            "minified_json": _to_json(document, separators=(",", ":")),
            "version": document["Version"],
        }


def _render_document(config: State) -> Document:
    sources = [*([config["source_json"]] if config["source_json"] else []), *(config["source_policy_documents"] or [])]
    overrides = [
        *(config["override_policy_documents"] or []),
        *([config["override_json"]] if config["override_json"] else []),
    ]
    merged: Document = {}
    for text in sources:
        _merge(merged, _parse(text))
    own: Document = {"Version": config["version"] or _VERSION}
    if config["policy_id"]:
        own["Id"] = config["policy_id"]
    _merge(merged, {**own, "Statement": [_render_statement(item, own["Version"]) for item in config["statement"]]})
    for text in overrides:
        _merge(merged, _parse(text))
    return {key: merged[key] for key in ("Version", "Id", "Statement") if merged.get(key)}


def _parse(text: str) -> Document:
    try:
        document: Document = json.loads(text or "{}")
    except ValueError as error:
        raise ProviderError(f"merging a policy document: it is no JSON: {error}") from error
    statements = document.get("Statement", [])
    return {**document, "Statement": statements if isinstance(statements, list) else [statements]}


def _merge(into: Document, other: Document) -> None:
    """A statement with the Sid of an earlier one replaces it; others are added."""
    into.update({key: other[key] for key in ("Version", "Id") if other.get(key)})
    statements = into.setdefault("Statement", [])
    places = {item["Sid"]: index for index, item in enumerate(statements) if item.get("Sid")}
    for statement in other["Statement"]:
        place = places.get(statement.get("Sid"))
        if place is None:
            statements.append(statement)
        else:
            statements[place] = statement


def _render_statement(block: State, version: str) -> Document:
    statement: Document = {"Sid": block["sid"], "Effect": block["effect"] or "Allow"}
    for name, key in (
        ("actions", "Action"),
        ("not_actions", "NotAction"),
        ("resources", "Resource"),
        ("not_resources", "NotResource"),
    ):
        statement[key] = _one_or_many([_variables(item, version) for item in block[name] or []])
    statement["Principal"] = _render_principals(block["principals"], version)
    statement["NotPrincipal"] = _render_principals(block["not_principals"], version)
    statement["Condition"] = _render_conditions(block["condition"], version)
    return {key: value for key, value in statement.items() if value}


def _render_principals(blocks: list[State], version: str) -> Any:
    if any(block["type"] == "*" for block in blocks):
        return "*"
    named: dict[str, list[str]] = {}
    for block in blocks:
        named.setdefault(block["type"], []).extend(_variables(item, version) for item in block["identifiers"])
    return {type_: _one_or_many(named[type_]) for type_ in sorted(named)}


def _render_conditions(blocks: list[State], version: str) -> Document:
    tests: Document = {}
    for block in blocks:
        values = [_variables(item, version) for item in block["values"]]  # their order may matter: not sorted
        variables = tests.setdefault(block["test"], {})
        variables[_variables(block["variable"], version)] = values[0] if len(values) == 1 else values
    return {test: dict(sorted(tests[test].items())) for test in sorted(tests)}


def _one_or_many(items: list[str]) -> Any:
    return items[0] if len(items) == 1 else sorted(items, reverse=True)


def _variables(text: str, version: str) -> str:
    """`&{…}` is how HCL writes IAM's `${…}`; the version before 2012 has no variables."""
    return text.replace("&{", "${") if version == _VERSION else text


def _to_json(document: Document, **layout: Any) -> str:
    text = json.dumps(document, ensure_ascii=False, **layout)
    for character, escaped in _HTML.items():
        text = text.replace(character, escaped)
    return text
