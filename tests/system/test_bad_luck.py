"""Bad luck in the whole process: each trouble is said in a sentence, costs nothing that was there, and heals when its cause goes."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from sandbox.aws import RunningAws, start_aws
from store.db import open_db, transaction
from store.seat import drain_seat
from tests.system.lab import Lab, open_lab
from tests.system.small_disk import SmallDisk, open_small_disk


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAws]:
    with start_aws(tmp_path_factory.mktemp("aws")) as aws:
        yield aws


@pytest.fixture
def lab(dsn: str, tmp_path: Path, aws: RunningAws) -> Iterator[Lab]:
    with open_lab(dsn, tmp_path, aws) as lab:
        yield lab


def start(lab: Lab, size: int, more: str = "") -> None:
    lab.declare(size, more)
    lab.start_controller()
    lab.wait_for_size(size)


def forget_pauses(lab: Lab) -> None:
    """As if the pauses after failures were over."""
    lab.rows("UPDATE run SET ended_at = ended_at - interval '1 hour' WHERE outcome <> 'succeeded' RETURNING 1")
    lab.rows("UPDATE pool SET failed_at = failed_at - interval '3 hours' RETURNING 1")


def holds(lab: Lab, kind: str, *words: str, pool: str = "client") -> Callable[[], bool]:
    """Whether a pool has this trouble, in a sentence with these words."""

    def check() -> bool:
        found = lab.condition(kind, pool)
        return bool(found.get("status")) and all(word in found["message"] for word in words)

    return check


def is_over(lab: Lab, kind: str, pool: str = "client") -> Callable[[], bool]:
    return lambda: not lab.condition(kind, pool).get("status")


def says(lab: Lab, kind: str, status: bool, *words: str) -> Callable[[], bool]:
    """Whether the deployment has this condition, in a sentence with these words."""

    def check() -> bool:
        found = lab.deployment_condition(kind)
        return found.get("status") is status and all(word in found["message"] for word in words)

    return check


def ticks(lab: Lab, number: int) -> None:
    """That many renewals of the lease, one a second."""
    begun = lab.row("SELECT expires_at FROM lease")["expires_at"]
    lab.wait("some ticks", lambda: (lab.row("SELECT expires_at FROM lease")["expires_at"] - begun).seconds >= number)


def test_missing_credentials_are_said_and_found_once_they_are_there(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del lab.environment[name]
    lab.environment |= {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_EC2_METADATA_DISABLED": "true"}
    lab.declare(1)
    lab.start_controller()
    lab.wait("the sentence", says(lab, "ObserveOnly", True, "could not be checked", "credentials"))
    assert lab.rows("SELECT FROM event WHERE subject = 'deployment' AND reason = 'ObserveOnly'")
    assert not lab.rows("SELECT FROM run")
    file.write_text("[default]\naws_access_key_id = test\naws_secret_access_key = test\n")
    lab.wait_for_size(1)
    assert says(lab, "ObserveOnly", False)()
    lab.fault({"on": "DescribeInstances", "error": "AuthFailure", "message": "not able to validate the credentials"})
    lab.declare(2)
    lab.wait("the next sentence", says(lab, "CloudReachable", False, "us-west-2", "correct them or their policy"))
    lab.wait("the pool's own", lambda: lab.condition("Observed").get("status") is False)
    lab.end_faults()
    lab.wait_for_size(2)
    assert says(lab, "CloudReachable", True)()


def test_credentials_of_another_account_change_nothing(lab: Lab) -> None:
    start(lab, 2)
    names = lab.live()
    lab.stop_controllers()
    (pinned,) = lab.rows("SELECT account_id FROM deployment")
    lab.rows("UPDATE deployment SET account_id = '999999999999' RETURNING 1")
    lab.declare(1)
    lab.start_controller()
    lab.wait("the sentence", says(lab, "ObserveOnly", True, pinned["account_id"], "lives in 999999999999"))
    lab.wait("the reason of the pool", lambda: "999999999999" in lab.condition("Converged")["message"])
    ticks(lab, 3)
    assert lab.live() == names
    assert lab.instances().total() == 2
    lab.rows(f"UPDATE deployment SET account_id = '{pinned['account_id']}' RETURNING 1")
    lab.wait_for_size(1)
    assert says(lab, "ObserveOnly", False)()


def test_terraform_that_is_not_there_is_said_and_used_once_it_is(lab: Lab, tmp_path: Path) -> None:
    binary = tmp_path / "bin" / "terraform"
    lab.environment["LABLINK_TERRAFORM"] = str(binary)
    lab.declare(1)
    lab.start_controller()
    lab.wait("the sentence", holds(lab, "ApplyFailed", str(binary), "Install terraform or tofu"))
    found = shutil.which("terraform")
    assert found
    binary.parent.mkdir()
    binary.symlink_to(found)
    lab.wait_for_size(1)
    assert is_over(lab, "ApplyFailed")()


@pytest.mark.parametrize("backend", ["database", "local"])
def test_a_disk_that_fills_up_in_mid_apply_costs_no_instance(lab: Lab, tmp_path: Path, backend: str) -> None:
    with open_small_disk(tmp_path / "work") as disk:
        head = f"state: {{backend: {backend}}}\n"
        lab.declare(1, head=head)
        lab.start_controller()
        disk.limit(lab.controllers[0].pid)
        lab.wait_for_size(1)
        fill_up_in_mid_apply(lab, disk, head)
        lab.declare(5, head=head)
        forget_pauses(lab)
        lab.wait("the sentence", holds(lab, "ApplyFailed", "make room"))
        disk.free()
        forget_pauses(lab)
        lab.wait_for_size(5, within_s=90)
    assert lab.calls()["RunInstances"] == 5
    assert is_over(lab, "ApplyFailed")()


def fill_up_in_mid_apply(lab: Lab, disk: SmallDisk, head: str) -> None:
    lab.fault({"latency": {"RunInstances": 0.3}})
    lab.declare(4, head=head)
    lab.wait("some instances", lambda: lab.instances().total() >= 2)
    disk.fill()
    lab.wait("the end of the run", lambda: not lab.rows("SELECT FROM run WHERE ended_at IS NULL"))
    lab.end_faults()


def test_a_log_that_cannot_be_written_stops_nothing(lab: Lab) -> None:
    log = lab.folder / "controller-0.log"
    log.symlink_to("/dev/full")
    lab.declare(1)
    lab.start_controller()
    log.unlink()
    lab.fault({"listing": "error", "times": 3})  # which is worth a line
    lab.wait_for_size(1)
    assert lab.controllers[0].poll() is None


def test_aws_that_answers_500_is_said_and_tried_again(lab: Lab) -> None:
    start(lab, 1)
    lab.fault({"on": "RunInstances", "error": "500"})
    lab.declare(2)
    lab.wait("the sentence", holds(lab, "ApplyFailed", "in trouble"))
    lab.wait("its pause", holds(lab, "BackingOff", "1 failed run"))
    lab.end_faults()
    lab.fault({"on": "DescribeInstances", "error": "500"})
    forget_pauses(lab)
    lab.wait("the next sentence", says(lab, "CloudReachable", False, "listing the instances of us-west-2"))
    lab.end_faults()
    lab.wait_for_size(2)
    lab.wait("all to be well", is_over(lab, "BackingOff"))
    assert is_over(lab, "ApplyFailed")()
    assert says(lab, "CloudReachable", True)()


def test_listings_that_lack_instances_end_nothing_and_make_nothing(lab: Lab) -> None:
    start(lab, 6)
    names = lab.live()
    for lie in ("short", "empty"):
        lab.rows("UPDATE vm SET launched_at = now() RETURNING 1")
        lab.fault({"listing": lie})
        ticks(lab, 4)
        assert lab.present() == names  # while they are young, nobody wonders
        lab.rows("UPDATE vm SET launched_at = launched_at - interval '1 hour' RETURNING 1")
        lab.wait("doubts", holds(lab, "FleetSuspect", "lost at once, of 6"))
        ticks(lab, 2)
        assert lab.live() == names
        lab.end_faults()
        lab.wait("the end of all doubt", is_over(lab, "FleetSuspect"))
    lab.wait_for_size(6)
    calls = lab.calls()
    assert (lab.live(), calls["RunInstances"], calls.get("TerminateInstances", 0)) == (names, 6, 0)


def test_stale_and_slow_listings_delay_and_do_no_harm(lab: Lab) -> None:
    start(lab, 2)
    lab.fault({"listing": "stale"})
    lab.declare(3)
    lab.wait("the third", lambda: len(lab.live()) == 3)
    ticks(lab, 3)
    assert len(lab.live()) == 3
    lab.end_faults()
    lab.fault({"listing": "slow", "seconds": 1.5})
    lab.declare(1)
    lab.wait_for_size(1)
    calls = lab.calls()
    assert (calls["RunInstances"], calls["TerminateInstances"]) == (3, 2)


def test_real_losses_wait_for_a_persons_word(lab: Lab) -> None:
    start(lab, 4)
    lost = lab.live()[:3]
    lab.fault({"listing": "stale"})  # so that no listing shows one loss without the others
    for row in lab.rows("SELECT instance_id FROM vm WHERE phase = 'live' ORDER BY hostname LIMIT 3"):
        lab.fault({"kill": row["instance_id"]})
    lab.end_faults()
    lab.wait("doubts", holds(lab, "FleetSuspect", "3 VMs lost at once", "`lablink retry POOL`"))
    ticks(lab, 3)
    assert (len(lab.present()), lab.calls()["RunInstances"]) == (4, 4)
    anyio.run(give_up, lab.dsn, lost)
    lab.wait_for_size(4)
    assert not set(lost) & set(lab.live())
    assert is_over(lab, "FleetSuspect")()


async def give_up(dsn: str, hostnames: list[str]) -> None:
    """What `retry` and `replace` of the API do to VMs that nobody has."""
    async with open_db(dsn) as db:
        for hostname in hostnames:
            async with transaction(db) as conn:
                await drain_seat(conn, "client", hostname)


def test_a_type_without_capacity_gives_way_to_the_next_and_is_tried_again_later(lab: Lab) -> None:
    lab.fault({"on": "RunInstances", "error": "InsufficientInstanceCapacity", "where": {"InstanceType": "t3.large"}})
    types = "pools:\n  client:\n    size: {}\n    instance_type: [t3.large, t3.xlarge]\n"
    lab.file.write_text(types.format(2))
    lab.start_controller()
    lab.wait_for_size(2)
    assert types_of(lab) == ["t3.xlarge", "t3.xlarge"]
    assert [row["instance_type"] for row in lab.rows("SELECT instance_type FROM refusal")] == ["t3.large"]
    assert lab.row("SELECT failures FROM pool") == {"failures": 0}
    lab.end_faults()
    lab.rows("UPDATE refusal SET refused_at = refused_at - interval '4 minutes' RETURNING 1")
    lab.file.write_text(types.format(3))
    lab.wait_for_size(3)
    assert types_of(lab) == ["t3.large", "t3.xlarge", "t3.xlarge"]


def types_of(lab: Lab) -> list[str]:
    return [
        row["type"] for row in lab.rows("SELECT spec->>'instance_type' AS type FROM vm WHERE phase = 'live' ORDER BY 1")
    ]


def test_a_pool_without_quota_stalls_alone(lab: Lab) -> None:
    only_second = {"tag:lablink:pool": "second"}
    lab.fault({"on": "RunInstances", "error": "VcpuLimitExceeded", "where": only_second})
    second = "  second:\n    size: 1\n    instance_type: t3.large\n"
    lab.declare(1, second)
    lab.start_controller()
    lab.wait("the sentence", holds(lab, "ApplyFailed", "Service Quotas", pool="second"))
    lab.wait("its pause", holds(lab, "BackingOff", "quota", pool="second"))
    lab.declare(3, second)
    lab.wait("the other pool", lambda: lab.instances().total() == 3)
    lab.rows("UPDATE pool SET failures = 4 WHERE name = 'second' RETURNING 1")
    forget_pauses(lab)
    lab.wait("its stall", holds(lab, "Stalled", "5 failed runs in a row (quota)", pool="second"))
    lab.end_faults()
    lab.fault({"on": "RunInstances", "error": "RequestLimitExceeded", "times": 2})
    forget_pauses(lab)
    lab.wait_for_size(4)
    lab.wait("its health", is_over(lab, "Stalled", "second"))
    assert is_over(lab, "BackingOff", "second")()
    assert is_over(lab, "ApplyFailed", "second")()
