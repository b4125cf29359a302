"""A first boot, run: what is done in which order, what the allocator hears, and how each failure ends."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.client_tier.boot import AGENT, AllocatorStandIn, Machine
from tests.client_tier.module import LOG_GROUP, token_of

DOCKER_PULL = "docker pull --quiet ghcr.io/lablink/client:1"


def find_call(machine: Machine, start: str) -> str:
    (call,) = [call for call in machine.calls if call.startswith(start)]
    return call


def test_good_boot_reports_running_and_its_times(
    scripts: dict[str, str], machine: Machine, allocator: AllocatorStandIn
) -> None:
    code, log = machine.boot(scripts["plain"])
    assert code == 0, log
    assert allocator.statuses() == ["initializing", "running"]
    assert allocator.authorizations == {f"Bearer {token_of('plain')}"}
    (times,) = allocator.bodies("/api/vm-metrics/plain")
    assert times is not None
    assert times["cloud_init_end"] - times["cloud_init_start"] == times["cloud_init_duration_seconds"] >= 0
    assert times["container_end"] - times["container_start"] == times["container_startup_duration_seconds"] >= 0
    assert abs(time.time() - times["container_end"]) < 60


def test_container_gets_its_environment_by_file_and_logs_to_the_vms_stream(
    scripts: dict[str, str], machine: Machine
) -> None:
    machine.boot(scripts["plain"])
    run = find_call(machine, "docker run")
    assert f"--env-file {machine.root}/etc/lablink/client.env" in run
    assert f"--log-opt awslogs-group={LOG_GROUP} --log-opt awslogs-stream=plain" in run
    assert "--restart unless-stopped" in run
    assert "--gpus" not in run
    assert run.endswith(" ghcr.io/lablink/client:1")
    assert machine.calls.index(DOCKER_PULL) < machine.calls.index(run)


def test_cloudwatch_agent_ships_the_boot_log_under_the_host_name(scripts: dict[str, str], machine: Machine) -> None:
    machine.boot(scripts["plain"])
    config_path = machine.root / "etc/lablink/cloudwatch.json"
    assert find_call(machine, "amazon-cloudwatch-agent-ctl").endswith(f"-c file:{config_path}")
    config = json.loads(config_path.read_text())
    assert config["logs"]["logs_collected"]["files"]["collect_list"] == [
        {"file_path": "/var/log/cloud-init-output.log", "log_group_name": LOG_GROUP, "log_stream_name": "plain"}
    ]
    assert config["metrics"]["namespace"] == "LabLink"
    assert config["metrics"]["append_dimensions"] == {"InstanceId": "${aws:InstanceId}"}
    assert "nvidia_gpu" not in config["metrics"]["metrics_collected"]


def test_gpu_vm_gets_the_nvidia_runtime_and_gpu_gauges(scripts: dict[str, str], machine: Machine) -> None:
    code, log = machine.boot(scripts["gpu"])
    assert code == 0, log
    assert machine.calls.index("nvidia-ctk runtime configure --runtime=docker") < machine.calls.index(
        "systemctl restart docker"
    )
    assert " --gpus all " in find_call(machine, "docker run")
    config = json.loads((machine.root / "etc/lablink/cloudwatch.json").read_text())
    assert "utilization_gpu" in config["metrics"]["metrics_collected"]["nvidia_gpu"]["measurement"]


def test_what_the_ami_lacks_is_installed(scripts: dict[str, str], machine: Machine) -> None:
    for name in ("docker", "nvidia-ctk"):
        machine.remove_program(name)
    (machine.root / AGENT).unlink()
    code, log = machine.boot(scripts["gpu"])
    assert code == 0, log
    installs = [
        call.split(" install ")[1] for call in machine.calls if call.startswith("apt-get") and " install " in call
    ]
    assert installs == ["docker.io", "nvidia-container-toolkit"]
    assert find_call(machine, "dpkg --install").endswith("amazon-cloudwatch-agent.deb")
    repository = (machine.root / "etc/apt/sources.list.d/nvidia-container-toolkit.list").read_text()
    assert repository.startswith("deb [signed-by=")
    assert repository.endswith("/stable/deb/amd64 /\n")


def test_ami_without_docker_and_apt_get_says_so(scripts: dict[str, str], machine: Machine) -> None:
    machine.remove_program("docker")
    machine.remove_program("apt-get")
    code, log = machine.boot(scripts["plain"])
    assert code == 1
    assert "docker.io is missing and this AMI has no apt-get" in log


def test_start_up_script_sees_the_vm_but_not_its_token(scripts: dict[str, str], machine: Machine) -> None:
    _, log = machine.boot(scripts["plain"])
    assert "hello from plain" in log
    seen = (machine.root / "startup-environment").read_text()
    assert "SUBJECT_SOFTWARE" in seen
    assert "API_TOKEN" not in seen


def test_failing_start_up_script_goes_on_when_told_to_continue(
    scripts: dict[str, str], machine: Machine, allocator: AllocatorStandIn
) -> None:
    code, log = machine.boot(scripts["bad-continue"])
    assert code == 0
    assert "start-up script ended with exit code 7; on_error is 'continue'" in log
    assert allocator.statuses() == ["initializing", "running"]


def test_failing_start_up_script_ends_the_boot_when_told_to_fail(
    scripts: dict[str, str], machine: Machine, allocator: AllocatorStandIn
) -> None:
    code, log = machine.boot(scripts["bad-fail"])
    assert code == 7
    assert "step 'run the start-up script' failed with exit code 7" in log
    assert allocator.statuses() == ["initializing", "error"]
    assert not [call for call in machine.calls if call.startswith("docker run")]


@pytest.mark.parametrize(
    ("call", "step"),
    [
        ("amazon-cloudwatch-agent-ctl -a", "start the CloudWatch agent"),
        ("systemctl enable", "start Docker"),
        ("nvidia-smi ", "prepare the GPU"),
        ("docker pull", "start the client container"),
        ("docker run", "start the client container"),
        ("systemctl daemon-reload", "start the reporter"),
    ],
)
def test_any_failing_step_is_named_and_reported_as_error(
    scripts: dict[str, str], machine: Machine, allocator: AllocatorStandIn, call: str, step: str
) -> None:
    machine.fail(call)
    code, log = machine.boot(scripts["gpu"])
    assert code in (1, 3)
    assert f"step '{step}' failed with exit code {code}" in log
    assert allocator.statuses() == ["initializing", "error"]


def test_image_is_pulled_three_times_before_it_counts_as_failed(scripts: dict[str, str], machine: Machine) -> None:
    machine.fail("docker pull")
    machine.boot(scripts["plain"])
    assert machine.calls.count(DOCKER_PULL) == 3


def test_boot_waits_for_an_allocator_that_is_away_for_a_while(scripts: dict[str, str], tmp_path: Path) -> None:
    away = AllocatorStandIn()
    with Machine(tmp_path, away.url).start(scripts["plain"]) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        away.open()
        log, _ = process.communicate(timeout=60)
    away.close()
    assert process.returncode == 0, log
    assert away.statuses() == ["initializing", "running"]


def test_boot_goes_on_when_the_allocator_knows_nothing_of_it(
    scripts: dict[str, str], machine: Machine, allocator: AllocatorStandIn
) -> None:
    refused = (404, {"error": "unknown VM"})
    allocator.answers = {"/api/vm-status": refused, "/api/vm-metrics/plain": refused}
    code, log = machine.boot(scripts["plain"])
    assert code == 0
    assert "did not take the status 'running'" in log
    assert (machine.root / "var/lib/lablink/status").read_text() == "running\n"


def test_reporter_is_a_timer_that_survives_reboots(scripts: dict[str, str], machine: Machine) -> None:
    machine.boot(scripts["plain"])
    units = machine.root / "etc/systemd/system"
    assert "OnUnitInactiveSec=15s" in (units / "lablink-reporter.timer").read_text()
    assert "WantedBy=timers.target" in (units / "lablink-reporter.timer").read_text()
    assert f"{machine.root}/usr/local/lib/lablink/reporter.py" in (units / "lablink-reporter.service").read_text()
    assert "systemctl enable --now lablink-reporter.timer" in machine.calls
