"""Examples for the OpenAPI document: what stands in a field of this name, wherever a model has one and says nothing better itself. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

BY_NAME: Mapping[str, Any] = {
    "account_id": "123456789012",
    "actor": "admin/ada",
    "algorithm": "HMAC-SHA256 over `<X-LabLink-Timestamp>.<body>`",
    "after": 40,
    "arn": "arn:aws:iam::123456789012:user/lablink",
    "author": "admin/ada",
    "code_version": 1,
    "count": 3,
    "created_by": "admin/ada",
    "crd_command": 'start-host --code="4/abc" --redirect-url="https://remotedesktop.google.com/_/oauthredirect" --name=$(hostname)',
    "email": "ada@example.org",
    "error": "there is no pool 'clint'",
    "hostname": "lablink-client-prod-7",
    "ingress": "203.0.113.0/24",
    "instance_id": "i-0123456789abcdef0",
    "instance_type": "g4dn.xlarge",
    "key": "0123456789abcdef" * 4,
    "line": "cloud-init[812]: the container is up",
    "log_group": "lablink-cloud-init-prod",
    "log_stream": "lablink-client-prod-7",
    "logs": "cloud-init[812]: the container is up",
    "message": "3 of 5 VMs are ready",
    "pin": "482915",
    "pinned_account_id": "123456789012",
    "pool": "client",
    "position": 2,
    "eta_s": 240,
    "public_ip": "203.0.113.7",
    "reason": "wanted: 5 are declared, 4 exist",
    "region": "us-west-2",
    "set_by": "admin/ada",
    "release": "1.0.0",
    "subject": "vm/lablink-client-prod-7",
    "summary": "+3, replace 2 idle, 0 people disturbed, +$1.58/h",
    "token": "0123456789abcdef" * 4,
    "version": 12,
    "yaml": "pools:\n  client:\n    size: 5\n",
    "zone": "us-west-2a",
}
BY_FORMAT: Mapping[str, str] = {
    "date-time": "2026-12-01T09:00:00Z",
    "uuid": "7d3f6a52-2f0c-4c6e-9b57-0d7f1c5e8a11",
}
TYPES: Mapping[str, type] = {"string": str, "integer": int}
BOUNDS = frozenset({"pattern", "enum", "const", "format", "minimum", "maximum"})
"""Where these are, an example by name alone may not be one."""


def add_examples(document: dict[str, Any]) -> None:
    """To fields of models and to parameters, in place."""
    for schema in document["components"]["schemas"].values():
        for name, field in schema.get("properties", {}).items():
            _add(name, field)
    for operation in _list_operations(document):
        for parameter in operation.get("parameters", ()):
            _add(parameter["name"], parameter["schema"])


def _list_operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def _add(name: str, schema: dict[str, Any]) -> None:
    kinds = schema.get("anyOf", schema.get("oneOf", (schema,)))
    found = [example for kind in kinds if (example := _find(name, kind)) is not None]
    if found and "examples" not in schema:
        schema["examples"] = found[:1]


def _find(name: str, kind: Mapping[str, Any]) -> Any:
    if kind.get("format") in BY_FORMAT:
        return BY_FORMAT[kind["format"]]
    example = BY_NAME.get(name)
    fits = kind.get("type") in TYPES and isinstance(example, TYPES[kind["type"]]) and not BOUNDS & kind.keys()
    return example if fits else None
