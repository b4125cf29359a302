"""The sandbox's AWS offers what moto by itself offers, although it reads less."""

import pytest
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS

from sandbox.moto_import import Offerings


@pytest.mark.parametrize("kind", sorted(INSTANCE_TYPE_OFFERINGS))
def test_every_region_offers_what_moto_says(kind: str) -> None:
    known = INSTANCE_TYPE_OFFERINGS[kind]
    offerings = Offerings(kind, known)
    assert len(known) > 10
    assert dict(offerings) == known
    assert offerings.get("us-west-2") == known["us-west-2"] != []
    assert offerings.get("nowhere", []) == []


def test_a_region_is_read_when_it_is_asked_for() -> None:
    offerings = Offerings("region", ["us-west-2", "no-region-of-aws"])
    assert {one["InstanceType"] for one in offerings["us-west-2"]} >= {"g4dn.xlarge", "t3.large"}
    with pytest.raises(FileNotFoundError):
        _ = offerings["no-region-of-aws"]
