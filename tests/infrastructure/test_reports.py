"""What a running allocator tells AWS, and fetches from it: the figures of alarms, and log batches that waited for it."""

import base64
import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.ec2 import Ec2
from controller.loop import reconcile_once
from controller.metric import send_metric
from lablink.letters import drain_letters
from schemas.document import parse_lab
from schemas.settings import Settings
from schemas.snapshot import Listing
from store.db import open_db, transaction
from store.desired import Change, append_version
from tests.controller_world import KEY, lead_world
from tests.infrastructure.world import REGION, Cloud

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


DOCUMENT = """
deployment: {name}
backup: {{bucket: example-backups, every: 1h}}
budget: {{hourly: 1}}
allocator: {{cloudwatch: {what}}}
pools: {{client: {{size: 2, ami: ami-12345678}}, spare: {{size: 0, ami: ami-12345678}}}}
"""
WATCHED = (
    "pools_not_converged",
    "tick_age_seconds",
    "troubles_critical",
    "people_waiting",
    "wait_longest_seconds",
    "vms_broken",
    "runs_failed",
    "budget_used_percent",
    "backups_missed",
)
FILL = """
INSERT INTO run (state_key, pool, token, must_end_by, ended_at, outcome)
SELECT 'client/us-west-2/1', 'client', n, now(), now(), 'failed' FROM generate_series(1, 3) n;
INSERT INTO assignment (pool, email, crd_code, pin, created_at)
VALUES ('spare', 'ada@example.org', '4/abc', '123456', now() - interval '20 minutes');
UPDATE deployment SET created_at = now() - interval '3 hours';
"""


async def report(cloud: Cloud, dsn: str, name: str, *, what: str, asked: bool = True) -> None:
    """One tick of a lab with two pools, and what it then tells."""
    async with open_db(dsn) as db:
        world = await lead_world(db, dsn, None, Ec2(cloud.url, "testing", "testing"))
        settings = world.settings.model_copy(update={"metrics": asked})
        world = type(world)(db, world.lease, settings, world.ec2, world.wake)
        lab = parse_lab(text := DOCUMENT.format(name=name, what=what)).lab
        async with transaction(db) as conn:
            await append_version(conn, Change(text, lab, "ada", "api"), None)
            await conn.execute(FILL)
        world.sight.listings[REGION] = Listing(region=REGION, taken_at=datetime.now(UTC))
        await reconcile_once(world)
        await send_metric(world)


@pytest.mark.anyio
async def test_alarms_are_told_what_they_watch(cloud: Cloud, dsn: str) -> None:
    await report(cloud, dsn, "alarms", what="alarms")
    told = find_figures(cloud, "alarms")
    assert told.keys() == {("", name) for name in WATCHED}
    seen = {name: told["", name] for name in WATCHED}
    assert seen["pools_not_converged"] == 1
    assert seen["runs_failed"] == 3
    assert seen["people_waiting"] == 1
    assert 1200 <= seen["wait_longest_seconds"] < 1500
    assert 3 <= seen["backups_missed"] < 3.1
    assert seen["budget_used_percent"] > 5  # the allocator's own machine
    assert 0 <= seen["tick_age_seconds"] < 60
    assert seen["vms_broken"] == seen["troubles_critical"] == 0


def test_each_alarm_watches_a_figure_that_is_told_and_is_in_the_runbook() -> None:
    root = Path(__file__).parents[2]
    text, runbook = (root / "infrastructure/alarms.tf").read_text(), (root / "deploy/RUNBOOK.md").read_text()
    alarms = re.findall(r"^    ([a-z0-9-]+) += { namespace", text, re.M)
    assert len(alarms) >= 14
    assert [name for name in alarms if f"\n| {name} | " not in runbook] == []
    block = text[text.index("lab_alarms") : text.index("lambda_alarms")]
    watched = re.findall(r'metric = "(\w+)"', block)
    assert len(watched) == 8
    assert set(watched) <= set(WATCHED)


@pytest.mark.anyio
async def test_each_pool_is_told_of_where_that_is_asked_for(cloud: Cloud, dsn: str) -> None:
    await report(cloud, dsn, "bypool", what="pools")
    told = find_figures(cloud, "bypool")
    assert {name: told["client", name] for name in ("vms_wanted", "vms_ready", "runs_failed", "people_waiting")} == {
        "vms_wanted": 2, "vms_ready": 0, "runs_failed": 3, "people_waiting": 0,
    }  # fmt: skip
    assert told["spare", "people_waiting"] == 1


@pytest.mark.anyio
@pytest.mark.parametrize(("what", "asked"), [("none", True), ("pools", False)])
async def test_nothing_is_told_where_it_is_not_wanted(cloud: Cloud, dsn: str, what: str, asked: bool) -> None:
    await report(cloud, dsn, f"silent-{what}", what=what, asked=asked)
    assert find_figures(cloud, f"silent-{what}") == {}


def find_figures(cloud: Cloud, deployment: str) -> dict[tuple[str, str], float]:
    """By pool (none: the deployment) and name, as an alarm reads them."""
    cloudwatch, now = cloud.client("cloudwatch"), datetime.now(UTC)
    mine = {"Name": "deployment", "Value": deployment}
    found = {}
    for metric in cloudwatch.list_metrics(Namespace="LabLink")["Metrics"]:
        if mine not in metric["Dimensions"]:
            continue
        period = {"StartTime": now - timedelta(minutes=5), "EndTime": now + timedelta(minutes=5), "Period": 60}
        read = cloudwatch.get_metric_statistics(**metric, **period, Statistics=["Minimum"])
        (point,) = read["Datapoints"]
        pool = next((one["Value"] for one in metric["Dimensions"] if one["Name"] == "pool"), "")
        found[pool, metric["MetricName"]] = point["Minimum"]
    return found
