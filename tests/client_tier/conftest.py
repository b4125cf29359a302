"""What the tests of `terraform/` share: moto and the provider stand-in, scratch copies of the modules (`module.py`),
and a machine to boot (`boot.py`). All of it ends with the tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from mypy_boto3_ec2 import EC2Client

from sandbox.aws_provider.serve import serve_reattach
from sandbox.moto_server import MotoServer
from tests.client_tier.boot import AllocatorStandIn, Machine
from tests.client_tier.module import REGION, Module, render_script, vm

LINES_OF_STARTUP = 'echo "hello from $VM_NAME"\nexport >"$LABLINK_ROOT/startup-environment"\n'


class Cloud:
    """moto and the provider stand-in; `environment` is what a terraform needs to reach them."""

    def __init__(self) -> None:
        self._moto = MotoServer()
        self.url = self._moto.url
        self._provider = serve_reattach(
            endpoint_url=self.url, region=REGION, access_key="testing", secret_key="testing"
        )
        self.environment = self._provider.environment
        self.ec2: EC2Client = boto3.client(
            "ec2",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def stop(self) -> None:
        self._provider.stop()
        self._moto.stop()


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    running = Cloud()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def open_module(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Module]:
    return lambda name: Module(name, tmp_path_factory.mktemp(name) / name, cloud.environment)


@pytest.fixture(scope="session")
def scripts(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """User data as Terraform renders them, by name of the case, of VMs that know the allocator `ALLOCATOR`."""
    module = Module("vms", tmp_path_factory.mktemp("scripts") / "vms", cloud.environment)
    cases = {
        "plain": vm(startup_script=LINES_OF_STARTUP),
        "no-startup": vm(startup_script=""),
        "gpu": vm(startup_script="", gpu=True),
        "bad-continue": vm(startup_script="exit 7\n", startup_on_error="continue"),
        "bad-fail": vm(startup_script="exit 7\n", startup_on_error="fail"),
        "hostile": vm(
            startup_script=LINES_OF_STARTUP,
            repository="https://x/$(touch pwned)`touch pwned`;touch pwned",
            software='it\'s "quoted" $HOME ${HOME} %{x} \\ & | é',
        ),
    }
    return render_script(module, cases)


@pytest.fixture
def allocator() -> Iterator[AllocatorStandIn]:
    listening = AllocatorStandIn()
    listening.open()
    yield listening
    listening.close()


@pytest.fixture
def machine(tmp_path: Path, allocator: AllocatorStandIn) -> Machine:
    return Machine(tmp_path, allocator.url)
