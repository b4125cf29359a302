"""What a person is told of the command's way to the VM."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from api.delivery import Delivery, judge_delivery, list_warnings
from schemas.assignment import Assignment, AssignmentStatus
from store.line import Followed

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def follow(
    *,
    code: int = 1,
    delivered: int = 0,
    age_s: float = 0.0,
    left_s: float | None = None,
    reporter: bool = False,
    **more: Any,
) -> Followed:
    assignment = Assignment(
        id=UUID(int=1),
        seq=1,
        pool="client",
        email="ada@example.org",
        status=more.pop("status", AssignmentStatus.ACTIVE),
        hostname="lab-client-test-1",
        crd_code="4/x",
        pin="123456",
        code_version=code,
        delivered_version=delivered,
        created_at=NOW,
        lapsed=more.pop("lapsed", False),
    )
    vm = {"vm_status": "running", "gpu_health": "Healthy", **more}
    return Followed(assignment, None, age_s, left_s, reporter, **vm)


@pytest.mark.parametrize(
    ("followed", "expected"),
    [
        pytest.param(follow(status=AssignmentStatus.WAITING), None, id="nobody's VM"),
        pytest.param(follow(status=AssignmentStatus.OFFERED), None, id="held, and not told anything"),
        pytest.param(follow(age_s=5), Delivery.CONNECTING, id="just given"),
        pytest.param(follow(delivered=1), Delivery.READY, id="told"),
        pytest.param(follow(code=2, delivered=1, age_s=5), Delivery.CONNECTING, id="a newer one, it may be asking"),
        pytest.param(follow(code=2, delivered=1, age_s=30), Delivery.NOT_ASKING, id="an old client asks once"),
        pytest.param(
            follow(code=2, delivered=1, age_s=30, reporter=True), Delivery.CONNECTING, id="a reporter restarts it"
        ),
        pytest.param(
            follow(code=2, delivered=1, age_s=200, reporter=True), Delivery.NOT_ASKING, id="but it does not come"
        ),
        pytest.param(follow(age_s=60), Delivery.CONNECTING, id="the VM was not asking yet"),
        pytest.param(follow(age_s=200), Delivery.NOT_ASKING, id="it never asks"),
    ],
)
def test_delivery_is_judged(followed: Followed, expected: Delivery | None) -> None:
    assert judge_delivery(followed) is expected


@pytest.mark.parametrize(
    ("followed", "word"),
    [
        (follow(code=2, delivered=1, age_s=30), "rebooted"),
        (follow(age_s=200, reporter=True), "fresh command"),
        (follow(delivered=1, vm_status="rebooting"), "rebooting"),
        (follow(delivered=1, vm_status="error"), "error"),
        (follow(delivered=1, gpu_health="Unhealthy"), "GPU"),
        (follow(delivered=1, left_s=600.0), "10 min"),
        (follow(status=AssignmentStatus.WAITING, lapsed=True), "fresh command"),
    ],
)
def test_each_trouble_is_one_sentence(followed: Followed, word: str) -> None:
    (sentence,) = list_warnings(followed)
    assert word in sentence


def test_all_is_well_without_a_word() -> None:
    assert list_warnings(follow(delivered=1, left_s=3600.0)) == []
