"""The text of a document for those who may read but not declare: what only admins may know is starred out, all else stays.

Used by the API wherever it shows a document. Places come from `schemas.yaml_tree`, so no quoting or anchor gets a value through.
"""

import re
from collections.abc import Iterator

from schemas.problem import InvalidDocument
from schemas.yaml_tree import List, Mapping, Node, Scalar, read_scalar, read_tree

HIDDEN = "********"
SECRET = frozenset({"access_code", "password_hash", "webhook", "slack"})
"""Names of fields, wherever they stand. Addresses of receivers are secrets: who knows one may write to it."""
COMMENT = re.compile(r"(?<!\S)#[^\r\n]*")
COMMENTED = re.compile(rf"(\b(?:{'|'.join(sorted(SECRET))})[\"']?[ \t]*:[ \t]*)\S.*")
"""A field that was taken out of force by a `#` may be a secret still: all behind its name is."""


def hide_secrets(text: str) -> str:
    """A text that cannot be read any more is not shown at all."""
    if not text.strip():
        return text
    try:
        root = read_tree(text, "").root
    except InvalidDocument:
        return "# this text is no document any more, so only admins are shown it\n"
    secrets = list(_find_secrets(root))
    words = {node.text for node in secrets}
    # A secret may stand elsewhere, under another name, and be taken from there by its anchor.
    anchors = [node for node in _find_scalars(root) if node.shared and node.text in words]
    spans = {(node.start, node.start + len(text[node.start : node.end].rstrip())) for node in (*secrets, *anchors)}
    for start, end in sorted(spans, reverse=True):
        text = f'{text[:start]}"{HIDDEN}"{text[end:]}'
    return COMMENT.sub(lambda comment: COMMENTED.sub(rf"\1{HIDDEN}", comment[0]), text)


def _find_secrets(node: Node) -> Iterator[Scalar]:
    match node:
        case Mapping():
            for name, (_, value) in node.entries.items():
                if name in SECRET and isinstance(value, Scalar):
                    yield from () if _is_null(value) else (value,)
                else:
                    yield from _find_secrets(value)
        case List():
            for entry in node.entries:
                yield from _find_secrets(entry)


def _find_scalars(node: Node) -> Iterator[Scalar]:
    match node:
        case Scalar():
            yield node
        case Mapping():
            for _, value in node.entries.values():
                yield from _find_scalars(value)
        case List():
            for entry in node.entries:
                yield from _find_scalars(entry)


def _is_null(node: Scalar) -> bool:
    return not node.style and read_scalar(node.text) is None
