"""Suspensions as `panj suspend` keeps them, one book for each direction, found through the entry points "panj.suspensions"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import entry_points
from typing import Protocol

from broker.operations.contributions import Attention, Reading
from broker.settings.model import Settings
from broker.suspension import Direction, Suspension
from schemas.errors import UsageError

GROUP = "panj.suspensions"
SOON = timedelta(hours=1)
LONG = timedelta(days=7)  # without an end: somebody may have forgotten it


@dataclass(frozen=True, slots=True)
class Listed:
    """One suspension in one place: a unit's name, and how many events it holds back there now."""

    direction: Direction
    place: str
    suspension: Suspension
    events: int


@dataclass(frozen=True, slots=True)
class Done:
    """Where something was done (units), and where it could not be because that unit's database is on another machine."""

    places: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()


class Book(Protocol):
    """Where the suspensions of one direction are kept."""

    @property
    def direction(self) -> Direction:
        """Which."""

    def begin(self, settings: Settings, begun: Suspension, *, dry_run: bool) -> Done:
        """Begin one; UsageError where its scope makes no sense here. With `dry_run` only tell where."""

    def listed(self, settings: Settings, *, ended: bool) -> Sequence[Listed]:
        """Those that nobody has ended, or all that ever were."""

    def end(self, settings: Settings, suspension_id: str, actor: str, reason: str, now_utc: datetime, *, dry_run: bool) -> Done:
        """End one wherever it is in force; nowhere is no error."""


def books() -> list[Book]:
    """Every book that a package contributes."""
    return [point.load() for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)]


def book_of(direction: Direction) -> Book:
    """The one of a direction."""
    found = next((book for book in books() if book.direction is direction), None)
    if found is None:
        raise UsageError("command-unavailable", "no installed package keeps suspensions of this direction", value=direction.value)
    return found


def reading_of(one: Listed, now_utc: datetime) -> Reading:
    """A suspension in force as `panj status` shows it."""
    begun, until = one.suspension.begun_at_utc, one.suspension.until_utc
    attention, ending = Attention.WATCH, "until somebody ends it"
    if until is not None:
        left = until - now_utc
        ending = f"ends by itself in {int(left.total_seconds() // 60)} min" if left < SOON else f"until {until:%Y-%m-%d %H:%M} UTC"
    elif now_utc - begun > LONG:
        attention, ending = Attention.ACT, f"for {(now_utc - begun).days} days without an end: is it forgotten?"
    advice = (
        f'{one.suspension.scope}, {ending}; by {one.suspension.begun_by}: {one.suspension.reason}; "panj suspend end {one.suspension.id}"'
    )
    return Reading(one.place, f"suspended {one.direction}", one.events, "events", attention, advice)
