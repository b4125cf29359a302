"""What the manual tells its reader to type, typed: most pages in a sandbox, those about an allocator in AWS on one of a reader's own."""

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.infrastructure.world import Cloud
from tests.system.allocator_host import AllocatorHost, open_host
from tests.system.manual_pages import PAGES, blocks_of, commands_of, type_in
from tests.system.test_up import DOCUMENT, Up, environment, running

BUCKET = "example-backups"
ON_A_HOST = ("docs/deploy.md", "deploy/RUNBOOK.md")
"""In the order in which they are followed."""
IN_THE_SANDBOX = [page for page in PAGES if page not in ON_A_HOST and any(block.commands for block in blocks_of(page))]

ELSEWHERE = {"make up", "make check", "make test", "pip install 'lablink[diagrams]'", "sudo apt-get install graphviz"}
"""What a reader types before there is a sandbox: tests beside this one do, each with `typed(…)`."""


def typed_elsewhere() -> set[str]:
    """What those hand to `typed`, word for word."""
    trees = [ast.parse(path.read_text()) for path in Path(__file__).parent.glob("test_*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    given = [call.args[0] for call in calls if getattr(call.func, "id", "") == "typed"]
    return {str(one.value) for one in given if isinstance(one, ast.Constant)}


def test_every_command_is_typed_by_a_test() -> None:
    assert typed_elsewhere() == ELSEWHERE
    said = {command for page in PAGES for block in blocks_of(page) for command in block.commands}
    assert said >= ELSEWHERE, "what no page says any more leaves the list"
    plain = [block.text for page in PAGES for block in blocks_of(page) if not block.kind]
    hidden = [c for text in plain for c in commands_of(text) if c.removeprefix("$ ").startswith(PROGRAMS)]
    assert not hidden, "blocks with commands are marked as sh"


PROGRAMS = ("make ", "lablink ", "sudo ", "docker ", "aws ", "terraform ", "pip ", "curl ", "export ")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A reader's folder with a running sandbox, and the environment there: the allocator's own, as on its host."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "lablink.yaml").write_text(f"{DOCUMENT}backup: {{bucket: {BUCKET}}}\n")
    (folder / ".venv").symlink_to(sys.prefix)
    with running(folder) as up:
        address = up.wait_ready()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = environment(**allocator_of(up), PATH=path, LABLINK_DATA=str(up.data), SANDBOX=address["url"])
        make: Any = boto3.client
        keys = {"aws_access_key_id": env["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"]}
        s3 = make("s3", endpoint_url=env["AWS_ENDPOINT_URL"], region_name="us-west-2", **keys)
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield folder, env


def allocator_of(up: Up) -> dict[str, str]:
    pid = up.wait_ready()["pids"]["controller"]
    told = dict(one.partition("=")[::2] for one in Path(f"/proc/{pid}/environ").read_text().split("\0") if one)
    return {name: value for name, value in told.items() if name.startswith(("LABLINK_", "AWS_"))}


@pytest.mark.parametrize("page", IN_THE_SANDBOX)
def test_a_page_can_be_followed(sandbox: tuple[Path, dict[str, str]], page: str) -> None:
    folder, env = sandbox
    done = set(ELSEWHERE)  # and what a page repeats is typed once
    for block in blocks_of(page):
        if block.name:
            (folder / block.name).write_text(block.text)
        fresh = [command for command in block.commands if command not in done]
        if fresh:
            type_in(folder, env, "\n".join(fresh), {"http://127.0.0.1:5000": env["SANDBOX"]})
        done.update(fresh)


HAPPENED = {
    "1. The document (makes nothing, costs nothing)": AllocatorHost.an_older_vm_is_there,
    "The machine is lost (embedded database)": AllocatorHost.the_machine_is_lost,
    "The data volume is lost": AllocatorHost.the_volume_is_lost,
    "The data volume is lost, and is to come back from a snapshot": AllocatorHost.the_volume_is_lost,
    "Everything is lost: the record, Terraform's states, and every backup": AllocatorHost.everything_is_lost,
    "The record is damaged or somebody deleted what they should not have": AllocatorHost.name_a_backup,
    "The encryption key is lost": AllocatorHost.the_key_is_lost,
    "Somebody may have seen the encryption key": AllocatorHost.the_key_is_seen,
}
"""Before the reader opens a section."""


@pytest.mark.timeout(900)  # a hundred commands
def test_an_allocator_is_made_lost_and_ended_by_the_manual(postgres_server: str, tmp_path: Path) -> None:
    cloud = Cloud()
    try:
        with open_host(tmp_path, cloud, postgres_server) as host:
            for page in ON_A_HOST:
                follow(host, page)
            assert host.seen != host.key()
            assert host.allocators() == []
    finally:
        cloud.stop()


def follow(host: AllocatorHost, page: str) -> None:
    """What a section repeats of an earlier one is typed again where something has happened in between."""
    done: set[str] = set()
    met: set[str] = set()
    for block in blocks_of(page):
        happened = HAPPENED.get(block.under)
        if happened and block.commands and block.under not in met:
            met.add(block.under)
            happened(host)
        fresh = [command for command in block.commands if happened or command not in done]
        if fresh:
            host.type_in(fresh)
        done.update(fresh)
