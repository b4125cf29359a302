"""`lablink import`: each variant of the older template's configuration becomes a valid document, and nothing is lost in silence."""

from pathlib import Path
from typing import Any

import bcrypt
import pytest

from lablink.errors import Failed
from lablink.importing import convert, import_
from schemas.document import parse_lab
from schemas.yaml_edit import render

MACHINE = {
    "machine_type": "g4dn.xlarge", "image": "ghcr.io/talmolab/lablink-client-base-image:linux-amd64-latest-test",
    "ami_id": "ami-0601752c11b394251", "repository": "https://github.com/talmolab/sleap-tutorial-data.git",
    "software": "sleap", "extension": "slp",
}  # fmt: skip
OLD: dict[str, Any] = {
    "deployment_name": "my-lablink",
    "environment": "prod",
    "db": {"dbname": "lablink_db", "user": "lablink", "password": "PLACEHOLDER_DB_PASSWORD", "port": 5432},
    "machine": MACHINE,
    "allocator": {"image_tag": "linux-amd64-latest-test"},
    "app": {"admin_user": "boss", "admin_password": "PLACEHOLDER_ADMIN_PASSWORD", "region": "us-west-2"},
    "dns": {"enabled": False, "terraform_managed": False, "domain": "", "zone_id": ""},
    "eip": {"strategy": "dynamic"},
    "ssl": {"provider": "none", "email": "", "certificate_arn": ""},
    "startup_script": {"enabled": False, "path": "config/custom-startup.sh", "on_error": "continue"},
    "bucket_name": "tf-state-lablink-lab",
}
DNS = {"enabled": True, "terraform_managed": True, "domain": "test.lablink.example.com", "zone_id": ""}
VARIANTS: dict[str, dict[str, Any]] = {
    "ip-only": {},
    "letsencrypt": {"dns": DNS, "ssl": {"provider": "letsencrypt", "email": "a@example.com", "certificate_arn": ""}},
    "letsencrypt-manual": {
        "dns": {**DNS, "terraform_managed": False},
        "ssl": {"provider": "letsencrypt", "email": "a@example.com"},
    },
    "cloudflare": {"dns": {**DNS, "terraform_managed": False}, "ssl": {"provider": "cloudflare", "email": ""}},
    "acm": {
        "dns": DNS,
        "ssl": {
            "provider": "acm",
            "certificate_arn": "arn:aws:acm:us-west-2:123456789012:certificate/abcd1234-5678-90ab-cdef-EXAMPLE11111",
        },
    },
    "dev": {"environment": "dev"},
    "test": {"environment": "test", "eip": {"strategy": "persistent", "tag_name": "lablink-eip"}},
    "ci-test": {"environment": "ci-test"},
    "prod": {"environment": "prod", "startup_script": {"enabled": True, "path": "config/start.sh", "on_error": "fail"}},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_becomes_a_valid_document(name: str) -> None:
    old = OLD | VARIANTS[name]
    text, notes = convert(old)
    lab = parse_lab(text).lab
    pool = lab.pools["client"]
    assert (lab.deployment, lab.environment, lab.region) == ("my-lablink", old["environment"], "us-west-2")
    assert (pool.image, pool.software, pool.extension) == (MACHINE["image"], "sleap", "slp")
    assert (pool.instance_type, pool.size) == (("g4dn.xlarge",), 0)
    assert (lab.ssl.provider, lab.dns.domain) == (old["ssl"]["provider"], old["dns"]["domain"])
    assert (lab.dns.enabled, lab.dns.terraform_managed) == (old["dns"]["enabled"], old["dns"]["terraform_managed"])
    assert lab.eip.strategy == old["eip"]["strategy"]
    assert (pool.startup_script is not None) == old["startup_script"]["enabled"]
    said = " ".join(notes)
    assert all(f"{field}: left out" in said for field in ("db", "allocator.image_tag", "bucket_name"))


def test_a_password_becomes_its_hash_and_a_placeholder_a_note() -> None:
    text, notes = convert(OLD | {"app": {**OLD["app"], "admin_password": "correct horse"}})
    admin = parse_lab(text).lab.admin
    assert admin is not None
    assert admin.user == "boss"
    assert bcrypt.checkpw(b"correct horse", admin.password_hash.encode())
    assert "correct horse" not in text + "".join(notes)
    assert any(note.startswith("app.admin_password") for note in convert(OLD)[1])


def test_what_is_unknown_is_named() -> None:
    _, notes = convert(OLD | {"dns": {**OLD["dns"], "color": "red"}, "extra": 1, "monitoring": {"enabled": True}})
    nothing = {f"{name}: left out; there is nothing like it" for name in ("dns.color", "extra")}
    assert nothing <= set(notes)
    assert any(note.startswith("monitoring: left out") and "`notify`" in note for note in notes)


@pytest.mark.parametrize(
    ("environment", "pattern", "name"),
    [
        ("test", {"pattern": "custom", "custom_subdomain": "test", "app_name": ""}, "test.example.com"),
        ("prod", {"pattern": "custom", "custom_subdomain": ""}, "example.com"),
        ("prod", {"pattern": "auto", "app_name": "vms"}, "vms.example.com"),
        ("dev", {"pattern": "auto"}, "dev.lablink.example.com"),
    ],
)
def test_a_name_that_a_pattern_made_is_written_out(environment: str, pattern: dict[str, str], name: str) -> None:
    dns = {"enabled": True, "terraform_managed": True, "domain": "example.com", "zone_id": "", "create_zone": False}
    text, notes = convert(OLD | {"environment": environment, "dns": {**dns, **pattern}})
    assert parse_lab(text).lab.dns.domain == name
    assert any(note.startswith("dns.pattern:") and name in note for note in notes)


def test_tls_that_was_switched_off_stays_off_and_a_missing_environment_is_told() -> None:
    old = {name: value for name, value in OLD.items() if name != "environment"}
    text, notes = convert(old | {"ssl": {"enabled": False, "provider": "letsencrypt", "email": "a@example.com"}})
    assert parse_lab(text).lab.ssl.provider == "none"
    assert any(note.startswith("environment: not in this file") for note in notes)


def test_the_command_writes_a_file_once_and_refuses_what_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "config.yaml", tmp_path / "lablink.yaml"
    old.write_text(render(OLD))
    import_(old, new)
    assert parse_lab(new.read_text()).lab.deployment == "my-lablink"
    assert "bucket_name: left out" in capsys.readouterr().err
    with pytest.raises(Failed, match="is there already"):
        import_(old, new)
    old.write_text("pools: {}\n")
    with pytest.raises(Failed, match="no section `machine`"):
        import_(old, None)
    old.write_text(render(OLD | {"environment": "Not Valid"}))
    with pytest.raises(Failed, match="environment"):
        import_(old, None)
