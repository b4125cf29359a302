"""Files that lie beside the packages in a checkout, and inside `lablink` where a wheel brought them. Used by `up` and `infra`."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def find_part(name: str) -> Path:
    """A folder or file of the repository's top level that pyproject.toml puts into the wheel."""
    checkout = ROOT / name
    return checkout if checkout.exists() else ROOT / "lablink" / name
