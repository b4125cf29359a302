"""What a pool's schedule asks for now: the window that is open, those that come next, and whom the last one lets stay. Pure.

Where windows overlap, the largest of their sizes holds; among equals the first in the file. Outside every window the pool's own size holds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from schemas.calendar import Span, last_end, next_span, open_span
from schemas.decision import Opening
from schemas.lab import Pool, Window
from schemas.lab_pool import AnyWindow

from controller.decide.names import clock

SHOWN = 3


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A window that is open now, its lead included."""

    window: AnyWindow
    span: Span

    @property
    def words(self) -> str:
        return f"{self.window.size} declared by {name_of(self.window)} until {clock(self.span.to_at)}"


def name_of(window: AnyWindow) -> str:
    if window.name:
        return f"the window {window.name!r}"
    return f"the window from {clock(window.from_at)}" if isinstance(window, Window) else f"the window {window.cron!r}"


def scheduled_now(pool: Pool, now: datetime) -> Scheduled | None:
    """The open window that holds, or None: the pool's own size does."""
    spans = ((window, open_span(window, now)) for window in pool.schedule)
    return max(
        (Scheduled(window, span) for window, span in spans if span), key=lambda one: one.window.size, default=None
    )


def kept_since(pool: Pool, now: datetime) -> datetime | None:
    """The end of the window that ended last, if it lets VMs stay: those that were made before it are not ended for their number."""
    ends = ((end, window) for window in pool.schedule if (end := last_end(window, now)))
    end, window = max(ends, key=lambda one: one[0], default=(None, None))
    return end if window and window.end == "keep" else None


def openings(pool: Pool, now: datetime) -> tuple[Opening, ...]:
    """The windows that are open and the next of each, in order: what a person sees of the schedule."""
    return tuple(sorted(_openings(pool, now), key=lambda one: one.from_at)[:SHOWN])


def _openings(pool: Pool, now: datetime) -> Iterator[Opening]:
    for window in pool.schedule:
        for span in sorted({span for span in (open_span(window, now), next_span(window, now)) if span}):
            yield _opening(window, span, now)


def _opening(window: AnyWindow, span: Span, now: datetime) -> Opening:
    return Opening(
        name=name_of(window),
        size=window.size,
        grows_at=span.grows_at,
        from_at=span.from_at,
        to_at=span.to_at,
        is_open=span.grows_at <= now,
    )
