"""How often PINs may be guessed and requests be sent; a valid first request always gets through."""

from typing import Any

import anyio
import pytest

from api.door import FLOOD, MOST_FROM_ONE, MOST_OF_ADDRESS, MOST_OF_EMAIL, Door
from api.errors import TooManyError
from api.limits import LONGEST_KEY, Limit
from tests.api.world import COMMAND, World, eventually, serving

pytestmark = pytest.mark.anyio

PROXY: dict[str, Any] = {"trusted_proxies": ("127.0.0.1/32",)}


@pytest.fixture(autouse=True)
def _forgive_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a test runs, however long that takes."""
    monkeypatch.setattr("api.door.WINDOW_S", 1e7)


async def ask(world: World, email: str, address: str, pin: str = "") -> Any:
    body = {
        "email": email,
        "crd_command": COMMAND.format(code=f"4/{email.partition('@')[0]}-{pin}-{address.replace('.', '')}"),
        "pin": pin,
    }
    headers = {"Accept": "application/json", "X-Forwarded-For": address}
    world.http.cookies.clear()
    return await world.http.post("/api/request_vm", json=body, headers=headers)


async def test_pin_is_guessed_a_few_times_and_the_owner_still_gets_in(dsn: str) -> None:
    async with serving(dsn, **PROXY) as world:
        pin = (await ask(world, "ada@example.org", "192.0.2.1")).json()["pin"]
        guesses = [f"{n}00000" for n in range(1, 9) if f"{n}00000" != pin][:MOST_FROM_ONE]
        found = [(await ask(world, "ada@example.org", "192.0.2.66", guess)).status_code for guess in guesses]
        assert found == [409] * MOST_FROM_ONE
        refused = await ask(world, "ada@example.org", "192.0.2.66", pin)
        assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
        assert pin not in refused.text
        page = await world.http.post(
            "/seat", data={"email": "ada@example.org", "pin": pin}, headers={"X-Forwarded-For": "192.0.2.66"}
        )
        assert page.status_code == 429
        assert (await ask(world, "ada@example.org", "192.0.2.1", pin)).status_code == 503  # in line, and known


async def test_first_request_with_a_wish_gets_through_where_others_guessed(dsn: str) -> None:
    async with serving(dsn, **PROXY) as world:
        victims = [f"user{n}@example.org" for n in range(MOST_OF_ADDRESS // MOST_FROM_ONE)]
        for victim in victims:
            await ask(world, victim, "203.0.113.1", "777777")
            for n in range(MOST_FROM_ONE):
                assert (await ask(world, victim, "192.0.2.66", f"66666{n}")).status_code == 409
        assert (await ask(world, victims[0], "192.0.2.66", "777777")).status_code == 429
        first = await ask(world, "new@example.org", "192.0.2.66", "123123")
        assert (first.status_code, first.json()["pin"]) == (503, "123123")


async def test_class_behind_one_address_is_never_refused(dsn: str) -> None:
    async with serving(dsn, **PROXY) as world, anyio.create_task_group() as tasks:
        answers: list[int] = []

        async def come(n: int) -> None:
            answers.append((await ask(world, f"pupil{n}@example.org", "192.0.2.1", "424242")).status_code)

        for n in range(2 * MOST_OF_ADDRESS):
            tasks.start_soon(come, n)
        await eventually(lambda: len(answers) == 2 * MOST_OF_ADDRESS)
        assert set(answers) == {503}


def test_guesses_from_everywhere_end_for_an_email() -> None:
    door = Door()
    for n in range(MOST_OF_EMAIL):
        door.check_guess("ada@example.org", f"192.0.2.{n}")
    with pytest.raises(TooManyError):
        door.check_guess("ada@example.org", "198.51.100.1")
    door.check_guess("bob@example.org", "198.51.100.1")


def test_flood_is_refused_from_where_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.door.FLOOD_S", 1e7)
    door = Door()
    for _ in range(FLOOD):
        door.enter("192.0.2.1")
    with pytest.raises(TooManyError):
        door.enter("192.0.2.1")
    door.enter("192.0.2.2")
    for _ in range(2 * FLOOD):
        door.enter("127.0.0.1")


def test_names_that_no_name_is_as_long_as_fill_no_memory() -> None:
    limit = Limit(2, 1e7, "too many")
    for n in range(2):
        limit.count("a" * 64_000 + str(n))
    assert len(limit) == 1
    with pytest.raises(TooManyError):
        limit.check("a" * LONGEST_KEY)
    limit.forgive("a" * 64_000)
    limit.check("a" * 64_000)
