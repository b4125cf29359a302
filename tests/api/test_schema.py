"""The OpenAPI document is there and names what the command line calls."""

import pytest

from tests.api.world import serving

pytestmark = pytest.mark.anyio


async def test_openapi_document_lists_our_paths(dsn: str) -> None:
    async with serving(dsn) as world:
        document = (await world.http.get("/schema/openapi.json")).json()
        assert {"/api/v1/desired", "/api/v1/pools/{name}", "/api/v1/why/{name}", "/api/request_vm"} <= document[
            "paths"
        ].keys()
        ids = [call["operationId"] for path in document["paths"].values() for call in path.values()]
        assert len(ids) == len(set(ids))
