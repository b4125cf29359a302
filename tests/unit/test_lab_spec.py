"""Which changes of a declaration make its VMs outdated."""

from typing import Any

import pytest

from schemas.lab import Pool
from schemas.spec import has_gpu, spec_hash

AMI = "ami-0601752c11b394251"
POOL = {"software": "sleap", "startup_script": {"path": "a.sh"}}


def hash_of(**changed: Any) -> str:
    return spec_hash(Pool.model_validate({**POOL, **changed}), AMI, "echo hi")


def test_the_hash_names_its_version_and_is_stable() -> None:
    assert hash_of() == hash_of()
    version, digits = hash_of().split(":")
    assert (version, len(digits)) == ("v1", 16)


@pytest.mark.parametrize(
    "changed",
    [
        {"image": "ubuntu:24.04"},
        {"volume": {"size": 51}},
        {"volume": {"type": "gp2"}},
        {"repository": "https://example.org/a.git"},
        {"software": "other"},
        {"startup_script": {"path": "a.sh", "on_error": "fail"}},
        {"market": "spot"},
    ],
)
def test_what_a_vm_is_made_of_changes_the_hash(changed: dict[str, Any]) -> None:
    assert hash_of(**changed) != hash_of()


def test_ami_and_script_text_change_the_hash() -> None:
    pool = Pool.model_validate(POOL)
    assert len({spec_hash(pool, AMI, ""), spec_hash(pool, AMI, "x"), spec_hash(pool, "ami-12345678", "")}) == 3


@pytest.mark.parametrize(
    "changed",
    [
        {"size": 9},
        {"instance_type": ["g5.xlarge"]},
        {"zones": ["us-west-2a"]},
        {"ssh": {"ingress": ["0.0.0.0/0"]}},
        {"startup_script": {"path": "moved/b.sh"}},
        {"ami": "/an/ssm/parameter"},
        {"extension": "slp"},
        {"paused": True},
        {"health": {"boot": "1h"}},
    ],
)
def test_what_can_change_around_a_vm_keeps_the_hash(changed: dict[str, Any]) -> None:
    assert hash_of(**changed) == hash_of()


def test_gpu_follows_from_the_family() -> None:
    assert all(map(has_gpu, ["g4dn.xlarge", "g5.xlarge", "g6e.2xlarge", "gr6.4xlarge", "p3.2xlarge", "p5en.48xlarge"]))
    assert not any(map(has_gpu, ["t3.large", "c7g.large", "m7gd.metal", "inf2.xlarge"]))
