"""`kill -9` at one boundary of each kind, with everything real. All boundaries: `make prove ARGS=sweep`."""

from collections.abc import Iterator

import pytest

from tests.nemesis.site import Site
from tests.nemesis.sweep import learned, open_sweep

pytestmark = pytest.mark.anyio
VICTIMS = {"controller", "api", "terraform", "postgres"}


@pytest.fixture
def site() -> Iterator[Site]:
    with open_sweep() as site:
        yield site


@pytest.mark.timeout(600)
async def test_a_death_at_any_kind_of_boundary_loses_nothing_and_leaves_nothing(site: Site) -> None:
    async with learned(site, site.folder / "boundaries") as sweep:
        lived = await sweep.kill_kinds()
    assert [fault for one in lived.values() for fault in one.faults] == []
    died = {death.victim for death, one in lived.items() if one.figures.get("deaths")}
    assert died == VICTIMS
