"""A reader with an AWS account and an allocator's host: moto, Terraform's provider stand-in, a record, `lablink serve` behind `systemctl`."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import psycopg

from lablink.ports import free_port
from sandbox import postgres
from tests.infrastructure.world import AMI, REGION, Cloud
from tests.system.manual_pages import ROOT, blocks_of, type_in
from tests.system.stand_ins import put_on_path, runs

PASSWORD = "as-the-reader-likes"
PATIENCE_S = 90.0
RECORD = "test_manual"
WITHIN_A_MINUTE = ("lablink release", "lablink adopt")


@dataclass
class AllocatorHost:
    """`folder` is the reader's, with the document of the manual; `stand_ins` what is the reader's own of its examples."""

    folder: Path
    cloud: Cloud
    server: str
    env: dict[str, str]
    stand_ins: dict[str, str]

    def systemctl(self, verb: str) -> None:
        subprocess.run(["systemctl", verb, "lablink"], env=self.env, cwd=self.folder, check=True, timeout=PATIENCE_S)

    def type_in(self, commands: list[str]) -> None:
        type_in(self.folder, self.env, "\n".join(map(_as_meant, commands)), self.stand_ins)

    # -- what happens to it -------------------------------------------------------------------------

    def an_older_vm_is_there(self) -> None:
        tag = {"Key": "Name", "Value": "lablink-vm-lab-3"}
        self.cloud.client("ec2").run_instances(
            ImageId=AMI, InstanceType="g4dn.xlarge", MinCount=1, MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": [tag]}],
        )  # fmt: skip

    def the_machine_is_lost(self) -> None:
        self.before, self.kept = self.allocators(), self.volumes()[0]["VolumeId"]
        self.cloud.client("ec2").terminate_instances(InstanceIds=self.before)

    def the_volume_is_lost(self) -> None:
        """A snapshot stays. Until then volume and address had gone over to the new machine."""
        ec2 = self.cloud.client("ec2")
        (volume,), (address,), (machine,) = self.volumes(), self.addresses(), self.allocators()
        assert machine not in self.before
        assert [one["InstanceId"] for one in volume["Attachments"]] == [machine]
        assert address["InstanceId"] == machine
        assert volume["VolumeId"] == self.kept or "snap-…" in self.stand_ins
        self.stand_ins["snap-…"] = ec2.create_snapshot(VolumeId=volume["VolumeId"])["SnapshotId"]
        self.stand_ins["ZONE"] = volume["AvailabilityZone"]
        for attached in volume["Attachments"]:
            ec2.detach_volume(VolumeId=volume["VolumeId"], InstanceId=attached["InstanceId"])
        ec2.delete_volume(VolumeId=volume["VolumeId"])

    def everything_is_lost(self) -> None:
        """But one VM, and what AWS keeps of keys."""
        (volume,) = self.volumes()
        assert volume["VolumeId"] == (self.folder / "made").read_text()
        assert volume["Attachments"]
        self.eventually(self.vms, "a VM of the record that is to be lost")
        self.systemctl("stop")
        postgres.drop_database(self.server, RECORD)
        with psycopg.connect(postgres.create_database(self.server, RECORD, template="lablink_template")) as conn:
            conn.execute("UPDATE deployment SET id = gen_random_uuid(), created_at = now()")
        self.systemctl("start")

    def name_a_backup(self) -> None:
        listed = self.cloud.client("s3").list_objects_v2(Bucket="example-lablink-backups")["Contents"]
        self.stand_ins["NAME"] = listed[0]["Key"].rpartition("/")[2]

    def the_key_is_seen(self) -> None:
        self.seen = self.key()

    def the_key_is_lost(self) -> None:
        (self.folder / "keys/encryption_key").unlink()

    def key(self) -> str:
        return (self.folder / "keys/encryption_key").read_text()

    def allocators(self) -> list[str]:
        return [one["InstanceId"] for one in self.instances("lablink-allocator-prod")]

    def vms(self) -> list[Any]:
        return self.instances("lablink-client-prod-*")

    def instances(self, name: str) -> list[Any]:
        filters = [
            {"Name": "tag:Name", "Values": [name]},
            {"Name": "instance-state-name", "Values": ["pending", "running"]},
        ]
        found = self.cloud.client("ec2").describe_instances(Filters=filters)["Reservations"]
        return [one for reservation in found for one in reservation["Instances"]]

    def volumes(self) -> list[Any]:
        named = [{"Name": "tag:Name", "Values": ["lablink-allocator-prod-data"]}]
        return list(self.cloud.client("ec2").describe_volumes(Filters=named)["Volumes"])

    def addresses(self) -> list[Any]:
        """Other tests of the process leave others in its one world."""
        named = [{"Name": "tag:Name", "Values": ["lablink-allocator-prod"]}]
        return list(self.cloud.client("ec2").describe_addresses(Filters=named)["Addresses"])

    def eventually(self, holds: Callable[[], Any], what: str) -> None:
        limit = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < limit, f"no {what}:\n{(self.folder / 'serve.log').read_text()[-5000:]}"
            time.sleep(0.2)

    def end(self) -> None:
        pid = self.folder / "serve.pid"
        if pid.exists() and runs(int(pid.read_text())):
            self.systemctl("stop")


def _as_meant(command: str) -> str:
    """What can be done within a minute, as the manual says there, is tried until then; a doctor who finds something has done its work."""
    if command.startswith(WITHIN_A_MINUTE):
        return f"until {command}; do sleep 3; done"
    return f"{command} || test $? = 1" if command == "lablink doctor" else command


@contextmanager
def open_host(folder: Path, cloud: Cloud, server: str) -> Iterator[AllocatorHost]:
    """It runs; `server` is a PostgreSQL in which it makes its record, and from which that goes again."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (document,) = (block.text for block in blocks_of("docs/deploy.md") if block.text.startswith("deployment:"))
    (folder / "lablink.yaml").write_text(document.replace("…", hashed))
    for name in ("deploy", "pyproject.toml"):  # as in a checkout
        (folder / name).symlink_to(ROOT / name)
    put_on_path(folder / "bin")
    url = f"http://127.0.0.1:{free_port('127.0.0.1')}"
    env = {
        **{name: value for name, value in cloud.environment.items() if not name.startswith("LABLINK_")},
        "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOST": str(folder),
        "HOST_OWNER": str(os.getpid()),
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "TF_VAR_ami": AMI,  # moto knows none of Canonical's
        "TF_VAR_tls_only": "false",  # nor TLS
        "LABLINK_KEYS": str(folder / "keys"),
        "LABLINK_DATABASE_DSN": postgres.create_database(server, RECORD, template="lablink_template"),
        "LABLINK_DESIRED_FILE": str(folder / "lablink.yaml"),
        "LABLINK_MODULES_DIR": str(ROOT / "terraform"),
        "LABLINK_WORK_DIR": str(folder / "work"),
        "LABLINK_PORT": url.rpartition(":")[2],
        "LABLINK_URL": url,
        "LABLINK_PASSWORD": PASSWORD,
        "LABLINK_TICK_S": "1",
        "LABLINK_LISTING_S": "2",
    }
    own = {"/etc/lablink": str(folder / "etc"), "/var/lib/lablink": str(folder / "var"), "LABLINK_PASSWORD=…": f"LABLINK_PASSWORD={PASSWORD}"}  # fmt: skip
    own |= {"LABLINK_URL=https://lab.example.org": f"LABLINK_URL={url}", "vol-…": '$(cat "$HOST/made")'}
    own |= {"DEPLOYMENT-ENVIRONMENT": "lablink-prod", "POOL": "client", "SUFFIX": "lab"}
    host = AllocatorHost(folder, cloud, server, env, own)
    try:
        host.systemctl("start")
        yield host
    finally:
        host.end()
        shutil.rmtree(folder / "work", ignore_errors=True)
        with psycopg.connect(server) as conn:
            kept = conn.execute("SELECT datname FROM pg_database WHERE datname ~ '^lablink_before'").fetchall()
        for name in (RECORD, *(str(row[0]) for row in kept)):
            postgres.drop_database(server, name)
