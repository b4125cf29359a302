"""Log batches that the Lambda could not deliver while the allocator was away: fetched from their queue and stored, once it is back.

`lablink serve` runs it where LABLINK_DEAD_LETTERS names the queue. A batch leaves the queue after it was stored, and the API stores each
line once, so a crash in between costs nothing. https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

import json
from typing import Any

import anyio
import httpx
import structlog
from anyio import to_thread
from botocore.exceptions import BotoCoreError, ClientError

from lablink.keys import make_client
from log_lambda.handler import decode, split
from schemas.settings import Settings

log = structlog.get_logger()

LOOK_S = 60.0
BATCH = 10  # the most that SQS gives at once


async def keep_drained(queue: str | None, settings: Settings) -> None:
    """For ever; nothing without a queue."""
    while queue:
        try:
            stored = await to_thread.run_sync(drain_letters, make_client("sqs"), queue, settings)
            if stored:
                log.info("log batches that had not been delivered are stored", batches=stored)
        except (ClientError, BotoCoreError, httpx.HTTPError) as error:
            log.warning("undelivered log batches could not be fetched", error=str(error))
        await anyio.sleep(LOOK_S)


def drain_letters(sqs: Any, queue: str, settings: Settings) -> int:
    """How many batches were stored; what the API refuses stays in the queue until it expires."""
    url = f"http://127.0.0.1:{settings.port}/api/vm-logs"
    token = {"Authorization": f"Bearer {settings.log_token.get_secret_value()}", "Content-Type": "application/json"}
    stored = 0
    with httpx.Client(headers=token, timeout=30.0, trust_env=False) as http:
        while letters := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=BATCH).get("Messages", []):
            for letter in letters:
                if _store(http, url, letter["Body"]):
                    sqs.delete_message(QueueUrl=queue, ReceiptHandle=letter["ReceiptHandle"])
                    stored += 1
    return stored


def _store(http: httpx.Client, url: str, letter: str) -> bool:
    """Whether every line of a letter, which is the event of one call of the Lambda, is stored now. Raises while the API is away."""
    try:
        bodies = list(split(decode(json.loads(letter))))
    except (ValueError, RecursionError) as error:
        log.warning("a letter in the queue of undelivered log batches is none", error=str(error))
        return False
    for body in bodies:
        answer = http.post(url, content=body)
        if answer.is_server_error or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            answer.raise_for_status()
        if not answer.is_success:
            log.warning("the API refuses a log batch", status=answer.status_code, said=answer.text[:200])
            return False
    return True
