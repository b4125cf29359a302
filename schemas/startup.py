"""How a VM came up: how long each part took and when things happened."""

from datetime import datetime

from pydantic import computed_field

from schemas.frozen import Frozen

HAPPENINGS = {
    "planned_at": "decided",
    "applied_at": "Terraform began",
    "launched_at": "instance launched",
    "cloud_init_started_at": "cloud-init began",
    "cloud_init_ended_at": "cloud-init ended",
    "container_started_at": "container pulled and started",
    "container_ended_at": "container up",
    "ready_at": "asked for a person",
    "ended_at": "gone",
}


class Happening(Frozen):
    what: str
    at: datetime


class StartUp(Frozen):
    """Durations in seconds, None while unknown: an adopted VM has no Terraform time. Instants of cloud-init and container are the VM's word."""

    hostname: str
    terraform_s: float | None
    cloud_init_s: float | None
    container_s: float | None
    planned_at: datetime
    applied_at: datetime | None
    launched_at: datetime | None
    cloud_init_started_at: datetime | None
    cloud_init_ended_at: datetime | None
    container_started_at: datetime | None
    container_ended_at: datetime | None
    ready_at: datetime | None
    ended_at: datetime | None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total_s(self) -> float | None:
        """Terraform + cloud-init + container; None while one of them is unknown."""
        if self.terraform_s is None or self.cloud_init_s is None or self.container_s is None:
            return None
        return self.terraform_s + self.cloud_init_s + self.container_s

    @computed_field  # type: ignore[prop-decorator]
    @property
    def happenings(self) -> list[Happening]:
        """What is known of it in the order of time."""
        known = [Happening(what=what, at=at) for name, what in HAPPENINGS.items() if (at := getattr(self, name))]
        return sorted(known, key=lambda happening: happening.at)
