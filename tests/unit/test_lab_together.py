"""What holds between the fields of a document: what is accepted together, and what needs what."""

import pytest

from schemas.document import InvalidDocument, parse_lab
from schemas.yaml_edit import render


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


@pytest.mark.parametrize("after", ["keep", "reboot"])
def test_a_vm_that_speaks_by_its_name_goes_to_no_second_person(after: str) -> None:
    pools = {"client": {"session": {"after": after}}}
    assert parse_lab(render({"pools": pools})).lab.pools["client"].session.after == after
    with pytest.raises(InvalidDocument, match=f"pools.client.session.after: {after} needs vm_auth token"):
        parse_lab(render({"pools": pools, "vm_auth": "hostname"}))
