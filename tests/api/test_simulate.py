"""Rehearsals by the API: the document in force or another one, in a process of its own, one at a time."""

import pytest

from api.simulate import BUSY
from tests.api.world import serving

pytestmark = pytest.mark.anyio

DAY = {"start": "2026-12-07T00:00Z", "days": 0.5}


async def test_the_document_in_force_is_rehearsed_or_another_one(dsn: str) -> None:
    async with serving(dsn) as world:
        mine = await world.admin.post("/api/v1/simulate", json={"plan": DAY})
        other = await world.admin.post("/api/v1/simulate", json={"yaml": "pools: {a: {size: 1}}", "plan": DAY})
        bad = await world.admin.post("/api/v1/simulate", json={"plan": {**DAY, "course": "none"}})
        invalid = await world.admin.post("/api/v1/simulate", json={"yaml": "pools: 3"})
        with BUSY:
            busy = await world.admin.post("/api/v1/simulate", json={"plan": DAY})
        assert (await world.http.post("/api/v1/simulate", json={})).status_code == 401
        events = await world.sql("SELECT count(*) FROM vm")
    assert [pool["name"] for pool in mine.json()["pools"]] == ["client"]
    assert mine.json()["pools"][0]["created"] >= 2
    assert [pool["name"] for pool in other.json()["pools"]] == ["a"]
    assert (bad.status_code, bad.json()["error"]) == (400, "there is no course 'none'")
    assert invalid.status_code == 400
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "5")
    assert events[0]["count"] == 0
