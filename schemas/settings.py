"""What a process is told by its environment (`LABLINK_…`): where things are and its secrets. What should exist is `lablink.yaml`.

Read once by the wiring of each program (`python -m api`, `python -m controller`, `lablink`) and handed down.
"""

import hashlib
import hmac
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

KEY_FILES = (
    "deployment_secret",
    "encryption_key",
    "encryption_key_previous",
    "log_token",
    "notify_secret",
    "smtp_password",
)


class Settings(BaseSettings):
    """Secrets come from the variable itself or from a file named by `LABLINK_KEYS` that holds one file each, mode 0600."""

    model_config = SettingsConfigDict(env_prefix="LABLINK_", frozen=True, extra="ignore")

    database_dsn: str = Field(
        description="PostgreSQL connection string, direct (LISTEN does not pass a transaction pooler)"
    )
    desired_file: Path | None = Field(
        default=None, description="lablink.yaml to watch; none: the record alone is in force"
    )
    work_dir: Path = Field(
        default=Path(".lablink/work"), description="working copies of Terraform modules, one a state"
    )
    modules_dir: Path = Field(default=Path("terraform"), description="the client tier's modules, pool/ and vms/")
    terraform: Path = Field(default=Path("terraform"), description="the terraform or tofu binary")

    host: str = Field(default="127.0.0.1", description="address on which the API listens")
    port: int = Field(default=5000, description="port on which the API listens")
    allocator_url: str = Field(default="http://127.0.0.1:5000", description="final URL that client VMs call")
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(), description='networks whose X-Forwarded-For is believed, as JSON: ["10.0.0.0/8"]'
    )
    ssh_user: str = Field(
        default="ubuntu", description="the login of the client VMs' AMI, which may run docker by sudo"
    )
    ssh_stand_in: str = Field(
        default="", description="host:port that plays port 22 of every VM, where none can be reached (the sandbox)"
    )
    admin_user: str = Field(default="admin", description="used while lablink.yaml names no admin")
    admin_password_hash: SecretStr | None = Field(
        default=None, description="bcrypt; used while lablink.yaml names no admin"
    )

    client_boundary: str = Field(
        default="", description="ARN of the policy that no role of a client VM may exceed; made by infrastructure/"
    )
    allocator_cidr: IPv4Network | None = Field(
        default=None, description="network from which VMs of its own region see the allocator; may reach their port 22"
    )
    allocator_public_cidr: IPv4Network | None = Field(
        default=None, description="the same for VMs of other regions, which see its public address"
    )
    metrics: bool = Field(default=False, description="send CloudWatch what `allocator.cloudwatch` says")
    keys: Path | None = Field(
        default=None, description="folder with the files deployment_secret, encryption_key, log_token"
    )
    deployment_secret: SecretStr = Field(
        default=SecretStr(""),
        validate_default=True,
        description="from which VM tokens, sessions and seat cookies come; needed",
    )
    encryption_key: SecretStr = Field(default=SecretStr(""), description="32 bytes in base64; needed")
    encryption_key_previous: SecretStr = Field(
        default=SecretStr(""),
        description="the key before it, which still opens what was sealed then; see `lablink rekey`",
    )
    log_token: SecretStr = Field(
        default=SecretStr(""), description="of the log Lambda; empty: one made from the deployment secret"
    )

    notify_secret: SecretStr = Field(
        default=SecretStr(""), description="signs webhooks; empty: a key made from the deployment secret"
    )
    notify_local: bool = Field(default=False, description="lets webhooks lead to plain http and to this network")
    smtp_host: str = Field(default="", description="mail server for notifications by email")
    smtp_port: int = Field(default=587, description="its port")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="`starttls`, `tls` or `none`"
    )
    smtp_user: str = Field(default="", description="login there; empty: none")
    smtp_password: SecretStr = Field(default=SecretStr(""), description="its password")
    smtp_from: str = Field(default="lablink@localhost", description="sender of mails")

    lease_ttl_s: float = Field(
        default=10.0,
        description="seconds after which a leader that is silent may be followed; who stands by looks three times in it and at its end, and leads within 15 s",
    )
    tick_s: float = Field(default=10.0, description="seconds until a tick without any wake-up")
    listing_s: float = Field(default=30.0, description="seconds between two listings of EC2 at rest")
    busy_listing_s: float = Field(default=5.0, description="while something is being made or ended")
    base_look_s: float = Field(default=600.0, description="between two looks at what a pool's VMs share")
    settle_s: float = Field(default=60.0, description="two looks at an orphan or a loss lie this far apart")
    run_ttl_s: float = Field(
        default=15.0, description="a Terraform that its controller does not renew for so long is ended by its guard…"
    )
    run_grace_s: float = Field(default=20.0, description="…which lets it save its state for so long")
    terraform_grace_s: float = Field(
        default=60.0, description="how long a running apply may go on at SIGTERM before it gets SIGINT"
    )
    slow_poll_s: float = Field(
        default=15.0, description="held calls look again this often, whatever LISTEN says; 0: never"
    )

    @model_validator(mode="before")
    @classmethod
    def read_keys(cls, values: dict[str, object]) -> dict[str, object]:
        """Fill the secrets that the environment leaves out from the files of `keys`."""
        folder = values.get("keys")
        if not folder:
            return values
        found = {}
        for name in KEY_FILES:
            path = Path(str(folder)) / name
            if not values.get(name) and path.is_file():
                found[name] = path.read_text().strip()
        return values | found

    @model_validator(mode="after")
    def check_secrets(self) -> Self:
        if not self.deployment_secret.get_secret_value() or not self.encryption_key.get_secret_value():
            raise ValueError(
                "no deployment secret or encryption key: set LABLINK_KEYS to the folder that holds them "
                "(files deployment_secret and encryption_key, mode 0600), or both variables"
            )
        return self

    @property
    def secure(self) -> bool:
        """Whether browsers reach us by TLS, so that cookies can be for TLS alone."""
        return self.allocator_url.startswith("https:")

    @property
    def notify_key(self) -> bytes:
        """What webhooks are signed with: 32 bytes."""
        secret = self.notify_secret.get_secret_value() or self.deployment_secret.get_secret_value()
        return hmac.new(secret.encode(), b"lablink notify", hashlib.sha256).digest()
