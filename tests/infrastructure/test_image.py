"""The allocator's image, built without a Docker daemon: its services answer from it, and a build that is cut short leaves nothing."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist" / "image"
BUILD = [str(ROOT / "deploy" / "image"), "--no-tar"]
NEEDED = ("buildah", "mmdebstrap", "unshare", "setpriv", "flock", "curl", "apt-get")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "AWS_", "LABLINK_"))}


def need_builders() -> None:
    """In CI everything has to be there; elsewhere a machine may lack what builds images."""
    lacks = [name for name in NEEDED if not shutil.which(name)] + (["root"] if os.geteuid() else [])
    if lacks and os.environ.get("CI") == "true":
        pytest.fail(f"the image cannot be built: this machine lacks {', '.join(lacks)}; `.ci/run` as root installs it")
    if lacks:
        pytest.skip(
            f"the image is not built, for this machine lacks {', '.join(lacks)}: `apt-get install buildah mmdebstrap`, as root"
        )


def read_command(process: Path) -> str:
    """Empty for one that has ended meanwhile."""
    with suppress(OSError):
        return (process / "cmdline").read_bytes().decode(errors="replace")
    return ""


def left_behind() -> list[str]:
    """Folders of builds, and whatever runs in one or is mounted there."""
    folders = [str(path) for path in DIST.glob("work.*")]
    running = [command for command in map(read_command, Path("/proc").glob("[0-9]*")) if f"{DIST}/work." in command]
    mounted = [line for line in Path("/proc/mounts").read_text().splitlines() if f"{DIST}/work." in line]
    return folders + running + mounted


def interrupt_a_build() -> int:
    """Its exit status, after SIGTERM while the base is made."""
    with subprocess.Popen(BUILD, env=ENVIRONMENT, stderr=subprocess.DEVNULL) as build:
        while not any("mmdebstrap" in one for one in left_behind()):
            assert build.poll() is None, "the build ended by itself"
            time.sleep(0.1)
        build.send_signal(signal.SIGTERM)
        return build.wait(60)


@pytest.mark.timeout(600)
def test_services_answer_from_a_built_image_and_nothing_is_left_however_a_build_ends() -> None:
    need_builders()
    assert interrupt_a_build() == 128 + signal.SIGTERM
    assert left_behind() == []
    done = subprocess.run(BUILD, env=ENVIRONMENT, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Terraform v" in done.stdout or "OpenTofu v" in done.stdout
    asked = [sys.executable, "-m", "hatchling", "version"]
    built = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    assert f"lablink {built}\n" in done.stdout
    assert '"database":true' in done.stdout.replace(" ", "")
    assert left_behind() == []
