"""Whatever OpenAPI allows to be sent, and much that it does not, is answered as the document says: schemathesis over every operation.

LABLINK_CONTRACT_EXAMPLES sets how many tries each operation gets; the default keeps the suite quick.
"""

import os
from typing import Any

import anyio
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from schemathesis import checks, errors
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from tests.api.world import ADMIN, World, bearer, serving

pytestmark = pytest.mark.anyio

EXAMPLES = int(os.environ.get("LABLINK_CONTRACT_EXAMPLES", "4"))
CALL_S = 30
CHECKS = (
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
)
NAMED = {"hostname": "lab-client-test-1", "name": "client", "number": 1, "run_id": 1, "tick_id": 1}
"""Values of path parameters that exist, so that not every call ends at a 404."""


async def test_every_operation_keeps_to_its_document(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # whoever asks AWS meets nobody
    async with serving(dsn) as world:
        await furnish(world)
        document = (await world.http.get("/schema/openapi.json")).json()
        await anyio.to_thread.run_sync(try_all, document, world.url)


async def furnish(world: World) -> None:
    """One of everything that can be asked for."""
    await world.add_vms(3)
    await world.sql("UPDATE seat SET state = 'free', free_since = now()")
    await world.request("ada@example.org")
    await world.sql(
        "INSERT INTO run (state_key, pool, token, must_end_by) VALUES ('client/us-west-2/1', 'client', 1, now())"
    )
    await world.sql("INSERT INTO refusal VALUES ('us-west-2', '', 'g4dn.xlarge', now())")
    condition = {
        "type": "Observed",
        "status": True,
        "reason": "Listed",
        "message": "all",
        "since": "2026-12-01T09:00:00Z",
    }
    await world.sql("UPDATE deployment SET conditions = %s", Jsonb({"Observed": condition}))


def try_all(document: dict[str, Any], url: str) -> None:
    schema = schemathesis.openapi.from_dict(document)
    schema.config.base_url = url
    problems = []
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found.err()
        problems += try_operation(found.ok(), url)
    assert not problems, "\n\n".join(problems)


def try_operation(operation: Any, url: str) -> list[str]:
    """What went wrong with one operation."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def attempt(data: st.DataObject) -> None:
        mode = data.draw(st.sampled_from(list(GenerationMode)))
        case = data.draw(operation.as_strategy(generation_mode=mode))
        if case.path_parameters and data.draw(st.booleans()):
            case.path_parameters = {name: NAMED.get(name, value) for name, value in case.path_parameters.items()}
        login = data.draw(st.sampled_from(LOGINS))
        response = case.call(base_url=url, timeout=CALL_S, **login)
        assert response.status_code < 500 or response.status_code == 503, response.text
        case.validate_response(response, checks=CHECKS)

    try:
        attempt()
    except (errors.SchemathesisError, AssertionError, BaseExceptionGroup) as error:
        return [f"{operation.label}: {error}"]
    return []


LOGINS: list[dict[str, Any]] = [
    {"auth": ADMIN},
    {"auth": ADMIN},
    {"headers": bearer(NAMED["hostname"])},  # type: ignore[arg-type]
    {},
]
