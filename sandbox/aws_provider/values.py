"""Terraform values in Python: plain dicts, lists and scalars, plus UNKNOWN for what only the apply will tell.

Pure functions over them, and their msgpack form on the wire; used by all other modules here.
"""

import json
from collections.abc import Callable
from typing import Any

import msgpack

from sandbox.aws_provider import wire


class Unknown:
    """The one value `(known after apply)`; false, so that `value or default` passes over it."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        return False

    def __deepcopy__(self, memo: dict[int, Any]) -> "Unknown":
        return self


UNKNOWN = Unknown()
_UNKNOWN_CODES = (0, 12)  # plain, and refined ("unknown, but not null")


def is_known(value: Any) -> bool:
    """Whether nothing inside is unknown."""
    if isinstance(value, dict):
        return all(map(is_known, value.values()))
    if isinstance(value, list):
        return all(map(is_known, value))
    return value is not UNKNOWN


def without_unknowns(value: Any) -> Any:
    """The value with null for everything unknown."""
    if isinstance(value, dict):
        return {key: without_unknowns(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_unknowns(item) for item in value]
    return None if value is UNKNOWN else value


def settle(planned: Any, actual: Any) -> Any:
    """What an apply leaves behind: all that was planned, with the unknown parts taken from the real object."""
    if planned is UNKNOWN:
        return actual
    if isinstance(planned, dict):
        return {
            key: settle(item, actual.get(key) if isinstance(actual, dict) else None) for key, item in planned.items()
        }
    if isinstance(planned, list):
        paired = actual if isinstance(actual, list) and len(actual) == len(planned) else [None] * len(planned)
        return [settle(item, other) for item, other in zip(planned, paired, strict=True)]
    return planned


def _sort_key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=repr)


def canonical(type_: Any, value: Any) -> Any:
    """A comparable form of a value of a Terraform type: sets are sorted; null and the zero value are one.

    That unset and zero (`""`, `0`, `false`, empty) are the same is what the real provider's plugin SDK holds too.
    """
    if value is UNKNOWN or not value:
        return UNKNOWN if value is UNKNOWN else None
    if isinstance(type_, str):
        return value
    kind, inner = type_
    if kind == "object":
        return {name: canonical(inner[name], value.get(name)) for name in inner}
    if kind == "map":
        return {name: "" if item == "" else canonical(inner, item) for name, item in value.items()}
    items = [canonical(inner, item) for item in value]
    return sorted(items, key=_sort_key) if kind == "set" else items


def sorted_canonically(items: list[Any]) -> list[Any]:
    """A set's items in one order, whatever they are."""
    return sorted(items, key=_sort_key)


def same_json(one: Any, other: Any) -> bool:
    """Whether two texts are the same JSON document."""
    try:
        return bool(json.loads(one) == json.loads(other))
    except (TypeError, ValueError):
        return False


def _extension(code: int, payload: bytes) -> Any:
    return UNKNOWN if code in _UNKNOWN_CODES else msgpack.ExtType(code, payload)


def _pack_unknown(value: Any) -> Any:
    if value is UNKNOWN:
        return msgpack.ExtType(0, b"\x00")
    raise TypeError(f"a Terraform value cannot hold {value!r}")


_read_msgpack: Callable[..., Any] = msgpack.unpackb
_write_msgpack: Callable[..., Any] = msgpack.packb


def decode(dynamic: Any) -> Any:
    """A `DynamicValue` message as a Python value; None for null."""
    if dynamic.msgpack:
        return _read_msgpack(dynamic.msgpack, ext_hook=_extension, strict_map_key=False)
    return json.loads(dynamic.json) if dynamic.json else None


def encode(value: Any) -> Any:
    """A Python value as a `DynamicValue` message."""
    return wire.DynamicValue(msgpack=_write_msgpack(value, default=_pack_unknown))
