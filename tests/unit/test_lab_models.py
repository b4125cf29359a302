"""What a valid `Lab` looks like, what is filled in, and which single fields are refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.lab import (
    Admin,
    Backup,
    Budget,
    Course,
    CronWindow,
    Database,
    Demand,
    Dns,
    Eip,
    Lab,
    Logs,
    Notify,
    Pool,
    Ssl,
    State,
    Window,
)

HASH = "$2b$12$" + "a" * 53
DATES = {"from": "2026-12-01T09:00-08:00", "to": "2026-12-03T18:00-08:00"}


def lab(**fields: Any) -> Lab:
    return Lab.model_validate({"pools": {}, **fields})


def pool(**fields: Any) -> Pool:
    return lab(pools={"client": fields}).pools["client"]


def test_what_is_left_out_does_nothing_by_itself() -> None:
    left_out = lab(pools={"client": {}})
    client = left_out.pools["client"]
    assert (client.size, client.instance_type, client.market) == (0, ("g4dn.xlarge",), "on-demand")
    assert (client.session.max, client.session.idle, client.session.after) == (None, None, "replace")
    assert (client.health.boot, client.health.silent) == (timedelta(minutes=20), timedelta(minutes=5))
    assert (client.health.gpu, client.health.reboot_first, client.health.assigned) == ("require", False, "notify")
    assert (client.update.surge, client.update.unavailable, client.update.assigned) == (1, 1, "wait")
    assert (client.drift, client.orphans, client.paused, client.schedule) == ("report", "report", False, ())
    assert (left_out.vm_auth, left_out.repeat, left_out.seat_hold) == ("token", "pin", timedelta(minutes=5))
    assert (left_out.ssl.provider, left_out.dns.enabled, left_out.public_queries) == ("none", False, False)
    assert (left_out.state.backend, left_out.database.mode, left_out.budget) == ("database", "embedded", Budget())
    assert (left_out.courses, left_out.notify, left_out.admin) == ({}, (), None)


def test_a_pool_without_region_lives_in_the_deployments() -> None:
    both = lab(
        region="eu-west-1",
        pools={
            "near": {"ami": "ami-0601752c11b394251"},
            "far": {"region": "us-east-1", "ami": "/aws/service/x/ami-id"},
        },
    )
    assert both.pools["near"].region == "eu-west-1"
    assert both.pools["far"].region == "us-east-1"


def test_a_lab_is_made_of_models_as_well_as_of_text() -> None:
    made = Lab(pools={"client": Pool(size=3, instance_type=("g5.xlarge",))})
    assert made == lab(pools={"client": {"size": 3, "instance_type": "g5.xlarge"}})
    assert made.pools["client"].region == "us-west-2"


def test_a_lab_and_its_parts_cannot_be_changed() -> None:
    frozen = lab(pools={"client": {}})
    with pytest.raises(ValidationError, match="frozen"):
        frozen.pools["client"].size = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    "fields",
    [
        {"instance_type": "g4dn.metal"},
        {"instance_type": ["u-6tb1.112xlarge", "m7i.metal-24xl", "t4g.nano"]},
        {"zones": "us-west-2a"},
        {"zones": ["us-west-2b", "us-west-2-lax-1a"]},
        {"ami": "ami-12345678"},
        {"ami": {"us-west-2": "ami-12345678", "eu-west-1": "ami-87654321"}},
        {"ami": "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"},
        {"image": "ubuntu"},
        {"image": "localhost:5000/a/b_c:V1.2-x@sha256:" + "0" * 64},
        {"repository": ""},
        {"startup_script": {"path": "deploy/startup.sh", "on_error": "fail"}},
        {"startup_script": {"path": "..startup/a..b.sh"}},
        {"ssh": {"ingress": ["203.0.113.0/24", "2001:db8::/32", "0.0.0.0/0"]}},
        {"update": {"surge": 0, "unavailable": 1}},
    ],
)
def test_good_fields_of_a_pool(fields: dict[str, Any]) -> None:
    assert set(fields) <= pool(**fields).model_fields_set


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"size": True}, "valid integer"),
        ({"size": "5"}, "valid integer"),
        ({"size": 5.0}, "valid integer"),
        ({"size": -1}, "greater than or equal to 0"),
        ({"size": 1_000_000}, "less than or equal to 1000"),
        ({"size": {"min": 5, "max": 2}}, "must not be above max"),
        ({"paused": 1}, "valid boolean"),
        ({"instance_type": []}, "at least 1"),
        ({"instance_type": "g4dn"}, "EC2 instance type"),
        ({"instance_type": ["g5.xlarge", "g5.xlarge"]}, "twice"),
        ({"zones": ["us-east-1a"]}, "is not in us-west-2"),
        ({"ami": "ami-XYZ"}, "id of an AMI"),
        ({"ami": "resolve:ssm:/x"}, "id of an AMI"),
        ({"ami": {"eu-west-1": "ami-12345678"}}, "names no AMI for us-west-2"),
        ({"region": "eu-west-1"}, "has no default AMI for eu-west-1"),
        ({"volume": {"size": 4}}, "greater than or equal to 8"),
        ({"volume": {"size": 20_000}}, "less than or equal to 16384"),
        ({"volume": {"type": "st1"}}, "gp3"),
        ({"image": "ghcr.io/UPPER/case"}, "container image"),
        ({"image": "a b"}, "container image"),
        ({"image": "x\nCMD=y"}, "container image"),
        ({"repository": "git@github.com:a/b.git"}, "http"),
        ({"repository": "https://x.org/a\nrm -rf /"}, "http"),
        ({"repository": "https://x.org/$(reboot)"}, "http"),
        ({"software": "sleap\n"}, "name of a process"),
        ({"software": "sleap; reboot"}, "name of a process"),
        ({"extension": ".slp"}, "without its dot"),
        ({"startup_script": {"path": "../startup.sh"}}, "below the folder"),
        ({"startup_script": {"path": "a/../../startup.sh"}}, "below the folder"),
        ({"startup_script": {"path": "a/.."}}, "below the folder"),
        ({"startup_script": {"path": "/etc/passwd"}}, "below the folder"),
        ({"startup_script": {"path": ""}}, "below the folder"),
        ({"ssh": {"ingress": ["203.0.113.7"]}}, "CIDR"),
        ({"ssh": {"ingress": ["10.0.0.5/8"]}}, "CIDR"),
        ({"update": {"surge": 0, "unavailable": 0}}, "cannot both be 0"),
        ({"health": {"boot": "20"}}, "duration"),
        ({"health": {"boot": "0s"}}, "longer than zero"),
        ({"access_code": "a b"}, "4 to 100"),
        ({"sise": 4}, "Extra inputs"),
    ],
)
def test_bad_fields_of_a_pool(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        pool(**fields)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"format": 2}, "must be 1"),
        ({"format": True}, "must be 1"),
        ({"deployment": "Lab"}, "lower-case"),
        ({"deployment": "lab-"}, "lower-case"),
        ({"deployment": "internal-lab"}, "AWS reserves"),
        ({"environment": "a" * 21}, "at most 20"),
        ({"deployment": "a" * 20, "environment": "b" * 8}, "too long for a load balancer in AWS by 1 "),
        ({"pools": {"p" * 45: {}}}, "too long for a host name by 1 "),
        ({"pools": {"p" * 36: {}}}, "too long for an IAM role in AWS by 1 "),
        ({"pools": {"Client": {}}}, "lower-case"),
        ({"region": "us-west-9"}, "there is no AWS region"),
        ({"vm_auth": "hostname", "public_queries": True}, "must be false with vm_auth hostname"),
        ({"repeat": "open", "pools": {"client": {}}}, "needs an access_code"),
        ({"ssl": {"provider": "cloudflare"}}, "needs dns.domain"),
        ({"seat_hold": 5}, "with its unit"),
    ],
)
def test_bad_fields_of_the_whole(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        lab(**fields)


def test_names_at_the_limit_are_fine() -> None:
    assert lab(deployment="a" * 20, environment="b" * 7).deployment == "a" * 20
    assert "p" * 35 in lab(pools={"p" * 35: {}}).pools


@pytest.mark.parametrize("prefix", ["2a", "2b", "2y"])
def test_each_kind_of_bcrypt_hash_is_taken(prefix: str) -> None:
    assert Admin(password_hash=f"${prefix}$12$" + "a" * 53).user == "admin"


@pytest.mark.parametrize("password", ["hunter2-secret", 4815162342, "$2b$12$short-secret", "$1$" + "secret" * 9, None])
def test_a_plain_password_is_refused_and_never_repeated(password: object) -> None:
    with pytest.raises(ValidationError, match="lablink hash-password") as refused:
        lab(admin={"password_hash": password})
    assert "secret" not in str(refused.value)
    assert "4815162342" not in str(refused.value)


def test_the_hash_is_not_shown_by_repr() -> None:
    assert HASH not in repr(lab(admin={"password_hash": HASH}))


@pytest.mark.parametrize(
    ("model", "fields", "sentence"),
    [
        (Database, {"mode": "rds"}, "instance_class"),
        (Database, {"mode": "external", "multi_az": True}, "rds alone"),
        (State, {"backend": "s3"}, "needs a bucket"),
        (State, {"bucket": "states"}, "s3 alone"),
        (State, {"lock": "dynamodb"}, "s3 alone"),
        (Dns, {"enabled": True}, "domain is needed"),
        (Dns, {"domain": "not a domain"}, "domain name"),
        (Dns, {"create_zone": True, "zone_id": "Z0123456789"}, "choose one"),
        (Ssl, {"provider": "letsencrypt"}, "needs an email"),
        (Ssl, {"provider": "acm"}, "certificate_arn"),
        (Eip, {"allocation_id": "eipalloc-0123456789abcdef0"}, "persistent alone"),
        (Logs, {"cloudwatch_days": 8}, "retention that CloudWatch knows"),
        (Backup, {"bucket": "UPPER"}, "S3 bucket"),
        (Budget, {"hourly": 0}, "greater than 0"),
        (Budget, {"monthly": True}, "valid number"),
        (Notify, {"on": ["PoolStalled"]}, "exactly one"),
        (Notify, {"on": ["PoolStalled"], "webhook": "http://x.org/"}, "https://"),
        (Notify, {"on": ["PoolStalled"], "email": "a@x.org", "slack": "https://x.org/"}, "exactly one"),
        (Notify, {"severity": "dire", "email": "a@x.org"}, "critical"),
        (Notify, {"on": ["pool stalled"], "email": "a@x.org"}, "name of a condition"),
        (Course, {**DATES, "pool": "client", "seats": 0}, "greater than or equal to 1"),
        (Course, {"pool": "client", "seats": 1, "from": DATES["to"], "to": DATES["from"]}, "after `from`"),
        (Window, {**DATES, "size": 3, "to": "2026-12-03T18:00"}, "offset from UTC"),
        (Window, {**DATES, "size": 3, "to": "tomorrow"}, "date and time"),
        (Window, {**DATES, "size": 3, "to": 1796000000}, "date and time"),
        (Window, {**DATES, "size": 3, "from": "2026-12-03T18:00-08:00"}, "after `from`"),
        (CronWindow, {"cron": "0 9 * *", "for": "8h", "size": 1}, "five fields"),
        (CronWindow, {"cron": "0 25 * * *", "for": "8h", "size": 1}, "for the hour"),
        (CronWindow, {"cron": "0 9 * * fri-mon", "for": "8h", "size": 1}, "day of week"),
        (CronWindow, {"cron": "*/0 9 * * *", "for": "8h", "size": 1}, "minute"),
        (CronWindow, {"cron": "0 9 * * *", "for": "0h", "size": 1}, "longer than zero"),
        (CronWindow, {"cron": "0 9 * * *", "for": "8h", "size": 1, "timezone": "Mars/Olympus"}, "no time zone"),
        (Demand, {"min": 1}, "Field required"),
    ],
)
def test_bad_parts(model: Any, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        model.model_validate(fields)


@pytest.mark.parametrize("cron", ["0 9 * * mon-fri", "*/15 8-18/2 1,15 JAN-mar 0-7", "59 23 31 12 sun"])
def test_good_cron_expressions(cron: str) -> None:
    window = CronWindow.model_validate({"cron": cron, "for": "8h", "size": 2, "timezone": "America/Los_Angeles"})
    assert (window.cron, window.lasts) == (cron, timedelta(hours=8))


def test_moments_keep_their_instant() -> None:
    window = Window.model_validate({**DATES, "size": 20, "lead": "15m"})
    assert window.from_at == datetime(2026, 12, 1, 17, tzinfo=UTC)
    assert Window.model_validate(window.model_dump(mode="json")) == window
