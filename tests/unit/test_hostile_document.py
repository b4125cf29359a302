"""Text that means something to Terraform, a shell, Caddy or an environment file, in every text of `lablink.yaml`: refused, or never there."""

import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from schemas.lab import Lab

TIER = Path(__file__).resolve().parents[2] / "infrastructure"
HOSTILE = (
    *(
        "${path.root}",
        "%{if true}",
        "$(id)",
        "$HOME",
        "`id`",
        "{$HOME}",
        "a\nb: c",
        "\ra",
        "\0",
        "'",
        '"',
        ";id",
        "|id",
    ),
    *("&id", "<a", "\\n", "\u2028", "#a"),
)
FRAMES = (
    *(
        "{}",
        "a{}",
        "a{}a",
        "{}a",
        "/{}",
        "a/{}",
        "a.{}",
        "a{}@example.org",
        "a@{}",
        "https://example.org/{}",
        "ghcr.io/{}",
    ),
    *("us-west-2/{}", "us-west-2{}", "arn:aws:acm:us-west-2:123456789012:{}", "arn:aws:sns:us-west-2:123456789012:{}"),
    *("0 9 * * {}", "ami-0123456789abcdef0{}", "2026-12-01T09:00{}", "10.0.0.0/8{}", "$2b$12$" + "a" * 52 + "{}"),
)
ALLOWED = {
    "Course.access_code": "compared by the API, never shown below its scope",
    "Course.roster": "opened by the controller, below the document's folder",
    "CronWindow.name": "shown on pages, which escape it",
    "Notify.email": "a recipient of SMTP, as the header's library writes it",
    "Notify.slack": "an address that the controller sends to (test_notify_addresses.py)",
    "Notify.webhook": "the same",
    "Pool.access_code": "compared by the API, never shown below its scope",
    "StartupScript.path": "opened by the controller, below the document's folder; the script's text goes in base64",
    "Window.name": "shown on pages, which escape it",
}
"""Fields that take some of it. Terraform and the host get none of them but in the document itself, in base64 (test_host.py)."""


def find_models(kind: Any, found: dict[str, type[BaseModel]]) -> dict[str, type[BaseModel]]:
    """All models that the document is made of, by name."""
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__name__ not in found:
        found[kind.__name__] = kind
        for field in kind.model_fields.values():
            find_models(field.annotation, found)
    for part in typing.get_args(kind):
        find_models(part, found)
    return found


MODELS = find_models(Lab, {})


def holds_text(kind: Any) -> bool:
    return kind is str or any(holds_text(part) for part in typing.get_args(kind) if not isinstance(part, str))


def takes(model: type[BaseModel], name: str, text: str) -> bool:
    """Whether the field takes the text: as it is, in a list, or as a key or value of a mapping."""
    shapes: tuple[object, ...] = (text, [text], {text: {}}, {"us-west-2": text})
    return any(not _refusals(model, name, value, text) for value in shapes)


def _refusals(model: type[BaseModel], name: str, value: object, text: str) -> list[object]:
    """What is said of the field; not of what stands under a key that is taken."""
    try:
        model.model_validate({name: value})
    except ValidationError as refused:
        told = [error for error in refused.errors() if error["loc"][:1] == (name,)]
        return [
            one
            for one in told
            if one["loc"][1:2] != (text,) or one["loc"][-1] == "[key]" or one["type"] == "extra_forbidden"
        ]
    return []


def find_takers() -> Iterator[str]:
    texts = [frame.replace("{}", text) for frame in FRAMES for text in HOSTILE]
    for model in MODELS.values():
        for name, field in model.model_fields.items():
            if holds_text(field.annotation) and any(takes(model, field.alias or name, text) for text in texts):
                yield f"{model.__name__}.{name}"


def test_every_text_refuses_what_means_something_elsewhere() -> None:
    assert len(MODELS) > 20
    assert sorted(find_takers()) == sorted(ALLOWED), "a field more: check its text, or say here why none of it matters"


def fields_of_the_tier() -> set[str]:
    """What `infrastructure/` reads of the document, as MODEL.FIELD."""
    text = "".join(path.read_text() for path in TIER.rglob("*.tf"))
    found = {"Notify.sns"} if "one.sns" in text else set()
    for path in re.findall(r"local\.file\.([a-z0-9_.]+)", text):
        model: type[BaseModel] = Lab
        for step in path.split("."):
            found.add(f"{model.__name__}.{step}")
            model = next(iter(find_models(model.model_fields[step].annotation, {}).values()), model)
    return found


def test_what_the_allocators_terraform_reads_takes_none_of_it() -> None:
    read = fields_of_the_tier()
    assert {"Ssl.email", "Ssl.certificate_arn", "Dns.domain", "Admin.user", "Allocator.image", "Backup.bucket"} <= read
    assert read & ALLOWED.keys() == set()


@pytest.mark.parametrize("email", ["a{b@example.org", '"a@example.org', "a`@example.org", "#a@example.org", "a'@b.org"])
def test_the_address_in_caddys_file_is_plain(email: str) -> None:
    with pytest.raises(ValidationError, match="letters, digits and"):
        Lab.model_validate({"pools": {}, "ssl": {"email": email}})
