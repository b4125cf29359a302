"""Fields that nothing acts on yet are refused, and only those."""

from typing import Any

import pytest

from schemas.document import InvalidDocument, parse_lab
from schemas.lab_checks import NOT_YET
from schemas.yaml_edit import render

COURSE = {"pool": "client", "from": "2026-12-04T09:00-08:00", "to": "2026-12-04T17:00-08:00", "seats": 40}
SET = {
    "pools.*.session.after": "keep",
    "notify": [{"webhook": "https://example.org/hook", "on": ["PoolStalled"]}],
}


def document(path: str, value: Any) -> str:
    for name in reversed(path.split(".")):
        course = COURSE if name == "*" and path.startswith("courses") else {}
        value = {("client" if name == "*" else name): {**course, **value} if course else value}
    return render({"pools": {"client": {}}, **value})


@pytest.mark.parametrize("path", NOT_YET)
def test_a_field_that_nothing_acts_on_is_refused_when_set(path: str) -> None:
    with pytest.raises(InvalidDocument) as refused:
        parse_lab(document(path, SET[path]))
    (problem,) = refused.value.problems
    assert problem.field == path.replace("*", "client")
    assert problem.message.startswith("not supported yet")


@pytest.mark.parametrize(
    ("path", "default"),
    [
        ("pools.*.session", {"max": None, "after": "replace"}),
        ("courses", {}),
        ("notify", []),
    ],
)
def test_its_default_may_be_written(path: str, default: Any) -> None:
    assert parse_lab(document(path, default)).lab.pools["client"].size == 0


def test_fields_of_the_allocator_are_accepted() -> None:
    allocator = {
        "admin": {"user": "admin", "password_hash": "$2b$12$" + "x" * 53},
        "database": {"mode": "rds", "instance_class": "db.t4g.small", "multi_az": True},
        "state": {"backend": "local"},
        "dns": {"enabled": True, "domain": "lablink.example.org", "zone_id": "Z0123456789"},
        "ssl": {"provider": "letsencrypt", "email": "admin@example.org", "staging": True},
        "eip": {"strategy": "persistent"},
        "allocator": {"instance_type": "t3.xlarge", "volume": {"size": 40}, "open_port_5000": True},
        "logs": {"cloudwatch_days": 14, "database_days": 60},
        "backup": {"bucket": "lab-backups", "every": "12h", "keep": 4},
        "vm_auth": "hostname",
        "seat_hold": "10m",
        "desired": {"git_commit": True},
    }
    lab = parse_lab(render({"pools": {}, **allocator})).lab
    assert set(allocator) <= lab.model_fields_set


def test_two_allocators_need_what_they_can_share() -> None:
    with pytest.raises(InvalidDocument, match=r"allocator\.replicas: 2 needs database\.mode rds and ssl\.provider acm"):
        parse_lab(render({"pools": {}, "allocator": {"replicas": 2}}))
