"""Variables for Terraform: the same rows give the same bytes, in the shape that the modules declare."""

import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from controller.decide.state_change import (
    ShardChange,
    decide_creates,
    decide_deletes,
    decide_imports,
    decide_target,
)
from controller.decide.tfvars import (
    Site,
    Target,
    base_name,
    hash_variables,
    iam_name,
    render_base,
    render_json,
    render_shard,
)
from schemas.spec import VmSpec
from schemas.token import vm_token
from schemas.vm import Phase, Vm

LONG = "lablink-" + "c" * 32 + "-staging-two-ap-southeast-4"
MODULES = Path(__file__).resolve().parents[2] / "terraform"
BASE = {"security_group_id": "sg-1", "instance_profile": "p", "key_name": "k", "other": "x"}
SITE = Site(
    "lablink", "6b3f0a52-0000-4000-8000-000000000000", "dev", "us-west-2", "123456789012", "https://lab.example.org"
)
SPEC = VmSpec(
    ami="ami-12345678", instance_type="t3.large", region="eu-west-1", volume_size=50, volume_type="gp3", image="i:1",
    gpu=False, generation=3, startup_script="echo ü\n",
)  # fmt: skip


def make_vm(hostname: str, phase: Phase = Phase.PLANNED, **more: object) -> Vm:
    row = {
        "hostname": hostname, "pool": "client", "region": "eu-west-1", "shard": 1, "generation": 3, "spec_hash": "v1:a",
        "spec": SPEC, "phase": phase, "in_state": False, "version": 1, "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    return Vm.model_validate(row | more)


def target(*vms: Vm, **imports: str) -> Target:
    return Target("client", "eu-west-1", BASE, vms, imports)


def declared(module: str) -> set[str]:
    return set(re.findall(r'^variable "(\w+)"', (MODULES / module / "variables.tf").read_text(), re.MULTILINE))


def test_a_shard_has_every_variable_that_its_module_declares() -> None:
    variables = render_shard(SITE, target(make_vm("b"), make_vm("a"), a="i-1"), b"secret")
    assert set(variables) == declared("vms")
    assert list(variables["vms"]) == ["a", "b"]
    assert variables["adopt"] == {"a": "i-1"}
    assert variables["tokens"]["a"] == vm_token(b"secret", "a", 1)
    assert variables["base"] == {"security_group_id": "sg-1", "instance_profile": "p", "key_name": "k"}
    text = (MODULES / "vms" / "variables.tf").read_text()
    block = text[text.index('variable "vms"') : text.index("validation", text.index('variable "vms"'))]
    assert set(re.findall(r"^    (\w+) +=", block, re.MULTILINE)) == set(variables["vms"]["a"])


def test_a_vm_reports_to_the_allocator_in_its_own_region() -> None:
    vm = render_shard(SITE, target(make_vm("a")), b"secret")["vms"]["a"]
    assert (vm["allocator_host"], vm["log_region"]) == ("lab.example.org", "us-west-2")
    assert vm["log_group"] == "lablink-cloud-init-dev"
    assert vm["startup_script"] == "ZWNobyDDvAo="


def test_the_order_of_rows_changes_no_byte() -> None:
    vms = [make_vm(name) for name in "cab"]
    texts = {render_json(render_shard(SITE, target(*order), b"s")) for order in (vms, reversed(vms))}
    assert len(texts) == 1


def test_a_rotated_token_is_another_token() -> None:
    old, new = (render_shard(SITE, target(make_vm("a", token_version=n)), b"s")["tokens"]["a"] for n in (1, 2))
    assert old != new


def test_an_emptied_shard_is_rendered_too() -> None:
    assert render_shard(SITE, target(), b"s")["vms"] == {}


def test_vms_of_other_regions_see_the_allocators_public_address() -> None:
    site = replace(SITE, allocator_cidr="172.31.5.6/32", allocator_public_cidr="192.0.2.7/32")
    here, away = (render_base(site, "client", region, [], "ssh-ed25519 A") for region in ("us-west-2", "eu-west-1"))
    assert (here["allocator_cidr"], away["allocator_cidr"]) == ("172.31.5.6/32", "192.0.2.7/32")


def test_a_base_has_every_variable_that_its_module_declares() -> None:
    variables = render_base(SITE, "client", "eu-west-1", ["198.51.100.0/24", "192.0.2.0/24"], "ssh-ed25519 A")
    assert set(variables) | {"adopt"} == declared("pool")
    assert variables["ssh_ingress"] == ["192.0.2.0/24", "198.51.100.0/24"]
    assert variables["permissions_boundary"] == ""
    assert variables["log_group_arn"] == "arn:aws:logs:us-west-2:123456789012:log-group:lablink-cloud-init-dev"
    china = render_base(replace(SITE, region="cn-north-1"), "client", "cn-north-1", [], "k")
    assert china["log_group_arn"].startswith("arn:aws-cn:logs:cn-north-1:")


def test_what_is_imported_once_does_not_change_the_hash_of_a_base() -> None:
    variables = render_base(SITE, "client", "eu-west-1", [], "ssh-ed25519 A")
    assert hash_variables(variables) == hash_variables(variables | {"adopt": {"role": "x"}})
    assert hash_variables(variables) != hash_variables(variables | {"ssh_ingress": ["192.0.2.0/24"]})


def test_names_are_those_of_the_module() -> None:
    assert base_name(SITE, "client") == "lablink-client-dev"
    assert iam_name(SITE, "client", "eu-west-1") == "lablink-client-dev-eu-west-1"
    long = iam_name(replace(SITE, environment="staging-two"), "c" * 32, "ap-southeast-4")
    assert long == "lablink-" + "c" * 32 + "-staging-two-ap"[:15] + "-" + hashlib.sha256(LONG.encode()).hexdigest()[:8]
    assert len(long) == 64


def test_only_what_state_and_rows_differ_in_is_done() -> None:
    vms = (
        make_vm("planned"),
        make_vm("seen"),
        make_vm("found", Phase.LIVE, instance_id="i-1", instance_state="running"),
        make_vm("unlisted", Phase.LIVE, instance_id="i-2"),
        make_vm("live", Phase.LIVE, in_state=True, instance_id="i-3"),
        make_vm("draining", Phase.DRAINING, in_state=True, instance_id="i-4"),
        make_vm("lost", Phase.LOST, in_state=True, instance_id="i-5"),
        make_vm("stray", Phase.DRAINING, instance_id="i-6", instance_state="running"),
        make_vm("ended", Phase.DRAINING, instance_id="i-7", instance_state="shutting-down"),
        make_vm("never", Phase.DRAINING),
    )
    assert decide_creates(vms, {"seen"}) == {"planned"}
    assert decide_deletes(vms) == ShardChange(deletes=frozenset({"draining", "lost"}))
    assert decide_imports(vms).imports == {"found": "i-1", "stray": "i-6"}
    after = decide_target(vms, ShardChange(creates=frozenset({"planned"})))
    assert [vm.hostname for vm in after] == ["planned", "live", "draining", "lost"]
    assert [vm.hostname for vm in decide_target(vms, decide_deletes(vms))] == ["live"]
    assert not ShardChange()
