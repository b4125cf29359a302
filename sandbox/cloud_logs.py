"""CloudWatch in the sandbox, as the VMs' agents write to it: lines are gathered and put into moto in batches.

Used by `sandbox.clients`; `run` owns the one thread that calls moto's logs.
"""

import time
from collections import defaultdict
from contextlib import suppress
from typing import Any

import anyio
import structlog
from botocore.exceptions import BotoCoreError, ClientError

log = structlog.get_logger()

FLUSH_S = 1.0
KEPT_LINES = 10_000  # while CloudWatch refuses; beyond that the oldest go, as in the real agent

Stream = tuple[str, str]  # log group, log stream


class CloudLogs:
    def __init__(self, logs: Any) -> None:
        self._logs = logs  # a boto3 client
        self._waiting: dict[Stream, list[dict[str, Any]]] = defaultdict(list)
        self._known: set[Stream] = set()

    def write(self, group: str, stream: str, line: str) -> None:
        """Remember a line with the time of now; it is sent within a second or two."""
        lines = self._waiting[group, stream]
        lines.append({"timestamp": time.time_ns() // 1_000_000, "message": line})
        del lines[:-KEPT_LINES]

    async def run(self) -> None:
        """For ever: send what has come."""
        while True:
            await anyio.sleep(FLUSH_S)
            waiting, self._waiting = self._waiting, defaultdict(list)
            for stream, lines in waiting.items():
                await self._send(stream, lines)

    async def _send(self, stream: Stream, lines: list[dict[str, Any]]) -> None:
        try:
            await anyio.to_thread.run_sync(self._put, stream, lines)
        except (BotoCoreError, ClientError) as error:
            self._known.discard(stream)
            self._waiting[stream] = lines + self._waiting[stream]
            log.warning("log lines could not be put into CloudWatch; they are kept", stream=stream[1], error=str(error))

    def _put(self, stream: Stream, lines: list[dict[str, Any]]) -> None:
        group, name = stream
        if stream not in self._known:
            self._create(self._logs.create_log_group, logGroupName=group)
            self._create(self._logs.create_log_stream, logGroupName=group, logStreamName=name)
            self._known.add(stream)
        self._logs.put_log_events(logGroupName=group, logStreamName=name, logEvents=lines)

    def _create(self, call: Any, **names: str) -> None:
        with suppress(self._logs.exceptions.ResourceAlreadyExistsException):
            call(**names)
