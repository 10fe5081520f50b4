"""The house's own clock: what is taken in and answered is never older than what was before it.

While the clock stands before the last instant that the house wrote down, or its certificate has expired, nothing is taken in and nothing
is signed; it goes on by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from sqlalchemy import Engine

from broker import audit
from broker.clocks import STEP
from broker.trust.keys import Signer
from consumers import known_posts
from consumers.tables import audit as audit_trail
from schemas.event import utc_text
from schemas.names import Party

log = structlog.get_logger()


def now_utc() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


Clock = Callable[[], datetime]
_ADVICE = {
    "clock-behind": 'set the clock, then it goes on; where it had run ahead: "panj customs run --trust-clock"',
    "certificate-expired": 'nobody would believe its answers: "panj pki renew customs", then it goes on by itself',
}


class HouseClock:
    """A clock that knows the last instant at which the house wrote something down. Shared by the workers of a process."""

    def __init__(self, latest_utc: datetime | None = None, clock: Clock = now_utc) -> None:
        self._latest = latest_utc
        self._clock = clock
        self._lock = threading.Lock()
        self._hindrance: str | None = None

    @classmethod
    def of(cls, clock: Clock) -> HouseClock:
        """The clock itself where it is one, else one that begins to remember now."""
        return clock if isinstance(clock, cls) else cls(None, clock)

    def __call__(self) -> datetime:
        """The time now."""
        return self._clock()

    def wrote(self) -> None:
        """Something was written down now: from now on the clock never stood before this."""
        now = self._clock()
        with self._lock:
            if self._latest is None or now > self._latest:
                self._latest = now

    def right(self) -> bool:
        """Whether the clock does not stand before what was written down."""
        now = self._clock()
        with self._lock:
            return self._latest is None or self._latest - now <= STEP

    def lets_sign(self, signer: Signer) -> bool:
        """Whether the house may take in and answer now: the clock is right, and its certificate has not expired by it.

        What hinders it is told once, and once when it is over; nothing is acknowledged meanwhile, so that nothing is lost.
        """
        until = signer.identity.not_after_utc
        code = "clock-behind" if not self.right() else "certificate-expired" if self._clock() >= until else None
        with self._lock:
            before, self._hindrance = self._hindrance, code
            latest = self._latest
        if code == before:
            return code is None
        if before is not None:
            log.info("house.unhindered", code=before)
        if code is not None:
            since = latest if code == "clock-behind" else until
            log.error("house.hindered", code=code, clock=utc_text(self._clock()), since=utc_text(since or until), advice=_ADVICE[code])
        return code is None


def begin_clock(engine: Engine, house: Party, *, trust_clock: bool = False) -> HouseClock:
    """The clock of a house that begins: it knows when an earlier process was last heard of, by the last beacon that it returned.

    With `trust_clock` a person says that the clock is right now and had run ahead before: that is written down, and it may go on.
    """
    with engine.begin() as connection:
        latest = known_posts.last_heard(connection)
        now = now_utc()
        if trust_clock and latest is not None and latest > now:
            detail = {"clock": utc_text(now), "last_written": utc_text(latest)}
            audit.append(connection, audit_trail, audit.Act(audit.actor(), "clock.trusted", house.urn, "", detail), now)
            log.warning("clock.trusted", **detail)
            known_posts.forget_instants(connection, now)
            latest = None
    return HouseClock(latest)
