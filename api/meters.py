"""What this process counts of itself, for `/metrics`. A restart begins anew, as Prometheus expects of counters."""

from litestar.plugins.prometheus import PrometheusConfig
from prometheus_client import Counter, Histogram

WAKE_UPS = Counter("lablink_wake_ups", "VMs that this process told of their person")
WAKE_UP_SECONDS = Histogram(
    "lablink_wake_up_seconds",
    "From the commit that gave a waiting VM to a person to the whole answer of its held call",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
LOG_LINES = Counter("lablink_log_lines", "Log lines that were sent to this process, repeated ones too")
LASTING = r"^/(vm_startup$|seat/live|live|admin/.*live|api/v1/.*(events|follow))"
"""Calls that are meant to last would hide how long others take."""


def count_requests() -> PrometheusConfig:
    """Counts and times Litestar's calls by route, method and status; what the shortcut answers is not among them."""
    return PrometheusConfig(app_name="lablink", prefix="lablink", group_path=True, exclude=LASTING)
