"""Telling fates back: looks what is new, tells it in order, and tries again what was not taken. One thread of the daemon.

What waits for one slow or unwilling answer is that one declaration; settling never waits for any of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from broker.outbox.telling import Telling, Tellings
from producers.fates.receiving import NotTaken, Receiver, Reply, Taken
from schemas.errors import PanjError

PAUSE_SECONDS = 0.5  # between two looks while nothing happens
LONGEST_PAUSE_SECONDS = 900.0  # between two tries of one telling
LONGEST_AWAY_SECONDS = 60.0  # between two tries while nothing at all is taken
SHARE = 10  # a look may take this share of the time, and no more, however much is watched

log = structlog.get_logger()


class Teller:
    """Tells what one outbox has to tell to one receiver. `may_tell`: whether this process is the one that does."""

    def __init__(self, tellings: Tellings, receiver: Receiver, clock: Callable[[], datetime], may_tell: Callable[[], bool]) -> None:
        self._tellings = tellings
        self._receiver = receiver
        self._clock = clock
        self._may_tell = may_tell
        self._away_seconds = 0.0
        self._away_until: datetime | None = None
        self._stopped = False
        self._begun = False

    def run(self, stop: threading.Event) -> None:
        """Tell until `stop` is set. Where the outbox is away, wait for it."""
        told = ""
        while not stop.is_set():
            begun = self._clock()
            try:
                worked = self.turn() if self._may_tell() else False
            except PanjError as error:
                if error.code != told:
                    log.warning("fates.paused", code=error.code, reason=str(error))
                told, worked = error.code, False
            else:
                told = ""
            if not worked:
                stop.wait(max(PAUSE_SECONDS, (self._clock() - begun).total_seconds() * SHARE))

    def turn(self) -> bool:
        """Look once and tell what is due; whether there was anything."""
        if not self._begun:
            self._tellings.begin()
            self._begun = True
        found = self._tellings.look()
        now = self._clock()
        if self._stopped or (self._away_until is not None and now < self._away_until):
            return False
        due = self._tellings.due(1 if self._away_seconds else self._receiver.at_once)
        if not due:
            return found > 0
        return self._record(due, self._receiver.tell(due), now)

    def _record(self, due: Sequence[Telling], replies: Sequence[Reply], now: datetime) -> bool:
        """Note what became of them; whether anything was taken."""
        pairs = list(zip(due, replies, strict=True))
        done = [telling.number for telling, reply in pairs if isinstance(reply, Taken)]
        failed = [(telling, reply) for telling, reply in pairs if isinstance(reply, NotTaken)]
        away = next((reply for _, reply in failed if reply.away), None)
        later = {telling.number: now + pause(telling.tries, reply.wait_seconds) for telling, reply in failed if not reply.away}
        trouble = away.because if away is not None else failed[0][1].because if failed else None
        self._tellings.record(done, later, trouble)
        for telling, reply in failed:
            if reply.stopped:
                self._stop(reply.because)
                break
            if not reply.away:
                log.warning(
                    "fate.not_taken", event_id=telling.event_id, fate=telling.stage.value, tries=telling.tries + 1, why=reply.because
                )
        self._note_away(away, now)
        if done:
            log.info("fates.told", fates=len(done))
        return bool(done)

    def _note_away(self, away: NotTaken | None, now: datetime) -> None:
        if away is None:
            if self._away_seconds:
                log.info("fates.resumed")
            self._away_seconds, self._away_until = 0.0, None
            return
        if not self._away_seconds:  # once, however long it takes
            log.warning("fates.away", why=away.because)
        self._away_seconds = min(LONGEST_AWAY_SECONDS, max(1.0, self._away_seconds * 2))
        self._away_until = now + timedelta(seconds=max(self._away_seconds, away.wait_seconds or 0.0))

    def _stop(self, because: str) -> None:
        advice = "nothing more is told until the post is started again: has the call-back's address changed?"
        log.error("fates.stopped", why=because, advice=advice)
        self._tellings.stop(because)
        self._stopped = True


def pause(tries: int, asked_seconds: float | None = None) -> timedelta:
    """How long to wait before a telling that failed so often before is tried again: 1, 2, 4, … s, or longer where that was asked for."""
    return timedelta(seconds=max(min(LONGEST_PAUSE_SECONDS, 2.0 ** min(tries, 20)), asked_seconds or 0.0))
