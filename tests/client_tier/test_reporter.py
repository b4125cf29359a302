"""The reporter that the user data install, run look by look: what the allocator hears, and when the client in the
container is started again for a newer Chrome Remote Desktop command."""

import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.client_tier.boot import AllocatorStandIn, Machine

SUBSCRIBE = "11 /home/client/.venv/bin/python /home/client/.venv/bin/subscribe allocator.host=x allocator.port=80"
WATCHER = "12 python /home/client/.venv/bin/update_inuse_status client.software=sleap"
CRD = "13 /opt/google/chrome-remote-desktop/chrome-remote-desktop-host --audio-pipe-name=x"
NOISE = "14 tail -F /home/client/logs/subscribe.log"
CLIENT = "/api/v1/client/plain"
START = "docker exec --detach lablink-client sh -c"
PATIENCE_LOOKS = 6


@pytest.fixture
def booted(scripts: dict[str, str], machine: Machine, allocator: AllocatorStandIn) -> Machine:
    code, log = machine.boot(scripts["plain"])
    assert code == 0, log
    allocator.calls.clear()
    assign(allocator, 0)
    return machine


def assign(allocator: AllocatorStandIn, version: int) -> None:
    allocator.answers[CLIENT] = (200, {"code_version": version, "assigned": version > 0})


def heartbeats(allocator: AllocatorStandIn) -> list[dict[str, Any]]:
    return [body for body in allocator.bodies(f"{CLIENT}/heartbeat") if body]


def delivered(allocator: AllocatorStandIn) -> int | None:
    version: int | None = heartbeats(allocator)[-1]["code_version_delivered"]
    return version


def starts(machine: Machine) -> int:
    return len([call for call in machine.calls if call.startswith(START)])


def test_heartbeat_tells_boot_use_and_gauges(booted: Machine, allocator: AllocatorStandIn) -> None:
    booted.look([SUBSCRIBE, WATCHER])
    (beat,) = heartbeats(allocator)
    assert (beat["code_version_delivered"], beat["in_use"]) == (None, False)
    assert len(beat["boot_id"]) == 36
    assert set(beat["gauges"]) == {"cpu_percent", "memory_percent", "disk_usage"}
    assert all(0 <= value <= 100 for value in beat["gauges"].values())


def test_every_look_beats_and_what_did_not_change_is_said_once(booted: Machine, allocator: AllocatorStandIn) -> None:
    for _ in range(3):
        booted.look([SUBSCRIBE])
    assert len(heartbeats(allocator)) == 3
    assert allocator.statuses() == ["running"]
    assert len(allocator.bodies("/api/gpu_health")) == 1
    assert len(allocator.bodies("/api/update_inuse_status")) == 1


def test_software_in_the_container_means_in_use(booted: Machine, allocator: AllocatorStandIn) -> None:
    booted.look([WATCHER])
    booted.look([WATCHER, "20 python /opt/conda/bin/sleap-label video.mp4"])
    booted.look([WATCHER])
    told = [body["status"] for body in allocator.bodies("/api/update_inuse_status") if body]
    assert told == [False, True, False]


def test_without_a_container_use_is_unknown(booted: Machine, allocator: AllocatorStandIn) -> None:
    booted.look(None)
    assert heartbeats(allocator)[0]["in_use"] is None
    assert allocator.bodies("/api/update_inuse_status") == []


def test_first_command_taken_by_the_images_own_client_is_acknowledged(
    booted: Machine, allocator: AllocatorStandIn
) -> None:
    booted.look([SUBSCRIBE])
    assign(allocator, 1)
    booted.look([SUBSCRIBE, NOISE])
    assert delivered(allocator) is None
    booted.look([CRD, NOISE])
    assert delivered(allocator) == 1
    assert starts(booted) == 0


def test_newer_command_starts_subscribe_again_and_is_acknowledged_after_it(
    booted: Machine, allocator: AllocatorStandIn
) -> None:
    assign(allocator, 1)
    booted.look([CRD])
    assign(allocator, 2)
    booted.look([CRD])
    assert starts(booted) == 1
    assert delivered(allocator) == 1, "the old connection proves nothing for the new command"
    booted.look([CRD, SUBSCRIBE])
    assert delivered(allocator) == 1
    booted.look([CRD])
    assert delivered(allocator) == 2
    assert starts(booted) == 1


