"""Clocks against each other: how far another's is off, what is made of several measurements, when a person is told. None is read here.

A measurement bounds: their instant was written after something of ours had left and before it came back to us, so the difference of the
clocks lies between two figures however long the line took. What is allowed of a clock is decided where something is signed or judged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from schemas.errors import UnavailableError
from schemas.event import utc_text

STEP = timedelta(seconds=1)  # a clock that is set back by less is a clock being disciplined (NTP steps are smaller)
AGED = timedelta(minutes=5)  # a measurement older than this gives way to any newer one
PATIENCE = timedelta(minutes=5)  # so long a difference must stand that a slow line could explain too, before it is told
_WATCHED = 2_000  # units whose clocks are off at once
_BACK = 0.8  # of the threshold: a clock at the very threshold is not told again and again

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Skew:
    """Another's clock less ours, in seconds: certainly between `low` and `high`."""

    low: float
    high: float

    @property
    def seconds(self) -> float:
        """The middle of it, as an estimate."""
        return (self.low + self.high) / 2

    @property
    def error_seconds(self) -> float:
        """How far the estimate may be off."""
        return (self.high - self.low) / 2

    @property
    def at_least(self) -> float:
        """The difference that is certain: 0 where the clocks may well agree."""
        return self.low if self.low > 0 else min(self.high, 0.0)


def measure(left_utc: datetime, stamped_utc: datetime, came_utc: datetime) -> Skew | None:
    """What an answer tells that was stamped by another's clock between two instants of ours; None where ours was set back meanwhile."""
    if came_utc < left_utc:
        return None
    return Skew((stamped_utc - came_utc).total_seconds(), (stamped_utc - left_utc).total_seconds())


def better(before: Skew | None, before_utc: datetime | None, found: Skew, now_utc: datetime) -> Skew:
    """The measurement that tells more: the narrower one, unless it is old, or contradicted: then a clock was set meanwhile."""
    if before is None or before_utc is None or abs(now_utc - before_utc) > AGED:
        return found
    if found.low > before.high or found.high < before.low:
        return found
    return found if found.error_seconds <= before.error_seconds else before


def clock_behind(now_utc: datetime, last_utc: datetime) -> UnavailableError:
    """The refusal to go on while the clock stands before the last that was written down."""
    text = (
        f"the clock stands at {utc_text(now_utc)}, before the last accepted event ({utc_text(last_utc)}): set the clock, then it goes on "
        f'by itself. Where the clock had run ahead, begin a new epoch with "panj post recover"'
    )
    return UnavailableError("clock-behind", text)


def refuse_backwards(now_utc: datetime, last_utc: datetime | None) -> None:
    """UnavailableError `clock-behind` where the clock stands before the last that was written down, by more than a step."""
    if last_utc is not None and last_utc - now_utc > STEP:
        raise clock_behind(now_utc, last_utc)


def watch_seconds(tolerance_seconds: float) -> float:
    """From which difference on a clock is told: a tenth of what is tolerated, and no less than five seconds."""
    return max(5.0, tolerance_seconds / 10)


@dataclass(slots=True)
class ClockWatch:
    """Tells of clocks that are off, once each, and once when they are back. Used by one thread."""

    threshold_seconds: float
    _since: dict[str, datetime] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def see(self, whose: str, seconds: float, now_utc: datetime, *, certain: bool = True) -> None:
        """Take up how a unit's clock (URN) stands against ours; `certain`: no slow line can explain it."""
        if len(self._since) > _WATCHED:  # an authority names as many units as it likes
            self._since.clear()
            self._told.clear()
        off = abs(seconds) > self.threshold_seconds * (_BACK if whose in self._told else 1.0)
        if not off:
            self._since.pop(whose, None)
            if whose in self._told:
                self._told.discard(whose)
                log.info("clock.agreed", whose=whose, seconds=round(seconds, 1))
            return
        since = self._since.setdefault(whose, now_utc)
        if whose not in self._told and (certain or abs(now_utc - since) >= PATIENCE):
            self._told.add(whose)
            advice = "one of the two clocks is wrong: set it; certificates and closings are judged by the clock"
            log.warning("clock.skewed", whose=whose, seconds=round(seconds, 1), tells_from=self.threshold_seconds, advice=advice)
