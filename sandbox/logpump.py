"""CloudWatch's subscription in the sandbox: new lines of moto's log groups go to the real Lambda handler as real events.

(Moto's own subscriptions want Docker.) `sandbox.up` runs it; where it got to is kept in `<data>/logpump.json`. A line may
be handed over twice after a crash, as with AWS; its id makes the allocator store it once.
"""

import base64
import gzip
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import anyio
import structlog
from botocore.exceptions import BotoCoreError, ClientError

from log_lambda.handler import handler
from sandbox.folder import Folder, write_private

log = structlog.get_logger()

LOOK_S = 1.0
OWNER = "123456789012"  # moto's account
OVERLAP_MS = 5_000  # lines that came late with an earlier time are found by looking back this far
BATCH = 500
TRIES = 3

Event = dict[str, Any]
Handler = Callable[[Event, Any], object]


def subscription_event(group: str, stream: str, lines: Iterable[Event]) -> Event:
    """The event that CloudWatch Logs sends a Lambda: gzip and base64 around JSON
    (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html).
    """
    content = {
        "messageType": "DATA_MESSAGE",
        "owner": OWNER,
        "logGroup": group,
        "logStream": stream,
        "subscriptionFilters": ["lablink"],
        "logEvents": [{"id": e["eventId"], "timestamp": e["timestamp"], "message": e["message"]} for e in lines],
    }
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(content).encode())).decode()}}


class Invocation:
    """The context of a Lambda call: how long it may take. Short, so that one stream's trouble does not hold up the others."""

    def get_remaining_time_in_millis(self) -> int:
        return 5_000


class LogPump:
    def __init__(self, logs: Any, handler: Handler, kept: Path) -> None:
        self._logs = logs  # a boto3 client
        self._handler = handler
        self._kept = kept
        self._since = _read_since(kept)  # log group → time (ms) before which every line was handed over
        self._done: dict[str, dict[str, int]] = {}  # log group → id → time, of lines handed over since then
        self._refused: Counter[str] = Counter()  # log stream → times in a row, while others were taken

    async def run(self) -> None:
        """Until cancelled. What CloudWatch or the allocator refuses now is handed over later."""
        while True:
            try:
                await anyio.to_thread.run_sync(self.pump_once, abandon_on_cancel=True)
            except (BotoCoreError, ClientError, OSError) as error:
                log.warning("the log lines cannot be moved on; trying again", error=str(error))
            await anyio.sleep(LOOK_S)

    def pump_once(self) -> int:
        """Hand over what is new; how many lines that was."""
        before = dict(self._since)
        groups = [g["logGroupName"] for page in self._pages("describe_log_groups") for g in page["logGroups"]]
        count = sum(self._pump_group(group) for group in groups)
        if self._since != before:
            write_private(self._kept, json.dumps(self._since))
        return count

    def _pump_group(self, group: str) -> int:
        done = self._done.setdefault(group, {})
        since = self._since.get(group, 0)
        pages = self._pages("filter_log_events", logGroupName=group, startTime=max(0, since - OVERLAP_MS))
        fresh = [line for page in pages for line in page["events"] if line["eventId"] not in done]
        fresh.sort(key=itemgetter("logStreamName", "timestamp"))
        streams = [(name, list(lines)) for name, lines in groupby(fresh, key=itemgetter("logStreamName"))]
        refused = [(stream, lines) for stream, lines in streams if not self._hand_over(group, stream, lines)]
        if len(refused) < len(streams):
            self._give_up_some(group, refused)
        waiting = [line["timestamp"] for line in fresh if line["eventId"] not in done]
        self._since[group] = min(waiting, default=max([since, *(line["timestamp"] for line in fresh)]))
        self._done[group] = {name: at for name, at in done.items() if at >= self._since[group] - OVERLAP_MS}
        return len(fresh) - len(waiting)

    def _hand_over(self, group: str, stream: str, lines: list[Event]) -> bool:
        """Whether the handler took all of them."""
        for start in range(0, len(lines), BATCH):
            batch = lines[start : start + BATCH]
            try:
                self._handler(subscription_event(group, stream, batch), Invocation())
            except Exception as error:
                log.warning("the log handler failed", stream=stream, lines=len(lines) - start, error=str(error))
                return False
            self._mark(group, batch)
        self._refused.pop(stream, None)
        return True

    def _give_up_some(self, group: str, refused: list[tuple[str, list[Event]]]) -> None:
        """What is refused three times while others are taken is left out, as AWS would put it into the dead-letter queue."""
        for stream, lines in refused:
            self._refused[stream] += 1
            if self._refused[stream] >= TRIES:
                log.warning("lines are left out", stream=stream, lines=len(lines))
                self._mark(group, lines)

    def _mark(self, group: str, lines: list[Event]) -> None:
        self._done[group].update((line["eventId"], line["timestamp"]) for line in lines)

    def _pages(self, name: str, **arguments: Any) -> Iterable[Event]:
        return self._logs.get_paginator(name).paginate(**arguments)  # type: ignore[no-any-return]


async def run_log_pump(logs: Any, url: str, folder: Folder) -> None:
    """Run the real handler on all log groups until cancelled; `logs` is a boto3 client of the sandbox's AWS."""
    os.environ.update(ALLOCATOR_URL=url, LOG_TOKEN=folder.log_token)  # how a Lambda is told
    await LogPump(logs, handler, folder.path / "logpump.json").run()


def _read_since(path: Path) -> dict[str, int]:
    with suppress(OSError, ValueError, TypeError):
        return {str(group): int(at) for group, at in json.loads(path.read_text()).items()}
    return {}