def test_second_subscribe_never_starts_beside_a_living_one(booted: Machine, allocator: AllocatorStandIn) -> None:
    assign(allocator, 1)
    booted.look([SUBSCRIBE])
    assign(allocator, 2)
    booted.look([SUBSCRIBE])
    assert starts(booted) == 0


def test_image_that_is_still_starting_is_left_its_time(booted: Machine, allocator: AllocatorStandIn) -> None:
    assign(allocator, 1)
    for _ in range(PATIENCE_LOOKS - 1):
        booted.look([NOISE])
    assert starts(booted) == 0
    booted.look([NOISE])
    assert starts(booted) == 1


@pytest.fixture
def hanging() -> Iterator[subprocess.Popen[bytes]]:
    """A process of this test's own that stands for a subscribe that hangs."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_subscribe_that_hangs_is_ended_and_started_again(
    booted: Machine, allocator: AllocatorStandIn, hanging: subprocess.Popen[bytes]
) -> None:
    assign(allocator, 1)
    for _ in range(PATIENCE_LOOKS):
        booted.look([f"{hanging.pid} python /home/client/.venv/bin/subscribe"])
    assert hanging.wait(timeout=10) < 0
    booted.look([NOISE])
    assert starts(booted) == 1


def test_older_allocator_without_these_endpoints_is_tolerated(booted: Machine, allocator: AllocatorStandIn) -> None:
    allocator.answers = {CLIENT: (404, {}), f"{CLIENT}/heartbeat": (404, {})}
    assert booted.look([SUBSCRIBE]) == ""
    assert allocator.statuses() == ["running"]


def test_what_the_allocator_did_not_take_is_said_again(booted: Machine, allocator: AllocatorStandIn) -> None:
    allocator.answers["/api/vm-status"] = (503, {})
    assert "503" in booted.look([SUBSCRIBE])
    del allocator.answers["/api/vm-status"]
    booted.look([SUBSCRIBE])
    booted.look([SUBSCRIBE])
    assert allocator.statuses() == ["running", "running"]


def test_look_without_an_allocator_ends_well_and_keeps_the_token_to_itself(
    booted: Machine, allocator: AllocatorStandIn
) -> None:
    allocator.close()
    printed = booted.look([SUBSCRIBE])
    assert "refused" in printed
    assert "token.of" not in printed


def test_memory_cut_off_by_a_power_loss_is_forgotten(booted: Machine, allocator: AllocatorStandIn) -> None:
    (booted.root / "var/lib/lablink/reporter.json").write_text('{"offered": 1, "del')
    booted.look([SUBSCRIBE])
    assert len(heartbeats(allocator)) == 1


def test_gpu_is_healthy_with_gauges_until_it_no_longer_answers(
    scripts: dict[str, str], machine: Machine, allocator: AllocatorStandIn
) -> None:
    machine.boot(scripts["gpu"])
    machine.look([SUBSCRIBE])
    machine.fail("nvidia-smi --query-gpu=utilization.gpu,memory.used,temperature.gpu")
    machine.look([SUBSCRIBE])
    gauges = {"gpu_utilization": 40, "gpu_memory_used": 1024, "gpu_temperature": 70}
    assert allocator.bodies("/api/gpu_health") == [
        {"hostname": "gpu", "gpu_status": "Healthy", **gauges},
        {"hostname": "gpu", "gpu_status": "Unhealthy"},
    ]
    beat = allocator.bodies("/api/v1/client/gpu/heartbeat")[0]
    assert beat is not None
    assert gauges.items() <= beat["gauges"].items()


def declare(machine: Machine, **changes: str) -> None:
    """As if the user data had said so."""
    path = machine.root / "etc/lablink/client.env"
    path.write_text(path.read_text() + "".join(f"{name}={value}\n" for name, value in changes.items()))


def test_notice_that_a_spot_instance_is_taken_back_is_told(booted: Machine, allocator: AllocatorStandIn) -> None:
    notice = "/latest/meta-data/spot/instance-action"
    allocator.answers[notice] = (404, {})
    declare(booted, LABLINK_SPOT="true")
    booted.look([SUBSCRIBE])
    allocator.answers[notice] = (200, {"action": "terminate", "time": "2026-12-01T09:02:00Z"})
    booted.look([SUBSCRIBE])
    declare(booted, LABLINK_SPOT="false")
    booted.look([SUBSCRIBE])
    assert [beat.get("reclaim_at") for beat in heartbeats(allocator)] == [None, "2026-12-01T09:02:00Z", None]


POWEROFF = "systemctl poweroff"


def test_unused_vm_whose_allocator_is_silent_shuts_down(booted: Machine, allocator: AllocatorStandIn) -> None:
    declare(booted, LABLINK_ABANDONED_S="3600")
    booted.look([SUBSCRIBE])
    remember(booted, answered_s_ago=3700)
    booted.look([SUBSCRIBE])
    assert POWEROFF not in booted.calls, "it answers"
    remember(booted, answered_s_ago=3700)
    allocator.close()
    booted.look([CRD])
    assert POWEROFF not in booted.calls, "somebody is connected"
    assert "shuts down" in booted.look([SUBSCRIBE])
    assert booted.calls.count(POWEROFF) == 1


def test_vm_whose_allocator_was_just_lost_stays(booted: Machine, allocator: AllocatorStandIn) -> None:
    declare(booted, LABLINK_ABANDONED_S="3600")
    allocator.close()
    booted.look([SUBSCRIBE])
    booted.look([SUBSCRIBE])
    declare(booted, LABLINK_ABANDONED_S="0")
    remember(booted, answered_s_ago=999_999)
    booted.look([SUBSCRIBE])
    assert POWEROFF not in booted.calls


def remember(machine: Machine, answered_s_ago: float) -> None:
    path = machine.root / "var/lib/lablink/reporter.json"
    known = json.loads(path.read_text())
    path.write_text(json.dumps(known | {"answered_at": time.time() - answered_s_ago}))


RENEW = f"{CLIENT}/renew"
RUN = "docker run --detach --name lablink-client "


def refuse(allocator: AllocatorStandIn, renewing: str | None = "keep") -> None:
    """The VM's person is gone: its token does not hold any more."""
    allocator.answers |= {
        CLIENT: (401, {}),
        f"{CLIENT}/heartbeat": (401, {}),
        RENEW: (200, {"token": "new-token", "renewing": renewing}),
    }


