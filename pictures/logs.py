"""`logging-pipeline`: the way of a line from a client VM to who reads it, and of one that cannot be delivered."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from log_lambda import handler
from pictures.facts import Facts
from pictures.picture import Arrow, Card, Group, Picture
from pictures.things import list_rows, made_things

AGENT_FILE = re.compile(r'"file_path": "([^"]+)"')
DRIVER = re.compile(r"--log-driver (\w+)")
TARGET = re.compile(r'"(/api/[a-z-]+)"')
DAY_S = 86_400
GROUPS = (Group("vm", "Each client VM"), Group("aws", "AWS"), Group("allocator", "Allocator"))
ROLES = ("aws_iam_role", "aws_iam_role_policy")
AWS = ("client logs", "lambda", "dead letters", "own logs", "alarms")


def draw_logs(facts: Facts) -> Picture:
    cards = (*_on_the_vm(facts), *_in_aws(facts), *_on_the_allocator(facts))
    return Picture(
        title=f"{facts.name}: the way of a log line",
        about="Each line has an id and is stored once, however often it is sent.",
        cards=cards,
        arrows=tuple(one for one in _list_arrows() if {one.tail, one.head} <= {card.key for card in cards}),
        groups=GROUPS,
    )


def _on_the_vm(facts: Facts) -> Iterator[Card]:
    setup = (facts.terraform / "vms/setup.sh").read_text()
    yield Card("boot", "First boot", "script", tuple(AGENT_FILE.findall(setup)), group="vm")
    yield Card("agent", "CloudWatch agent", "cloudwatch", ("the boot's lines, and gauges",), group="vm")
    (driver,) = DRIVER.findall(setup)
    yield Card(
        "container", "Client container", "container", (f"Docker's log driver {driver}, without waiting",), group="vm"
    )


def _in_aws(facts: Facts) -> Iterator[Card]:
    made = made_things(facts.allocator)
    for key in AWS:
        if key in made:
            thing, resources = made[key]
            yield Card(
                key,
                thing.title,
                thing.icon,
                tuple(_words(key, facts)),
                list_rows(one for one in resources if one.type not in ROLES),
                group="aws",
            )
    topics = [one.shown.rpartition(":")[2] for one in facts.lab.notify if one.sns]
    if topics:
        yield Card("topic", "SNS", "topic", tuple(topics), group="aws")


def _words(key: str, facts: Facts) -> Iterator[str]:
    made = facts.allocator.made
    if key == "client logs":
        yield f"{made['aws_cloudwatch_log_group.client'].attribute('name')}, a stream a VM"
    if key == "lambda":
        yield "tries again while the allocator is away"
    if key == "dead letters":
        seconds = made["aws_sqs_queue.dead_letters"].attribute("message_retention_seconds")
        yield f"batches that it gave up, kept {seconds // DAY_S} days"
    if key == "alarms":
        yield ", ".join(one.key for one in made["aws_cloudwatch_metric_alarm.lablink"].instances)


def _on_the_allocator(facts: Facts) -> Iterator[Card]:
    (path,) = TARGET.findall(Path(handler.__file__).read_text())
    days = facts.lab.logs.database_days
    yield Card("api", "API", "program", (f"POST {path}",), group="allocator")
    yield Card("drain", "Look into the queue", "program", ("every minute; stores, then deletes",), group="allocator")
    yield Card(
        "table", "PostgreSQL", "postgresql", (f"vm_log: a partition a day, kept {days} days",), group="allocator"
    )
    collected = json.loads((facts.deploy / "host/cloudwatch.json").read_text())["logs"]["logs_collected"]["files"]
    files = tuple(one["file_path"] for one in collected["collect_list"])
    yield Card("host", "Logs of the machine itself", "document", files, group="allocator")
    yield Card("reader", "Pages, commands, programs", "person", ("as text, as JSON, or followed live",))


def _list_arrows() -> Iterator[Arrow]:
    yield Arrow("boot", "agent")
    yield Arrow("agent", "client logs", "lines")
    yield Arrow("container", "client logs", "lines")
    yield Arrow("client logs", "lambda", "batches, by the subscription filter")
    yield Arrow("lambda", "api", "lines with their ids")
    yield Arrow("lambda", "dead letters", "given up")
    yield Arrow("dead letters", "drain", "once the allocator is back")
    yield Arrow("drain", "api", back=True)
    yield Arrow("api", "table", "each id once")
    yield Arrow("table", "reader")
    yield Arrow("lambda", "own logs")
    yield Arrow("host", "own logs", "lines", back=True)
    yield Arrow("lambda", "alarms", "errors, throttles")
    yield Arrow("alarms", "topic")
