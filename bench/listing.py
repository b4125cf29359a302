"""What a listing of 1,000 instances costs beside botocore's reading of the same answers, and how long it holds up the event loop."""

import gc
import time
from functools import partial
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import anyio
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from bench.figure import Figure, figure_of, time_cpu_ms
from controller.ec2 import PAGE, Ec2
from sandbox.aws import start_aws

COUNT, REPEATS = 1_000, 5
RATIO_LIMIT, LOOP_MS = 1.1, 50
REGION = "us-west-2"
TICK_S = 0.005


class _Answer:
    """A body as botocore's connections hand it over."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> list[bytes]:
        return [self._body]


def measure_listing() -> list[Figure]:
    """By CPU time of this process, worker threads included; AWS's answers, once got from its stand-in, are given again without it."""
    gc.collect()
    gc.freeze()  # as the controller does at its start
    deployment, ours, bare, held = uuid4(), [], [], []
    ec2 = Ec2("http://127.0.0.1:9", "t", "t", REGION)
    client = ec2._client("ec2", REGION)
    answers = cycle(_make_answers(deployment))
    client.meta.events.register(
        "before-send.ec2.DescribeInstances",
        lambda request, **_: AWSResponse(request.url, 200, HTTPHeaders(), _Answer(next(answers))),
    )
    for turn in range(REPEATS):
        bare += time_cpu_ms(partial(_page, client, deployment), 1, warm_up=not turn)
        ours += time_cpu_ms(lambda: anyio.run(ec2.list_instances, REGION, deployment), 1, warm_up=not turn)
        held.append(anyio.run(_watch, ec2, deployment))
    return [
        figure_of(f"listing {COUNT:,} instances, beside botocore's parse", ours, RATIO_LIMIT, baselines=bare),
        figure_of("longest stop of the event loop meanwhile", held, LOOP_MS, note="a worker thread lists"),
    ]


def _make_answers(deployment: UUID) -> list[bytes]:
    """The bodies of a listing, page by page: what AWS's stand-in says of one instance, as often as wanted."""
    bodies: list[bytes] = []
    with TemporaryDirectory(prefix="lablink-bench-") as folder, start_aws(Path(folder)) as aws:
        client = Ec2(aws.url, "t", "t", REGION)._client("ec2", REGION)
        tags = {"lablink:deployment-id": str(deployment), "lablink:pool": "client", "lablink:generation": "1"}
        told = [{"Key": key, "Value": value} for key, value in tags.items()]
        made = client.run_instances(
            ImageId="ami-12345678",
            InstanceType="t3.large",
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": told}],
        )
        client.meta.events.register(
            "before-parse.ec2.DescribeInstances", lambda response_dict, **_: bodies.append(response_dict["body"])
        )
        client.describe_instances()
    return [_repeat(bodies[0], made["Instances"][0]["InstanceId"].encode(), n) for n in range(COUNT // PAGE)]


def _repeat(body: bytes, instance_id: bytes, page: int) -> bytes:
    """A page of instances like this one; all pages but the last name a next one."""
    before, begin, rest = body.partition(b"<reservationSet>")
    item, end, after = rest.partition(b"</reservationSet>")
    items = (item.replace(instance_id, b"i-%017d" % n) for n in range(page * PAGE, (page + 1) * PAGE))
    more = b"<nextToken>%d</nextToken>" % page if page < COUNT // PAGE - 1 else b""
    return b"".join([before, begin, *items, end, more, after])


def _page(client: Any, deployment: UUID) -> None:
    """What botocore alone does: answers are received and read."""
    filters = [{"Name": "tag:lablink:deployment-id", "Values": [str(deployment)]}]
    pages = client.get_paginator("describe_instances").paginate(Filters=filters, PaginationConfig={"PageSize": PAGE})
    assert sum(len(r["Instances"]) for page in pages for r in page["Reservations"]) == COUNT


async def _watch(ec2: Ec2, deployment: UUID) -> float:
    """A listing; the longest pause between two turns of the loop, in milliseconds."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            begun = time.perf_counter()
            await anyio.sleep(TICK_S)
            longest = max(longest, time.perf_counter() - begun - TICK_S)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        assert len(await ec2.list_instances(REGION, deployment)) == COUNT
        tasks.cancel_scope.cancel()
    return longest * 1000