def after_looks(machine: Machine) -> list[str]:
    """What was done to the container and the machine since its first boot."""
    calls = [call for call in machine.calls if call.startswith((RUN, "docker rm", "systemctl reboot"))]
    return [" ".join(call.split()[:2]) for call in calls[1:]]


def test_next_person_gets_a_new_container_with_the_new_token(booted: Machine, allocator: AllocatorStandIn) -> None:
    booted.look([CRD])
    refuse(allocator)
    booted.look([CRD])
    assert after_looks(booted) == ["docker rm", "docker run"]
    assert "API_TOKEN=new-token" in (booted.root / "etc/lablink/client.env").read_text().splitlines()
    (asked,) = allocator.bodies(RENEW)
    assert asked is not None
    said = {beat["renewal_key"] for beat in heartbeats(allocator)}
    assert said == {hashlib.sha256(asked["key"].encode()).hexdigest()}
    assign(allocator, 1)
    del allocator.answers[f"{CLIENT}/heartbeat"]
    booted.look([CRD])
    assert delivered(allocator) == 1, "what the last person had proves nothing"
    assert after_looks(booted) == ["docker rm", "docker run"]
    assert "Bearer new-token" in allocator.authorizations


def test_reboot_lies_between_two_people_where_it_is_asked_for(booted: Machine, allocator: AllocatorStandIn) -> None:
    refuse(allocator, "reboot")
    booted.look([CRD])
    allocator.answers.clear()
    booted.look(None)
    assert after_looks(booted) == ["docker rm", "systemctl reboot"] * 2, "until it does"
    path = booted.root / "var/lib/lablink/reporter.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"renewed_in": "the boot before"}))
    booted.look(None)
    assert after_looks(booted)[4:] == ["docker rm", "docker run"]


def test_container_that_could_not_be_started_is_tried_again(booted: Machine, allocator: AllocatorStandIn) -> None:
    refuse(allocator)
    booted.fail("docker run")
    booted.look([CRD])
    booted.fail()
    allocator.answers.clear()
    booted.look(None)
    assert after_looks(booted) == ["docker rm", "docker run"] * 2
    booted.look([SUBSCRIBE])
    assert len(after_looks(booted)) == 4


def test_token_that_another_record_gives_leaves_the_desktop_alone(booted: Machine, allocator: AllocatorStandIn) -> None:
    refuse(allocator, None)
    booted.look([CRD])
    assert after_looks(booted) == []
    allocator.answers[RENEW] = (403, {})
    assert "renew" in booted.look([CRD])
    assert after_looks(booted) == []
