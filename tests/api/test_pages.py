"""The pages over HTTP, without a browser: what they show of unusual declarations, page by page, and what they never show."""

import pytest

from tests.api.world import ADMIN, HASH, World, serving

pytestmark = pytest.mark.anyio

HTML = {"Accept": "text/html"}
RICH = f"""\
deployment: lab
environment: test
admin: {{user: {ADMIN[0]}, password_hash: "{HASH}"}}
pools:
  fixed: {{size: 2}}
  elastic:
    size: {{min: 1, max: 8, spare: 1}}
    instance_type: t3.large
    access_code: owl-24
    schedule:
      - {{name: lecture, cron: "0 9 * * mon", timezone: Europe/Berlin, for: 3h, size: 12}}
      - {{from: 2030-01-01T09:00Z, to: 2030-01-01T12:00Z, size: 4}}
"""


async def see(world: World, path: str) -> str:
    answer = await world.admin.get(path, headers=HTML)
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_a_pool_of_each_shape_has_its_page(dsn: str) -> None:
    async with serving(dsn, yaml=RICH) as world:
        assert 'name="size"' in await see(world, "/admin/pools/fixed")
        elastic = await see(world, "/admin/pools/elastic")
        assert all(f'name="{bound}"' in elastic for bound in ("min", "max", "spare"))
        assert "lecture" in elastic
        body = {"do": "preview", "min": "2", "max": "9", "spare": "1", "paused": "on", "based_on": "1"}
        preview = await world.admin.post("/admin/pools/elastic", data=body, headers=HTML)
        assert "+    size: {min: 2, max: 9, spare: 1}" in preview.text
        assert "+    paused: true" in preview.text
