"""What the declared week asks of the account's quotas: the largest number of VMs, in vCPUs, by the quota that counts them."""

from typing import Any

import pytest

from controller.decide.quota_need import QuotaNeed, count_vcpus, find_needs
from tests.decide_world import NOW, build_lab


def vcpus(pool: Any, **top: Any) -> int:
    (need,) = find_needs(build_lab({"client": pool}, **top), NOW)
    return need.vcpus


@pytest.mark.parametrize(
    ("instance_type", "number"),
    [
        ("t3.micro", 2),
        ("m5.large", 2),
        ("g4dn.xlarge", 4),
        ("g5.12xlarge", 48),
        ("m7i.metal-24xl", 96),
        ("g4dn.metal", 96),
    ],
)
def test_vcpus_follow_from_the_size(instance_type: str, number: int) -> None:
    assert count_vcpus(instance_type) == number


def test_the_largest_of_size_windows_and_courses_counts_with_the_surge() -> None:
    window = {"from": "2026-12-02T09:00Z", "to": "2026-12-02T10:00Z", "size": 9}
    course = {"pool": "client", "from": "2026-12-03T09:00Z", "to": "2026-12-03T12:00Z", "seats": 30}
    late = course | {"from": "2026-12-09T09:00Z", "to": "2026-12-09T12:00Z"}
    assert vcpus(5) == 4 * 6
    assert vcpus({"size": {"max": 7}, "update": {"surge": 0, "unavailable": 1}}) == 4 * 7
    assert vcpus({"size": 5, "schedule": [window]}) == 4 * 10
    assert vcpus({"size": 5, "schedule": [window]}, courses={"c": course}) == 4 * 31
    assert vcpus({"size": 5, "schedule": [window]}, courses={"c": late}) == 4 * 10, "that course is in the week after"


def test_pools_share_a_quota_by_region_market_and_family() -> None:
    pools = {"a": 2, "b": {"size": 1, "instance_type": "g5.2xlarge"}, "c": {"size": 1, "market": "spot"}, "none": 0}
    pools |= {"d": {"size": 1, "instance_type": "t3.large"}, "e": {"size": 1, "instance_type": "hpc7a.12xlarge"}}
    region = "us-west-2"
    assert find_needs(build_lab(pools), NOW) == [
        QuotaNeed(region, "on-demand", "G and VT", "L-DB2E81BA", 3 * 4 + 2 * 8, ("a", "b")),
        QuotaNeed(region, "on-demand", "Standard (A, C, D, H, I, M, R, T, Z)", "L-1216C47A", 4, ("d",)),
        QuotaNeed(region, "on-demand", "hpc7a", "", 2 * 48, ("e",)),
        QuotaNeed(region, "spot", "G and VT", "L-3819A6DF", 8, ("c",)),
    ]
