"""`lablink import`: the configuration of the older LabLink template as a document of ours, and a line for all that was left out.

Its sections are db, machine, app, dns, eip, ssl, allocator, startup_script, and on the top bucket_name, deployment_name, environment.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import bcrypt
import typer
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lablink.errors import Failed
from schemas.document import parse_lab
from schemas.problem import InvalidDocument
from schemas.yaml_edit import render

PLACEHOLDER = "PLACEHOLDER"
POOL = "client"

# their field → ours; a name without a section is at the top
SAME = {
    "deployment_name": "deployment",
    "environment": "environment",
    "app.region": "region",
    "machine.machine_type": "pools.client.instance_type",
    "machine.ami_id": "pools.client.ami",
    "machine.image": "pools.client.image",
    "machine.repository": "pools.client.repository",
    "machine.software": "pools.client.software",
    "machine.extension": "pools.client.extension",
    "dns.enabled": "dns.enabled",
    "dns.terraform_managed": "dns.terraform_managed",
    "dns.domain": "dns.domain",
    "dns.zone_id": "dns.zone_id",
    "dns.create_zone": "dns.create_zone",
    "ssl.provider": "ssl.provider",
    "ssl.email": "ssl.email",
    "ssl.certificate_arn": "ssl.certificate_arn",
    "ssl.staging": "ssl.staging",
    "eip.strategy": "eip.strategy",
    "allocator.instance_type": "allocator.instance_type",
    "startup_script.path": "pools.client.startup_script.path",
    "startup_script.on_error": "pools.client.startup_script.on_error",
}
# what has no place here, and why
DROPPED = {
    "db": "PostgreSQL is part of the allocator, or RDS by `database`; its password is never in a file",
    "app.admin_password": "a placeholder: make a hash with `lablink hash-password` and write admin.password_hash",
    "allocator.image_tag": "the image of the older allocator; ours is the one of this release, or allocator.image",
    "bucket_name": "it holds the older Terraform's state: leave it, and name a bucket of its own in backup.bucket",
    "eip.tag_name": "an address is named by eip.allocation_id, or made and kept by Terraform",
    "startup_script.enabled": "",  # says whether there is a script; nothing is lost
    "ssl.enabled": "",  # the same of TLS
    "monitoring": "alarms and a dashboard are always made; who is told of troubles is in `notify`, and a limit of costs in `budget`",
}


@dataclass
class Imported:
    """The document so far, and a sentence for each thing that it does not have."""

    document: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def put(self, path: str, value: Any) -> None:
        place = self.document
        *sections, name = path.split(".")
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value


def import_(
    file: Annotated[Path, typer.Argument(metavar="CONFIG", help="config.yaml of the older template.")],
    output: Annotated[Path | None, typer.Option(help="Where the document goes [default: standard output].")] = None,
) -> None:
    """Turn a configuration of the older LabLink into lablink.yaml, and say what was left out."""
    text, notes = convert(_read(file))
    try:
        parse_lab(text, str(output or "lablink.yaml"))
    except InvalidDocument as error:
        lines = "\n".join(str(problem) for problem in error.problems)
        raise Failed(f"{file} cannot be taken as it is; correct there:\n{lines}") from None
    for note in notes:
        print(note, file=sys.stderr)
    if output is None:
        print(text, end="")
    elif output.exists():
        raise Failed(f"{output} is there already; nothing was written.")
    else:
        output.write_text(text, encoding="utf-8")


def _read(file: Path) -> dict[str, Any]:
    try:
        content = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise Failed(f"{file} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or "machine" not in content:
        raise Failed(f"{file} is no configuration of the older LabLink: it has no section `machine`.")
    return content


def convert(config: Mapping[str, Any], hash_password: Callable[[str], str] | None = None) -> tuple[str, list[str]]:
    """The text of a document and the notes. Nothing secret is in either: the admin's password becomes its hash."""
    made = Imported({"format": 1, "pools": {POOL: {"size": 0}}})
    fields = dict(_walk(config))
    if not fields.get("startup_script.enabled"):
        fields = {name: value for name, value in fields.items() if not name.startswith("startup_script.")}
    if fields.get("ssl.enabled") is False:
        fields["ssl.provider"] = "none"
    _take_domain(made, fields)
    _take_admin(made, fields, hash_password or _hash)
    for name, value in fields.items():
        if name in SAME:
            if value not in (None, ""):
                made.put(SAME[name], value)
        else:
            _note(made, name)
    made.notes.append(
        f"pools.{POOL}.size: 0, so that nothing starts by itself; `lablink scale {POOL} N` when you are ready"
    )
    lines = [f"{name}: {render(value)}" for name, value in made.document.items()]
    return "\n".join(lines) + "\n", list(dict.fromkeys(made.notes))


def _walk(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each field with its section."""
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from ((f"{name}.{inner}", entry) for inner, entry in value.items())
        else:
            yield str(name), value


def _take_domain(made: Imported, fields: dict[str, Any]) -> None:
    """The oldest files give the zone as `dns.domain`, and a pattern by which the name is made of it and of the environment."""
    if "environment" not in fields:
        made.notes.append(
            "environment: not in this file, for Terraform was told it; `dev` is meant unless you write another"
        )
    pattern, app, own = (
        str(fields.pop(f"dns.{name}", "") or "") for name in ("pattern", "app_name", "custom_subdomain")
    )
    zone, environment = fields.get("dns.domain"), str(fields.get("environment") or "prod")
    if not (pattern and zone):
        return
    made_of = [own] if pattern == "custom" else ["" if environment == "prod" else environment, app or "lablink"]
    fields["dns.domain"] = ".".join(part for part in (*made_of, str(zone)) if part)
    made.notes.append(
        f"dns.pattern: dns.domain is now the whole name, {fields['dns.domain']}; the zone was {zone}, name it in dns.zone_id"
    )


def _take_admin(made: Imported, fields: dict[str, Any], hash_password: Callable[[str], str]) -> None:
    user, password = fields.pop("app.admin_user", None) or "admin", str(fields.get("app.admin_password") or "")
    if password and not password.startswith(PLACEHOLDER):
        fields.pop("app.admin_password")
        made.put("admin", {"user": user, "password_hash": hash_password(password)})


def _hash(password: str) -> str:
    return bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt()).decode()


def _note(made: Imported, name: str) -> None:
    section = name.partition(".")[0]
    known = name if name in DROPPED else section if section in DROPPED else None
    if known is None:
        made.notes.append(f"{name}: left out; there is nothing like it")
    elif DROPPED[known]:
        made.notes.append(f"{known}: left out; {DROPPED[known]}")
