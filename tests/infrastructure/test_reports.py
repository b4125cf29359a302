"""What a running allocator tells AWS, and fetches from it: the alarm's figure, and log batches that waited for it."""

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from controller.ec2 import Ec2
from controller.metric import send_metric
from lablink.letters import drain_letters
from schemas.settings import Settings
from store.db import open_db
from tests.controller_world import KEY, lead_world
from tests.infrastructure.world import Cloud

LINES = [{"id": str(number), "timestamp": 1_700_000_000_000 + number, "message": f"line {number}"} for number in (1, 2)]
BATCH = {"messageType": "DATA_MESSAGE", "logGroup": "g", "logStream": "lablink-client-dev-1", "logEvents": LINES}


def letter() -> str:
    """As Lambda leaves a call that it could not get through."""
    return json.dumps({"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(BATCH).encode())).decode()}})


@contextmanager
def api(statuses: list[int]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Answers with these, one after the other; its port, and the bodies that it took."""
    taken: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = statuses.pop(0) if self.headers["Authorization"] == "Bearer lambda" else 401
            if status == 200:
                taken.append(body)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not into the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_port, taken
    server.shutdown()
    server.server_close()
    thread.join()


def settings(port: int) -> Settings:
    return Settings(database_dsn="", deployment_secret="s", encryption_key=KEY, log_token="lambda", port=port)


def test_undelivered_log_batches_are_stored_once_the_allocator_is_back(cloud: Cloud) -> None:
    sqs = cloud.client("sqs")
    queue = sqs.create_queue(QueueName="letters", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody=letter())
    with api([503, 200]) as (port, taken):
        with pytest.raises(httpx.HTTPStatusError):
            drain_letters(sqs, queue, settings(port))
        assert drain_letters(sqs, queue, settings(port)) == 1
        assert [one["events"] for one in taken] == [LINES]
        assert drain_letters(sqs, queue, settings(port)) == 0


def test_a_letter_that_cannot_be_stored_stays_for_a_person(cloud: Cloud) -> None:
    sqs = cloud.client("sqs")
    queue = sqs.create_queue(QueueName="unreadable", Attributes={"VisibilityTimeout": "600"})["QueueUrl"]
    for body in ("{}", "no JSON", letter()):
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    with api([400]) as (port, taken):
        assert (drain_letters(sqs, queue, settings(port)), taken) == (0, [])
    left = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert left["ApproximateNumberOfMessagesNotVisible"] == "3"


@pytest.mark.anyio
async def test_the_alarm_is_told_how_many_pools_have_not_converged(cloud: Cloud, dsn: str) -> None:
    async with open_db(dsn) as db:
        world = await lead_world(db, dsn, None, Ec2(cloud.url, "testing", "testing"))
        async with db.connection() as conn:
            await conn.execute(
                "INSERT INTO desired_version (version, author, source, yaml, document)"
                """ VALUES (1, 'a', 'api', 'pools: {}', '{"deployment": "alarms", "pools": {}}')"""
            )
            await conn.execute(
                """INSERT INTO pool (name, conditions, removed) VALUES ('well', '{"Converged": {"status": true}}', false),
                   ('ill', '{"Converged": {"status": false}}', false), ('new', '{}', false), ('gone', '{}', true)"""
            )
        await send_metric(world)
        assert figures(cloud) == []  # not asked for
        asking = world.settings.model_copy(update={"metrics": True})
        await send_metric(type(world)(db, world.lease, asking, world.ec2, world.wake))
        assert figures(cloud) == [2.0]


def figures(cloud: Cloud) -> list[float]:
    """As the alarm of infrastructure/alarms.tf reads them."""
    now = datetime.now(UTC)
    found = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="LabLink",
        MetricName="pools_not_converged",
        Dimensions=[{"Name": "deployment", "Value": "alarms"}, {"Name": "environment", "Value": "dev"}],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=5),
        Period=60,
        Statistics=["Minimum"],
    )
    return [point["Minimum"] for point in found["Datapoints"]]
