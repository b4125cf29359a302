"""How long a pool whose runs failed waits before it creates again: computed from the record, never slept. Pure."""

from datetime import datetime, timedelta

from schemas.pool import PoolRow

FIRST_S = 10.0
LONGEST_S = 30 * 60.0
STALLED_AFTER = 5
STALLED_FIRST_S = 5 * 60.0
STALLED_LONGEST_S = 2 * 3600.0


def is_stalled(row: PoolRow) -> bool:
    """After this many failures in a row a person should look; the pool still tries by itself, ever more rarely."""
    return row.failures >= STALLED_AFTER


def pause_s(failures: int) -> float:
    """Doubles with each failure: 10 s, 20 s, … and from the fifth on 5 min, 10 min, … up to 2 h."""
    if failures <= 0:
        return 0.0
    if failures >= STALLED_AFTER:
        return min(STALLED_FIRST_S * 2.0 ** min(failures - STALLED_AFTER, 30), STALLED_LONGEST_S)
    return min(FIRST_S * 2.0 ** (failures - 1), LONGEST_S)


def waits_until(row: PoolRow, now: datetime) -> datetime | None:
    """When creating may be tried again; None: now."""
    if row.failed_at is None or row.failures <= 0:
        return None
    until = row.failed_at + timedelta(seconds=pause_s(row.failures))
    return until if until > now else None
