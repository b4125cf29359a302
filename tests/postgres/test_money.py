"""Money in the record: a version that costs too much waits, what is read for a monthly budget, prices that AWS tells."""

import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from controller.desired import sync_desired
from controller.ec2 import Ec2
from controller.live_prices import ask_price, read_usd, refresh_prices
from controller.observe import take_snapshot
from controller.world import World
from schemas.document import parse_lab
from store.approval import approve
from store.db import Db, fetch, open_db, transaction
from store.desired import Change, append_version
from store.usage import read_live_prices
from tests.controller_world import lead_world

pytestmark = pytest.mark.anyio

CHEAP = "budget: {approve_above: 1.0}\npools:\n  client:\n    size: 1\n"
DEAR = CHEAP.replace("size: 1", "size: 5")
PRODUCT = {
    "terms": {"OnDemand": {"a": {"priceDimensions": {"b": {"unit": "Hrs", "pricePerUnit": {"USD": "0.6540000000"}}}}}}
}


@pytest.fixture
async def db(dsn: str) -> AsyncIterator[Db]:
    async with open_db(dsn, max_size=4) as db:
        yield db


async def put(world: World, text: str, based_on: int | None) -> None:
    async with transaction(world.db) as conn:
        await append_version(conn, Change(text, parse_lab(text).lab, "ada", "api"), based_on)
    await sync_desired(world)


async def read_state(world: World) -> str | None:
    snapshot = await take_snapshot(world)
    assert snapshot is not None
    return snapshot.approval.state if snapshot.approval else None


async def test_a_dear_version_waits_until_it_is_approved_or_taken_back(db: Db, dsn: str) -> None:
    world = await lead_world(db, dsn)
    await put(world, CHEAP, None)
    assert await read_state(world) is None
    await put(world, DEAR, 1)
    assert await read_state(world) == "waiting"
    await put(world, DEAR.replace("size: 5", "size: 4"), 2)  # still dear beside the last one that was clear
    assert await read_state(world) == "waiting"
    await put(world, CHEAP + "# again\n", 3)
    assert await read_state(world) is None
    await put(world, DEAR, 4)
    async with transaction(db) as conn:
        assert await approve(conn, 5, "ada")
        assert not await approve(conn, 5, "eve")
    assert await read_state(world) == "approved"
    world.sight.declared = None  # another controller takes over: it asks nobody again
    await sync_desired(world)
    assert await read_state(world) == "approved"
    async with db.connection() as conn:
        events = await fetch(conn, "SELECT message FROM event WHERE reason = 'ApprovalNeeded'")
    assert len(events) == 3
    assert events[0]["message"].endswith("growth waits for `lablink approve 2`")


async def test_hours_of_vms_are_read_only_for_a_monthly_budget(db: Db, dsn: str) -> None:
    world = await lead_world(db, dsn)
    await put(world, CHEAP, None)
    spec = '{"instance_type": "g4dn.xlarge", "volume_type": "gp3", "volume_size": 50}'
    async with db.connection() as conn:
        await conn.execute(
            "INSERT INTO vm (hostname, pool, region, shard, generation, spec_hash, spec, phase, launched_at, ended_at)"
            " VALUES ('x-1', 'client', 'us-west-2', 1, 1, 'v1:0', %s, 'gone', now() - interval '1 hour', now())",
            (spec,),
        )
    snapshot = await take_snapshot(world)
    assert snapshot is not None
    assert snapshot.usage == ()
    await put(world, CHEAP.replace("approve_above: 1.0", "monthly: 10.0"), 1)
    snapshot = await take_snapshot(world)
    assert snapshot is not None
    (usage,) = snapshot.usage
    assert (usage.pool, usage.instance_type, usage.volume_size) == ("client", "g4dn.xlarge", 50)
    assert 0 < usage.hours <= 1


@contextmanager
def price_list(answer: Any, status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that answers GetProducts over HTTP as AWS does; the queries that came."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_prices_that_aws_tells_are_kept_with_their_date_and_asked_for_once_a_day(db: Db, dsn: str) -> None:
    with price_list({"FormatVersion": "aws_v1", "PriceList": [json.dumps(PRODUCT)]}) as (url, asked):
        world = await lead_world(db, dsn, ec2=Ec2(url, "key", "secret"))
        await put(world, CHEAP + "prices: {t3.large: 0.09}\n", None)
        await refresh_prices(world)
        await refresh_prices(world)
        snapshot = await take_snapshot(world)
    assert snapshot is not None
    (price,) = snapshot.live_prices
    assert (price.region, price.instance_type, price.usd) == ("us-west-2", "g4dn.xlarge", 0.654)
    assert len(asked) == 1
    wanted = {one["Field"]: one["Value"] for one in asked[0]["Filters"]}
    assert wanted["regionCode"] == "us-west-2"
    assert wanted["operatingSystem"] == "Linux"


async def test_an_aws_that_refuses_prices_leaves_everything_as_it_was(db: Db, dsn: str) -> None:
    refusal = {"__type": "AccessDeniedException", "Message": "not authorized to perform: pricing:GetProducts"}
    with price_list(refusal, 400) as (url, asked):
        world = await lead_world(db, dsn, ec2=Ec2(url, "key", "secret"))
        await put(world, CHEAP, None)
        await refresh_prices(world)
        assert asked
    async with db.connection() as conn:
        assert await read_live_prices(conn) == []


async def test_a_type_that_aws_does_not_list_has_no_live_price() -> None:
    with price_list({"FormatVersion": "aws_v1", "PriceList": []}) as (url, _):
        assert await ask_price(Ec2(url, "key", "secret"), "us-west-2", "x9.large") is None


def test_a_price_of_an_unknown_shape_is_no_price() -> None:
    assert read_usd(PRODUCT) == 0.654
    assert read_usd({"terms": {"OnDemand": {}}}) is None
    shapes: tuple[Any, ...] = ({}, [], {"terms": {"OnDemand": {"a": {"priceDimensions": {"b": {}}}}}})
    for nonsense in shapes:
        with pytest.raises(ValueError, match="unknown shape"):
            read_usd(nonsense)
