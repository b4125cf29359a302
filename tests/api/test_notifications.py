"""What the API shows of notifications: receivers by host alone, messages by their fate; tests are queued for the controller."""

import pytest

from schemas.settings import Settings
from tests.api.world import SECRET, YAML, serving

pytestmark = pytest.mark.anyio

HOOK = "https://hooks.example.org/services/T0KEN"
NOTIFY = YAML + f"notify: [{{webhook: '{HOOK}', on: [PoolStalled]}}, {{email: ops@example.org}}]\n"


async def test_test_messages_are_queued_and_addresses_not_shown(dsn: str) -> None:
    async with serving(dsn, yaml=NOTIFY) as world:
        asked = await world.admin.post("/api/v1/notify/test")
        listed = await world.admin.get("/api/v1/notify")
        queued = await world.sql("SELECT * FROM notification ORDER BY id")
        assert (await world.http.post("/api/v1/notify/test")).status_code == 401
    assert [one["to"] for one in asked.json()["items"]] == ["hooks.example.org", "ops@example.org"]
    assert listed.json()["receivers"] == [
        {"way": "webhook", "to": "hooks.example.org", "on": ["PoolStalled"], "severity": "warning"},
        {"way": "email", "to": "ops@example.org", "on": [], "severity": "warning"},
    ]
    assert [(one["to"], one["outcome"], one["attempts"]) for one in listed.json()["items"]] == [
        ("ops@example.org", None, 0),
        ("hooks.example.org", None, 0),
    ]
    assert "T0KEN" not in asked.text + listed.text + str(queued)
    assert [(row["topic"], row["body"]["state"]) for row in queued] == [("test", "test")] * 2


async def test_without_receivers_there_is_nothing_to_test(dsn: str) -> None:
    async with serving(dsn) as world:
        refused = await world.admin.post("/api/v1/notify/test")
    assert (refused.status_code, "no receiver is declared" in refused.json()["error"]) == (404, True)


async def test_the_key_of_webhooks_is_the_one_that_signs_them(dsn: str) -> None:
    async with serving(dsn) as world:
        key = (await world.admin.post("/api/v1/notify/key")).json()["key"]
    settings = Settings(database_dsn="x", deployment_secret=SECRET, encryption_key="k" * 44)
    assert key == settings.notify_key.hex()
    assert len(key) == 64
