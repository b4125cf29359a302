"""What a document keeps from those who may not declare is told to none of them, whatever they read."""

import re

import pytest

from schemas.access import Scope
from tests.api.test_access import Route, make_token, routes_of
from tests.api.test_access_codes import course
from tests.api.world import HASH, YAML, World, serving

pytestmark = pytest.mark.anyio

CODE, LECTURE, HOOK = "open-sesame", "hello-neuron", "https://hooks.example.org/T0/secret"
SECRETS = (CODE, LECTURE, HOOK, HASH)
KEPT = YAML + f"    access_code: &code {CODE}\n" + course("20", "80", LECTURE) + f"notify: [{{webhook: '{HOOK}'}}]\n"
ENDLESS = ("/live", "/seat/live", "/admin/live")


def url_of(route: Route, name: str) -> str:
    """With values of things that exist."""
    known = {"hostname": name, "name": "client"}
    return re.sub(
        r"\{(\w+):(\w+)\}",
        lambda part: known.get(part[1], {"int": "1", "uuid": "0" * 32}.get(part[2], "x")),
        route.path,
    )


async def look_around(world: World, token: str) -> dict[str, str]:
    """The answers to every GET, and to the calls that look ahead."""
    (name,) = await world.add_vms()
    headers = {"Authorization": f"Bearer {token}"}
    found = {}
    for route in routes_of(world.app):
        if route.method == "GET" and route.path not in ENDLESS:
            for accept in ("application/json", "text/html"):
                path = url_of(route, name)
                answer = await world.http.get(path, headers={**headers, "Accept": accept}, follow_redirects=False)
                found[f"{accept} {path} {answer.status_code}"] = answer.text
    for path, body in (("/preview", ""), ("/preview", KEPT.replace("size: 2", "size: 3"))):
        answer = await world.http.post(f"/api/v1{path}", content=body, headers=headers)
        found[f"POST {path} {answer.status_code}"] = answer.text
    found["PATCH"] = (
        await world.http.patch("/api/v1/pools/client", json={"size": 3}, headers={**headers, "If-Match": "7"})
    ).text
    return found


@pytest.mark.parametrize("scope", [Scope.READ, Scope.OPERATE])
async def test_no_token_below_admin_reads_codes_hashes_and_addresses(dsn: str, scope: Scope) -> None:
    async with serving(dsn, yaml=KEPT) as world:
        answers = await look_around(world, await make_token(world, scope))
        told = {where: [secret for secret in SECRETS if secret in text] for where, text in answers.items()}
        assert {where: secrets for where, secrets in told.items() if secrets} == {}
        shown = answers["application/json /api/v1/desired 200"]
        assert ("size: 2  # two seats" in shown, shown.count("********")) == (True, 4)
        assert "text/html /admin 200" in answers
        assert "text/html /admin/desired 403" in answers
        assert ("newest" in answers["PATCH"]) == (scope is Scope.OPERATE)


async def test_admin_reads_the_document_as_it_is(dsn: str) -> None:
    async with serving(dsn, yaml=KEPT) as world:
        assert (await world.admin.get("/api/v1/desired")).json()["yaml"] == KEPT
        assert (await world.admin.get("/api/v1/desired/versions/1")).json()["yaml"] == KEPT
        refused = await world.admin.put("/api/v1/desired", content=YAML, headers={"If-Match": "7"})
        assert (refused.status_code, refused.json()["newest"]["yaml"]) == (409, KEPT)
